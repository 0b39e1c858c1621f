"""Files that people name on the command line: read within limits, written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cleanplate.errors import (
    ImageError,
    MaskError,
    PayloadError,
    StorageConflictError,
    StorageError,
    StorageUnavailableError,
)


def content_of(path: Path, *, max_bytes: int) -> bytes:
    """The file, or so much of it that its reader sees that it is too long.

    Raises:
        StorageUnavailableError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise StorageUnavailableError(f"{path} cannot be read: {error.strerror}") from error


def text_of(path: Path, *, max_bytes: int) -> str:
    """A file of UTF-8.

    Raises:
        StorageUnavailableError: It cannot be read.
        PayloadError: It is not UTF-8, or longer than that.
    """
    content = content_of(path, max_bytes=max_bytes)
    if len(content) > max_bytes:
        raise PayloadError(f"{path} is longer than {max_bytes:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PayloadError(f"{path} is not UTF-8 from byte {error.start} on") from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say which of several files it is that cannot be used."""
    try:
        yield
    except (ImageError, MaskError) as error:
        raise type(error)(f"{path}: {error}") from error


def require_free(path: Path, *, sources: tuple[Path, ...], overwrite: bool) -> None:
    """Refuse, before any work is done, a place that a file must not be written to.

    Raises:
        StorageConflictError: It is taken, or one of the *sources*, which are never overwritten.
        StorageError: There is no folder to put it in, it is a folder itself, or has no possible name.
    """
    try:
        is_folder, has_folder, exists = path.is_dir(), path.parent.is_dir(), path.exists()
        is_source = exists and any(path.samefile(source) for source in sources)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
    if is_folder:
        raise StorageError(f"{path} is a folder: name the file")
    if not has_folder:
        raise StorageError(f"there is no folder {path.parent}")
    if is_source:
        raise StorageConflictError(f"{path} would be overwritten by its own copy: name another file")
    if exists and not overwrite:
        raise StorageConflictError(f"{path} exists; --force overwrites it")


def write(path: Path, content: bytes) -> None:
    """Write a file as the user's umask has it. Nobody ever sees half of it.

    Raises:
        StorageUnavailableError: It cannot be written; what was there is still there.
    """
    draft = path.with_name(f".{secrets.token_hex(8)}.cleanplate")
    try:
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StorageUnavailableError(f"{path} cannot be written: {error.strerror}") from error
