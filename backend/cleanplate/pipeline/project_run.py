"""Predictions for all tasks of a project, written to Label Studio one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cleanplate.errors import CleanplateError, LabelStudioAuthError, LabelStudioUnreachableError, ProjectMissingError
from cleanplate.label_studio.client import COPY_KEY, LabelStudioClient
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import Task
from cleanplate.pipeline.proposals import Proposer
from cleanplate.pipeline.wishes import Wishes

_PATIENCE: Final = 3
"""After so many tasks in a row for which Label Studio did not answer, there is no point in going on."""


class Outcome(StrEnum):
    """What became of a task."""

    PREDICTED = "predicted"
    THERE_ALREADY = "there_already"
    NOTHING = "nothing"
    COPY = "copy"
    FAILED = "failed"


@dataclass(frozen=True)
class TaskOutcome:
    """What became of a task.

    Attributes:
        regions: how many masks were proposed.
        score: of the least certain of them; None if none were.
        reason: a stable code for what went wrong; empty if nothing did.
        message: the same in a sentence.
    """

    task_id: int
    outcome: Outcome
    regions: int = 0
    score: float | None = None
    reason: str = ""
    message: str = ""


class ProjectRun:
    """One run over a project. A second one passes over what the first has done."""

    def __init__(
        self, client: LabelStudioClient, proposer: Proposer, project_id: int, wishes: Wishes, *, again: bool = False
    ) -> None:
        """Get ready, and see that it makes sense.

        Args:
            client: Label Studio.
            proposer: makes the masks.
            project_id: whose tasks.
            wishes: from what.
            again: replace what was predicted with the same version before.

        Raises:
            ProjectMissingError: There is no such project.
            PolicyError: Its labelling config cannot be read, or cannot show what is wished for.
            CleanplateError: Label Studio cannot be asked, or an engine is missing.
        """
        project = client.project(project_id)
        if project is None:
            raise ProjectMissingError(f"Label Studio has no project {project_id}, or the token may not see it")
        self._client = client
        self._proposer = proposer
        self._project_id = project_id
        self._config = LabelConfig.from_xml(project.label_config)
        self._wishes = wishes
        self._again = again
        proposer.require(wishes, self._config)
        self._used_version = project.model_version
        self.total = client.task_count(project_id)

    @property
    def version(self) -> str:
        """What Label Studio stores beside the predictions."""
        return self._proposer.version

    @property
    def is_used(self) -> bool:
        """Whether annotators begin with the predictions of this version, and tasks are ordered by their scores."""
        return self._used_version == self.version

    def use(self) -> None:
        """Have the project use the predictions of this version; there must be some."""
        self._used_version = self._client.update_project(self._project_id, model_version=self.version).model_version

    def outcomes(self) -> Iterator[TaskOutcome]:
        """Work through the tasks by their ids; what goes wrong with one does not stop the others.

        Raises:
            LabelStudioError: Label Studio does not answer any more, or not to this token.
        """
        unanswered = 0
        for task in self._client.tasks(self._project_id):
            try:
                outcome = self._outcome(task)
            except LabelStudioAuthError:
                raise
            except CleanplateError as error:
                unanswered = unanswered + 1 if isinstance(error, LabelStudioUnreachableError) else 0
                if unanswered == _PATIENCE:
                    raise
                outcome = TaskOutcome(task.id, Outcome.FAILED, reason=error.reason, message=str(error))
            else:
                unanswered = 0
            yield outcome

    def _outcome(self, task: Task) -> TaskOutcome:
        if COPY_KEY in task.data:
            return TaskOutcome(task.id, Outcome.COPY)
        version = self._proposer.version
        before = [prediction.id for prediction in task.predictions if prediction.model_version == version]
        if before and not self._again:
            return TaskOutcome(task.id, Outcome.THERE_ALREADY)
        proposal = self._proposer.propose(task, project_id=self._project_id, config=self._config, wishes=self._wishes)
        if proposal is None:
            return TaskOutcome(task.id, Outcome.NOTHING)
        self._client.create_prediction(task.id, proposal.result, model_version=version, score=proposal.score)
        for prediction_id in before:
            self._client.delete_prediction(prediction_id)
        return TaskOutcome(task.id, Outcome.PREDICTED, regions=proposal.regions, score=proposal.score)
