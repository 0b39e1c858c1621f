"""Runs one of the benchmarks."""

import argparse
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from console import Console, ScriptError
from environments import CHECKOUT, development

BENCHMARKS: Final[Mapping[str, str]] = {
    "click": "times and memory of clicks with SAM, against HumanSignal's example and segment-anything",
    "copies": "time from an annotation to its published copy, in Label Studio",
    "fills": "what the inpainters make of holes, against Telea and Navier-Stokes",
    "inpaint": "times and memory of LaMa, against IOPaint and simple-lama-inpainting",
    "masks": "masks and times of the segmenter, against plain cv2.grabCut",
    "rle": "times of the brush RLE codec, against Label Studio's own converter",
}
# A module click.py would hide the library of that name, which Flask needs.
MODULES: Final[Mapping[str, str]] = {"click": "clicks"}
NEEDED: Final = ("cv2", "numpy", "segment_anything", "skimage", "sklearn", "torch")


def main(arguments: Sequence[str] | None = None) -> int:
    """`scripts/bench NAME`: the exit status is that of the benchmark."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure a part of cleanplate, beside its peer and in the same run.",
        epilog="Everything behind the name goes to the benchmark: scripts/bench rle --json",
    )
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, title in BENCHMARKS.items():
        names.add_parser(name, help=title, add_help=False)
    asked, passed_on = parser.parse_known_args(arguments)
    try:
        python = _python()
    except ScriptError as error:
        Console().fail(error)
        return 1
    script = CHECKOUT / "scripts" / "benchmarks" / f"{MODULES.get(asked.name, asked.name)}.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(CHECKOUT / "backend"), str(CHECKOUT / "scripts")))}
    return subprocess.run([python, script, *passed_on], env=environment, check=False).returncode


def _python() -> Path:
    """The Python that runs this, if it has all that is needed; else that of the checkout's own environment."""
    if all(importlib.util.find_spec(module) for module in NEEDED):
        return Path(sys.executable)
    environment = development()
    environment.ensure(Console())
    return environment.python
