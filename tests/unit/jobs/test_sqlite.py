import time
from datetime import UTC, datetime, timedelta

import pytest

from cleanplate.jobs import sqlite
from cleanplate.jobs.job import NewJob, Subject
from cleanplate.jobs.sqlite import SqliteQueue

JOB = NewJob("a", Subject("http://label-studio", 1, 20, 30))


def opened(folder) -> SqliteQueue:
    return SqliteQueue(folder / "jobs.sqlite3", lease_s=60, max_attempts=3)


def test_times_are_those_of_the_machine(folder) -> None:
    queue = opened(folder)
    before = datetime.now(UTC) - timedelta(milliseconds=2)  # SQLite counts in milliseconds
    queue.put(JOB)
    after = datetime.now(UTC) + timedelta(milliseconds=2)

    assert before <= queue.get("a").created_at <= after


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_worker_whose_own_clock_is_wrong_neither_takes_a_running_job_nor_loses_its_own(
    folder, monkeypatch, hours
) -> None:
    opened(folder).put(JOB)
    lease = opened(folder).claim("right")

    class WrongDatetime(datetime):
        @classmethod
        def now(cls, tz=None) -> datetime:
            return datetime.now(tz) + timedelta(hours=hours)

    monkeypatch.setattr(sqlite, "datetime", WrongDatetime)
    monkeypatch.setattr(time, "time", lambda true=time.time: true() + hours * 3600)
    wrong = opened(folder)

    assert wrong.claim("wrong") is None
    wrong.extend(lease)
    assert wrong.is_current(lease)
    assert opened(folder).claim("another") is None
