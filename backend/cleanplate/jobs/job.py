import os
import secrets
import socket
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class JobState(StrEnum):
    """Where a job stands. `ready` and `leased` go on by themselves; the others are ends."""

    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"
    ATTENTION = "attention"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the job unless it is put or retried."""
        return self not in {JobState.READY, JobState.LEASED}


@dataclass(frozen=True)
class Subject:
    """The annotation a job is about."""

    label_studio_url: str
    project_id: int
    task_id: int
    annotation_id: int


@dataclass(frozen=True)
class NewJob:
    """Work to be queued. *key* is made from everything the copy depends on: equal keys are the same work."""

    key: str
    subject: Subject


@dataclass(frozen=True)
class Job:
    """A queued piece of work as the queue knows it.

    Attributes:
        attempt: how often it was started, from 1; 0 before the first start.
        step: the last step of the copy it reported.
        reason: the code of the error it last ended with; empty if none.
        message: that error in words.
        ready_at: not started before this time.
        result: what a finished job left: plain JSON values.
        held: whether a worker may be busy with it, also after it was superseded or cancelled.
    """

    key: str
    subject: Subject
    state: JobState
    attempt: int
    step: str
    reason: str
    message: str
    created_at: datetime
    updated_at: datetime
    ready_at: datetime
    result: dict[str, Any] = field(default_factory=dict)
    held: bool = False


@dataclass(frozen=True)
class Lease:
    """One worker's time-limited claim on a job. `job.attempt` is the fencing token: a later attempt voids it."""

    job: Job
    owner: str


def new_owner() -> str:
    """A name for one worker that no other has: where it runs and something random."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
