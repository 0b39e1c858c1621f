from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from cleanplate.jobs.job import Job, JobState, Lease, NewJob, Subject


@dataclass(frozen=True)
class Hint:
    """Something in Label Studio may have changed: look there. No task: look through the whole project."""

    project_id: int
    task_id: int | None
    received_at: datetime


class Queue(Protocol):
    """Keeps jobs until they are done. Every method is one transaction and safe from many threads and processes.

    Every method raises StorageUnavailableError if the queue can be neither read nor written now.
    """

    def put(self, job: NewJob) -> bool:
        """Make a job its subject's current one; True if it is to be done now, False if there is nothing new to do.

        A key is work once: False if it is the current one already, whatever became of it. Only a job that was
        superseded or cancelled, or whose subject had another job since, is queued again: what is put is what Label
        Studio says now, and the copy has to follow it there and back. Other jobs of the subject that have not ended
        as done become superseded.
        """
        ...

    def claim(self, owner: str) -> Lease | None:
        """Lease the job that has been ready for longest, or one whose lease ran out; None if there is none.

        A lease that ran out counts as an attempt; after the last one the job is dead (reason `lease_expired`). While
        a superseded or cancelled job is still in a worker's hands, no other job of its subject is leased.
        """
        ...

    def extend(self, lease: Lease) -> None:
        """Keep a lease alive. Raises LeaseLostError if it is no longer ours.

        The lease of a job that was superseded or cancelled stays ours until it is given back.
        """
        ...

    def is_current(self, lease: Lease) -> bool:
        """Whether the lease is still ours, the job not cancelled, and no newer job for its subject was put."""
        ...

    def report(self, lease: Lease, step: str) -> None:
        """Note the step a job is in. Raises LeaseLostError, or SupersededError if the job need not go on."""
        ...

    def done(self, lease: Lease, result: Mapping[str, Any]) -> None:
        """End a job well. Raises LeaseLostError, or SupersededError if the job was not to go on: end it so."""
        ...

    def later(self, lease: Lease, *, reason: str, message: str, delay_s: float, counts: bool = True) -> None:
        """Give a job back to be tried again; dead if it has no attempts left. Raises LeaseLostError.

        An attempt that does not count is not the job's fault; the job cannot die of it.
        """
        ...

    def end(self, lease: Lease, state: JobState, *, reason: str, message: str) -> None:
        """End a job as dead, attention, superseded or cancelled. Raises LeaseLostError.

        A job that was superseded or cancelled meanwhile stays so, here and in `later`.
        """
        ...

    def cancel(self, subject: Subject) -> int:
        """Cancel the unfinished jobs of a subject whose annotation is gone; how many there were."""
        ...

    def retry(self, key: str) -> Job:
        """Make an ended job ready again, with fresh attempts.

        Raises JobError if there is none, it is not ended, or its subject has a newer job.
        """
        ...

    def get(self, key: str) -> Job | None:
        """The job of this key (or of the only key that begins with it)."""
        ...

    def jobs(self, *, state: JobState | None = None, project_id: int | None = None, limit: int = 100) -> list[Job]:
        """Jobs, the last changed first."""
        ...

    def subjects(
        self, *, project_id: int, task_id: int | None = None, annotation_id: int | None = None
    ) -> list[Subject]:
        """Subjects that have unfinished jobs: ready, leased, dead, or waiting for attention."""
        ...

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state; states without jobs are 0."""
        ...

    def oldest_ready_at(self) -> datetime | None:
        """Since when the job that has waited longest could have been started; None if none waits."""
        ...

    def hint(self, project_id: int, task_id: int | None) -> None:
        """Store durably that something may have changed; the same hint twice is one."""
        ...

    def hints(self, limit: int = 100) -> list[Hint]:
        """The oldest stored hints."""
        ...

    def resolve(self, hints: Iterable[Hint]) -> None:
        """Forget hints that were looked into, unless the same one came in again meanwhile."""
        ...

    def watermark(self, project_id: int) -> datetime | None:
        """Up to which change of the project the sweep has seen everything; None before the first sweep."""
        ...

    def set_watermark(self, project_id: int, at: datetime) -> None:
        """Advance the watermark; it never goes back."""
        ...

    def full_sweep_due(self, project_id: int, *, every_s: float) -> bool:
        """Whether a project was not looked through from end to end for so long, or never."""
        ...

    def note_full_sweep(self, project_id: int) -> None:
        """Note that a project was looked through from end to end just now."""
        ...

    def lead(self, owner: str, *, for_s: float) -> bool:
        """Take or keep the one leader's place for so long; False while another has it. 0 seconds gives it up."""
        ...

    def swept_projects(self) -> list[int]:
        """The projects that were ever looked through, by id."""
        ...

    def has_leader(self) -> bool:
        """Whether anyone has the leader's place now: a sweep, and so a worker, runs."""
        ...
