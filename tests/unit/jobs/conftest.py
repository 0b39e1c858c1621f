from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108  (a folder of its own is made in it)


@pytest.fixture
def folder(tmp_path) -> Iterator[Path]:
    """A folder in memory if there is such a place: every commit goes to the disk, and a busy disk takes its time."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as name:
        yield Path(name)
