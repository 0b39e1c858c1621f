import base64
import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from console import Console, ScriptError
from environments import UNFINISHED, Contents, Environment, _progress


def wheel(folder: Path, version: str) -> Path:
    """A package `kettle` of one line, as pip installs it without any network."""
    path = folder / f"kettle-{version}-py3-none-any.whl"
    info = f"kettle-{version}.dist-info"
    files = {
        "kettle.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: kettle\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{name},sha256={digest(text)},{len(text)}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def kettle(folder: Path, version: str) -> Contents:
    arguments = ("--no-index", "--no-deps", str(wheel(folder, version)))
    return Contents(name="kettle", title=f"Installing kettle {version}", arguments=arguments, fingerprint=version)


def installed_version(environment: Environment) -> str:
    (module,) = environment.folder.glob("lib/python*/site-packages/kettle.py")
    return module.read_text().split("'")[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    """A virtual environment with kettle 1.0, made once: that takes seconds."""
    folder = tmp_path_factory.mktemp("made")
    environment = Environment(folder=folder / "env", contents=(kettle(folder, "1.0"),))
    environment.ensure(Console())
    return environment


def test_an_environment_that_has_everything_is_left_alone(environment, capsys) -> None:
    environment.ensure(Console())
    capsys.readouterr()

    environment.ensure(Console())

    assert environment.missing == ()
    assert installed_version(environment) == "1.0"
    assert capsys.readouterr().out == ""


def test_what_changed_is_installed_beside_what_you_added_yourself(environment, tmp_path) -> None:
    yours = environment.folder / "a-file-of-yours"
    yours.touch()
    renewed = replace(environment, contents=(kettle(tmp_path, "2.0"),))

    renewed.ensure(Console())

    assert installed_version(renewed) == "2.0"
    assert yours.exists()


def test_a_package_that_is_not_there_is_a_sentence_and_costs_nothing_that_was(environment) -> None:
    environment.ensure(Console())
    teapot = Contents(name="teapot", title="Installing teapot", arguments=("--no-index", "teapot"), fingerprint="1")

    with pytest.raises(ScriptError, match="Installing teapot failed") as caught:
        replace(environment, contents=(*environment.contents, teapot)).ensure(Console())

    assert caught.value.log is not None
    assert "teapot" in caught.value.log.read_text()
    assert caught.value.remedy
    assert environment.missing == ()


def test_an_interrupted_installation_is_made_afresh(environment, capsys) -> None:
    half = environment.folder / "half-a-package"
    half.touch()
    (environment.folder / UNFINISHED).touch()
    assert environment.missing == environment.contents

    environment.ensure(Console())

    assert environment.missing == ()
    assert not half.exists()
    assert "made afresh" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Collecting django-annoying==0.10.6 (from label-studio)\n", "collecting django-annoying"),
        ("  Downloading https://host/a/numpy-2.2.6-cp311-linux_x86_64.whl (16 MB)\n", "downloading numpy"),
        ("  Downloading azure_storage_blob-12.31.1-py3-none-any.whl\n", "downloading azure_storage_blob"),
        ("Installing collected packages: a, b\n", "unpacking"),
        ("Requirement already satisfied: a\n", None),
    ],
)
def test_progress_tells_the_package_and_no_more(line, shown) -> None:
    assert _progress(line) == shown
