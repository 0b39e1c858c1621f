"""Times and memory of large fills, each in a process of its own.

The process loads an image, makes the hole, and lets the pipeline fill it: crops and composite count, decoding and
encoding do not. Memory is the peak of what was resident (VmHWM) above what was resident before the first fill. CPU
time stands beside the clock's, because other programs may be running.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from fill_cases import placed, silhouette
from fill_scenes import scene

from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.registry import load_inpainter
from cleanplate.pipeline.composite import erase
from cleanplate.pipeline.fill import fill

THREADS: Final = 2
ROUNDS: Final = 3
HOLE_SHARE: Final = 0.05
APART_PX: Final = 41
GRAIN: Final = 3.0
SEED: Final = 3
MB: Final = 1024
"""/proc counts in kB."""


class Setting(NamedTuple):
    """One image to fill, and the goals set for it, if any."""

    width: int
    height: int
    components: int
    goal_s: float | None = None
    goal_mb: float | None = None


SETTINGS: Final = (
    Setting(512, 512, 1),
    Setting(1920, 1080, 1, goal_s=1.5, goal_mb=300),
    Setting(4000, 3000, 1, goal_s=4, goal_mb=300),
    Setting(4000, 3000, 6, goal_mb=300),
)


def times(inpainters: Sequence[str], settings: Sequence[Setting] = SETTINGS) -> list[dict[str, Any]]:
    """Time each inpainter in each setting, by turns."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS))
    rows = []
    with TemporaryDirectory() as folder:
        image, hole = Path(folder, "image.npy"), Path(folder, "hole.npy")
        for setting in settings:
            np.save(image, ground(setting.width, setting.height))
            np.save(hole, holes(setting))
            for name in inpainters:
                command = [sys.executable, __file__, name, image, hole]
                answer = subprocess.run(command, env=os.environ | threads, stdout=subprocess.PIPE, check=True).stdout
                rows.append({"inpainter": name} | setting._asdict() | json.loads(answer))
    return rows


def times_text(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The same for a person."""
    rows = list(rows)
    if not rows:
        return []
    lines = [
        "| image | hole | inpainter | crops | median time | fastest | CPU time | memory | goal |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        goals = ((row["goal_s"], "s"), (row["goal_mb"], "MB"))
        goal = ", ".join(f"{most:g} {unit}" for most, unit in goals if most is not None)
        lines.append(
            f"| {row['width']}×{row['height']} | {row['share']:.1%} in {row['components']} | {row['inpainter']} "
            f"| {row['crops']} | {row['median_s']:.2f} s | {row['fastest_s']:.2f} s | {row['cpu_s']:.2f} s "
            f"| +{row['extra_mb']:.0f} MB | {goal} |"
        )
    return lines


def ground(width: int, height: int) -> RgbImage:
    """A street of this size, with the grain of a sensor of this size."""
    drawn = scene("street")
    scale = max(width / drawn.shape[1], height / drawn.shape[0])
    large = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:height, :width]
    grain = np.random.default_rng(SEED).normal(0, GRAIN, (height, width, 1))
    return np.clip(large + grain, 0, 255).astype(np.uint8)


def holes(setting: Setting) -> Mask:
    """(H, W): so many passers-by, none near another, that together cover the share."""
    random = np.random.default_rng(SEED)
    scale = max(setting.width / 640, setting.height / 448)
    small = np.zeros((round(setting.height / scale), round(setting.width / scale)), dtype=np.bool_)
    for _ in range(setting.components):
        near = cv2.dilate(small.astype(np.uint8), np.ones((APART_PX, APART_PX), np.uint8)) > 0
        hole = None
        while hole is None:
            hole = placed(silhouette(random), HOLE_SHARE / setting.components, near, random)
        small |= hole
    size = setting.width, setting.height
    return np.asarray(cv2.resize(small.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 1 / 2)


def main(arguments: Sequence[str]) -> int:
    """In a process of its own: fill, and print what it took."""
    name, image_path, hole_path = arguments
    cv2.setNumThreads(THREADS)
    inpainter = load_inpainter(name)
    hole = np.load(hole_path)
    erased = erase(np.load(image_path), hole)
    nowhere = np.zeros_like(hole)
    before = _memory_mb("VmRSS")
    taken, worked, crops = [], [], 0
    for _ in range(ROUNDS):
        started, busy = time.perf_counter(), time.process_time()
        answer = fill(erased, hole, avoid=nowhere, inpainter=inpainter)
        taken.append(time.perf_counter() - started)
        worked.append(time.process_time() - busy)
        crops = answer.crops
        del answer  # a second image beside the next one would count as memory that the fill takes
    measured = {
        "share": float(hole.mean()),
        "crops": crops,
        "median_s": round(median(taken), 3),
        "fastest_s": round(min(taken), 3),
        "cpu_s": round(median(worked), 3),
        "extra_mb": round(_memory_mb("VmHWM") - before),
    }
    print(json.dumps(measured))
    return 0


def _memory_mb(field: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / MB


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
