import os
import random
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from cleanplate.errors import StorageError, StorageUnavailableError

PATIENCE_S: Final = 10.0
"""How long a transaction waits for those of other processes."""

_POLL_S: Final = 0.001
_PRIVATE: Final = 0o600


class Database:
    """One SQLite file that several threads and processes use, and that survives any of them being killed.

    A process has one connection behind a lock, not one per thread: SQLite lets one writer in at a time anyway, and a
    thread that waits for a lock is woken when its turn comes, while SQLite would have it sleep for longer and longer.
    The connection is closed around a fork, because a child must not inherit SQLite's idea of who holds which lock.
    """

    def __init__(self, path: Path, part: str, migrations: Sequence[Sequence[str]]) -> None:
        """Open the file, make it if need be, and bring it up to date.

        Args:
            path: its folder must exist.
            part: whose tables these are; other parts may keep theirs in the same file.
            migrations: the statements that lead from each version of the schema to the next.

        Raises:
            StorageError: It is no database, or a newer cleanplate wrote it.
            StorageUnavailableError: It cannot be opened now.
        """
        self._open: sqlite3.Connection | None = None
        self._lock = Lock()
        self._path = path
        self._part = part
        self._migrations = migrations
        _close_around_forks(self)
        with self._transaction("BEGIN IMMEDIATE") as db:
            self._migrate(db)

    def __del__(self) -> None:
        self._close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the file and keeps no other process waiting."""
        with self._transaction("BEGIN") as db:
            self._require_known_schema(db)
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that excludes all other writers; what it wrote is on the disk when it ends."""
        with self._transaction("BEGIN IMMEDIATE") as db:
            self._require_known_schema(db)
            yield db

    def close(self) -> None:
        """Let go of the file; the next transaction opens it again."""
        with self._lock:
            self._close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, _errors_translated(self._path.name):
            self._open = db = self._open or self._connect()
            _patiently(lambda: _start(db, begin))
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        # SQLite's files beside this one inherit its mode. Whoever may read them sees what people worked on.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE))
        db = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        _patiently(lambda: db.execute("PRAGMA journal_mode = WAL").fetchone())
        db.execute("PRAGMA synchronous = FULL")
        return db

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _migrate(self, db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE IF NOT EXISTS schemas (part TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL)")
        db.execute("INSERT OR IGNORE INTO schemas VALUES (?, 0)", (self._part,))
        version = self._version(db)
        if version > len(self._migrations):
            self._refuse(version)
        for statements in self._migrations[version:]:
            for statement in statements:
                db.execute(statement)
        db.execute("UPDATE schemas SET version = ? WHERE part = ?", (len(self._migrations), self._part))

    def _version(self, db: sqlite3.Connection) -> int:
        version: int = db.execute("SELECT version FROM schemas WHERE part = ?", (self._part,)).fetchone()[0]
        return version

    def _require_known_schema(self, db: sqlite3.Connection) -> None:
        """Another version of cleanplate may have changed the file while this process had it open."""
        version = self._version(db)
        if version != len(self._migrations):
            self._refuse(version)

    def _refuse(self, version: int) -> None:
        raise StorageError(
            f"{self._path.name} has schema {version} of its {self._part}, this cleanplate knows schema "
            f"{len(self._migrations)}: start the newer cleanplate that wrote it, or choose another CLEANPLATE_DATA_DIR"
        )


def _start(db: sqlite3.Connection, begin: str) -> None:
    if not db.in_transaction:
        db.execute(begin)
    db.execute("SELECT 1 FROM sqlite_master LIMIT 1")  # a transaction that only reads begins with its first read


def _patiently(work: Callable[[], object]) -> None:
    """Do *work* as soon as other processes let it.

    SQLite's own way of waiting sleeps for up to 100 ms a time, so that a process that writes without a pause keeps
    all others out for seconds.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(_POLL_S * random.uniform(0.5, 1.5))  # noqa: S311  (no secret: two that wait should not keep step)


@contextmanager
def _errors_translated(name: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise StorageUnavailableError(f"{name} cannot be used now: {_sentence(error)}") from error
    except sqlite3.DatabaseError as error:
        if type(error) is not sqlite3.DatabaseError:
            raise  # its subclasses are our own mistakes
        raise StorageError(f"{name} is damaged ({error}): put a copy from before in its place") from error


def _sentence(error: sqlite3.OperationalError | OSError) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def _close_around_forks(database: Database) -> None:
    reference = weakref.ref(database)

    def before() -> None:
        if (database := reference()) is not None:
            database._lock.acquire()  # noqa: SLF001  (one class in two parts)
            database._close()  # noqa: SLF001

    def after() -> None:
        if (database := reference()) is not None:
            database._lock.release()  # noqa: SLF001

    os.register_at_fork(before=before, after_in_child=after, after_in_parent=after)
