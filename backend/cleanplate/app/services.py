from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cleanplate.app.application import Application
from cleanplate.app.checks import Check, EngineInUse, Outcome, worker_check
from cleanplate.errors import CleanplateError
from cleanplate.jobs.job import Job, JobState
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.settings import NO_ENGINE
from cleanplate.storage.ledger import CopyRecord


class WebServices:
    """What the web may set in motion, out of an application's parts."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._queue = application.queue
        self._predictor = application.predictor
        self._batch = application.batch_predictor

    @property
    def model_version(self) -> str:
        """What Label Studio stores beside our predictions."""
        return self._application.segmenter.version

    @property
    def engines(self) -> Sequence[EngineInUse]:
        """The engines this installation uses. Those that only a worker needs are named, and not loaded to be shown."""
        settings = self._application.settings
        return (
            EngineInUse("segmenter", self._application.segmenter.version),
            EngineInUse("inpainter", settings.inpainter),
            *([EngineInUse("detector", settings.detector)] if settings.detector != NO_ENGINE else []),
        )

    def predict(self, request: PredictRequest) -> list[dict[str, Any]]:
        """Answer a click; an opened task has no answer, but its image is prepared behind it."""
        return self._predictor.predict(request)

    def predict_many(self, request: PredictRequest) -> list[dict[str, Any] | list[dict[str, Any]]]:
        """Answer for a list of tasks, as far as the time allows."""
        return self._batch.predict(request)

    def click_events(self) -> Iterable[tuple[str, int]]:
        """What happened to clicks since the start, and how often."""
        return [(event.value, count) for event, count in self._predictor.counts.items()]

    def hint(self, project_id: int, task_id: int | None) -> None:
        """Store durably that something may have changed."""
        self._queue.hint(project_id, task_id)

    def hint_all(self) -> None:
        """The same for every project that a sweep has seen; a sweep finds the others by itself."""
        for project_id in self._queue.swept_projects():
            self._queue.hint(project_id, None)

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state."""
        return self._queue.counts()

    def oldest_ready_age_s(self) -> float | None:
        """How long the job that has waited longest has been ready."""
        since = self._queue.oldest_ready_at()
        return None if since is None else max((datetime.now(UTC) - since).total_seconds(), 0.0)

    def jobs(self, *, state: JobState, limit: int) -> Sequence[Job]:
        """Jobs in a state, the last changed first."""
        return self._queue.jobs(state=state, limit=limit)

    def second_looks(self, *, limit: int) -> Sequence[CopyRecord]:
        """Copies that a person should look at, the last changed first."""
        return self._application.ledger.waiting(limit=limit)

    def second_look_count(self) -> int:
        """How many there are."""
        return self._application.ledger.waiting_count()

    def checks(self) -> Sequence[Check]:
        """What must be right for clicks and copies, without a look at each project."""
        return (*self._queue_checks(), self._label_studio_check())

    def _queue_checks(self) -> Sequence[Check]:
        try:
            self._queue.counts()
            worker = worker_check(self._queue)
        except CleanplateError as error:
            remedy = "See that the disk is not full and CLEANPLATE_DATA_DIR is writable."
            return (Check("queue", Outcome.FAILED, str(error), remedy),)
        return Check("queue", Outcome.OK, "can be read"), worker

    def _label_studio_check(self) -> Check:
        try:
            version = self._application.client.version()
        except CleanplateError as error:
            remedy = "See that it runs and that LABEL_STUDIO_URL is right; `cleanplate doctor` tells more."
            return Check("Label Studio", Outcome.FAILED, str(error), remedy)
        return Check("Label Studio", Outcome.OK, f"answers, version {version}")
