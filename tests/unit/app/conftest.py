import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cleanplate.app.application import Application
from cleanplate.settings import PREFIX, read_settings
from fakes.connectable import ConnectableLabelStudio


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith((PREFIX, "LABEL_STUDIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CLEANPLATE_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def label_studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectableLabelStudio]:
    with ConnectableLabelStudio() as server:
        monkeypatch.setenv("LABEL_STUDIO_URL", server.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", server.token)
        yield server


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Application]]:
    """Make an application from these settings and what the environment holds already."""
    with ExitStack() as stack:

        def make(**settings: str) -> Application:
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            made = Application(read_settings())
            stack.callback(made.close)
            return made

        yield make
