"""The fake Label Studio and all that works for it, for every folder of tests that asks for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.label_studio import FakeLabelStudio
from fakes.workshop import Workshop


@pytest.fixture
def label_studio() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as fake:
        yield fake


@pytest.fixture
def workshop(label_studio: FakeLabelStudio, tmp_path: Path) -> Workshop:
    return Workshop(label_studio.url, tmp_path)
