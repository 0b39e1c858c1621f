"""Prepares images for clicks in a process of its own, for the benchmark `click`: one way, as its argument says.

Speaks lines of JSON on its standard input and output: a saved image comes in, its time and memory go out.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from process_figures import peak_bytes, restart_peak

Image: TypeAlias = npt.NDArray[np.uint8]

WARM_UP: Final = (768, 1024, 3)
PEAK_S: Final = 1.5
PEAK_CHANNELS: Final = 256
PEAK_SIDE: Final = 128


class Reference:
    """segment_anything.SamPredictor, as its authors and the example use it."""

    def __init__(self, checkpoint: Path) -> None:
        from segment_anything import SamPredictor, sam_model_registry  # noqa: PLC0415  (one way needs it)

        self._predictor = SamPredictor(sam_model_registry["vit_b"](checkpoint=checkpoint))

    def embed(self, image: Image) -> None:
        """Prepare it; the predictor keeps it."""
        self._predictor.set_image(image)

    def masks(self, x: float, y: float) -> npt.NDArray[np.bool_]:
        """(4, H, W), of one click: the mask of a clear prompt, then the three of an unclear one, the best first."""
        place, positive = np.array([[x, y]]), np.array([1])
        clear, _, _ = self._predictor.predict(place, positive, multimask_output=False)
        unclear, scores, _ = self._predictor.predict(place, positive, multimask_output=True)
        return np.concatenate([clear, unclear[np.argsort(-scores)]])

    def work(self) -> dict[str, float]:
        """How many operations preparing an image takes, and how many of them this processor is seen to do a second."""
        import torch  # noqa: PLC0415
        from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

        # Without any data: the same operations, and none of them carried out.
        encoder = deepcopy(self._predictor.model.image_encoder).to("meta")
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            encoder(torch.empty(1, 3, encoder.img_size, encoder.img_size, device="meta"))
        return {
            "gflop": counter.get_total_flops() / 1e9,
            "fp32_gflops": _convolutions_per_s(torch.float32),
            "bf16_gflops": _convolutions_per_s(torch.bfloat16),
        }


class Cleanplate:
    """The product's segmenter, as its settings choose it."""

    def __init__(self, _checkpoint: Path) -> None:
        from cleanplate.app.choices import segmenter_for  # noqa: PLC0415  (one way needs it)
        from cleanplate.settings import read_settings  # noqa: PLC0415

        self._segmenter = segmenter_for(read_settings())

    def embed(self, image: Image) -> Any:
        """Prepare it."""
        return self._segmenter.embed(image)


WAYS: Final[Mapping[str, Callable[[Path], Any]]] = MappingProxyType(
    {"segment-anything": Reference, "cleanplate": Cleanplate}
)


def main() -> None:
    """Load a way, warm it up, answer until the input ends."""
    name, checkpoint = sys.argv[1], Path(sys.argv[2])
    answers, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not spoil the answers
    way = WAYS[name](checkpoint)
    way.embed(np.full(WARM_UP, 90, dtype=np.uint8))
    print(json.dumps({"ready": name}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(way, json.loads(line))), file=answers, flush=True)


def _answer(way: Any, question: Mapping[str, Any]) -> dict[str, Any]:
    if question["what"] == "work":
        return dict(way.work())
    image = np.load(question["image"])
    before_bytes = restart_peak()
    start, cpu_start = time.perf_counter(), time.process_time()
    way.embed(image)
    figures = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu_start,
        "extra_bytes": peak_bytes() - before_bytes,
    }
    if question["what"] == "masks":
        np.savez_compressed(question["into"], *(way.masks(x, y) for x, y in question["places"]))
    return figures


def _convolutions_per_s(kind: Any) -> float:
    """What the best of some large convolutions reaches, in GFLOP/s: more was never seen of any network."""
    import torch  # noqa: PLC0415

    with torch.inference_mode():
        layer = torch.nn.Conv2d(PEAK_CHANNELS, PEAK_CHANNELS, 3, padding=1)
        layer = layer.to(kind).to(memory_format=torch.channels_last)
        image = torch.rand(1, PEAK_CHANNELS, PEAK_SIDE, PEAK_SIDE).to(kind).to(memory_format=torch.channels_last)
        times: list[float] = []
        while sum(times) < PEAK_S:
            start = time.perf_counter()
            layer(image)
            times.append(time.perf_counter() - start)
    return 2 * PEAK_SIDE**2 * PEAK_CHANNELS**2 * 9 / min(times) / 1e9


if __name__ == "__main__":
    main()
