"""Times the brush RLE codec against the one in Label Studio's SDK: same masks, same process, by turns.

That process is Label Studio's own Python, which has the SDK; of cleanplate it needs no more than numpy.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Mask: TypeAlias = npt.NDArray[np.bool_]

CHECKOUT: Final = Path(__file__).resolve().parents[2]
LABEL_STUDIO_PYTHON: Final = CHECKOUT / ".venv-label-studio" / "bin" / "python"
SIZES: Final = ((1024, 768), (1920, 1080), (4000, 3000))
SHAPES: Final = ("smooth", "ragged")
COVERED: Final = 0.08
RAGGEDNESS: Final = 0.04
ROUNDS: Final = 7
MS: Final = 1e3


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, or JSON; the exit status is 1 if a goal was given and missed."""
    parser = argparse.ArgumentParser(prog="scripts/bench rle", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is timed; the medians are compared")
    parser.add_argument("--goal", type=float, default=0, metavar="X", help="fail if any is less than X times as fast")
    parser.add_argument("--label-studio-python", type=Path, default=LABEL_STUDIO_PYTHON, metavar="PATH")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(_measured(options.rounds)))
        return 0
    if not options.label_studio_python.exists():
        parser.error(f"{options.label_studio_python} does not exist; scripts/test installs Label Studio there")
    command = [options.label_studio_python, __file__, "--measure", "--rounds", str(options.rounds)]
    rows = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    print(json.dumps(rows, indent=2) if options.json else _table(rows))
    return int(min(min(row["encode"]["times_as_fast"], row["decode"]["times_as_fast"]) for row in rows) < options.goal)


def _measured(rounds: int) -> list[dict[str, Any]]:
    sys.path.insert(0, str(CHECKOUT / "backend"))
    peer, own = import_module("label_studio_sdk.converter.brush"), import_module("cleanplate.codecs.rle")
    return [
        {"size": f"{width}×{height}", "mask": shape} | _row(peer, own, _mask(width, height, shape), rounds)
        for width, height in SIZES
        for shape in SHAPES
    ]


def _mask(width: int, height: int, shape: str) -> Mask:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = (COVERED * width * height / np.pi) ** 0.5
    distance = np.hypot((x - width * 0.45) / 1.3, (y - height * 0.5) * 1.3)
    if shape == "ragged":
        distance += np.random.default_rng(0).normal(0, radius * RAGGEDNESS, distance.shape)
    return np.asarray(distance < radius)


def _row(peer: ModuleType, own: ModuleType, mask: Mask, rounds: int) -> dict[str, Any]:
    height, width = mask.shape
    levels = mask.astype(np.uint8) * 255
    rle = own.rle_from_mask(mask)
    if rle != peer.mask2rle(levels) or not np.array_equal(own.mask_from_rle(rle, width=width, height=height), mask):
        raise SystemExit(f"the codecs do not agree about a mask of {width}×{height}")
    return {
        "bytes": len(rle),
        "encode": _compared(lambda: peer.mask2rle(levels), lambda: own.rle_from_mask(mask), rounds),
        "decode": _compared(
            lambda: peer.decode_rle(rle), lambda: own.mask_from_rle(rle, width=width, height=height), rounds
        ),
    }


def _compared(peer: Callable[[], object], own: Callable[[], object], rounds: int) -> dict[str, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, measured in zip((peer, own), times, strict=True):
            start = time.perf_counter()
            work()
            measured.append(time.perf_counter() - start)
    peer_s, own_s = map(statistics.median, times)
    return {
        "sdk_ms": round(peer_s * MS, 2),
        "cleanplate_ms": round(own_s * MS, 2),
        "times_as_fast": round(peer_s / own_s, 1),
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| size | mask | bytes | encode: SDK | cleanplate | faster | decode: SDK | cleanplate | faster |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["size"], row["mask"], str(row["bytes"])]
        for name in ("encode", "decode"):
            times = row[name]
            cells += [f"{times['sdk_ms']:.1f} ms", f"{times['cleanplate_ms']:.1f} ms", f"{times['times_as_fast']:.1f}×"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
