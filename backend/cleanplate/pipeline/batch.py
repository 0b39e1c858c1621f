"""`/predict` for many tasks at once, which is what "Retrieve predictions" in the Data Manager sends."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from cleanplate.errors import BusyError, CleanplateError, PayloadError
from cleanplate.label_studio.client import COPY_KEY
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import PredictRequest, Task
from cleanplate.pipeline.proposals import OutOfTimeError, Proposal, Proposer
from cleanplate.pipeline.wishes import BOXES, OUTLINES, Kind, Wishes

DEADLINE_S: Final = 80.0
"""No task is begun or gone on with after this; Label Studio gives up after 100 s, and the answer has to be sent."""

_COME_AGAIN_S: Final = 30.0

_log = structlog.get_logger()


class BatchPredictor:
    """Answers for many tasks, one after the other, until the time is over. Safe from many threads.

    One list at a time: several would only take each other's time.
    """

    def __init__(
        self, proposer: Proposer, *, kinds: tuple[Kind, ...] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Join what it needs.

        Args:
            proposer: answers for one task.
            kinds: what a detector is to look for beside what was drawn; those without a label in a project are not.
            clock: in seconds, never running backwards; the proposer's.
        """
        self._proposer = proposer
        self._kinds = kinds
        self._clock = clock
        self._turn = threading.Lock()

    def predict(self, request: PredictRequest) -> list[dict[str, Any] | list[dict[str, Any]]]:
        """An entry for each task: a prediction, or an empty list. Label Studio stores nothing for an empty list.

        So the task is asked for again the next time; those that were answered are not.

        Raises:
            BusyError: Another list is being worked through.
            PolicyError: The labelling config cannot be read.
            PayloadError: The request names no project.
        """
        started_at = self._clock()
        config = LabelConfig.from_xml(request.label_config)
        project_id = request.project_id or next((task.project for task in request.tasks if task.project), None)
        if project_id is None:
            raise PayloadError("a predict request must name its project")
        if not self._turn.acquire(blocking=False):
            raise BusyError("another list of tasks is being predicted", retry_after_s=_COME_AGAIN_S)
        try:
            return self._answers(request.tasks, project_id, config, started_at=started_at)
        finally:
            self._turn.release()

    def _answers(
        self, tasks: tuple[Task, ...], project_id: int, config: LabelConfig, *, started_at: float
    ) -> list[dict[str, Any] | list[dict[str, Any]]]:
        until = started_at + DEADLINE_S
        answers: list[dict[str, Any] | list[dict[str, Any]]] = [[] for _ in tasks]
        wishes = Wishes(shapes=BOXES | OUTLINES, kinds=self._proposer.possible(self._kinds, config))
        slowest_s, proposed, failed = 0.0, 0, 0
        for number, task in enumerate(tasks):
            began_at = self._clock()
            try:
                proposal = self._proposal(task, project_id, config, wishes, until=until, needs_s=slowest_s)
            except OutOfTimeError:
                _log.warning(
                    "no time left for the other tasks",
                    project=project_id,
                    done=number,
                    left=len(tasks) - number,
                    hint=f"cleanplate predict --project {project_id} takes as long as it needs",
                )
                break
            except CleanplateError as error:
                failed += 1
                _log.info("a task got no masks", project=project_id, task=task.id, reason=error.reason)
                continue
            slowest_s = max(slowest_s, self._clock() - began_at)
            if proposal is not None:
                proposed += 1
                answers[number] = _prediction(proposal, self._proposer.version)
        _log.info("a list of tasks answered", project=project_id, tasks=len(tasks), proposed=proposed, failed=failed)
        return answers

    def _proposal(
        self, task: Task, project_id: int, config: LabelConfig, wishes: Wishes, *, until: float, needs_s: float
    ) -> Proposal | None:
        if COPY_KEY in task.data:
            return None
        if self._clock() + needs_s > until:
            raise OutOfTimeError
        return self._proposer.propose(
            task, project_id=project_id, config=config, wishes=wishes, steadiness=False, until=until
        )


def _prediction(proposal: Proposal, version: str) -> dict[str, Any]:
    return {"result": proposal.result, "score": proposal.score, "model_version": version}
