import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cleanplate.cli.main import app
from cleanplate.settings import PREFIX
from fakes.connectable import ConnectableLabelStudio


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith((PREFIX, "LABEL_STUDIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLEANPLATE_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def cleanplate() -> Callable[..., Result]:
    """Run a command; a traceback fails the test at once."""

    def run(*arguments: object) -> Result:
        answer = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exc_info
        assert "Traceback" not in answer.output
        return answer

    return run


@pytest.fixture
def label_studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectableLabelStudio]:
    with ConnectableLabelStudio() as server:
        monkeypatch.setenv("LABEL_STUDIO_URL", server.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", server.token)
        yield server
