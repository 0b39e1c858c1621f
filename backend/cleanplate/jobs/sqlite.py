import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cleanplate.database import Database
from cleanplate.errors import JobError, LeaseLostError, SupersededError
from cleanplate.jobs.job import Job, JobState, Lease, NewJob, Subject
from cleanplate.jobs.queue import Hint

_ENDS: Final = frozenset({JobState.DEAD, JobState.ATTENTION, JobState.SUPERSEDED, JobState.CANCELLED})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_CHARACTER: Final = "\U0010ffff"
_MAX_TEXT: Final = 1000
_WHOLE_PROJECT: Final = 0
"""Stands for no task among the hints: Label Studio counts tasks from 1."""

# Times are whole microseconds since 1970. `turn` counts how often anything was queued: of a subject's jobs the one
# with the highest turn is the current one. `lease_until` is set as long as a worker may be busy with the job, also
# after the job was superseded or cancelled. `attempt` never starts anew, so that it can be the fencing token; a job
# that is queued again gets a later `last_attempt` instead.
_MIGRATIONS: Final = (
    (
        """CREATE TABLE subjects (
            subject_id INTEGER PRIMARY KEY,
            project_id INTEGER NOT NULL,
            task_id INTEGER NOT NULL,
            annotation_id INTEGER NOT NULL,
            label_studio_url TEXT NOT NULL,
            UNIQUE (project_id, task_id, annotation_id, label_studio_url)
        )""",
        """CREATE TABLE jobs (
            key TEXT NOT NULL PRIMARY KEY,
            subject_id INTEGER NOT NULL REFERENCES subjects,
            turn INTEGER NOT NULL UNIQUE,
            state TEXT NOT NULL,
            attempt INTEGER NOT NULL DEFAULT 0,
            last_attempt INTEGER NOT NULL,
            owner TEXT NOT NULL DEFAULT '',
            lease_until INTEGER,
            step TEXT NOT NULL DEFAULT '',
            reason TEXT NOT NULL DEFAULT '',
            message TEXT NOT NULL DEFAULT '',
            result TEXT NOT NULL DEFAULT '{}',
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            ready_at INTEGER NOT NULL
        )""",
        "CREATE VIEW whole_jobs AS SELECT * FROM jobs JOIN subjects USING (subject_id)",
        "CREATE INDEX jobs_by_subject ON jobs (subject_id, turn)",
        "CREATE INDEX jobs_by_state ON jobs (state)",
        "CREATE INDEX jobs_by_change ON jobs (updated_at)",
        "CREATE INDEX jobs_ready ON jobs (ready_at, turn) WHERE state = 'ready'",
        "CREATE INDEX jobs_held ON jobs (lease_until) WHERE lease_until IS NOT NULL",
        """CREATE TABLE hints (
            project_id INTEGER NOT NULL,
            task_id INTEGER NOT NULL,
            received_at INTEGER NOT NULL,
            PRIMARY KEY (project_id, task_id)
        )""",
        """CREATE TABLE sweeps (
            project_id INTEGER PRIMARY KEY,
            watermark INTEGER,
            full_at INTEGER
        )""",
        """CREATE TABLE leader (
            place INTEGER PRIMARY KEY CHECK (place = 0),
            owner TEXT NOT NULL,
            until INTEGER NOT NULL
        )""",
    ),
)

_CLOCK: Final = "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000"

_KNOWN: Final = """
    SELECT 1 FROM jobs AS job WHERE key = ? AND state NOT IN ('superseded', 'cancelled')
    AND turn = (SELECT MAX(turn) FROM jobs WHERE subject_id = job.subject_id)"""

_SUPERSEDE: Final = """
    UPDATE jobs SET state = 'superseded', reason = 'superseded', message = 'a newer job of its annotation was put',
        updated_at = :now
    WHERE subject_id = :subject_id AND key != :key AND state NOT IN ('done', 'superseded')"""

# A job that comes back while its last worker is still busy with it is simply that worker's again.
_QUEUE: Final = """
    INSERT INTO jobs (key, subject_id, turn, state, last_attempt, created_at, updated_at, ready_at)
    VALUES (:key, :subject_id, (SELECT IFNULL(MAX(turn), 0) + 1 FROM jobs), 'ready', :attempts, :now, :now, :now)
    ON CONFLICT (key) DO UPDATE SET
        turn = excluded.turn,
        state = CASE WHEN lease_until > :now THEN 'leased' ELSE 'ready' END,
        lease_until = CASE WHEN lease_until > :now THEN lease_until END,
        last_attempt = attempt + :attempts,
        reason = '', message = '', updated_at = :now, ready_at = :now"""

_SOMETHING_TO_DO: Final = """
    SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'ready' AND ready_at <= :now)
        OR EXISTS (SELECT 1 FROM jobs WHERE lease_until <= :now)"""

_RELEASE_EXPIRED: Final = "UPDATE jobs SET lease_until = NULL WHERE lease_until <= :now AND state != 'leased'"

_EXPIRE: Final = """
    UPDATE jobs SET state = CASE WHEN attempt < last_attempt THEN 'ready' ELSE 'dead' END, lease_until = NULL,
        reason = 'lease_expired', message = 'its worker stopped or hung', updated_at = :now, ready_at = :now
    WHERE lease_until <= :now"""

_NEXT: Final = """
    SELECT key FROM jobs AS job WHERE state = 'ready' AND ready_at <= :now
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE subject_id = job.subject_id AND lease_until IS NOT NULL)
    ORDER BY ready_at, turn LIMIT 1"""

_LEASE: Final = """
    UPDATE jobs SET state = 'leased', attempt = attempt + 1, owner = :owner, lease_until = :until, step = '',
        updated_at = :now
    WHERE key = :key"""

_HELD: Final = "SELECT * FROM jobs WHERE key = ? AND attempt = ? AND lease_until IS NOT NULL"

_END: Final = """
    UPDATE jobs SET state = :state, reason = :reason, message = :message, result = :result, updated_at = :now,
        ready_at = :ready_at, last_attempt = :last_attempt, lease_until = NULL
    WHERE key = :key"""

_UNFINISHED: Final = """
    SELECT DISTINCT label_studio_url, project_id, task_id, annotation_id FROM whole_jobs
    WHERE state IN ('ready', 'leased', 'dead', 'attention') AND project_id = :project_id
    AND task_id = IFNULL(:task_id, task_id) AND annotation_id = IFNULL(:annotation_id, annotation_id)
    ORDER BY task_id, annotation_id"""

_CANCEL: Final = """
    UPDATE jobs SET state = 'cancelled', reason = 'cancelled', message = 'its annotation is gone', updated_at = :now
    WHERE state IN ('ready', 'leased', 'dead', 'attention') AND subject_id = (
        SELECT subject_id FROM subjects WHERE project_id = :project_id AND task_id = :task_id
        AND annotation_id = :annotation_id AND label_studio_url = :label_studio_url)"""

_RECENT: Final = """
    SELECT * FROM whole_jobs WHERE state = IFNULL(:state, state) AND project_id = IFNULL(:project_id, project_id)
    ORDER BY updated_at DESC, turn DESC LIMIT :limit"""

# A hint that comes in again is always later than it was, so that whoever resolves the earlier one leaves it.
_HINT: Final = """
    INSERT INTO hints (project_id, task_id, received_at) VALUES (:project_id, :task_id, :now)
    ON CONFLICT DO UPDATE SET received_at = MAX(received_at + 1, excluded.received_at)"""

_WATERMARK: Final = """
    INSERT INTO sweeps (project_id, watermark) VALUES (:project_id, :at)
    ON CONFLICT DO UPDATE SET watermark = MAX(IFNULL(watermark, excluded.watermark), excluded.watermark)"""

_FULL_SWEEP: Final = """
    INSERT INTO sweeps (project_id, full_at) VALUES (:project_id, :now)
    ON CONFLICT DO UPDATE SET full_at = excluded.full_at"""

_LEAD: Final = """
    INSERT INTO leader (place, owner, until) VALUES (0, :owner, :until)
    ON CONFLICT DO UPDATE SET owner = excluded.owner, until = excluded.until
    WHERE leader.owner = excluded.owner OR leader.until <= :now"""


class SqliteQueue:
    """The queue for one machine: a SQLite file that its processes share. See `Queue` for what the methods promise.

    Whether a lease ran out is decided by the clock of the database alone, inside the transaction that acts on it.
    """

    def __init__(
        self, path: Path, *, lease_s: float, max_attempts: int, clock: Callable[[], datetime] | None = None
    ) -> None:
        """Open or make the file.

        Args:
            path: its folder must exist.
            lease_s: how long a worker may be silent before its job is given to another.
            max_attempts: how often a job is started before it is dead.
            clock: instead of SQLite's own, for tests.

        Raises:
            StorageError: The file is damaged, or a newer cleanplate wrote it.
            StorageUnavailableError: It cannot be opened now.
        """
        self._lease = _microseconds(timedelta(seconds=lease_s))
        self._max_attempts = max_attempts
        self._clock = clock
        self._database = Database(path, "jobs", _MIGRATIONS)

    def put(self, job: NewJob) -> bool:
        # The sweep puts what is known over and over: that must not keep out those who have something to write.
        with self._database.reading() as db:
            if db.execute(_KNOWN, (job.key,)).fetchone():
                return False
        with self._database.writing() as db:
            if db.execute(_KNOWN, (job.key,)).fetchone():
                return False
            self._queue(db, job)
            return True

    def claim(self, owner: str) -> Lease | None:
        with self._database.reading() as db:
            if not db.execute(_SOMETHING_TO_DO, {"now": self._now(db)}).fetchone()[0]:
                return None
        with self._database.writing() as db:
            now = self._now(db)
            db.execute(_RELEASE_EXPIRED, {"now": now})
            db.execute(_EXPIRE, {"now": now})
            row = db.execute(_NEXT, {"now": now}).fetchone()
            if row is None:
                return None
            db.execute(_LEASE, {"key": row["key"], "owner": owner, "now": now, "until": now + self._lease})
            return Lease(_existing(db, row["key"]), owner)

    def extend(self, lease: Lease) -> None:
        with self._database.writing() as db:
            _held(db, lease)
            until = self._now(db) + self._lease
            db.execute("UPDATE jobs SET lease_until = ? WHERE key = ?", (until, lease.job.key))

    def is_current(self, lease: Lease) -> bool:
        with self._database.reading() as db:
            try:
                return bool(_held(db, lease)["state"] == JobState.LEASED)
            except LeaseLostError:
                return False

    def report(self, lease: Lease, step: str) -> None:
        with self._database.writing() as db:
            _require_wanted(_held(db, lease))
            changes = (_text(step), self._now(db), lease.job.key)
            db.execute("UPDATE jobs SET step = ?, updated_at = ? WHERE key = ?", changes)

    def done(self, lease: Lease, result: Mapping[str, Any]) -> None:
        text = json.dumps(result, allow_nan=False)
        with self._database.writing() as db:
            row = _held(db, lease)
            _require_wanted(row)
            self._end(db, row, JobState.DONE, result=text)

    def later(self, lease: Lease, *, reason: str, message: str, delay_s: float, counts: bool = True) -> None:
        with self._database.writing() as db:
            row = _held(db, lease)
            last_attempt = row["last_attempt"] + (not counts)
            state = JobState.READY if row["attempt"] < last_attempt else JobState.DEAD
            delay = _microseconds(timedelta(seconds=delay_s))
            self._end(db, row, state, reason=reason, message=message, delay=delay, last_attempt=last_attempt)

    def end(self, lease: Lease, state: JobState, *, reason: str, message: str) -> None:
        if state not in _ENDS:
            raise ValueError(f"a job does not end as {state}")
        with self._database.writing() as db:
            self._end(db, _held(db, lease), state, reason=reason, message=message)

    def cancel(self, subject: Subject) -> int:
        with self._database.writing() as db:
            return db.execute(_CANCEL, {**vars(subject), "now": self._now(db)}).rowcount

    def retry(self, key: str) -> Job:
        with self._database.writing() as db:
            row = db.execute("SELECT * FROM whole_jobs WHERE key = ?", (key,)).fetchone()
            if row is None:
                raise JobError(f"there is no job {key}")
            job = _job(row)
            if not job.state.ended:
                raise JobError(f"job {key} is {job.state} already")
            newer = "SELECT key FROM jobs WHERE subject_id = ? AND turn > ? ORDER BY turn DESC LIMIT 1"
            if found := db.execute(newer, (row["subject_id"], row["turn"])).fetchone():
                raise JobError(f"job {key} is outdated: its annotation has the newer job {found['key']}")
            self._queue(db, NewJob(key, job.subject))
            return _existing(db, key)

    def get(self, key: str) -> Job | None:
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM whole_jobs WHERE key = ?", (key,)).fetchone()
            if row is not None or not key:
                return _job(row) if row is not None else None
            beginning = "SELECT * FROM whole_jobs WHERE key > ? AND key < ? LIMIT 2"
            rows = db.execute(beginning, (key, key + _LAST_CHARACTER)).fetchall()
            return _job(rows[0]) if len(rows) == 1 else None

    def jobs(self, *, state: JobState | None = None, project_id: int | None = None, limit: int = 100) -> list[Job]:
        with self._database.reading() as db:
            rows = db.execute(_RECENT, {"state": state, "project_id": project_id, "limit": limit}).fetchall()
        return [_job(row) for row in rows]

    def subjects(
        self, *, project_id: int, task_id: int | None = None, annotation_id: int | None = None
    ) -> list[Subject]:
        wanted = {"project_id": project_id, "task_id": task_id, "annotation_id": annotation_id}
        with self._database.reading() as db:
            return [Subject(**row) for row in db.execute(_UNFINISHED, wanted)]

    def counts(self) -> Mapping[JobState, int]:
        with self._database.reading() as db:
            found = {
                row["state"]: row["n"] for row in db.execute("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")
            }
        return {state: found.get(state, 0) for state in JobState}

    def oldest_ready_at(self) -> datetime | None:
        with self._database.reading() as db:
            due = "SELECT MIN(ready_at) FROM jobs WHERE state = 'ready' AND ready_at <= ?"
            oldest = db.execute(due, (self._now(db),)).fetchone()[0]
        return None if oldest is None else _datetime(oldest)

    def hint(self, project_id: int, task_id: int | None) -> None:
        with self._database.writing() as db:
            task = _WHOLE_PROJECT if task_id is None else task_id
            db.execute(_HINT, {"project_id": project_id, "task_id": task, "now": self._now(db)})

    def hints(self, limit: int = 100) -> list[Hint]:
        with self._database.reading() as db:
            rows = db.execute("SELECT * FROM hints ORDER BY received_at LIMIT ?", (limit,)).fetchall()
        return [Hint(row["project_id"], row["task_id"] or None, _datetime(row["received_at"])) for row in rows]

    def resolve(self, hints: Iterable[Hint]) -> None:
        rows = [(hint.project_id, hint.task_id or _WHOLE_PROJECT, _since_epoch(hint.received_at)) for hint in hints]
        with self._database.writing() as db:
            db.executemany("DELETE FROM hints WHERE project_id = ? AND task_id = ? AND received_at = ?", rows)

    def watermark(self, project_id: int) -> datetime | None:
        with self._database.reading() as db:
            row = db.execute("SELECT watermark FROM sweeps WHERE project_id = ?", (project_id,)).fetchone()
        return None if row is None or row["watermark"] is None else _datetime(row["watermark"])

    def set_watermark(self, project_id: int, at: datetime) -> None:
        with self._database.writing() as db:
            db.execute(_WATERMARK, {"project_id": project_id, "at": _since_epoch(at)})

    def full_sweep_due(self, project_id: int, *, every_s: float) -> bool:
        with self._database.reading() as db:
            row = db.execute("SELECT full_at FROM sweeps WHERE project_id = ?", (project_id,)).fetchone()
            if row is None or row["full_at"] is None:
                return True
            return self._now(db) - int(row["full_at"]) >= _microseconds(timedelta(seconds=every_s))

    def note_full_sweep(self, project_id: int) -> None:
        with self._database.writing() as db:
            db.execute(_FULL_SWEEP, {"project_id": project_id, "now": self._now(db)})

    def swept_projects(self) -> list[int]:
        with self._database.reading() as db:
            return [row["project_id"] for row in db.execute("SELECT project_id FROM sweeps ORDER BY project_id")]

    def has_leader(self) -> bool:
        with self._database.reading() as db:
            now = self._now(db)
            return db.execute("SELECT 1 FROM leader WHERE until > ?", (now,)).fetchone() is not None

    def lead(self, owner: str, *, for_s: float) -> bool:
        with self._database.writing() as db:
            now = self._now(db)
            until = now + _microseconds(timedelta(seconds=for_s))
            return db.execute(_LEAD, {"owner": owner, "now": now, "until": until}).rowcount == 1

    def close(self) -> None:
        """Let go of the file; using the queue again opens it again."""
        self._database.close()

    def _now(self, db: sqlite3.Connection) -> int:
        if self._clock is not None:
            return _since_epoch(self._clock())
        now: int = db.execute(_CLOCK).fetchone()[0]
        return now

    def _queue(self, db: sqlite3.Connection, job: NewJob) -> None:
        subject = vars(job.subject)
        db.execute(
            "INSERT OR IGNORE INTO subjects (project_id, task_id, annotation_id, label_studio_url)"
            " VALUES (:project_id, :task_id, :annotation_id, :label_studio_url)",
            subject,
        )
        row = db.execute(
            "SELECT subject_id FROM subjects WHERE project_id = :project_id AND task_id = :task_id"
            " AND annotation_id = :annotation_id AND label_studio_url = :label_studio_url",
            subject,
        ).fetchone()
        values = {"key": job.key, "subject_id": row["subject_id"], "now": self._now(db)}
        db.execute(_SUPERSEDE, values)
        db.execute(_QUEUE, {**values, "attempts": self._max_attempts})

    def _end(
        self,
        db: sqlite3.Connection,
        row: sqlite3.Row,
        state: JobState,
        *,
        reason: str = "",
        message: str = "",
        result: str = "{}",
        delay: int = 0,
        last_attempt: int | None = None,
    ) -> None:
        """End a lease. The job goes to *state*, unless it was superseded or cancelled: then it stays so."""
        key = row["key"]
        if row["state"] != JobState.LEASED:
            db.execute("UPDATE jobs SET lease_until = NULL WHERE key = ?", (key,))
            return
        now = self._now(db)
        values = {"key": key, "state": state, "reason": _text(reason), "message": _text(message), "result": result}
        last_attempt = row["last_attempt"] if last_attempt is None else last_attempt
        db.execute(_END, {**values, "now": now, "ready_at": now + delay, "last_attempt": last_attempt})


def _held(db: sqlite3.Connection, lease: Lease) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(_HELD, (lease.job.key, lease.job.attempt)).fetchone()
    if row is None:
        raise LeaseLostError(f"attempt {lease.job.attempt} of job {lease.job.key} has lost its lease")
    return row


def _require_wanted(row: sqlite3.Row) -> None:
    if row["state"] != JobState.LEASED:
        raise SupersededError(row["message"])


def _existing(db: sqlite3.Connection, key: str) -> Job:
    return _job(db.execute("SELECT * FROM whole_jobs WHERE key = ?", (key,)).fetchone())


def _job(row: sqlite3.Row) -> Job:
    return Job(
        key=row["key"],
        subject=Subject(row["label_studio_url"], row["project_id"], row["task_id"], row["annotation_id"]),
        state=JobState(row["state"]),
        attempt=row["attempt"],
        step=row["step"],
        reason=row["reason"],
        message=row["message"],
        created_at=_datetime(row["created_at"]),
        updated_at=_datetime(row["updated_at"]),
        ready_at=_datetime(row["ready_at"]),
        result=json.loads(row["result"]),
        held=row["lease_until"] is not None,
    )


def _text(words: str) -> str:
    """What SQLite can keep of an error's words: no half characters, and not a page."""
    return words.encode("utf-8", "replace").decode()[:_MAX_TEXT]


def _datetime(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _since_epoch(at: datetime) -> int:
    return _microseconds(at - _EPOCH)


def _microseconds(duration: timedelta) -> int:
    return duration // _MICROSECOND
