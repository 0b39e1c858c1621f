"""Whatever is asked of a queue, in whatever order and by however many, it answers like a simple model of it."""

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from cleanplate.errors import JobError, LeaseLostError, SupersededError
from cleanplate.jobs.job import JobState, Lease, NewJob, Subject
from cleanplate.jobs.sqlite import SqliteQueue

LEASE_S = 60
MAX_ATTEMPTS = 3
SUBJECTS = [Subject("http://label-studio", 1, 20, annotation_id) for annotation_id in (1, 2)]
JOBS = [NewJob(f"{of.annotation_id}{version}", of) for of in SUBJECTS for version in "abc"]
MEMORY = Path("/dev/shm")  # noqa: S108  (a folder of its own is made in it)

UNFINISHED = {JobState.READY, JobState.LEASED, JobState.DEAD, JobState.ATTENTION}
ENDS = [JobState.DEAD, JobState.ATTENTION, JobState.SUPERSEDED, JobState.CANCELLED]


@dataclass(frozen=True)
class Known:
    """What the model knows of a job."""

    subject: Subject
    turn: int
    state: JobState
    ready_at: datetime
    attempt: int = 0
    left: int = MAX_ATTEMPTS
    held_until: datetime | None = None


class Histories(RuleBasedStateMachine):
    leases: ClassVar[Bundle[Lease]] = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.now = datetime(2026, 11, 20, tzinfo=UTC)
        self.queues = [self.opened(), self.opened()]
        self.jobs: dict[str, Known] = {}
        self.turns = 0

    def opened(self) -> SqliteQueue:
        path = self.folder / "jobs.sqlite3"
        return SqliteQueue(path, lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS, clock=lambda: self.now)

    def teardown(self) -> None:
        for queue in self.queues:
            queue.close()
        shutil.rmtree(self.folder)

    # What may happen

    @rule(queue=st.sampled_from([0, 1]), job=st.sampled_from(JOBS))
    def put(self, queue: int, job: NewJob) -> None:
        known = self.jobs.get(job.key)
        latest = max((other.turn for other in self.jobs.values() if other.subject == job.subject), default=0)
        new = known is None or known.turn < latest or known.state in {JobState.SUPERSEDED, JobState.CANCELLED}

        assert self.queues[queue].put(job) == new
        if new:
            self.requeue(job.key, job.subject)

    @rule(target=leases, queue=st.sampled_from([0, 1]), owner=st.sampled_from(["first", "second"]))
    def claim(self, queue: int, owner: str) -> object:
        for key, job in self.jobs.items():
            if job.held_until is not None and job.held_until <= self.now:
                self.jobs[key] = self.expired(job)
        held = {job.subject for job in self.jobs.values() if job.held_until is not None}
        ready = [
            (job.ready_at, job.turn, key)
            for key, job in self.jobs.items()
            if job.state is JobState.READY and job.ready_at <= self.now and job.subject not in held
        ]

        lease = self.queues[queue].claim(owner)

        assert (lease and lease.job.key) == (min(ready)[2] if ready else None)
        if lease is None:
            return multiple()
        job = self.jobs[lease.job.key]
        until = self.now + timedelta(seconds=LEASE_S)
        attempt, left = job.attempt + 1, job.left - 1
        leased = replace(job, state=JobState.LEASED, attempt=attempt, left=left, held_until=until)
        self.jobs[lease.job.key] = leased
        assert lease.job.attempt == leased.attempt
        return lease

    @rule(queue=st.sampled_from([0, 1]), lease=leases)
    def extend(self, queue: int, lease: Lease) -> None:
        if self.refused(lease, lambda: self.queues[queue].extend(lease)):
            return
        until = self.now + timedelta(seconds=LEASE_S)
        self.jobs[lease.job.key] = replace(self.jobs[lease.job.key], held_until=until)

    @rule(lease=leases)
    def done(self, lease: Lease) -> None:
        if self.refused(lease, lambda: self.queues[0].done(lease, {}), unless_wanted=True):
            return
        self.jobs[lease.job.key] = replace(self.jobs[lease.job.key], state=JobState.DONE, held_until=None)

    @rule(lease=leases, delay_s=st.sampled_from([0, 30]), counts=st.booleans())
    def later(self, lease: Lease, delay_s: int, counts: bool) -> None:  # noqa: FBT001  (hypothesis passes it by name)
        def give_back() -> None:
            self.queues[0].later(lease, reason="r", message="m", delay_s=delay_s, counts=counts)

        if self.refused(lease, give_back):
            return
        job = replace(self.jobs[lease.job.key], held_until=None)
        if job.state is JobState.LEASED:
            left = job.left + (not counts)
            state = JobState.READY if left > 0 else JobState.DEAD
            job = replace(job, state=state, left=left, ready_at=self.now + timedelta(seconds=delay_s))
        self.jobs[lease.job.key] = job

    @rule(lease=consumes(leases), state=st.sampled_from(ENDS))
    def end(self, lease: Lease, state: JobState) -> None:
        if self.refused(lease, lambda: self.queues[0].end(lease, state, reason="r", message="m")):
            return
        job = self.jobs[lease.job.key]
        ended = state if job.state is JobState.LEASED else job.state
        self.jobs[lease.job.key] = replace(job, state=ended, held_until=None)

    @rule(subject=st.sampled_from(SUBJECTS))
    def cancel(self, subject: Subject) -> None:
        hit = [key for key, job in self.jobs.items() if job.subject == subject and job.state in UNFINISHED]

        assert self.queues[1].cancel(subject) == len(hit)
        for key in hit:
            self.jobs[key] = replace(self.jobs[key], state=JobState.CANCELLED)

    @rule(job=st.sampled_from(JOBS))
    def retry(self, job: NewJob) -> None:
        known = self.jobs.get(job.key)
        latest = max((other.turn for other in self.jobs.values() if other.subject == job.subject), default=0)
        if known is None or not known.state.ended or known.turn < latest:
            self.must_raise(JobError, lambda: self.queues[1].retry(job.key))
            return
        self.queues[1].retry(job.key)
        self.requeue(job.key, job.subject)

    @rule(seconds=st.sampled_from([1, 30, LEASE_S + 1]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(queue=st.sampled_from([0, 1]))
    def restart(self, queue: int) -> None:
        self.queues[queue].close()
        self.queues[queue] = self.opened()

    # What must be true at any time

    @invariant()
    def every_job_is_as_the_model_has_it(self) -> None:
        found = {job.key: (job.state, job.attempt) for job in self.queues[0].jobs()}

        assert found == {key: (job.state, job.attempt) for key, job in self.jobs.items()}

    @invariant()
    def a_subject_has_at_most_one_job_that_goes_on(self) -> None:
        going = [job.subject for job in self.queues[1].jobs() if not job.state.ended]

        assert len(going) == len(set(going))

    # The model's own steps

    def requeue(self, key: str, subject: Subject) -> None:
        for other, job in self.jobs.items():
            if job.subject == subject and other != key and job.state not in {JobState.DONE, JobState.SUPERSEDED}:
                self.jobs[other] = replace(job, state=JobState.SUPERSEDED)
        self.turns += 1
        job = self.jobs.get(key) or Known(subject, 0, JobState.READY, self.now)
        held = job.held_until is not None and job.held_until > self.now
        self.jobs[key] = replace(
            job,
            turn=self.turns,
            state=JobState.LEASED if held else JobState.READY,
            left=MAX_ATTEMPTS,
            ready_at=self.now,
            held_until=job.held_until if held else None,
        )

    def expired(self, job: Known) -> Known:
        if job.state is not JobState.LEASED:
            return replace(job, held_until=None)
        state = JobState.READY if job.left > 0 else JobState.DEAD
        return replace(job, state=state, held_until=None, ready_at=self.now)

    def refused(self, lease: Lease, act, *, unless_wanted: bool = False) -> bool:
        """Act, and see that it is refused exactly when the lease is void (or the job not wanted any more)."""
        job = self.jobs[lease.job.key]
        if job.held_until is None or job.attempt != lease.job.attempt:
            assert not self.queues[0].is_current(lease)
            self.must_raise(LeaseLostError, act)
            return True
        assert self.queues[0].is_current(lease) == (job.state is JobState.LEASED)
        if unless_wanted and job.state is not JobState.LEASED:
            self.must_raise(SupersededError, act)
            return True
        act()
        return False

    @staticmethod
    def must_raise(kind: type[Exception], act) -> None:
        try:
            act()
        except kind:
            return
        raise AssertionError(f"no {kind.__name__}")


Histories.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
