"""Embeddings in a folder, shared by the processes of one data directory."""

import fcntl
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple, TypeVar

import structlog

from cleanplate.database import Database
from cleanplate.engines.embedding_names import SEAL_BYTES, EmbeddingNames, embedding_name
from cleanplate.engines.embeddings import ImageIdentity, Shown
from cleanplate.errors import StorageError, StorageUnavailableError

PATIENCE_S: Final = 60.0
"""How long an image that another process is encoding is waited for. Label Studio waits for an answer for 100 s."""

_POLL_S: Final = 0.02

_PART: Final = "embeddings"
_INDEX: Final = "index.sqlite3"
_SUFFIX: Final = ".embedding"
_DRAFT_SUFFIX: Final = ".draft"
_LOCK_SUFFIX: Final = ".lock"
_ABANDONED_S: Final = 3600.0

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600

_MOST_BYTES: Final = 256 * 1024 * 1024
"""No embedding is as long; what is was put there by somebody else, and is not read."""

_MIGRATIONS: Final = (
    (
        """
        CREATE TABLE images (
            image TEXT NOT NULL PRIMARY KEY,
            project_id INTEGER NOT NULL,
            task_id INTEGER NOT NULL,
            content TEXT NOT NULL,
            seen_at REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX images_by_task ON images (project_id, task_id)",
        "CREATE INDEX images_by_content ON images (content)",
    ),
)

_NOTE: Final = """
    INSERT INTO images VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (image) DO UPDATE SET content = excluded.content, seen_at = excluded.seen_at
"""

_SHOWN: Final = "SELECT content, seen_at FROM images WHERE image = ?"

_CLAIMED: Final = "SELECT 1 FROM images WHERE content = ?"

_FORGET: Final = "DELETE FROM images WHERE project_id = ?1 AND (?2 IS NULL OR task_id = ?2) RETURNING content"

_Answer = TypeVar("_Answer")

_log = structlog.get_logger()


class _File(NamedTuple):
    name: str
    size_bytes: int
    used_at: float


class EmbeddingDisk:
    """Keeps packed embeddings in a folder of its own, up to a number of bytes; those used last stay longest.

    An embedding tells much of its image, so only the owner may read the folder, and no name in it tells of an image:
    names are made with a secret key. A file carries a seal made with that key over its name and content; what is
    damaged, cut off or was put there by somebody else is dropped. A killed process leaves no file that is read half.

    What cannot be kept, because the disk is full or the folder cannot be written to, is left: it is logged once, and
    the images are encoded as without a disk. Safe from many threads and processes.
    """

    def __init__(self, folder: Path, *, key: bytes, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        """Use a folder; it is made with the first embedding.

        Args:
            folder: nothing else may be in it.
            key: secret, and the same for all who share the folder.
            max_bytes: of all files with embeddings; 0: none is kept, and what an earlier process left is removed.
            clock: in seconds since 1970.
        """
        self._folder = folder
        self._names = EmbeddingNames(key)
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = Lock()
        self._opened: Database | None = None
        self._complained = False

    @property
    def max_bytes(self) -> int:
        """How much room embeddings have."""
        return self._max_bytes

    # What an image is

    def content_of(self, data: bytes) -> str:
        """What the bytes of an image are called here; without the key nobody can tell whether it is a known image."""
        return self._names.of_content(data)

    def shown(self, image: ImageIdentity) -> Shown | None:
        """The content an image had when it was last looked at, and when that was; None if that never was."""

        def read() -> Shown | None:
            index = self._index(make=False)
            if index is None:
                return None
            with index.reading() as db:
                row = db.execute(_SHOWN, (self._names.of_image(image),)).fetchone()
            return None if row is None else Shown(row["content"], row["seen_at"])

        return self._unless_broken(read)

    def note(self, image: ImageIdentity, content: str, *, at: float) -> None:
        """Note which content an image was seen to have; what it had before goes, if no other image has it."""

        def write() -> None:
            index = self._index(make=True)
            if index is None:
                return
            name = self._names.of_image(image)
            with index.writing() as db:
                before = db.execute(_SHOWN, (name,)).fetchone()
                db.execute(_NOTE, (name, image.project_id, image.task_id, content, at))
                if before is not None and before["content"] != content:
                    self._drop_unclaimed({before["content"]}, index_of=db)

        self._unless_broken(write)

    # Embeddings

    def holds(self, content: str, version: str) -> bool:
        """Whether there is a packed embedding, as far as can be told without reading it."""
        return (self._folder / _file_name(content, version)).is_file()

    def take(self, content: str, version: str) -> bytes | None:
        """A packed embedding; None if there is none that is whole."""
        name = _file_name(content, version)
        packed = self._unless_broken(lambda: self._unsealed(name))
        if packed is not None:
            with suppress(OSError):
                os.utime(self._folder / name, (self._clock(), self._clock()))
        return packed

    def put(self, content: str, version: str, packed: bytes) -> None:
        """Keep a packed embedding, if an image with this content is noted. Others leave if there is no room."""
        self._unless_broken(lambda: self._put(content, _file_name(content, version), packed))

    def drop(self, content: str, version: str) -> None:
        """Let go of a packed embedding."""
        with suppress(OSError):
            (self._folder / _file_name(content, version)).unlink()

    def purge(self, *, project_id: int, task_id: int | None = None) -> int:
        """Forget the images of a task, or of a whole project, and what nobody else has; how many there were.

        Raises:
            StorageUnavailableError: Some of it may still be there.
        """
        try:
            index = self._index(make=False)
            if index is None:
                return 0
            with index.writing() as db:
                contents = [row["content"] for row in db.execute(_FORGET, (project_id, task_id)).fetchall()]
                self._drop_unclaimed(set(contents), index_of=db)
        except OSError as error:
            raise StorageUnavailableError(f"the stored embeddings cannot be removed: {error.strerror}") from error
        return len(contents)

    @contextmanager
    def alone(self, content: str, version: str) -> Iterator[None]:
        """Wait until no other process prepares this content, and keep others waiting meanwhile.

        The lock ends with its process. Who has waited for PATIENCE_S goes on all the same: then two do the same work,
        and the same file is written twice.
        """
        path = self._folder / f"{_file_name(content, version)}{_LOCK_SUFFIX}"
        descriptor = self._unless_broken(lambda: _locked(path, patience_s=PATIENCE_S))
        try:
            yield
        finally:
            if descriptor is not None:
                # Before it is let go: who opened it meanwhile finds that it is gone, and makes another.
                with suppress(OSError):
                    path.unlink()
                os.close(descriptor)

    # Files

    def _unsealed(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError:
            # A link, perhaps: nothing of ours.
            path.unlink(missing_ok=True)
            return None
        try:
            found = os.fstat(descriptor)
            usable = stat.S_ISREG(found.st_mode) and SEAL_BYTES <= found.st_size <= _MOST_BYTES
            sealed = _read(descriptor, found.st_size) if usable else b""
        finally:
            os.close(descriptor)
        packed = self._names.unsealed(name, sealed) if usable else None
        if packed is not None:
            return packed
        _log.info("a damaged embedding is dropped and made again")
        path.unlink(missing_ok=True)
        return None

    def _put(self, content: str, name: str, packed: bytes) -> None:
        size_bytes = len(packed) + SEAL_BYTES
        index = self._index(make=True)
        # What is larger than all the room would push out everything else and still not fit.
        if index is None or size_bytes > self._max_bytes:
            return
        draft = self._folder / f"{secrets.token_hex(8)}{_DRAFT_SUFFIX}"
        try:
            self._write(draft, packed, self._names.seal(name, packed))
            with index.writing() as db:
                # An image that was purged meanwhile is not kept.
                if db.execute(_CLAIMED, (content,)).fetchone() is None:
                    return
                self._make_room(size_bytes, but=name)
                draft.replace(self._folder / name)
            self._complained = False
        finally:
            draft.unlink(missing_ok=True)

    def _write(self, draft: Path, packed: bytes, seal: bytes) -> None:
        """Not flushed to the disk: a file that a power cut leaves half has no seal."""
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(packed)
            file.write(seal)
        now = self._clock()
        os.utime(draft, (now, now))

    def _make_room(self, size_bytes: int, *, but: str) -> None:
        files = sorted((file for file in self._files() if file.name != but), key=lambda file: file.used_at)
        too_many = sum(file.size_bytes for file in files) + size_bytes - self._max_bytes
        for file in files:
            if too_many <= 0:
                return
            (self._folder / file.name).unlink(missing_ok=True)
            too_many -= file.size_bytes

    def _files(self) -> list[_File]:
        files = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(_SUFFIX):
                        files.append(_File(entry.name, found.st_size, found.st_mtime))
                    elif not entry.name.startswith(_INDEX) and time.time() - found.st_ctime > _ABANDONED_S:
                        # A draft or a lock that a killed process left.
                        (self._folder / entry.name).unlink(missing_ok=True)
        return files

    def _drop_unclaimed(self, contents: set[str], *, index_of: sqlite3.Connection) -> None:
        """Remove the files of those contents that no image has. The index is being written, so none can get one."""
        claimed = {content for content in contents if index_of.execute(_CLAIMED, (content,)).fetchone() is not None}
        gone = contents - claimed
        for file in self._files() if gone else ():
            if file.name.split(".")[0] in gone:
                (self._folder / file.name).unlink(missing_ok=True)

    # The index

    def _index(self, *, make: bool) -> Database | None:
        """What is noted of images; None if there is nothing, and nothing is to be made."""
        with self._lock:
            if self._opened is not None:
                return self._opened
            exists = self._folder.is_dir()
            if self._max_bytes == 0:
                if exists:
                    self._clear()
                return None
            if not exists and not make:
                return None
            self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self._folder.chmod(_FOLDER_MODE)
            # Two that find a damaged index must not clear the folder one after the other.
            lock = _locked(self._folder / f"{_INDEX}{_LOCK_SUFFIX}", patience_s=PATIENCE_S)
            try:
                self._opened = self._open()
            finally:
                if lock is not None:
                    os.close(lock)
            return self._opened

    def _open(self) -> Database:
        path = self._folder / _INDEX
        try:
            index = Database(path, _PART, _MIGRATIONS)
        except StorageUnavailableError:
            raise
        except StorageError as error:
            # Without the index nobody could tell whose the embeddings are, and purge them.
            _log.warning("the stored embeddings are dropped", why=str(error))
            self._clear()
            index = Database(path, _PART, _MIGRATIONS)
        with index.writing() as db:
            known = {row["content"] for row in db.execute("SELECT DISTINCT content FROM images").fetchall()}
            self._drop_unclaimed({file.name.split(".")[0] for file in self._files()} - known, index_of=db)
            self._make_room(0, but="")
        return index

    def _clear(self) -> None:
        for path in self._folder.iterdir():
            # Not the lock on the index: whoever opens it holds that.
            if path.suffix != _LOCK_SUFFIX:
                path.unlink(missing_ok=True)

    # Names, and what goes wrong

    def _unless_broken(self, work: Callable[[], _Answer]) -> _Answer | None:
        """Do *work*; None, and one line in the log, while the disk does not let us."""
        try:
            answer = work()
        except (OSError, StorageError) as error:
            if not self._complained:
                why = error.strerror if isinstance(error, OSError) else str(error)
                _log.warning("embeddings cannot be stored; going on without", why=why)
            self._complained = True
            return None
        return answer


def _file_name(content: str, version: str) -> str:
    return f"{embedding_name(content, version)}{_SUFFIX}"


def _read(descriptor: int, size_bytes: int) -> bytes:
    parts = []
    while size_bytes > 0 and (part := os.read(descriptor, size_bytes)):
        parts.append(part)
        size_bytes -= len(part)
    return b"".join(parts)


def _locked(path: Path, *, patience_s: float) -> int | None:
    """An open file that is locked until it is closed; None if it could not be had in time, or there is no folder."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
        except FileNotFoundError:
            return None
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have removed it.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL_S)
