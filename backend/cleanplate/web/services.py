"""What the web needs of the rest of cleanplate, in the words of the web."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from cleanplate.app.checks import Check, EngineInUse
from cleanplate.jobs.job import Job, JobState
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.storage.ledger import CopyRecord


class Services(Protocol):
    """Everything a request may set in motion. Every method is safe to call from many threads."""

    @property
    def model_version(self) -> str:
        """What Label Studio stores beside our predictions."""
        ...

    @property
    def engines(self) -> Sequence[EngineInUse]:
        """For the status page."""
        ...

    def predict(self, request: PredictRequest) -> list[dict[str, Any]]:
        """Answer a click: one `{"result": …, "score": …, "model_version": …}` per task.

        Without prompts the answer is empty and comes at once; preparing the images goes on behind it.
        """
        ...

    def predict_many(self, request: PredictRequest) -> list[dict[str, Any] | list[dict[str, Any]]]:
        """Answer for a list of tasks: for each a prediction, or an empty list where there is none.

        It takes as long as Label Studio waits, at the most; what is not done by then has an empty list.
        """
        ...

    def click_events(self) -> Iterable[tuple[str, int]]:
        """What happened to clicks since the start, and how often: Label Studio shows annotators none of it."""
        ...

    def hint(self, project_id: int, task_id: int | None) -> None:
        """Store durably that something may have changed; returns at once."""
        ...

    def hint_all(self) -> None:
        """The same for every project that is watched."""
        ...

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state."""
        ...

    def oldest_ready_age_s(self) -> float | None:
        """How long the job that has waited longest has been ready; None if none waits."""
        ...

    def jobs(self, *, state: JobState, limit: int) -> Sequence[Job]:
        """Jobs in a state, the last changed first."""
        ...

    def second_looks(self, *, limit: int) -> Sequence[CopyRecord]:
        """Copies that a person should look at, the last changed first."""
        ...

    def second_look_count(self) -> int:
        """How many copies a person should look at."""
        ...

    def checks(self) -> Sequence[Check]:
        """Look at everything cleanplate depends on. May take seconds."""
        ...
