"""Runs one way of inpainting in a process of its own, for the benchmark `inpaint`.

Speaks lines of JSON on its standard input and output: one case comes in, its time, memory and what changed go out. It
runs in the Python that has the library it measures, so it needs no more than numpy and that library.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from process_figures import peak_bytes, restart_peak

Image: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]
Inpaint: TypeAlias = Callable[[Image, Mask], Image]

WARM_UP_PX: Final = 256

IOPAINT_MARGIN_PX: Final = 128
LARGE_HOLE_PX: Final = 874
"""The hole of a twentieth of 4000×3000 pixels, around which IOPaint shows its network this margin."""


def iopaint(checkpoint: Path, strategy: str) -> Inpaint:
    """IOPaint's own model class, as its server and its batch command call it."""
    os.environ["LAMA_MODEL_URL"] = str(checkpoint)
    from iopaint.model.lama import LaMa  # noqa: PLC0415  (only this runner's Python has it)
    from iopaint.schema import HDStrategy, InpaintRequest  # noqa: PLC0415

    model = LaMa("cpu")
    request = InpaintRequest(hd_strategy=HDStrategy(strategy))

    def inpaint(image: Image, mask: Mask) -> Image:
        levels = mask.astype(np.uint8) * 255
        return np.ascontiguousarray(model(image.copy(), levels, request)[..., ::-1])

    return inpaint


def simple_lama(checkpoint: Path) -> Inpaint:
    """simple-lama-inpainting's class, which always takes the whole frame."""
    os.environ["LAMA_MODEL"] = str(checkpoint)
    from PIL import Image as Pillow  # noqa: PLC0415
    from simple_lama_inpainting import SimpleLama  # noqa: PLC0415

    model = SimpleLama()

    def inpaint(image: Image, mask: Mask) -> Image:
        height, width = mask.shape
        painted = np.asarray(model(Pillow.fromarray(image), Pillow.fromarray(mask.astype(np.uint8) * 255)))
        return painted[:height, :width]

    return inpaint


def reference(checkpoint: Path) -> Inpaint:
    """The network as it was published, on the whole frame, its answer pasted under the mask."""
    import torch  # noqa: PLC0415

    model = torch.jit.load(str(checkpoint), map_location="cpu").eval()

    def inpaint(image: Image, mask: Mask) -> Image:
        height, width = mask.shape
        pad = ((0, -height % 8), (0, -width % 8))
        pixels = torch.from_numpy(np.pad(image, (*pad, (0, 0)), mode="symmetric")).permute(2, 0, 1)[None].float() / 255
        holes = torch.from_numpy(np.pad(mask, pad, mode="symmetric"))[None, None].float()
        with torch.inference_mode():
            answer = model(pixels, holes)[0].permute(1, 2, 0).numpy()[:height, :width]
        return np.where(mask[..., None], np.clip(answer * 255, 0, 255).astype(np.uint8), image)

    return inpaint


def cleanplate(checkpoint: Path, precision: str, *, full: bool = False) -> Inpaint:
    """The way a job takes: erase, fill in crops, composite.

    Args:
        checkpoint: the weights.
        precision: what the network computes with.
        full: never make a crop small, and show as much around the hole as IOPaint does.
    """
    from cleanplate.engines.protocols import Comfort  # noqa: PLC0415
    from cleanplate.engines.registry import load_inpainter  # noqa: PLC0415
    from cleanplate.engines.weights import Weights  # noqa: PLC0415
    from cleanplate.pipeline.composite import composite, erase  # noqa: PLC0415
    from cleanplate.pipeline.fill import fill  # noqa: PLC0415

    engine = load_inpainter("lama", Weights(checkpoint=checkpoint, precision=precision))
    if full:
        engine.comfort = Comfort(context=IOPAINT_MARGIN_PX / LARGE_HOLE_PX, min_side_px=512, multiple=8)

    def inpaint(image: Image, mask: Mask) -> Image:
        filled = fill(erase(image, mask), mask, avoid=np.zeros_like(mask), inpainter=engine)
        return composite(image, filled.image, mask)

    return inpaint


RUNNERS: Final[Mapping[str, Callable[[Path], Inpaint]]] = MappingProxyType(
    {
        "iopaint-crop": lambda checkpoint: iopaint(checkpoint, "Crop"),
        "iopaint-original": lambda checkpoint: iopaint(checkpoint, "Original"),
        "simple-lama": simple_lama,
        "reference": reference,
        "cleanplate": lambda checkpoint: cleanplate(checkpoint, "auto"),
        "cleanplate-full": lambda checkpoint: cleanplate(checkpoint, "auto", full=True),
        "cleanplate-fp32": lambda checkpoint: cleanplate(checkpoint, "fp32"),
    }
)


def main() -> None:
    """Load the runner, warm it up, answer until the input ends."""
    name, checkpoint = sys.argv[1], Path(sys.argv[2])
    answers, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not spoil the answers
    inpaint = RUNNERS[name](checkpoint)
    middle = np.zeros((WARM_UP_PX, WARM_UP_PX), dtype=np.bool_)
    middle[96:160, 96:160] = True
    inpaint(np.full((WARM_UP_PX, WARM_UP_PX, 3), 90, dtype=np.uint8), middle)
    print(json.dumps({"ready": name}), file=answers, flush=True)
    for line in sys.stdin:
        case = np.load(json.loads(line)["case"])
        print(json.dumps(_measured(inpaint, case["image"], case["mask"])), file=answers, flush=True)


def _measured(inpaint: Inpaint, image: Image, mask: Mask) -> dict[str, Any]:
    before_bytes = restart_peak()
    start, cpu_start = time.perf_counter(), time.process_time()
    painted = inpaint(image, mask)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    extra_bytes = peak_bytes() - before_bytes
    if painted.shape != image.shape:
        raise SystemExit(f"an image of {image.shape} came back as {painted.shape}")
    outside = (painted != image).any(axis=2) & ~mask
    inside = (painted != image).any(axis=2) & mask
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "extra_bytes": extra_bytes,
        "changed_outside": int(outside.sum()),
        "filled_share": float(inside.sum() / mask.sum()),
    }


if __name__ == "__main__":
    main()
