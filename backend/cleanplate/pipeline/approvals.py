"""What people approved in Label Studio, as jobs: the sweep asks here, and so does each job before it publishes."""

import json
import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import structlog

from cleanplate.domain.policy import Approval, Policy
from cleanplate.errors import PolicyError
from cleanplate.jobs.job import NewJob, Subject
from cleanplate.jobs.sweep import TaskState
from cleanplate.label_studio.client import COPY_KEY, LabelStudioClient
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import Annotation, Project, ResultItem, Task
from cleanplate.label_studio.results import is_approved, unknown_labels

_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)

_CLEAN_ATTRIBUTE: Final = re.compile(r"\sclean\s*=", re.IGNORECASE)

_log = structlog.get_logger()


class Approvals:
    """Every approved annotation of the watched projects, as the job its copy needs.

    A project is watched if its labelling config gives any label a policy. One whose policy has a mistake is watched
    too: its jobs end with what is wrong, so that somebody finds out.

    Args:
        client: Label Studio.
        approval: which annotations count.
        engine: version of what fills the holes; another version makes other copies.
        projects: the only ones to watch; all that the token sees if empty.
    """

    def __init__(
        self, client: LabelStudioClient, *, approval: Approval, engine: str, projects: Collection[int] = ()
    ) -> None:
        self._client = client
        self.approval = approval
        self._engine = engine
        self._projects = frozenset(projects)
        self._seen_configs: dict[int, str] = {}

    def projects(self) -> list[int]:
        """The projects to be watched."""
        watched = [project for project in self._client.projects() if self._allowed(project.id) and _watched(project)]
        for project in watched:
            mistake = _mistake(project, self.approval)
            if mistake:
                _log.warning("no copies can be made: labelling config has a mistake", project=project.id, why=mistake)
        return [project.id for project in watched]

    def changes(self, project_id: int, *, since: datetime | None, task_id: int | None) -> Iterator[TaskState]:
        """The tasks that changed since then, or all; or the one task, if it is there.

        All tasks come again when the labelling config changed: it may ask for other copies of the same annotations.
        """
        project = self._client.project(project_id) if self._allowed(project_id) else None
        if project is None or not _watched(project):
            return
        if task_id is not None:
            task = self._client.task(project_id, task_id)
            yield from () if task is None else (self._state(project, task),)
            return
        changed = self._seen_configs.get(project_id, project.label_config) != project.label_config
        for task in self._client.tasks(project_id, updated_since=None if changed else since):
            yield self._state(project, task)
        self._seen_configs[project_id] = project.label_config

    def key(self, project: Project, task: Task, annotation: Annotation) -> str:
        """The key of the job for this annotation as it is now: it names everything the copy depends on."""
        facts = {
            "label_studio": self._client.url,
            "project": project.id,
            "task": task.id,
            "annotation": annotation.id,
            "updated_at": annotation.updated_at.isoformat() if annotation.updated_at else None,
            "items": sorted(_canonical(item.model_dump(mode="json")) for item in annotation.result),
            "asked": _asked(project, task, annotation.result, self.approval),
            "engine": self._engine,
        }
        return sha256(_canonical(facts).encode()).hexdigest()

    def is_approved(self, task: Task, annotation: Annotation) -> bool:
        """Whether a copy is to be made from this annotation; never from one of a copy."""
        return COPY_KEY not in task.data and is_approved(annotation, self.approval)

    def _allowed(self, project_id: int) -> bool:
        return not self._projects or project_id in self._projects

    def _state(self, project: Project, task: Task) -> TaskState:
        approved = [annotation for annotation in task.annotations if self.is_approved(task, annotation)]
        jobs = [
            NewJob(self.key(project, task, annotation), Subject(self._client.url, project.id, task.id, annotation.id))
            for annotation in approved
        ]
        return TaskState(
            task_id=task.id,
            updated_at=task.updated_at or _LONG_AGO,
            jobs=tuple(jobs),
            annotation_ids=frozenset(annotation.id for annotation in task.annotations),
        )


def _watched(project: Project) -> bool:
    read = _read(project.label_config, Approval())
    if isinstance(read, str):
        return _CLEAN_ATTRIBUTE.search(project.label_config) is not None
    return read[1].makes_copies


def _mistake(project: Project, approval: Approval) -> str:
    read = _read(project.label_config, approval)
    return read if isinstance(read, str) else ""


@lru_cache(maxsize=32)
def _read(xml: str, approval: Approval) -> tuple[LabelConfig, Policy] | str:
    """A labelling config and its policy, or its mistake in words. A sweep asks once for every annotation."""
    try:
        config = LabelConfig.from_xml(xml)
        return config, config.policy(approval)
    except PolicyError as error:
        return str(error)


def _asked(project: Project, task: Task, items: Collection[ResultItem], approval: Approval) -> Any:
    """What the config asks for where these items were drawn; its mistake in words if it has one.

    Labels and controls that were not used do not count: they may change without a new copy.
    """
    read = _read(project.label_config, approval)
    if isinstance(read, str):
        return read
    config, policy = read
    controls = (config.control(name) for name in sorted({item.from_name for item in items}))
    lists = (value for item in items for value in item.value.values() if isinstance(value, list))
    used = {text for texts in lists for text in texts if isinstance(text, str)}
    return {
        "unknown": sorted(unknown_labels(items, config)),
        "images": [[image.name, image.key, task.data.get(image.key or "")] for image in config.images],
        "controls": [[control.name, control.to_name, control.is_region] for control in controls if control is not None],
        "labels": {label: list(wish.facts) for label, wish in policy.labels.items() if label in used},
    }


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
