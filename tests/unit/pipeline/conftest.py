from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.fixtures import label_studio, workshop
from fakes.label_studio import FakeLabelStudio
from fakes.workshop import photograph

__all__ = ["label_studio", "workshop"]


@pytest.fixture
def root(tmp_path) -> Path:
    """Label Studio's document root, with one image in the folder "street"."""
    folder = tmp_path / "files"
    (folder / "street" / "day 1").mkdir(parents=True)
    (folder / "street" / "day 1" / "a b.png").write_bytes(photograph())
    return folder


@pytest.fixture
def local(root) -> Iterator[FakeLabelStudio]:
    """A Label Studio that serves these files."""
    with FakeLabelStudio(document_root=root) as fake:
        yield fake
