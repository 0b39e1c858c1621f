import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cleanplate import __version__
from cleanplate.cli.main import app

COMMANDS = ["serve", "work", "connect", "clean", "verify", "jobs", "weights", "doctor", "settings"]


def test_the_help_names_every_command() -> None:
    answer = CliRunner().invoke(app, ["--help"])

    assert answer.exit_code == 0
    assert all(command in answer.output for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    answer = CliRunner().invoke(app, [command, "--help"])

    assert answer.exit_code == 0
    assert "Usage" in answer.output


def test_the_version_is_the_package_s() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"cleanplate {__version__}\n"


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("numpy", "cv2", "PIL", "flask", "pydantic", "requests", "sqlite3", "torch")
    code = f"import sys, cleanplate.cli; print(*[name for name in {heavy!r} if name in sys.modules])"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment()
    )

    assert loaded.stdout.split() == []


def test_the_module_runs_like_the_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "cleanplate", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=_environment(),
    )

    assert shown.stdout == f"cleanplate {__version__}\n"


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path), "PATH": ""}
