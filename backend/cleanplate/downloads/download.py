"""A large file, fetched whole and unharmed or not at all; what an interruption leaves is gone on with."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cleanplate.downloads.answers import answer_from
from cleanplate.downloads.part import Part, part_of
from cleanplate.errors import DownloadError, DownloadUnavailableError, StorageUnavailableError

_TRIES: Final = 5
"""In a row, without that anything more has come."""

_FIRST_PAUSE_S: Final = 1.0

_DIGEST_CHARACTERS: Final = 12


@dataclass(frozen=True)
class RemoteFile:
    """A file as it was published.

    Attributes:
        address: https, or http on this machine.
        sha256: in hexadecimal; empty: nobody has stated it.
    """

    address: str
    size_bytes: int
    sha256: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a download has come.

    Attributes:
        done_bytes: how much of the file is here. It falls when a download has to begin again.
        note: what happens now that does not always happen; mostly empty.
    """

    done_bytes: int
    note: str = ""


def download(remote: RemoteFile, path: Path, *, pause: Callable[[float], None] = time.sleep) -> Iterator[Progress]:
    """Fetch a file to *path*, where it replaces what is there only when it is whole and checked.

    Until then it grows beside it as `….part`. Whoever stops listening, or is interrupted, leaves that, and the next
    download goes on where it ends, if the server still has the same version of the file.

    Args:
        remote: what to fetch.
        path: of a file in a folder that exists.
        pause: how to wait between two tries, in seconds.

    Raises:
        DownloadUnavailableError: The server does not deliver now. What has come is kept.
        DownloadError: What is at the address is not what was published, and nothing of it is kept; or it cannot be
            had at all.
        StorageUnavailableError: The disk is full or cannot be written to. What has come is kept.
    """
    with part_of(path, address=remote.address) as part:
        part.require_room(remote.size_bytes - part.size_bytes)
        yield Progress(part.size_bytes)
        yield from _tries(remote, part, pause)
        yield Progress(part.size_bytes, "checking what has come")
        _require_published(remote, part)
        part.become_the_file()


def _tries(remote: RemoteFile, part: Part, pause: Callable[[float], None]) -> Iterator[Progress]:
    """Ask again while it is worth it."""
    furthest, failures = part.size_bytes, 0
    while part.size_bytes != remote.size_bytes:
        try:
            yield from _rest(remote, part)
        except DownloadUnavailableError as error:
            failures = 1 if part.size_bytes > furthest else failures + 1
            furthest = max(furthest, part.size_bytes)
            if failures >= _TRIES:
                raise
            wait_s = _FIRST_PAUSE_S * 2 ** (failures - 1) if error.retry_after_s is None else error.retry_after_s
            yield Progress(part.size_bytes, f"{error}; trying again in {wait_s:.0f} s")
            pause(wait_s)


def _rest(remote: RemoteFile, part: Part) -> Iterator[Progress]:
    """What one request brings."""
    size_bytes = remote.size_bytes
    with answer_from(remote.address, size_bytes=size_bytes, start=part.size_bytes, version=part.version) as answer:
        if answer.start == 0:
            note = "beginning again: what was here cannot be gone on with" if part.size_bytes else ""
            part.restart(answer.version)
            yield Progress(0, note)
        for piece in answer.pieces():
            if part.size_bytes + len(piece) > size_bytes:
                part.discard()
                raise DownloadError(f"{answer.host} sends more than the published {size_bytes} bytes: nothing was kept")
            part.append(piece)
            yield Progress(part.size_bytes)
    if part.size_bytes < size_bytes:
        raise DownloadUnavailableError(f"{answer.host} broke off")


def _require_published(remote: RemoteFile, part: Part) -> None:
    """As it is on the disk: what was written is no proof of what can be read."""
    path = part.settle()
    if not remote.sha256:
        return
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageUnavailableError(f"{path} cannot be read: {error.strerror}") from error
    if digest != remote.sha256:
        part.discard()
        raise DownloadError(
            f"what came for {part.path.name} has the SHA-256 {digest[:_DIGEST_CHARACTERS]}… instead of "
            f"{remote.sha256[:_DIGEST_CHARACTERS]}…: it is not the published file, and nothing of it was kept"
        )
