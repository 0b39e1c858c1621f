"""The checks that read the code without running it."""

import argparse
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console import Console, ScriptError
from environments import CHECKOUT, Environment, development

SCRIPTS: Final = CHECKOUT / "scripts"
SHEBANG: Final = re.compile(rb"#!.*\bpython3?\b")


@dataclass(frozen=True)
class Check:
    """One tool and what it is asked to look at."""

    name: str
    arguments: tuple[str, ...]

    def run(self, environment: Environment) -> subprocess.CompletedProcess[str]:
        """Run it; its output is kept for the end."""
        program = environment.program(self.arguments[0])
        command = [str(program), *self.arguments[1:]]
        return subprocess.run(
            command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )


def checks() -> tuple[Check, ...]:
    """Every check of this project."""
    launchers = tuple(str(path.relative_to(CHECKOUT)) for path in _launchers())
    # Not the benchmarks: they lean on libraries without types, and nothing leans on them.
    typed = ("backend/cleanplate", *(str(path.relative_to(CHECKOUT)) for path in sorted(SCRIPTS.glob("*.py"))))
    return (
        Check("ruff", ("ruff", "check", "--quiet", "--output-format=concise", ".", *launchers)),
        Check("ruff format", ("ruff", "format", "--check", ".", *launchers)),
        Check("mypy", ("mypy", "--no-error-summary", *typed)),
        Check("import-linter", ("lint-imports", "--no-cache", "--no-logo")),
    )


def run_all(console: Console, environment: Environment) -> bool:
    """Run every check, print one line for each and the output of those that fail; True if all passed."""
    with ThreadPoolExecutor() as pool, console.step("Checking"):
        work = checks()
        results = list(pool.map(lambda check: check.run(environment), work))
    for check, result in zip(work, results, strict=True):
        if result.returncode == 0:
            console.line(f"{console.green('ok')}      {check.name}")
        else:
            console.line(f"{console.red('failed')}  {check.name}")
            console.line((result.stdout + result.stderr).rstrip())
    return all(result.returncode == 0 for result in results)


def main(arguments: Sequence[str] | None = None) -> int:
    """`scripts/check`: the exit status is 0 if all is well."""
    parser = argparse.ArgumentParser(
        prog="scripts/check", description="Run ruff, ruff format, mypy and import-linter over the checkout."
    )
    parser.parse_args(arguments)
    console = Console()
    environment = development()
    try:
        environment.ensure(console)
    except ScriptError as error:
        console.fail(error)
        return 1
    return 0 if run_all(console, environment) else 1


def _launchers() -> tuple[Path, ...]:
    """The scripts whose names say nothing of Python; the tools find all others themselves."""
    files = (path for path in sorted(SCRIPTS.iterdir()) if path.is_file() and not path.suffix)
    return tuple(path for path in files if SHEBANG.match(path.read_bytes()))
