"""What every queue promises. A new queue gets a rig here, and no other test."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

import pytest

from cleanplate.errors import JobError, LeaseLostError, SupersededError
from cleanplate.jobs.job import JobState, Lease, NewJob, Subject
from cleanplate.jobs.queue import Hint, Queue
from cleanplate.jobs.sqlite import SqliteQueue

LEASE_S: Final = 60.0
MAX_ATTEMPTS: Final = 3
SOON_S: Final = 1.0
MEMORY: Final = Path("/dev/shm")  # noqa: S108  (a folder of its own is made in it)


class Rig(Protocol):
    """One queue, how to open it once more as another process would, and how to let time go by."""

    queue: Queue

    def another(self) -> Queue: ...

    def wait(self, seconds: float) -> None: ...


class SqliteRig:
    def __init__(self, folder: Path) -> None:
        self.now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
        self.path = folder / "jobs.sqlite3"
        self.queue = self.another()

    def another(self) -> Queue:
        return SqliteQueue(self.path, lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS, clock=lambda: self.now)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


RIGS: Final[dict[str, Callable[[Path], Rig]]] = {"sqlite": SqliteRig}


@pytest.fixture(params=sorted(RIGS))
def rig(request, tmp_path) -> Iterator[Rig]:
    # In memory if there is such a place: every commit goes to the disk, and a busy disk takes its time.
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as folder:
        yield RIGS[request.param](Path(folder))


@pytest.fixture
def queue(rig) -> Queue:
    return rig.queue


def subject(annotation_id: int = 30, *, task_id: int = 20, project_id: int = 1) -> Subject:
    return Subject("http://label-studio", project_id, task_id, annotation_id)


def job(key: str, of: Subject | None = None) -> NewJob:
    return NewJob(key, of or subject())


def claimed(queue: Queue, owner: str = "worker") -> Lease:
    lease = queue.claim(owner)
    assert lease is not None
    return lease


def state(queue: Queue, key: str) -> JobState:
    found = queue.get(key)
    assert found is not None
    return found.state


# Putting


def test_a_new_job_is_ready_and_has_not_been_started(queue) -> None:
    assert queue.put(job("a"))

    found = queue.get("a")
    assert (found.key, found.subject, found.state, found.attempt, found.step, found.result) == (
        "a",
        subject(),
        JobState.READY,
        0,
        "",
        {},
    )
    assert found.created_at == found.updated_at == found.ready_at
    assert found.created_at.tzinfo is not None


def test_the_same_job_put_twice_is_one(queue) -> None:
    assert queue.put(job("a"))
    assert not queue.put(job("a"))

    assert queue.counts()[JobState.READY] == 1


@pytest.mark.parametrize("end", [JobState.DONE, JobState.DEAD, JobState.ATTENTION])
def test_a_job_that_ended_is_not_done_again_because_it_is_put_again(queue, end) -> None:
    queue.put(job("a"))
    lease = claimed(queue)
    if end is JobState.DONE:
        queue.done(lease, {})
    else:
        queue.end(lease, end, reason="why", message="words")

    assert not queue.put(job("a"))

    assert state(queue, "a") is end
    assert queue.claim("worker") is None


def test_a_thousand_puts_of_one_job_from_many_threads_are_one(rig) -> None:
    queues = [rig.another() for _ in range(4)]

    with ThreadPoolExecutor(16) as threads:
        new = list(threads.map(lambda n: queues[n % 4].put(job("a")), range(1000)))

    assert new.count(True) == 1
    assert rig.queue.counts()[JobState.READY] == 1


def test_a_queue_opened_again_still_has_its_jobs(rig) -> None:
    rig.queue.put(job("a"))

    assert rig.another().get("a") == rig.queue.get("a")


# Superseding


def test_a_newer_job_of_the_annotation_supersedes_one_that_waits(queue) -> None:
    queue.put(job("a"))
    queue.put(job("b"))

    assert state(queue, "a") is JobState.SUPERSEDED
    assert claimed(queue).job.key == "b"
    assert queue.claim("worker") is None


@pytest.mark.parametrize("end", [JobState.DEAD, JobState.ATTENTION])
def test_a_newer_job_supersedes_one_that_ended_badly(queue, end) -> None:
    queue.put(job("a"))
    queue.end(claimed(queue), end, reason="why", message="words")
    queue.put(job("b"))

    assert state(queue, "a") is JobState.SUPERSEDED


def test_a_newer_job_leaves_a_done_one_done(queue) -> None:
    queue.put(job("a"))
    queue.done(claimed(queue), {"copy": "x"})
    queue.put(job("b"))

    assert state(queue, "a") is JobState.DONE
    assert queue.get("a").result == {"copy": "x"}


def test_jobs_of_other_annotations_are_left_alone(queue) -> None:
    for number, of in enumerate([subject(31), subject(30, task_id=21), subject(30, project_id=2)]):
        queue.put(job(f"other {number}", of))
    queue.put(job("a"))
    queue.put(job("b"))

    assert queue.counts()[JobState.READY] == 4
    assert queue.counts()[JobState.SUPERSEDED] == 1


def test_a_running_job_that_is_superseded_is_told_so_and_cannot_end_well(queue) -> None:
    queue.put(job("a"))
    lease = claimed(queue)
    queue.put(job("b"))

    assert not queue.is_current(lease)
    queue.extend(lease)  # the lease is still its worker's
    with pytest.raises(SupersededError):
        queue.report(lease, "publish")
    with pytest.raises(SupersededError):
        queue.done(lease, {})
    queue.end(lease, JobState.DEAD, reason="why", message="words")
    assert state(queue, "a") is JobState.SUPERSEDED


def test_a_newer_job_waits_until_the_superseded_one_is_out_of_its_workers_hands(queue) -> None:
    queue.put(job("a"))
    lease = claimed(queue, "first")
    queue.put(job("b"))

    assert queue.claim("second") is None
    queue.end(lease, JobState.SUPERSEDED, reason="superseded", message="")
    assert claimed(queue, "second").job.key == "b"


def test_a_newer_job_waits_no_longer_than_the_lease_of_a_killed_worker(rig) -> None:
    rig.queue.put(job("a"))
    claimed(rig.queue, "killed")
    rig.queue.put(job("b"))
    rig.wait(LEASE_S + SOON_S)

    assert claimed(rig.queue, "second").job.key == "b"
    assert state(rig.queue, "a") is JobState.SUPERSEDED


def test_an_annotation_that_goes_back_to_what_it_was_gets_that_copy_again(queue) -> None:
    queue.put(job("a"))
    queue.done(claimed(queue), {})
    queue.put(job("b"))
    queue.done(claimed(queue), {})

    assert queue.put(job("a"))
    assert claimed(queue).job.key == "a"
    assert state(queue, "b") is JobState.DONE


def test_a_superseded_job_is_held_until_its_worker_gives_it_back_or_its_lease_runs_out(rig, queue) -> None:
    queue.put(job("a"))
    assert not queue.get("a").held
    lease = claimed(queue)
    queue.put(job("b"))
    assert (state(queue, "a"), queue.get("a").held) == (JobState.SUPERSEDED, True)
    queue.end(lease, JobState.SUPERSEDED, reason="superseded", message="")
    assert not queue.get("a").held

    claimed(queue)
    queue.put(job("c"))
    assert (state(queue, "b"), queue.get("b").held) == (JobState.SUPERSEDED, True)
    rig.wait(LEASE_S + SOON_S)
    claimed(queue)
    assert not queue.get("b").held


def test_a_superseded_job_that_is_put_again_is_the_current_one(queue) -> None:
    queue.put(job("a"))
    queue.put(job("b"))

    assert queue.put(job("a"))
    assert state(queue, "b") is JobState.SUPERSEDED
    assert claimed(queue).job.key == "a"


def test_a_superseded_job_that_comes_back_in_time_stays_with_its_worker(queue) -> None:
    queue.put(job("a"))
    lease = claimed(queue, "first")
    queue.put(job("b"))
    queue.put(job("a"))

    assert queue.claim("second") is None
    assert queue.is_current(lease)
    queue.done(lease, {})
    assert state(queue, "a") is JobState.DONE
    assert state(queue, "b") is JobState.SUPERSEDED


# Leasing


def test_nothing_to_do_is_none(queue) -> None:
    assert queue.claim("worker") is None


def test_a_job_is_leased_to_one_worker(queue) -> None:
    queue.put(job("a"))
    lease = claimed(queue, "first")

    assert (lease.owner, lease.job.key, lease.job.state, lease.job.attempt) == ("first", "a", JobState.LEASED, 1)
    assert queue.claim("second") is None


def test_workers_that_claim_at_once_never_get_the_same_job(rig) -> None:
    for number in range(40):
        rig.queue.put(job(f"job {number}", subject(number)))
    queues = [rig.another() for _ in range(4)]

    with ThreadPoolExecutor(8) as threads:
        leases = list(threads.map(lambda n: claimed(queues[n % 4], f"worker {n}"), range(40)))

    assert len({lease.job.key for lease in leases}) == 40


def test_the_job_that_was_ready_first_is_leased_first(rig) -> None:
    for number in range(3):
        rig.queue.put(job(f"job {number}", subject(number)))
        rig.wait(SOON_S)

    assert [claimed(rig.queue).job.key for _ in range(3)] == ["job 0", "job 1", "job 2"]


def test_a_lease_that_is_extended_is_not_given_away(rig) -> None:
    rig.queue.put(job("a"))
    lease = claimed(rig.queue)
    for _ in range(5):
        rig.wait(LEASE_S * 0.8)
        rig.queue.extend(lease)

    assert rig.another().claim("second") is None
    assert rig.queue.is_current(lease)


def test_a_lease_that_ran_out_is_given_to_another_worker_as_the_next_attempt(rig) -> None:
    rig.queue.put(job("a"))
    claimed(rig.queue, "first")
    rig.wait(LEASE_S + SOON_S)

    lease = claimed(rig.another(), "second")

    assert (lease.owner, lease.job.attempt) == ("second", 2)
    assert lease.job.reason == "lease_expired"


def test_who_lost_a_lease_can_do_nothing_to_the_job(rig) -> None:
    rig.queue.put(job("a"))
    lost = claimed(rig.queue, "first")
    rig.wait(LEASE_S + SOON_S)
    held = claimed(rig.another(), "second")

    assert not rig.queue.is_current(lost)
    attempts: list[Callable[[], None]] = [
        lambda: rig.queue.extend(lost),
        lambda: rig.queue.report(lost, "publish"),
        lambda: rig.queue.done(lost, {}),
        lambda: rig.queue.later(lost, reason="r", message="m", delay_s=0),
        lambda: rig.queue.end(lost, JobState.DEAD, reason="r", message="m"),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLostError):
            attempt()
    assert rig.queue.is_current(held)


def test_a_worker_of_the_same_name_does_not_inherit_the_lease(rig) -> None:
    rig.queue.put(job("a"))
    lost = claimed(rig.queue, "worker")
    rig.wait(LEASE_S + SOON_S)
    claimed(rig.queue, "worker")

    with pytest.raises(LeaseLostError):
        rig.queue.done(lost, {})


def test_a_late_worker_keeps_a_job_that_nobody_else_took(rig) -> None:
    rig.queue.put(job("a"))
    lease = claimed(rig.queue)
    rig.wait(LEASE_S * 10)

    rig.queue.extend(lease)
    rig.queue.done(lease, {})
    assert state(rig.queue, "a") is JobState.DONE


def test_a_job_whose_lease_runs_out_every_time_is_dead_after_the_last_attempt(rig) -> None:
    rig.queue.put(job("poison"))
    for _ in range(MAX_ATTEMPTS):
        claimed(rig.queue)
        rig.wait(LEASE_S + SOON_S)

    assert rig.queue.claim("worker") is None
    found = rig.queue.get("poison")
    assert (found.state, found.attempt, found.reason) == (JobState.DEAD, MAX_ATTEMPTS, "lease_expired")


def test_a_job_whose_lease_ran_out_goes_behind_those_that_wait(rig) -> None:
    rig.queue.put(job("poison"))
    claimed(rig.queue)
    rig.queue.put(job("sound", subject(31)))
    rig.wait(LEASE_S + SOON_S)

    assert claimed(rig.queue).job.key == "sound"


# Reporting and ending


def test_the_step_that_is_reported_is_shown(queue) -> None:
    queue.put(job("a"))
    queue.report(claimed(queue), "fetch")

    assert queue.get("a").step == "fetch"


def test_a_done_job_keeps_its_result_and_is_not_leased_again(rig) -> None:
    rig.queue.put(job("a"))
    rig.queue.done(claimed(rig.queue), {"copy": {"id": 7, "notes": ["ü", None, 0.5]}})
    rig.wait(LEASE_S * 10)

    assert rig.queue.get("a").result == {"copy": {"id": 7, "notes": ["ü", None, 0.5]}}
    assert rig.queue.claim("worker") is None


def test_a_job_is_done_once(queue) -> None:
    queue.put(job("a"))
    lease = claimed(queue)
    queue.done(lease, {"first": True})

    with pytest.raises(LeaseLostError):
        queue.done(lease, {"first": False})
    assert queue.get("a").result == {"first": True}


def test_a_job_given_back_is_started_again_after_its_delay_and_not_before(rig) -> None:
    rig.queue.put(job("a"))
    rig.queue.later(claimed(rig.queue), reason="busy", message="ask again", delay_s=30)

    assert rig.queue.claim("worker") is None
    rig.wait(29)
    assert rig.queue.claim("worker") is None
    rig.wait(2)
    lease = claimed(rig.queue)
    assert (lease.job.attempt, lease.job.reason, lease.job.message) == (2, "busy", "ask again")


def test_a_job_given_back_on_its_last_attempt_is_dead_and_says_why(queue) -> None:
    queue.put(job("a"))
    for _ in range(MAX_ATTEMPTS):
        queue.later(claimed(queue), reason="busy", message="ask again", delay_s=0)

    assert queue.claim("worker") is None
    found = queue.get("a")
    assert (found.state, found.reason, found.message) == (JobState.DEAD, "busy", "ask again")


def test_attempts_that_do_not_count_never_kill_a_job(queue) -> None:
    queue.put(job("a"))
    for _ in range(MAX_ATTEMPTS * 3):
        queue.later(claimed(queue), reason="busy", message="ask again", delay_s=0, counts=False)
    for _ in range(MAX_ATTEMPTS - 1):
        queue.later(claimed(queue), reason="busy", message="ask again", delay_s=0)

    assert state(queue, "a") is JobState.READY


@pytest.mark.parametrize("end", [JobState.DEAD, JobState.ATTENTION, JobState.SUPERSEDED, JobState.CANCELLED])
def test_a_job_ends_as_it_is_told_and_says_why(rig, end) -> None:
    rig.queue.put(job("a"))
    rig.queue.end(claimed(rig.queue), end, reason="bad_image", message="it is a PDF")
    rig.wait(LEASE_S * 10)

    found = rig.queue.get("a")
    assert (found.state, found.reason, found.message) == (end, "bad_image", "it is a PDF")
    assert rig.queue.claim("worker") is None


@pytest.mark.parametrize("state", [JobState.READY, JobState.LEASED, JobState.DONE])
def test_what_is_no_bad_end_cannot_be_given_as_one(queue, state) -> None:
    queue.put(job("a"))
    lease = claimed(queue)

    with pytest.raises(ValueError, match="does not end"):
        queue.end(lease, state, reason="r", message="m")
    assert queue.is_current(lease)


@pytest.mark.parametrize("words", ["\ud800 half a character", "nul \0 inside", "x" * 100_000, "🚗"])
def test_any_words_an_error_has_can_be_kept(queue, words) -> None:
    queue.put(job("a"))
    queue.end(claimed(queue), JobState.DEAD, reason="r", message=words)

    assert queue.get("a").message[:4] == words.replace("\ud800", "?")[:4]


# Cancelling and retrying


def test_cancelling_an_annotation_ends_its_unfinished_jobs_only(queue) -> None:
    queue.put(job("done"))
    queue.done(claimed(queue), {})
    queue.put(job("ready"))
    queue.put(job("other", subject(31)))

    assert queue.cancel(subject()) == 1
    assert queue.cancel(subject()) == 0
    assert [state(queue, key) for key in ("done", "ready", "other")] == [
        JobState.DONE,
        JobState.CANCELLED,
        JobState.READY,
    ]


def test_cancelling_an_annotation_nobody_knows_is_nothing(queue) -> None:
    assert queue.cancel(subject()) == 0


@pytest.mark.parametrize("end", [JobState.DEAD, JobState.ATTENTION])
def test_nobody_has_to_look_at_the_jobs_of_an_annotation_that_is_gone(queue, end) -> None:
    queue.put(job("a"))
    queue.end(claimed(queue), end, reason="r", message="m")

    assert queue.cancel(subject()) == 1
    assert state(queue, "a") is JobState.CANCELLED


def test_a_running_job_that_is_cancelled_is_told_so_and_stays_cancelled(queue) -> None:
    queue.put(job("a"))
    lease = claimed(queue)
    queue.cancel(subject())

    assert not queue.is_current(lease)
    queue.extend(lease)
    with pytest.raises(SupersededError, match="gone"):
        queue.report(lease, "publish")
    queue.later(lease, reason="busy", message="ask again", delay_s=0)
    assert state(queue, "a") is JobState.CANCELLED
    assert queue.claim("worker") is None


def test_a_cancelled_job_whose_annotation_is_there_after_all_is_queued_again(queue) -> None:
    queue.put(job("a"))
    queue.cancel(subject())

    assert queue.put(job("a"))
    assert claimed(queue).job.key == "a"


@pytest.mark.parametrize("end", [JobState.DEAD, JobState.ATTENTION, JobState.SUPERSEDED, JobState.CANCELLED])
def test_a_job_that_is_retried_has_all_its_attempts_again(queue, end) -> None:
    queue.put(job("a"))
    queue.end(claimed(queue), end, reason="r", message="m")

    retried = queue.retry("a")

    assert (retried.state, retried.reason, retried.message) == (JobState.READY, "", "")
    for _ in range(MAX_ATTEMPTS - 1):
        queue.later(claimed(queue), reason="r", message="m", delay_s=0)
    assert state(queue, "a") is JobState.READY


def test_a_job_that_is_done_can_be_done_again(queue) -> None:
    queue.put(job("a"))
    queue.done(claimed(queue), {})
    queue.retry("a")

    assert claimed(queue).job.key == "a"


def test_a_lease_from_before_a_retry_stays_void(rig) -> None:
    rig.queue.put(job("a"))
    lost = claimed(rig.queue, "worker")
    for _ in range(MAX_ATTEMPTS - 1):
        rig.wait(LEASE_S + SOON_S)
        claimed(rig.queue, "worker")
    rig.wait(LEASE_S + SOON_S)
    assert rig.queue.claim("worker") is None
    rig.queue.retry("a")
    claimed(rig.queue, "worker")

    with pytest.raises(LeaseLostError):
        rig.queue.done(lost, {})


def test_what_cannot_be_retried_is_refused_with_the_reason(queue) -> None:
    queue.put(job("old"))
    queue.put(job("new"))

    with pytest.raises(JobError, match="no job missing"):
        queue.retry("missing")
    with pytest.raises(JobError, match="ready already"):
        queue.retry("new")
    with pytest.raises(JobError, match="newer job new"):
        queue.retry("old")
    claimed(queue)
    with pytest.raises(JobError, match="leased already"):
        queue.retry("new")


# Looking


def test_a_job_is_found_by_the_beginning_of_its_key_if_only_one_has_it(queue) -> None:
    for number, key in enumerate(["ab12", "ab34", "ab3", "cd%_"]):
        queue.put(job(key, subject(number)))

    assert queue.get("ab1").key == "ab12"
    assert queue.get("ab3").key == "ab3"
    assert queue.get("cd").key == "cd%_"
    assert [queue.get(key) for key in ("ab", "%", "b", "", "ab12x")] == [None] * 5


def test_jobs_are_listed_the_last_changed_first(rig) -> None:
    for number in range(4):
        rig.queue.put(job(f"job {number}", subject(number, project_id=number % 2)))
        rig.wait(SOON_S)
    rig.queue.done(claimed(rig.queue), {})

    listed = [found.key for found in rig.queue.jobs()]

    assert listed == ["job 0", "job 3", "job 2", "job 1"]
    assert [found.key for found in rig.queue.jobs(limit=2)] == ["job 0", "job 3"]
    assert [found.key for found in rig.queue.jobs(project_id=1)] == ["job 3", "job 1"]
    assert [found.key for found in rig.queue.jobs(state=JobState.READY, project_id=0)] == ["job 2"]


def test_counts_name_every_state(queue) -> None:
    assert queue.counts() == dict.fromkeys(JobState, 0)
    queue.put(job("a"))
    queue.put(job("b"))
    claimed(queue)

    assert queue.counts() == dict.fromkeys(JobState, 0) | {JobState.LEASED: 1, JobState.SUPERSEDED: 1}


def test_subjects_are_those_with_unfinished_jobs(queue) -> None:
    for annotation_id in (1, 2, 3, 4):
        queue.put(job(f"job {annotation_id}", subject(annotation_id, task_id=annotation_id // 2)))
    queue.put(job("elsewhere", subject(9, project_id=2)))
    queue.done(claimed(queue), {})  # of annotation 1
    queue.end(claimed(queue), JobState.ATTENTION, reason="r", message="m")  # of annotation 2
    queue.end(claimed(queue), JobState.SUPERSEDED, reason="r", message="m")  # of annotation 3

    assert queue.subjects(project_id=1) == [subject(2, task_id=1), subject(4, task_id=2)]
    assert queue.subjects(project_id=1, task_id=2) == [subject(4, task_id=2)]
    assert queue.subjects(project_id=1, annotation_id=2) == [subject(2, task_id=1)]
    assert queue.subjects(project_id=3) == []


def test_two_jobs_of_one_subject_are_one_subject(rig) -> None:
    rig.queue.put(job("a"))
    claimed(rig.queue)
    rig.queue.put(job("b"))

    assert rig.queue.subjects(project_id=1) == [subject()]


# Hints


def test_a_hint_is_kept_until_it_is_resolved(rig) -> None:
    rig.queue.hint(1, 20)

    [hint] = rig.another().hints()
    assert (hint.project_id, hint.task_id) == (1, 20)
    assert hint.received_at.tzinfo is not None
    rig.queue.resolve([hint])
    assert rig.another().hints() == []


def test_a_thousand_hints_at_once_about_one_task_are_one(rig) -> None:
    queues = [rig.another() for _ in range(4)]

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda n: queues[n % 4].hint(1, 20), range(1000)))

    assert [(hint.project_id, hint.task_id) for hint in rig.queue.hints()] == [(1, 20)]


def test_hints_about_a_project_and_about_its_tasks_are_different(queue) -> None:
    for project_id, task_id in [(1, None), (1, 20), (2, 20), (1, None)]:
        queue.hint(project_id, task_id)

    assert {(hint.project_id, hint.task_id) for hint in queue.hints()} == {(1, None), (1, 20), (2, 20)}


def test_the_oldest_hints_come_first(rig) -> None:
    for task_id in (3, 1, 2):
        rig.queue.hint(1, task_id)
        rig.wait(SOON_S)

    assert [hint.task_id for hint in rig.queue.hints(limit=2)] == [3, 1]


@pytest.mark.parametrize("pause_s", [0, SOON_S])
@pytest.mark.parametrize("task_id", [20, None])
def test_a_hint_that_came_in_again_while_it_was_looked_into_stays(rig, pause_s, task_id) -> None:
    rig.queue.hint(1, task_id)
    seen = rig.queue.hints()
    rig.wait(pause_s)
    rig.queue.hint(1, task_id)
    rig.queue.resolve(seen)

    assert [hint.task_id for hint in rig.queue.hints()] == [task_id]


def test_resolving_what_is_not_there_is_nothing(queue) -> None:
    queue.hint(1, 20)
    [hint] = queue.hints()

    queue.resolve([Hint(1, 21, hint.received_at), Hint(2, 20, hint.received_at)])
    queue.resolve([])

    assert queue.hints() == [hint]


# The sweep's notes


def test_the_watermark_is_exact_and_never_goes_back(queue) -> None:
    late = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)

    assert queue.watermark(1) is None
    queue.set_watermark(1, late)
    queue.set_watermark(1, late - timedelta(hours=1))

    assert queue.watermark(1) == late
    assert queue.watermark(2) is None
    queue.set_watermark(1, late + timedelta(microseconds=1))
    assert queue.watermark(1) == late + timedelta(microseconds=1)


def test_a_full_sweep_is_due_at_first_and_then_every_so_often(rig) -> None:
    assert rig.queue.full_sweep_due(1, every_s=100)
    rig.queue.note_full_sweep(1)
    rig.queue.set_watermark(1, datetime(2026, 11, 20, tzinfo=UTC))

    assert not rig.another().full_sweep_due(1, every_s=100)
    assert rig.queue.full_sweep_due(2, every_s=100)
    rig.wait(101)
    assert rig.queue.full_sweep_due(1, every_s=100)


def test_a_watermark_alone_is_no_full_sweep(queue) -> None:
    queue.set_watermark(1, datetime(2026, 11, 20, tzinfo=UTC))

    assert queue.full_sweep_due(1, every_s=100)


def test_there_is_one_leader_until_it_is_silent_for_too_long_or_gives_up(rig) -> None:
    first, second = rig.queue, rig.another()

    assert first.lead("first", for_s=10)
    assert not second.lead("second", for_s=10)
    rig.wait(9)
    assert first.lead("first", for_s=10)
    rig.wait(9)
    assert not second.lead("second", for_s=10)
    rig.wait(2)
    assert second.lead("second", for_s=10)
    assert not first.lead("first", for_s=10)
    second.lead("second", for_s=0)
    assert first.lead("first", for_s=10)


def test_whether_anyone_leads_is_told_to_everyone(rig) -> None:
    assert not rig.queue.has_leader()

    rig.another().lead("first", for_s=10)

    assert rig.queue.has_leader()
    rig.wait(11)
    assert not rig.queue.has_leader()


def test_projects_that_were_swept_are_known(queue) -> None:
    assert queue.swept_projects() == []

    queue.note_full_sweep(7)
    queue.set_watermark(3, datetime(2026, 11, 20, tzinfo=UTC))

    assert queue.swept_projects() == [3, 7]


def test_the_longest_wait_is_that_of_the_job_that_was_ready_first(rig) -> None:
    assert rig.queue.oldest_ready_at() is None

    rig.queue.put(job("a"))
    first_at = rig.queue.oldest_ready_at()
    rig.wait(5)
    rig.queue.put(job("b", subject(31)))

    assert rig.queue.oldest_ready_at() == first_at
    claimed(rig.queue)
    assert rig.queue.oldest_ready_at() == first_at + timedelta(seconds=5)


def test_a_job_that_has_to_wait_before_it_is_tried_again_is_not_late(rig) -> None:
    rig.queue.put(job("a"))
    rig.queue.later(claimed(rig.queue), reason="busy", message="ask again", delay_s=30)

    assert rig.queue.oldest_ready_at() is None
    rig.wait(31)
    assert rig.queue.oldest_ready_at() == rig.queue.get("a").ready_at
