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
    """Keeps jobs until they are done. Every method is one transaction and safe from many threads and processes."""

    def put(self, job: NewJob) -> bool:
        """Queue a job; True if it is new, False if its key is known (whatever became of it).

        Earlier jobs of the same subject that have not ended as done become superseded.
        """
        ...

    def claim(self, owner: str) -> Lease | None:
        """Lease the oldest ready job, or one whose lease ran out; None if there is nothing to do.

        A lease that ran out counts as an attempt; after the last one the job is dead (reason `lease_expired`).
        """
        ...

    def extend(self, lease: Lease) -> None:
        """Keep a lease alive. Raises LeaseLostError if it is no longer ours."""
        ...

    def is_current(self, lease: Lease) -> bool:
        """Whether the lease is still ours and no newer job for its subject was put."""
        ...

    def report(self, lease: Lease, step: str) -> None:
        """Note the step a job is in. Raises LeaseLostError."""
        ...

    def done(self, lease: Lease, result: Mapping[str, Any]) -> None:
        """End a job well. Raises LeaseLostError."""
        ...

    def later(self, lease: Lease, *, reason: str, message: str, delay_s: float) -> None:
        """Give a job back after a transient error; dead if it has no attempts left. Raises LeaseLostError."""
        ...

    def end(self, lease: Lease, state: JobState, *, reason: str, message: str) -> None:
        """End a job as dead, attention, superseded or cancelled. Raises LeaseLostError."""
        ...

    def cancel(self, subject: Subject) -> int:
        """Cancel the unfinished jobs of a subject whose annotation is gone; how many there were."""
        ...

    def retry(self, key: str) -> Job:
        """Make an ended job ready again, with fresh attempts. Raises JobError if there is none or it is not ended."""
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
        """Subjects that have unfinished jobs."""
        ...

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state; states without jobs are 0."""
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
