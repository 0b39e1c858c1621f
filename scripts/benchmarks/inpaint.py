"""How long LaMa takes and how much memory, beside IOPaint, simple-lama-inpainting and the network as it was published.

All read the same weights: a checkpoint of the published format with seeded random numbers, so times and memory are
real, pictures are not. Each runs in a process and an environment of its own, with two threads, by turns, case by case.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from skimage import data as photographs

HERE: Final = Path(__file__).resolve().parent
CHECKOUT: Final = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(CHECKOUT / "tests")]

from console import Console  # noqa: E402  (found through the line above)
from environments import peer  # noqa: E402
from line_process import LineProcess  # noqa: E402

from fakes.lama_checkpoints import torchscript  # noqa: E402

THREADS: Final = 2
ROUNDS: Final = 3
COVERED: Final = 0.05
MIB: Final = 1024**2
FULL_FRAME_PX: Final = 2048**2
"""Beyond it a whole frame takes minutes and tens of gigabytes."""

SLOW_PX: Final = 1024**2
"""Beyond it whole frames take a minute and more: they are timed once."""

PEERS: Final = {"iopaint": "iopaint==1.6.0", "simple-lama": "simple-lama-inpainting==0.1.2"}
WHOLE_FRAME: Final = ("iopaint-original", "simple-lama", "reference")
OWN: Final = "cleanplate"
RUNNERS: Final = (OWN, "cleanplate-full", "cleanplate-fp32", "iopaint-crop", *WHOLE_FRAME)


@dataclass(frozen=True)
class Case:
    """An image and a mask over a twentieth of it."""

    width: int
    height: int
    components: int

    @property
    def name(self) -> str:
        """How the table calls it."""
        parts = "1 component" if self.components == 1 else f"{self.components} components"
        return f"{self.width}×{self.height}, {parts}"

    def write(self, path: Path) -> None:
        """Save the image and the mask where runners can read them."""
        np.savez(path, image=self._image(), mask=self._mask())

    def _image(self) -> npt.NDArray[np.uint8]:
        photograph = cv2.resize(photographs.astronaut(), (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        grain = np.random.default_rng(0).normal(0, 3, photograph.shape)
        return np.clip(photograph + grain, 0, 255).astype(np.uint8)

    def _mask(self) -> npt.NDArray[np.bool_]:
        mask = np.zeros((self.height, self.width), dtype=np.uint8)
        radius = round((COVERED * self.width * self.height / self.components / np.pi) ** 0.5)
        columns = -(-self.components // 2) if self.components > 1 else 1
        rows = -(-self.components // columns)
        for number in range(self.components):
            x = round(self.width * (number % columns + 0.5) / columns)
            y = round(self.height * (number // columns + 0.5) / rows)
            cv2.circle(mask, (x, y), radius, 1, cv2.FILLED)
        return mask.astype(np.bool_)


CASES: Final = (
    Case(512, 512, 1),
    Case(1024, 1024, 1),
    Case(2048, 2048, 1),
    Case(4000, 3000, 1),
    Case(4000, 3000, 6),
)


class Runner(LineProcess):
    """A process that measures one way of inpainting."""

    def __init__(self, name: str, python: Path, checkpoint: Path) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS))
        environment = {**os.environ, **threads, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(CHECKOUT / "backend")}
        super().__init__(name, [python, HERE / "inpaint_runner.py", name, checkpoint], environment)

    def measure(self, case: Path) -> dict[str, Any]:
        """Inpaint a saved case once."""
        return self.ask({"case": str(case)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="scripts/bench inpaint", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quick", action="store_true", help="only the smallest case, once")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is timed; medians are shown")
    parser.add_argument("--runners", default=",".join(RUNNERS), help="which of them, separated by commas")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="big-lama.pt; otherwise one is made")
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PATH", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    pythons = dict(text.split("=", 1) for text in options.peer_python)
    wanted = [name for name in RUNNERS if name in options.runners.split(",")]
    cases, rounds = (CASES[:1], 1) if options.quick else (CASES, options.rounds)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        checkpoint = options.checkpoint or torchscript(Path(folder) / "big-lama.pt")
        runners = [stack.enter_context(_running(name, _python(name, pythons), checkpoint)) for name in wanted]
        results = [
            {"case": case.name, "rows": _measured(case, runners, rounds, Path(folder) / "case.npz")} for case in cases
        ]
    print(json.dumps(results, indent=2) if options.json else "\n".join(_tables(results)))
    return 0


@contextmanager
def _running(name: str, python: Path, checkpoint: Path) -> Iterator[Runner]:
    runner = Runner(name, python, checkpoint)
    try:
        yield runner
    finally:
        runner.stop()


def _python(name: str, given: Mapping[str, str]) -> Path:
    """The Python that has what a runner needs; a peer's is installed in an environment of its own."""
    library = next((library for library in PEERS if name.startswith(library)), None)
    if library is None:
        return Path(sys.executable)
    if library in given:
        return Path(given[library])
    environment = peer(library, PEERS[library])
    environment.ensure(Console())
    return environment.python


def _measured(case: Case, runners: Sequence[Runner], rounds: int, path: Path) -> dict[str, dict[str, Any]]:
    case.write(path)
    fitting = [
        runner for runner in runners if runner.name not in WHOLE_FRAME or case.width * case.height <= FULL_FRAME_PX
    ]
    answers: dict[str, list[dict[str, Any]]] = {runner.name: [] for runner in fitting}
    for number in range(rounds):
        for runner in fitting:
            if number == 0 or runner.name not in WHOLE_FRAME or case.width * case.height <= SLOW_PX:
                answers[runner.name].append(runner.measure(path))
    return {name: _summary(measured) for name, measured in answers.items()}


def _summary(measured: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "seconds": round(statistics.median(each["seconds"] for each in measured), 3),
        "cpu_seconds": round(statistics.median(each["cpu_seconds"] for each in measured), 3),
        "extra_mib": round(max(each["extra_bytes"] for each in measured) / MIB),
        "changed_outside": max(each["changed_outside"] for each in measured),
        "filled_share": round(min(each["filled_share"] for each in measured), 4),
    }


def _tables(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield "| 5 % masked | method | time | CPU time | memory | cleanplate: time, CPU time, memory | changed outside |"
    yield "|---|---|---|---|---|---|---|"
    for result in results:
        rows, title = result["rows"], result["case"]
        for name, row in rows.items():
            cells = [title, name, f"{row['seconds']:.2f} s", f"{row['cpu_seconds']:.2f} s", f"+{row['extra_mib']} MB"]
            yield "| " + " | ".join([*cells, _gain(rows.get(OWN), row), f"{row['changed_outside']:,} px"]) + " |"
            title = ""


def _gain(own: Mapping[str, Any] | None, row: Mapping[str, Any]) -> str:
    """How many times less cleanplate takes than this row; nothing beside its own."""
    if own is None or own is row:
        return ""
    keys = ("seconds", "cpu_seconds", "extra_mib")
    return ", ".join(f"{row[key] / max(own[key], 1e-3):.1f}×" for key in keys)


if __name__ == "__main__":
    raise SystemExit(main())
