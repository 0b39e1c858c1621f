"""The private list of copies: which there are, what each was made from, and the proof that goes with it."""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cleanplate.database import Database

_PART: Final = "ledger"

_MIGRATIONS: Final = (
    (
        """
        CREATE TABLE copies (
            copy_id TEXT NOT NULL PRIMARY KEY,
            label_studio_url TEXT NOT NULL,
            project_id INTEGER NOT NULL,
            task_id INTEGER NOT NULL,
            annotation_id INTEGER NOT NULL,
            job_key TEXT NOT NULL,
            copy_task_id INTEGER NOT NULL,
            file_name TEXT NOT NULL,
            address TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            certificate TEXT NOT NULL,
            state TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX copies_by_task ON copies (project_id, task_id)",
        """
        CREATE TABLE certificates (
            number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            copy_id TEXT NOT NULL,
            job_key TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            certificate TEXT NOT NULL,
            noted_at TEXT NOT NULL,
            UNIQUE (copy_id, job_key, sha256)
        ) STRICT
        """,
    ),
    (
        """
        CREATE TABLE files (
            file_name TEXT NOT NULL PRIMARY KEY,
            copy_id TEXT NOT NULL,
            job_key TEXT NOT NULL,
            label_studio_url TEXT NOT NULL,
            project_id INTEGER NOT NULL,
            source_url TEXT NOT NULL,
            noted_at TEXT NOT NULL
        ) STRICT
        """,
    ),
    (
        "ALTER TABLE copies ADD COLUMN second_look TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE copies ADD COLUMN accepted_at TEXT",
        "CREATE INDEX copies_to_look_at ON copies (updated_at) WHERE second_look <> '[]' AND accepted_at IS NULL",
        """
        CREATE TABLE outputs (
            path TEXT NOT NULL PRIMARY KEY,
            request TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            certificate TEXT NOT NULL,
            noted_at TEXT NOT NULL
        ) STRICT
        """,
    ),
    (
        """
        CREATE TABLE erasures (
            number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            project_id INTEGER NOT NULL,
            task_id INTEGER,
            noted_at TEXT NOT NULL
        ) STRICT
        """,
        "CREATE TABLE marks (source TEXT NOT NULL PRIMARY KEY, mark TEXT NOT NULL) STRICT",
    ),
)

_PUT: Final = """
    INSERT INTO copies VALUES (
        :copy_id, :label_studio_url, :project_id, :task_id, :annotation_id, :job_key, :copy_task_id, :file_name,
        :address, :sha256, :size_bytes, :certificate, :state, :now, :now, :second_look, :accepted_at
    )
    ON CONFLICT (copy_id) DO UPDATE SET
        job_key = excluded.job_key, copy_task_id = excluded.copy_task_id, file_name = excluded.file_name,
        address = excluded.address, sha256 = excluded.sha256, size_bytes = excluded.size_bytes,
        certificate = excluded.certificate, state = excluded.state, updated_at = excluded.updated_at,
        second_look = excluded.second_look, accepted_at = excluded.accepted_at
"""

_NOTE_CERTIFICATE: Final = """
    INSERT OR IGNORE INTO certificates (copy_id, job_key, sha256, certificate, noted_at)
    VALUES (:copy_id, :job_key, :sha256, :certificate, :now)
"""

_NOTE_FILE: Final = """
    INSERT OR REPLACE INTO files
    VALUES (:file_name, :copy_id, :job_key, :label_studio_url, :project_id, :source_url, :now)
"""


_ACCEPT: Final = """
    UPDATE copies SET accepted_at = :now
    WHERE copy_id = :copy_id AND sha256 = :sha256 AND second_look = :second_look AND accepted_at IS NULL
"""

_WAITING: Final = """
    SELECT * FROM copies WHERE second_look <> '[]' AND accepted_at IS NULL AND state = 'published'
    ORDER BY updated_at DESC, copy_id LIMIT ?
"""

_COUNT_WAITING: Final = """
    SELECT count(*) FROM copies WHERE second_look <> '[]' AND accepted_at IS NULL AND state = 'published'
"""

_PUBLISHED: Final = """
    SELECT * FROM copies WHERE project_id = ?1 AND (?2 IS NULL OR task_id = ?2) AND state = 'published' ORDER BY copy_id
"""

_NOTE_ERASURE: Final = "INSERT INTO erasures (project_id, task_id, noted_at) VALUES (?, ?, ?)"

_NOTE_OUTPUT: Final = """
    INSERT OR REPLACE INTO outputs VALUES (:path, :request, :sha256, :certificate, :now)
"""


class CopyState(StrEnum):
    """Whether a copy is there to be used."""

    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class CopyRecord:
    """One copy.

    Attributes:
        copy_id: what its task carries as `cleanplate`.
        project_id: with *task_id* and *annotation_id*: what it was made from.
        job_key: the job that made it as it is now.
        copy_task_id: the task it is.
        file_name: what its file is called.
        address: what its task says where the file is.
        sha256: of the file.
        certificate: as JSON values.
        second_look: why a person should look at it, in sentences.
        accepted_at: when a person did, and found it good.
    """

    copy_id: str
    label_studio_url: str
    project_id: int
    task_id: int
    annotation_id: int
    job_key: str
    copy_task_id: int
    file_name: str
    address: str
    sha256: str
    size_bytes: int
    certificate: Mapping[str, Any] = field(default_factory=dict)
    state: CopyState = CopyState.PUBLISHED
    second_look: tuple[str, ...] = ()
    accepted_at: datetime | None = None


@dataclass(frozen=True)
class Output:
    """A copy that was written to a file of somebody's own, without Label Studio.

    Attributes:
        path: of the file; absolute.
        request: a digest of everything that decided what was written.
        sha256: of the file.
        certificate: as JSON values.
    """

    path: str = field(repr=False)
    request: str
    sha256: str
    certificate: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class NotedCertificate:
    """A certificate as it was noted, also if its copy has changed since."""

    job_key: str
    sha256: str
    certificate: Mapping[str, Any]
    noted_at: datetime


@dataclass(frozen=True)
class StoredFile:
    """A file that is put where Label Studio can show it, but that no copy may ever show.

    Attributes:
        file_name: what it is called.
        copy_id: the copy it is meant for.
        job_key: the job that puts it.
        project_id: with *label_studio_url*: where it is put.
        source_url: of the local file beside whose folder it may lie; empty for other originals.
    """

    file_name: str
    copy_id: str
    job_key: str
    label_studio_url: str
    project_id: int
    source_url: str = field(default="", repr=False)


@dataclass(frozen=True)
class Erasure:
    """A task, or a whole project if *task_id* is None, of which all that was kept was to go."""

    number: int
    project_id: int
    task_id: int | None


class Ledger:
    """Keeps the records of copies, and notes of files that may not belong to any. Safe from many threads and processes.

    Every method raises StorageUnavailableError if the ledger can be neither read nor written now.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, _PART, _MIGRATIONS)

    def get(self, copy_id: str) -> CopyRecord | None:
        """The record of a copy; None if there is none."""
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM copies WHERE copy_id = ?", (copy_id,)).fetchone()
        return None if row is None else _record(row)

    def put(self, record: CopyRecord) -> None:
        """Keep a record in place of the one before. Its certificate is kept for good."""
        values = {name: getattr(record, name) for name in CopyRecord.__dataclass_fields__}
        values["certificate"] = _json(dict(record.certificate))
        values["state"] = record.state.value
        values["second_look"] = _json(record.second_look)
        values["accepted_at"] = None if record.accepted_at is None else record.accepted_at.isoformat()
        values["now"] = datetime.now(UTC).isoformat()
        with self._database.writing() as db:
            db.execute(_PUT, values)
            db.execute(_NOTE_CERTIFICATE, values)

    def records(self, *, project_id: int | None = None, limit: int = 1000) -> list[CopyRecord]:
        """Copies, the last changed first."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM copies WHERE ?1 IS NULL OR project_id = ?1 ORDER BY updated_at DESC, copy_id LIMIT ?2",
                (project_id, limit),
            ).fetchall()
        return [_record(row) for row in rows]

    def published(self, *, project_id: int, task_id: int | None) -> list[CopyRecord]:
        """All copies of a task that are there, or of all tasks of the project if *task_id* is None, by id."""
        with self._database.reading() as db:
            rows = db.execute(_PUBLISHED, (project_id, task_id)).fetchall()
        return [_record(row) for row in rows]

    def note_erasure(self, *, project_id: int, task_id: int | None) -> None:
        """Note that all that was kept of a task, or of a whole project, is gone; kept for good."""
        with self._database.writing() as db:
            db.execute(_NOTE_ERASURE, (project_id, task_id, datetime.now(UTC).isoformat()))

    def erasures(self, *, after: int = 0) -> list[Erasure]:
        """What was erased after the erasure of this number, the first first."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT number, project_id, task_id FROM erasures WHERE number > ? ORDER BY number", (after,)
            ).fetchall()
        return [Erasure(**row) for row in rows]

    def mark(self, source: str) -> str | None:
        """How far somebody has come in a row that is kept elsewhere; None if nothing was noted."""
        with self._database.reading() as db:
            row = db.execute("SELECT mark FROM marks WHERE source = ?", (source,)).fetchone()
        return None if row is None else str(row["mark"])

    def note_mark(self, source: str, mark: str) -> None:
        """Note how far somebody has come."""
        with self._database.writing() as db:
            db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (source, mark))

    def accept(self, record: CopyRecord) -> bool:
        """Note that a person looked at a copy and found it good; whether it was as *record* has it, and waiting."""
        values = {"copy_id": record.copy_id, "sha256": record.sha256, "second_look": _json(record.second_look)}
        with self._database.writing() as db:
            changed = db.execute(_ACCEPT, values | {"now": datetime.now(UTC).isoformat()}).rowcount
        return bool(changed)

    def waiting(self, *, limit: int = 1000) -> list[CopyRecord]:
        """Copies that a person should look at, the last changed first."""
        with self._database.reading() as db:
            rows = db.execute(_WAITING, (limit,)).fetchall()
        return [_record(row) for row in rows]

    def waiting_count(self) -> int:
        """How many copies a person should look at."""
        with self._database.reading() as db:
            return int(db.execute(_COUNT_WAITING).fetchone()[0])

    def note_output(self, output: Output) -> None:
        """Note what was written to a file, in place of what was noted of it before."""
        values = {**vars(output), "certificate": _json(dict(output.certificate)), "now": datetime.now(UTC).isoformat()}
        with self._database.writing() as db:
            db.execute(_NOTE_OUTPUT, values)

    def output(self, path: str) -> Output | None:
        """What was last written to a file; None if nothing was noted."""
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM outputs WHERE path = ?", (path,)).fetchone()
        return None if row is None else Output(path, row["request"], row["sha256"], json.loads(row["certificate"]))

    def certificates(self, copy_id: str) -> list[NotedCertificate]:
        """All certificates a copy ever had, the oldest first."""
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM certificates WHERE copy_id = ? ORDER BY number", (copy_id,)).fetchall()
        return [
            NotedCertificate(
                job_key=row["job_key"],
                sha256=row["sha256"],
                certificate=json.loads(row["certificate"]),
                noted_at=datetime.fromisoformat(row["noted_at"]),
            )
            for row in rows
        ]

    def note_file(self, file: StoredFile) -> None:
        """Note a file before it is put, so that it is found again whatever becomes of its job."""
        with self._database.writing() as db:
            db.execute(_NOTE_FILE, {**vars(file), "now": datetime.now(UTC).isoformat()})

    def forget_file(self, file_name: str) -> None:
        """Forget a noted file: its copy shows it, or it is gone."""
        with self._database.writing() as db:
            db.execute("DELETE FROM files WHERE file_name = ?", (file_name,))

    def noted_files(self) -> list[StoredFile]:
        """The files that were noted and not forgotten, the oldest note first."""
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM files ORDER BY noted_at, file_name").fetchall()
        return [StoredFile(**{name: row[name] for name in StoredFile.__dataclass_fields__}) for row in rows]

    def close(self) -> None:
        """Let go of the file; using the ledger again opens it again."""
        self._database.close()


def _record(row: sqlite3.Row) -> CopyRecord:
    values = {name: row[name] for name in CopyRecord.__dataclass_fields__}
    values["certificate"] = json.loads(row["certificate"])
    values["state"] = CopyState(row["state"])
    values["second_look"] = tuple(json.loads(row["second_look"]))
    values["accepted_at"] = None if row["accepted_at"] is None else datetime.fromisoformat(row["accepted_at"])
    return CopyRecord(**values)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
