from dataclasses import dataclass
from enum import StrEnum

from cleanplate.jobs.queue import Queue


class Outcome(StrEnum):
    """How a check came out. A warning does not stop anything."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One thing that must be right for cleanplate to work, and what was found.

    Attributes:
        name: a few words; they are public.
        message: what was found; for the people who run cleanplate.
        remedy: what to do about it; empty if nothing has to be done.
    """

    name: str
    outcome: Outcome
    message: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether cleanplate can work with what was found."""
        return self.outcome is not Outcome.FAILED


@dataclass(frozen=True)
class EngineInUse:
    """An engine this installation answers or fills with.

    Attributes:
        name: with its version, if this process has loaded it.
    """

    kind: str
    name: str


def worker_check(queue: Queue) -> Check:
    """Whether a worker runs: without one there are clicks but no copies."""
    if queue.has_leader():
        return Check("worker", Outcome.OK, "runs")
    return Check("worker", Outcome.WARNING, "none runs, so no copies are made", "Start `cleanplate work`.")
