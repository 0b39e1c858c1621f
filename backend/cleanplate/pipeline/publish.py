"""Publishes copies: one task each, with the regions that were kept, and a line in the ledger."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import structlog

from cleanplate.errors import SupersededError
from cleanplate.jobs.job import Subject
from cleanplate.label_studio.client import COPY_KEY, LOOK_KEY, LabelStudioClient
from cleanplate.label_studio.payloads import Annotation, Task
from cleanplate.pipeline.certificate import Certificate, Clause, Verdict
from cleanplate.pipeline.places import Places
from cleanplate.storage.ledger import CopyRecord, CopyState, Ledger

_log = structlog.get_logger()


@dataclass(frozen=True)
class Copy:
    """A copy whose file is stored, on its way into the project.

    Attributes:
        copy_id: what its task carries; the same for every copy of one annotation.
        subject: what it was made from.
        job_key: the job that made it.
        image_key: the field of the task's data for the address.
        address: of the file.
        file_name: of the file.
        size_bytes: of the file.
        certificate: its proof.
        carried: result items of the regions that go along.
        region_ids: of all regions of the annotation, whether they go along or not.
        accepted_at: when a person looked at exactly this copy and found it good.
    """

    copy_id: str
    subject: Subject
    job_key: str
    image_key: str
    address: str
    file_name: str
    size_bytes: int
    certificate: Certificate
    carried: Sequence[Mapping[str, Any]]
    region_ids: frozenset[str]
    accepted_at: datetime | None = None

    @property
    def data(self) -> dict[str, str]:
        """The data of its task, all of it."""
        reasons = () if self.accepted_at else self.certificate.second_look
        return task_data(image_key=self.image_key, address=self.address, copy_id=self.copy_id, second_look=reasons)

    def meta(self, annotation_id: int | None) -> dict[str, Any]:
        """The meta of its task, all of it."""
        known = {"certificate": self.certificate.digest, "synthetic": False}
        return {COPY_KEY: known if annotation_id is None else known | {"annotation": annotation_id}}


class Withdrawn(NamedTuple):
    """What there was of a copy that is gone: how many tasks, and whether its file was found."""

    tasks: int
    had_file: bool


class Publisher:
    """Brings a project's tasks into line with its copies. Every step can be repeated.

    Args:
        client: Label Studio.
        places: where the files are.
        ledger: the private list of copies.
    """

    def __init__(self, client: LabelStudioClient, places: Places, ledger: Ledger) -> None:
        self._client = client
        self._places = places
        self._ledger = ledger

    def publish(self, copy: Copy, *, require_current: Callable[[], None]) -> CopyRecord:
        """Make the copy's task, or turn it into this copy, and note it in the ledger.

        Args:
            copy: what to publish.
            require_current: raises if it must not be published; asked just before anything of it can be seen.
        """
        project_id = copy.subject.project_id
        noted = self._ledger.get(copy.copy_id)
        copy = replace(copy, accepted_at=_accepted_at(copy, noted))
        require_current()
        task = self._task(copy)
        annotation_id = self._carry(copy, task)
        if task.data != copy.data or task.meta != copy.meta(annotation_id):
            self._client.update_task(task.id, copy.data, meta=copy.meta(annotation_id))
        # People can write anything into a task, so what it showed need not be an address.
        shown = {noted.address if noted else "", str(task.data.get(copy.image_key, ""))}
        for address in shown - {"", copy.address}:
            self._places.delete(address, project_id=project_id)
        record = CopyRecord(
            copy_id=copy.copy_id,
            label_studio_url=copy.subject.label_studio_url,
            project_id=project_id,
            task_id=copy.subject.task_id,
            annotation_id=copy.subject.annotation_id,
            job_key=copy.job_key,
            copy_task_id=task.id,
            file_name=copy.file_name,
            address=copy.address,
            sha256=copy.certificate.copy,
            size_bytes=copy.size_bytes,
            certificate=copy.certificate.to_json(),
            second_look=copy.certificate.second_look,
            accepted_at=copy.accepted_at,
        )
        self._ledger.put(record)
        _log.info("copy published", copy=copy.copy_id, copy_task=task.id)
        return record

    def accept(self, record: CopyRecord) -> None:
        """Note that a person looked at a copy and found it good, and take the mark off its task, if it has one.

        Raises:
            SupersededError: The copy is not any more what *record* says.
        """
        task = self._client.task(record.project_id, record.copy_task_id)
        if task is None:
            self._ledger.accept(record)
            return
        if record.address not in task.data.values():
            raise SupersededError(f"the copy in task {record.copy_task_id} was made again: look at it as it is now")
        if LOOK_KEY in task.data:
            data = {key: value for key, value in task.data.items() if key != LOOK_KEY}
            self._client.update_task(task.id, data, meta=task.meta or {})
        self._ledger.accept(record)
        _log.info("copy accepted after a second look", copy=record.copy_id, copy_task=task.id)

    def withdraw(self, record: CopyRecord) -> Withdrawn:
        """Delete a copy's task and file, and note that it is gone. Its certificates stay: they tell nothing of it."""
        tasks = self._client.copies(record.project_id, record.copy_id)
        for task in tasks:
            self._client.delete_task(task.id)
        had_file = self._places.delete(record.address, project_id=record.project_id)
        self._ledger.put(replace(record, state=CopyState.WITHDRAWN, address="", second_look=()))
        _log.info("copy withdrawn", copy=record.copy_id, project=record.project_id, file=had_file)
        return Withdrawn(len(tasks), had_file)

    def discard(self, copy: Copy) -> bool:
        """Take away the file of a copy that will not be published, unless an earlier attempt did publish it.

        Returns:
            Whether the file is gone.
        """
        project_id = copy.subject.project_id
        shown = [task.data.get(copy.image_key) for task in self._client.copies(project_id, copy.copy_id)]
        if copy.address in shown:
            return False
        self._places.delete(copy.address, project_id=project_id)
        return True

    def _task(self, copy: Copy) -> Task:
        """The copy's task as it is now; made if there is none."""
        project_id = copy.subject.project_id
        tasks = self._client.copies(project_id, copy.copy_id)
        if not tasks:
            created = self._client.create_task(project_id, copy.data, meta=copy.meta(None))
            # Asked again: another worker may have made one at the same moment. The first one counts for both.
            tasks = self._client.copies(project_id, copy.copy_id) or (created,)
        first, *others = tasks
        for other in others:
            self._client.delete_task(other.id)
        return first

    def _carry(self, copy: Copy, task: Task) -> int | None:
        """Bring the annotation with the kept regions into line; its id, or None if none were kept."""
        ours = _carried_annotation(copy, task)
        if not copy.carried:
            if ours is not None:
                self._client.delete_annotation(ours.id)
            return None
        if ours is None:
            return self._client.create_annotation(task.id, copy.carried).id
        return self._client.update_annotation(ours.id, copy.carried).id


def task_data(*, image_key: str, address: str, copy_id: str, second_look: Sequence[str]) -> dict[str, str]:
    """The data of a copy's task, all of it."""
    data = {image_key: address, COPY_KEY: copy_id}
    return data | {LOOK_KEY: "; ".join(second_look)} if second_look else data


def task_clause(*, data: Mapping[str, str], source_url: str, carried: Sequence[str], removed: Sequence[str]) -> Clause:
    """L6: whether the task of a copy would tell what was removed, or where the original is."""
    figures = {"carried_regions": len(carried)}
    if len(data.keys() - {COPY_KEY, LOOK_KEY}) > 1:
        return Clause("L6", Verdict.FAIL, "the task would tell more than its file and what concerns the copy", figures)
    if source_url in json.dumps(data, ensure_ascii=False):
        return Clause("L6", Verdict.FAIL, "the task would name the original", figures)
    if set(carried) & set(removed):
        return Clause("L6", Verdict.FAIL, "the task would carry the outline of what was removed", figures)
    sentence = f"the task names its file and its copy id, and carries {len(carried)} kept regions"
    return Clause("L6", Verdict.PASS, sentence, figures)


def _accepted_at(copy: Copy, noted: CopyRecord | None) -> datetime | None:
    """When a person accepted what *copy* is again: the same file, with nothing new to look at."""
    if noted is None or noted.sha256 != copy.certificate.copy or noted.second_look != copy.certificate.second_look:
        return None
    return noted.accepted_at


def _carried_annotation(copy: Copy, task: Task) -> Annotation | None:
    """The copy's annotation that we made; people may have added others."""
    meta = (task.meta or {}).get(COPY_KEY)
    number = meta.get("annotation") if isinstance(meta, dict) else None
    for annotation in task.annotations:
        ids = {item.id for item in annotation.result}
        # Without a number it may still be ours: made by an attempt that did not live to note it, and for a state of
        # the annotation in which other regions were kept.
        if annotation.id == number or (number is None and ids and ids <= copy.region_ids):
            return annotation
    return None
