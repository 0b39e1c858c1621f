import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cleanplate.errors import StorageConflictError, StorageError, StorageKeyError, StorageUnavailableError

FIXED_TIME_S: Final = 946_684_800
"""2000-01-01T00:00:00Z: the time every file claims, so that none tells when its original was looked at."""

_DRAFT_PREFIX: Final = ".cleanplate-draft-"
_ABANDONED_S: Final = 24 * 3600
_MAX_SEGMENT_BYTES: Final = 255
# Label Studio, another user perhaps, has to read the copies, whatever our umask says.
_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755


class LocalStore:
    """A folder of this machine.

    A file appears under its name only when all of it is on the disk, and never in the place of another. Symbolic links
    below the folder are not followed. Two stores may use the same folder at the same time.
    """

    def __init__(self, root: Path) -> None:
        """Use a folder that exists.

        Raises:
            StorageUnavailableError: There is no such folder.
        """
        try:
            self._root = root.resolve(strict=True)
        except OSError as error:
            raise _unavailable("the store's folder cannot be used", error) from error

    def get(self, key: str) -> bytes | None:
        """The bytes of an object; None if there is none."""
        try:
            with self._folder(key, make=False) as (folder, name):
                return _content(folder, name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unavailable("the object cannot be read", error) from error

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Store an object; True if it is new, False if the same bytes are there already."""
        try:
            with self._folder(key, make=True) as (folder, name):
                return _put(folder, name, content)
        except OSError as error:
            raise _unavailable("the object cannot be stored", error) from error

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with *prefix*, sorted."""
        found = []
        for folder, _, names in os.walk(self._root, onerror=_raise_unavailable):
            relative = Path(folder).relative_to(self._root)
            found += [(relative / name).as_posix() for name in names if _is_object(Path(folder, name))]
        return (key for key in sorted(found) if key.startswith(prefix))

    def delete(self, key: str) -> bool:
        """Remove an object; whether there was one."""
        try:
            with self._folder(key, make=False) as (folder, name):
                if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise StorageKeyError("the key does not name a file of this store")
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unavailable("the object cannot be deleted", error) from error
        return True

    @contextmanager
    def _folder(self, key: str, *, make: bool) -> Iterator[tuple[int, str]]:
        """The open folder a key leads to, and the name in it.

        Each step is taken from the folder before it and never through a link, so that nobody who can write into the
        store can lead us out of it, not even between two steps.
        """
        *folders, name = _segments(key)
        at = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                if make:
                    _make_folder(folder, at)
                below = _open_folder(folder, at)
                os.close(at)
                at = below
            yield at, name
        finally:
            os.close(at)


def _segments(key: str) -> list[str]:
    segments = key.split("/")
    for segment in segments:
        unusable = segment in {"", ".", ".."} or "\\" in segment or not segment.isprintable()
        if unusable or segment.startswith(_DRAFT_PREFIX) or len(os.fsencode(segment)) > _MAX_SEGMENT_BYTES:
            raise StorageKeyError("a key is a relative path of printable names, none longer than 255 bytes")
    return segments


def _make_folder(name: str, parent: int) -> None:
    try:
        os.mkdir(name, _FOLDER_MODE, dir_fd=parent)
    except FileExistsError:
        return
    made = _open_folder(name, parent)
    try:
        os.fchmod(made, _FOLDER_MODE)
    finally:
        os.close(made)
    os.fsync(parent)


def _open_folder(name: str, parent: int) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise StorageKeyError("the key leads through something that is not a folder of this store") from error
        raise


def _content(folder: int, name: str) -> bytes:
    try:
        # Not blocking: a pipe that somebody put there must not hold us up.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StorageKeyError("the key names a link, not a file of this store") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StorageKeyError("the key does not name a file of this store")
        return file.read()


def _put(folder: int, name: str, content: bytes) -> bool:
    _sweep_out_drafts(folder)
    draft = f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
    try:
        _write(folder, draft, content)
        new = _link(folder, draft, name)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
    if not new:
        _require_same(folder, name, content)
    # Also if it was there: who put it may have been killed before this.
    os.fsync(folder)
    return new


def _link(folder: int, draft: str, name: str) -> bool:
    """Give a finished draft its name; False if the name is taken. A link, because a rename would take it away."""
    try:
        os.link(draft, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EOPNOTSUPP}:
            raise StorageError("the store's file system has no hard links; choose another place") from error
        raise
    return True


def _write(folder: int, name: str, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, _FILE_MODE, dir_fd=folder), "wb") as file:
        os.fchmod(file.fileno(), _FILE_MODE)
        file.write(content)
        file.flush()
        os.utime(file.fileno(), (FIXED_TIME_S, FIXED_TIME_S))
        os.fsync(file.fileno())


def _require_same(folder: int, name: str, content: bytes) -> None:
    try:
        same = _content(folder, name) == content
    except StorageKeyError:
        same = False
    if not same:
        raise StorageConflictError("other bytes have the name that this object should get; they were left alone")


def _sweep_out_drafts(folder: int) -> None:
    """Remove what killed processes left behind; a young draft may belong to one that is at work."""
    with os.scandir(folder) as entries:
        drafts = [entry.name for entry in entries if entry.name.startswith(_DRAFT_PREFIX)]
    for draft in drafts:
        with suppress(FileNotFoundError):
            # By the change time: the other one is already the fixed time of a finished draft.
            changed_at = os.stat(draft, dir_fd=folder, follow_symlinks=False).st_ctime
            if time.time() - changed_at > _ABANDONED_S:
                os.unlink(draft, dir_fd=folder)


def _is_object(path: Path) -> bool:
    return not path.name.startswith(_DRAFT_PREFIX) and path.is_file() and not path.is_symlink()


def _raise_unavailable(error: OSError) -> None:
    raise _unavailable("the store cannot be listed", error)


def _unavailable(what: str, error: OSError) -> StorageUnavailableError:
    # Without the path: it may hold the name of a source.
    return StorageUnavailableError(f"{what}: {error.strerror}")
