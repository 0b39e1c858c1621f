import os
import threading
from pathlib import Path
from threading import Event

import pytest

from cleanplate.errors import LeaseLostError, StorageUnavailableError
from cleanplate.jobs.heartbeat import Heartbeat
from cleanplate.jobs.job import JobState, Lease, NewJob, Subject
from cleanplate.jobs.sqlite import SqliteQueue

LEASE_S = 0.03
LONG_S = 10.0


class ProbedQueue(SqliteQueue):
    """Counts the beats, and fails them on demand."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, lease_s=60, max_attempts=1)
        self.beats = 0
        self.failures: list[Exception] = []
        self.third_beat = Event()

    def extend(self, lease: Lease) -> None:
        self.beats += 1
        if self.beats == 3:
            self.third_beat.set()
        if self.failures:
            raise self.failures.pop(0)
        super().extend(lease)


class Exit:
    """Takes the place of the end of the process."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.happened = Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.happened.set()


@pytest.fixture
def queue(folder) -> ProbedQueue:
    return ProbedQueue(folder / "jobs.sqlite3")


@pytest.fixture
def lease(queue) -> Lease:
    queue.put(NewJob("a", Subject("http://label-studio", 1, 20, 30)))
    lease = queue.claim("worker")
    assert lease is not None
    return lease


def test_a_lease_is_extended_again_and_again_while_the_job_runs(queue, lease) -> None:
    leave = Exit()

    with Heartbeat(queue, lease, lease_s=LEASE_S, stop=Event(), grace_s=LONG_S, exit_process=leave):
        assert queue.third_beat.wait(LONG_S)

    assert leave.codes == []


def test_a_beat_under_way_ends_before_the_job_is_given_back(queue, lease, monkeypatch) -> None:
    began, let_go = Event(), Event()

    def extend_slowly(_lease: Lease) -> None:
        began.set()
        let_go.wait(LONG_S)

    monkeypatch.setattr(queue, "extend", extend_slowly)
    with Heartbeat(queue, lease, lease_s=LEASE_S, stop=Event(), grace_s=LONG_S):
        assert began.wait(LONG_S)
        threading.Timer(LEASE_S, let_go.set).start()

    assert let_go.is_set()


def test_a_lost_lease_ends_the_process(queue, lease) -> None:
    leave = Exit()
    queue.failures = [LeaseLostError("another has it")]

    with Heartbeat(queue, lease, lease_s=LEASE_S, stop=Event(), grace_s=LONG_S, exit_process=leave):
        assert leave.happened.wait(LONG_S)

    assert leave.codes[0] == os.EX_TEMPFAIL == 75


def test_a_queue_in_trouble_does_not_end_the_process(queue, lease) -> None:
    leave = Exit()
    queue.failures = [StorageUnavailableError("full"), StorageUnavailableError("full")]

    with Heartbeat(queue, lease, lease_s=LEASE_S, stop=Event(), grace_s=LONG_S, exit_process=leave):
        assert queue.third_beat.wait(LONG_S)

    assert leave.codes == []
    assert queue.is_current(lease)


def test_a_superseded_job_does_not_end_the_process(queue, lease) -> None:
    leave = Exit()
    queue.put(NewJob("b", lease.job.subject))

    with Heartbeat(queue, lease, lease_s=LEASE_S, stop=Event(), grace_s=LONG_S, exit_process=leave):
        assert queue.third_beat.wait(LONG_S)

    assert leave.codes == []


def test_a_job_that_takes_too_long_after_a_stop_is_given_back_unharmed(queue, lease) -> None:
    leave, stop = Exit(), Event()
    stop.set()

    with Heartbeat(queue, lease, lease_s=LEASE_S, stop=stop, grace_s=0, exit_process=leave):
        assert leave.happened.wait(LONG_S)

    assert leave.codes == [0]
    job = queue.get("a")
    assert (job.state, job.reason) == (JobState.READY, "stopped")
    # What the killed job had under way outside has some seconds to come to its end.
    assert (job.ready_at - job.updated_at).total_seconds() == 5


def test_a_stop_whose_job_cannot_be_given_back_ends_the_process_all_the_same(queue, lease, monkeypatch) -> None:
    leave, stop = Exit(), Event()
    stop.set()

    def fail(*_arguments, **_options) -> None:
        raise StorageUnavailableError("full")

    monkeypatch.setattr(queue, "later", fail)
    with Heartbeat(queue, lease, lease_s=LEASE_S, stop=stop, grace_s=0, exit_process=leave):
        assert leave.happened.wait(LONG_S)

    assert leave.codes == [0]
    assert queue.get("a").state is JobState.LEASED


def test_a_job_may_finish_after_a_stop_within_the_grace_time(queue, lease) -> None:
    leave, stop = Exit(), Event()
    stop.set()

    with Heartbeat(queue, lease, lease_s=LEASE_S, stop=stop, grace_s=LONG_S, exit_process=leave):
        assert queue.third_beat.wait(LONG_S)
    queue.done(lease, {})

    assert leave.codes == []
    assert queue.get("a").state is JobState.DONE
