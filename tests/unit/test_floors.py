"""The floors of the house are a contract, and `lint-imports` notices every way of breaking it."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")
FLOORS = (
    ("cli",),
    ("web",),
    ("app",),
    ("pipeline",),
    ("engines", "label_studio", "storage", "jobs", "downloads"),
    ("codecs",),
    ("domain", "database", "settings", "logs"),
    ("errors",),
)
UPWARDS = [(low, high) for upper, lower in itertools.pairwise(FLOORS) for low, high in itertools.product(lower, upper)]
SIDEWAYS = [pair for floor in FLOORS for pair in itertools.permutations(floor, 2)]
BELOW_APP = ("pipeline", "engines", "label_studio", "storage", "jobs", "downloads", "codecs", "domain")
WITHOUT_HTTP = ("cli", "web", "app", "pipeline", "engines", "storage", "jobs", "codecs", "domain")
NOT_FOR_THE_DOMAIN = ("cv2", "PIL", "pydantic", "flask", "requests", "orjson", "structlog")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    package = CHECKOUT / "backend" / "cleanplate"
    shutil.copytree(package, tmp_path / "cleanplate", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def add_import(house: Path, *, room: str, of: str) -> None:
    package = house / "cleanplate" / room
    module = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    module.write_text(f"{module.read_text()}\nimport {of}\n")


def lint_imports(house: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(house), "COLUMNS": "200"}
    command = [str(LINT_IMPORTS), "--no-cache"]
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False)


def test_the_house_keeps_its_contract(house) -> None:
    result = lint_imports(house)

    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(("low", "high"), UPWARDS)
def test_an_import_of_the_floor_above_is_noticed(house, low, high) -> None:
    add_import(house, room=low, of=f"cleanplate.{high}")

    result = lint_imports(house)

    assert result.returncode == 1
    assert f"cleanplate.{low} -> cleanplate.{high}" in result.stdout


@pytest.mark.parametrize(("room", "neighbour"), SIDEWAYS)
def test_an_import_of_a_room_on_the_same_floor_is_noticed(house, room, neighbour) -> None:
    add_import(house, room=room, of=f"cleanplate.{neighbour}")

    result = lint_imports(house)

    assert result.returncode == 1
    assert f"cleanplate.{room} -> cleanplate.{neighbour}" in result.stdout


def test_reading_settings_below_app_is_noticed(house) -> None:
    for room in BELOW_APP:
        add_import(house, room=room, of="cleanplate.settings")

    result = lint_imports(house)

    assert "only cli, web and app read settings BROKEN" in result.stdout
    assert [room for room in BELOW_APP if f"cleanplate.{room} -> cleanplate.settings" not in result.stdout] == []


def test_libraries_in_the_domain_are_noticed(house) -> None:
    for library in NOT_FOR_THE_DOMAIN:
        add_import(house, room="domain", of=library)

    result = lint_imports(house)

    assert "the domain knows numpy and the standard library only BROKEN" in result.stdout
    assert [name for name in NOT_FOR_THE_DOMAIN if f"cleanplate.domain -> {name}" not in result.stdout] == []


def test_http_outside_its_rooms_is_noticed(house) -> None:
    for room in WITHOUT_HTTP:
        add_import(house, room=room, of="requests")

    result = lint_imports(house)

    assert "HTTP lives in label_studio and downloads BROKEN" in result.stdout
    assert [room for room in WITHOUT_HTTP if f"cleanplate.{room} -> requests" not in result.stdout] == []


def test_a_room_without_a_floor_is_noticed(house) -> None:
    (house / "cleanplate" / "utils.py").touch()

    result = lint_imports(house)

    assert result.returncode == 1
    assert "cleanplate.utils" in result.stdout
