"""Sets up everything the tests need and runs them."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from console import Console, ScriptError
from environments import CHECKOUT, development, label_studio
from quality import run_all

TESTS: Final = CHECKOUT / "tests"
WORKERS: Final = 2
FORBID_SKIPS: Final = "CLEANPLATE_FORBID_SKIPS"


def main(arguments: Sequence[str] | None = None) -> int:
    """`scripts/test`: the exit status is 0 if the checks and the tests passed."""
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Set up the environments, check the code and run every test.",
        epilog="Everything else goes to pytest, and then scripts/check is left out: scripts/test unit/codecs -x",
    )
    _, asked = parser.parse_known_args(arguments)
    console = Console()
    try:
        environment = development()
        environment.ensure(console)
        label_studio().ensure(console)
    except ScriptError as error:
        console.fail(error)
        return 1
    code_is_clean = bool(asked) or run_all(console, environment)
    # Not passed on: a cleanplate that a test starts refuses settings it does not know.
    forbid_skips = os.environ.pop(FORBID_SKIPS, "") not in {"", "0"}
    command = [str(environment.python), "-m", "pytest", *_pytest_arguments(asked, forbid_skips=forbid_skips)]
    tests = subprocess.run(command, cwd=CHECKOUT, check=False)
    if not code_is_clean:
        print("The tests aside, scripts/check failed: see the top.", file=sys.stderr)
    return tests.returncode if code_is_clean else tests.returncode or 1


def _pytest_arguments(asked: Sequence[str], *, forbid_skips: bool) -> tuple[str, ...]:
    # The browser's tests share one Label Studio, so they share one worker too.
    parallel = () if asked else ("-n", str(WORKERS), "--dist", "loadgroup")
    strict = ("--forbid-skips",) if forbid_skips else ()
    return (*parallel, *strict, *(str(TESTS / text) if _is_in_tests(text) else text for text in asked))


def _is_in_tests(text: str) -> bool:
    """Whether an argument names something below tests/, rather than a path from where the person is."""
    name = text.partition("::")[0]
    return not text.startswith("-") and (TESTS / name).exists() and not Path(name).exists()
