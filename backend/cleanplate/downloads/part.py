"""What has come of a file that is being fetched: beside the place it is for, under a name of its own."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from cleanplate.errors import DownloadError, StorageUnavailableError

_MIB: Final = 1024 * 1024


class Part:
    """The beginning of a file, and which version of the file it is the beginning of.

    Every byte is handed to the system as it comes, so an interrupted process leaves all that came.

    Attributes:
        path: where the file is to be.
        size_bytes: how much of it is here.
        version: what the server calls the version (its ETag, or when it was last changed); empty: not known.
    """

    def __init__(self, file: FileIO, path: Path, *, address: str, version: str) -> None:
        self.path: Final = path
        self._file = file
        self._address = address
        self.size_bytes = os.fstat(file.fileno()).st_size
        self.version = version

    def restart(self, version: str) -> None:
        """Drop what is here, to begin with another version."""
        with _errors_translated(self.path):
            self._file.truncate(0)
            label = {"address": self._address, "version": version}
            _label_path(self.path).write_text(json.dumps(label), encoding="utf-8")
        self.size_bytes = 0
        self.version = version

    def append(self, piece: bytes) -> None:
        """Add what has come."""
        rest = memoryview(piece)
        with _errors_translated(self.path):
            while rest:
                written = self._file.write(rest)
                self.size_bytes += written
                rest = rest[written:]

    def require_room(self, more_bytes: int) -> None:
        """Raise StorageUnavailableError if the disk has no room for so much more."""
        with _errors_translated(self.path):
            free_bytes = shutil.disk_usage(self.path.parent).free
        if free_bytes < more_bytes:
            raise StorageUnavailableError(
                f"{self.path.parent} has {free_bytes // _MIB:,} MiB free, and {self.path.name} needs "
                f"{-(-more_bytes // _MIB):,} MiB more: make room, or set CLEANPLATE_WEIGHTS_DIR to a folder elsewhere"
            )

    def settle(self) -> Path:
        """Have it on the disk, whatever happens to the machine; where it can be read."""
        with _errors_translated(self.path):
            os.fsync(self._file.fileno())
        return _part_path(self.path)

    def become_the_file(self) -> None:
        """Put it in its place, at once and whole."""
        with _errors_translated(self.path):
            _part_path(self.path).replace(self.path)
            _label_path(self.path).unlink(missing_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        """Keep nothing of it."""
        with _errors_translated(self.path):
            _part_path(self.path).unlink(missing_ok=True)
            _label_path(self.path).unlink(missing_ok=True)


@contextmanager
def part_of(path: Path, *, address: str) -> Iterator[Part]:
    """What is here of the file that is to be at *path*, for one process at a time.

    Raises:
        DownloadError: Another process is fetching it.
        StorageUnavailableError: The folder cannot be written to.
    """
    with _errors_translated(path):
        file = _part_path(path).open("ab", buffering=0)
    with file:
        _require_alone(file, path)
        version = _labelled_version(path, address)
        part = Part(file, path, address=address, version=version or "")
        try:
            if version is None:
                part.restart("")  # the beginning of nobody knows what
            yield part
        finally:
            if not os.fstat(file.fileno()).st_size:
                part.discard()


def _require_alone(file: FileIO, path: Path) -> None:
    """The lock ends with the process, so none is ever left behind."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking, another process may have come to its end and put the file in its place.
        alone = os.path.samestat(os.fstat(file.fileno()), _part_path(path).stat())
    except (BlockingIOError, FileNotFoundError):
        alone = False
    except OSError as error:
        raise StorageUnavailableError(f"{path.parent} cannot lock files: {error.strerror}") from error
    if not alone:
        raise DownloadError(f"another process is fetching {path.name} into {path.parent}")


def _labelled_version(path: Path, address: str) -> str | None:
    """Which version of the file at this address is here in part; None if it is of another or nobody knows."""
    try:
        label = json.loads(_label_path(path).read_text(encoding="utf-8"))
        return str(label["version"]) if label["address"] == address else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _part_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _label_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.part.json")


@contextmanager
def _errors_translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(f"{path} cannot be written: {error.strerror}") from error
