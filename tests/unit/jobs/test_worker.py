import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, ClassVar

import pytest
import structlog

from cleanplate.errors import (
    BusyError,
    CertificateError,
    EngineMemoryError,
    LabelStudioAuthError,
    LabelStudioUnreachableError,
    NotAnImageError,
    StorageUnavailableError,
    SupersededError,
    UnacceptedPromptsError,
)
from cleanplate.jobs.job import Job, JobState, Lease, NewJob, Subject
from cleanplate.jobs.sqlite import SqliteQueue
from cleanplate.jobs.worker import Worker

LEASE_S = 60.0
MAX_ATTEMPTS = 3
SUBJECT = Subject("http://label-studio", 1, 20, 30)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(folder, clock) -> SqliteQueue:
    queue = SqliteQueue(folder / "jobs.sqlite3", lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS, clock=clock)
    queue.put(NewJob("a", SUBJECT))
    return queue


@pytest.fixture
def stop() -> Event:
    stop = Event()
    stop.set()  # so that nothing waits
    return stop


def worker(queue: SqliteQueue, handler: Callable[..., Mapping[str, Any]], **options: Any) -> Worker:
    return Worker(queue, handler, lease_s=LEASE_S, **options)


def failing(error: BaseException) -> Callable[..., Mapping[str, Any]]:
    def handle(_lease: Lease, _report: object) -> Mapping[str, Any]:
        raise error

    return handle


def found(queue: SqliteQueue, key: str = "a") -> Job:
    job = queue.get(key)
    assert job is not None
    return job


def test_a_job_is_handled_and_its_result_kept(queue, stop) -> None:
    seen = []

    def handle(lease: Lease, report: Callable[[str], None]) -> Mapping[str, Any]:
        seen.append(lease.job.subject)
        report("fetch")
        report("publish")
        return {"copy": "x"}

    assert worker(queue, handle).work(stop)

    assert seen == [SUBJECT]
    assert (found(queue).state, found(queue).step, found(queue).result) == (JobState.DONE, "publish", {"copy": "x"})


def test_without_a_job_there_is_no_work(queue, stop) -> None:
    idle = worker(queue, lambda _lease, _report: {})

    assert idle.work(stop)
    assert not idle.work(stop)


def test_who_watches_the_steps_sees_each_once_the_queue_knows_it(queue, stop) -> None:
    seen = []

    def handle(_lease: Lease, report: Callable[[str], None]) -> Mapping[str, Any]:
        report("fetch")
        report("plan")
        return {}

    worker(queue, handle, on_step=lambda lease, step: seen.append((lease.job.key, step, found(queue).step))).work(stop)

    assert seen == [("a", "fetch", "fetch"), ("a", "plan", "plan")]


@pytest.mark.parametrize(
    "error",
    [
        LabelStudioUnreachableError("Label Studio answered 502"),
        LabelStudioAuthError("Label Studio answered 401", status=401),
        StorageUnavailableError("No space left on device"),
        BusyError("all places are taken", retry_after_s=1),
    ],
)
def test_a_transient_error_is_tried_again(queue, stop, clock, error) -> None:
    worker(queue, failing(error)).work(stop)

    job = found(queue)
    assert (job.state, job.reason, job.message) == (JobState.READY, error.reason, str(error))
    clock.advance(3)
    assert queue.claim("another") is not None


def test_an_outage_of_hours_kills_no_job(queue, stop, clock) -> None:
    down = worker(queue, failing(LabelStudioUnreachableError("connection refused")))
    while clock.now < datetime(2026, 11, 21, 0, 0, tzinfo=UTC):
        down.work(stop)
        clock.advance(600)

    assert found(queue).attempt > MAX_ATTEMPTS * 10
    worker(queue, lambda _lease, _report: {}).work(stop)
    assert found(queue).state is JobState.DONE


def test_what_fails_for_longer_than_the_patience_is_dead_at_last(queue, stop, clock) -> None:
    down = worker(queue, failing(LabelStudioUnreachableError("connection refused")), patience_s=3600)
    attempts = 0
    while found(queue).state is JobState.READY and attempts < 100:
        attempts += down.work(stop)
        clock.advance(600)

    assert found(queue).state is JobState.DEAD
    assert found(queue).reason == "label_studio_unreachable"
    assert 3600 / 600 <= found(queue).attempt <= 3600 / 600 + MAX_ATTEMPTS


def test_the_wait_grows_with_the_attempts_up_to_ten_minutes(queue, stop, clock, monkeypatch) -> None:
    monkeypatch.setattr("cleanplate.jobs.worker.random.uniform", lambda _low, high: high)
    down = worker(queue, failing(LabelStudioUnreachableError("connection refused")))
    waits = []
    for _ in range(12):
        down.work(stop)
        waits.append((found(queue).ready_at - clock.now).total_seconds())
        clock.advance(600)

    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]


def test_jobs_that_failed_together_come_back_apart(queue, stop, clock) -> None:
    for number in range(15):
        queue.put(NewJob(f"job {number}", Subject("http://label-studio", 1, 20, number + 100)))
    down = worker(queue, failing(LabelStudioUnreachableError("connection refused")))
    for _ in range(16):
        down.work(stop)

    waits = {(job.ready_at - clock.now).total_seconds() for job in queue.jobs()}
    assert len(waits) > 10
    assert min(waits) >= 0
    assert max(waits) <= 2


@pytest.mark.parametrize(("asked_s", "waited_s"), [(120.0, 120.0), (1e12, 3600.0)])
def test_the_other_side_says_how_long_to_wait_within_reason(queue, stop, clock, asked_s, waited_s) -> None:
    worker(queue, failing(LabelStudioUnreachableError("503", retry_after_s=asked_s))).work(stop)

    assert (found(queue).ready_at - clock.now).total_seconds() == waited_s


@pytest.mark.parametrize(
    "error",
    [
        NotAnImageError("these bytes are a PDF"),
        CertificateError("pixels outside the mask differ"),
        EngineMemoryError("no room for 12 MP"),
    ],
)
def test_a_permanent_error_is_the_end_and_says_why(queue, stop, error) -> None:
    worker(queue, failing(error)).work(stop)

    assert (found(queue).state, found(queue).reason, found(queue).message) == (JobState.DEAD, error.reason, str(error))


def test_what_a_person_has_to_look_at_is_not_tried_again(queue, stop, clock) -> None:
    worker(queue, failing(UnacceptedPromptsError("prompts but no accepted mask"))).work(stop)
    clock.advance(LEASE_S * 100)

    assert (found(queue).state, found(queue).reason) == (JobState.ATTENTION, "unaccepted_prompts")
    assert queue.claim("another") is None


def test_a_job_whose_annotation_changed_is_superseded(queue, stop) -> None:
    worker(queue, failing(SupersededError("it was changed"))).work(stop)

    assert (found(queue).state, found(queue).message) == (JobState.SUPERSEDED, "it was changed")


def test_an_annotation_updated_while_its_job_runs_stops_the_job_before_it_publishes(queue, stop) -> None:
    published = []

    def handle(lease: Lease, report: Callable[[str], None]) -> Mapping[str, Any]:
        report("fetch")
        if lease.job.key == "a":
            queue.put(NewJob("b", SUBJECT))
        report("publish")
        published.append(lease.job.key)
        return {}

    both = worker(queue, handle)
    both.work(stop)
    both.work(stop)

    assert published == ["b"]
    assert (found(queue, "a").state, found(queue, "b").state) == (JobState.SUPERSEDED, JobState.DONE)


def test_an_annotation_updated_just_before_its_job_is_done_gets_its_new_job(queue, stop) -> None:
    def handle(lease: Lease, _report: object) -> Mapping[str, Any]:
        if lease.job.key == "a":
            queue.put(NewJob("b", SUBJECT))
        return {"of": lease.job.key}

    both = worker(queue, handle)
    both.work(stop)
    both.work(stop)

    assert (found(queue, "a").state, found(queue, "b").state) == (JobState.SUPERSEDED, JobState.DONE)


def test_an_image_too_large_for_the_memory_is_not_tried_again(queue, stop) -> None:
    worker(queue, failing(MemoryError())).work(stop)

    assert (found(queue).state, found(queue).reason) == (JobState.DEAD, "out_of_memory")


def test_what_nobody_thought_of_is_logged_whole_and_tried_until_the_attempts_are_used_up(queue, stop, clock) -> None:
    broken = worker(queue, failing(KeyError("s3cret")))

    with structlog.testing.capture_logs() as lines:
        for _ in range(MAX_ATTEMPTS):
            broken.work(stop)
            clock.advance(600)

    assert (found(queue).state, found(queue).reason) == (JobState.DEAD, "unexpected")
    assert "KeyError" in found(queue).message
    assert "s3cret" not in found(queue).message
    errors = [line for line in lines if line["log_level"] == "error"]
    assert len(errors) == MAX_ATTEMPTS
    assert all(isinstance(line["exc_info"], KeyError) for line in errors)


@pytest.mark.parametrize("result", [{"score": float("nan")}, {"when": datetime(2026, 11, 20, tzinfo=UTC)}])
def test_a_result_that_is_no_json_fails_the_job_and_not_the_worker(queue, stop, result) -> None:
    worker(queue, lambda _lease, _report: result).work(stop)

    assert (found(queue).state, found(queue).reason) == (JobState.READY, "unexpected")


def test_a_worker_that_lost_its_job_leaves_it_to_the_other(queue, stop, clock) -> None:
    def handle(_lease: Lease, report: Callable[[str], None]) -> Mapping[str, Any]:
        clock.advance(LEASE_S + 1)
        queue.claim("another")
        report("publish")
        raise AssertionError("it went on")

    with structlog.testing.capture_logs() as lines:
        worker(queue, handle).work(stop)

    assert (found(queue).state, found(queue).attempt, found(queue).step) == (JobState.LEASED, 2, "")
    assert [line["event"] for line in lines] == ["job starts", "a job was taken away"]


def test_a_worker_that_lost_its_job_at_the_last_moment_does_not_end_it(queue, stop, clock) -> None:
    def handle(_lease: Lease, _report: object) -> Mapping[str, Any]:
        clock.advance(LEASE_S + 1)
        queue.claim("another")
        return {}

    worker(queue, handle).work(stop)

    assert (found(queue).state, found(queue).attempt) == (JobState.LEASED, 2)


class FailingQueue(SqliteQueue):
    """Cannot be written to in the methods it is told."""

    broken: ClassVar[set[str]] = set()

    def claim(self, owner: str) -> Lease | None:
        self._fail("claim")
        return super().claim(owner)

    def done(self, lease: Lease, result: Mapping[str, Any]) -> None:
        self._fail("done")
        super().done(lease, result)

    def later(self, lease: Lease, *, reason: str, message: str, delay_s: float, counts: bool = True) -> None:
        self._fail("later")
        super().later(lease, reason=reason, message=message, delay_s=delay_s, counts=counts)

    def _fail(self, method: str) -> None:
        if method in self.broken:
            raise StorageUnavailableError("jobs.sqlite3 cannot be used now: disk full")


@pytest.mark.parametrize("broken", [{"claim"}, {"done", "later"}])
def test_a_queue_that_cannot_be_used_for_a_while_loses_nothing(folder, clock, stop, monkeypatch, broken) -> None:
    queue = FailingQueue(folder / "failing.sqlite3", lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS, clock=clock)
    queue.put(NewJob("a", SUBJECT))
    sound = worker(queue, lambda _lease, _report: {})
    monkeypatch.setattr(FailingQueue, "broken", broken)
    sound.work(stop)
    monkeypatch.setattr(FailingQueue, "broken", set())
    clock.advance(LEASE_S + 1)
    sound.work(stop)

    assert found(queue).state is JobState.DONE


class Naps(Event):
    """Takes the place of time for a worker that has nothing to do, and ends it after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths_s: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.lengths_s.append(timeout)
        if len(self.lengths_s) == 3:
            self.set()
        return self.is_set()


def test_an_idle_worker_looks_for_a_job_five_times_a_second(queue) -> None:
    naps = Naps()

    worker(queue, lambda _lease, _report: {}).run(naps)

    assert naps.lengths_s == [0.2, 0.2, 0.2]
    assert found(queue).state is JobState.DONE


def test_a_worker_with_work_does_not_rest_between_jobs(queue) -> None:
    for number in range(5):
        queue.put(NewJob(f"job {number}", Subject("http://label-studio", 1, 20, number + 100)))
    naps = Naps()

    worker(queue, lambda _lease, _report: {}).run(naps)

    assert len(naps.lengths_s) == 3
    assert queue.counts()[JobState.DONE] == 6


def test_a_stopped_worker_finishes_its_job_and_starts_no_other(queue) -> None:
    queue.put(NewJob("b", Subject("http://label-studio", 1, 20, 31)))
    stop = Event()

    def handle(_lease: Lease, _report: object) -> Mapping[str, Any]:
        stop.set()
        return {}

    worker(queue, handle).run(stop)

    assert (found(queue, "a").state, found(queue, "b").state) == (JobState.DONE, JobState.READY)


PROGRAM = """
import signal, sys
from threading import Event
from cleanplate.jobs.worker import stop_on_signals

stop = Event()
stop_on_signals(stop)
print("waiting", flush=True)
stop.wait()
print("told to stop", flush=True)
Event().wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_to_stop_and_the_second_ends_the_process(number) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        assert process.stdout.readline() == "told to stop\n"
        process.send_signal(number)
        assert process.wait(10) == -number
    finally:
        process.kill()
        process.communicate()


def test_every_log_line_of_a_job_names_it_and_none_names_the_label_studio(queue, stop) -> None:
    log = structlog.get_logger()

    def handle(_lease: Lease, _report: object) -> Mapping[str, Any]:
        log.info("inside")
        return {}

    processors = [structlog.contextvars.merge_contextvars]
    with structlog.testing.capture_logs(processors=processors) as lines:
        worker(queue, handle).work(stop)

    assert [line["event"] for line in lines] == ["job starts", "inside", "job done"]
    assert {(line["job"], line["attempt"], line["task"], line["annotation"]) for line in lines} == {("a", 1, 20, 30)}
    assert "http" not in json.dumps(lines)
