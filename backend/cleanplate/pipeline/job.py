"""What a worker does for one approved annotation, from the original to the published copy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import structlog

from cleanplate.codecs.images import ImageLimits
from cleanplate.domain.image import size_of
from cleanplate.domain.policy import Policy
from cleanplate.engines.protocols import Detector, Inpainter
from cleanplate.errors import LabelStudioRefusedError, MediaMissingError, PolicyError, SupersededError
from cleanplate.jobs.job import Job, Lease
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.media import Media
from cleanplate.label_studio.payloads import Annotation, Project, Task
from cleanplate.label_studio.results import kept_items, regions_from_results
from cleanplate.pipeline import verification
from cleanplate.pipeline.approvals import Approvals
from cleanplate.pipeline.clean import CleanCopy, Original, clean_copy
from cleanplate.pipeline.places import Places
from cleanplate.pipeline.plan import Plan, grid_of, plan_removal
from cleanplate.pipeline.publish import Copy, Publisher, task_clause, task_data
from cleanplate.storage.ledger import Ledger, StoredFile
from cleanplate.storage.names import Names

_log = structlog.get_logger()


@dataclass(frozen=True)
class _Approved:
    """An approved annotation as Label Studio has it now, and what its labelling config asks for."""

    task: Task
    annotation: Annotation
    config: LabelConfig
    policy: Policy
    image_key: str
    source_url: str


class CopyMaker:
    """Makes and publishes the clean copy a job asks for. A handler for the worker; every step can be repeated.

    Args:
        client: Label Studio.
        media: where originals are fetched from.
        approvals: says whether the annotation is still what the job was put for.
        inpainter: fills the holes.
        detector: finds what must not be copied into the holes, and looks at copies again; None: nobody does.
        limits: of images.
        names: what copies and their files are called.
        places: where their files go.
        publisher: makes their tasks.
        ledger: notes which files are put but not published yet.
    """

    def __init__(
        self,
        *,
        client: LabelStudioClient,
        media: Media,
        approvals: Approvals,
        inpainter: Inpainter,
        detector: Detector | None = None,
        limits: ImageLimits,
        names: Names,
        places: Places,
        publisher: Publisher,
        ledger: Ledger,
    ) -> None:
        self._client = client
        self._media = media
        self._approvals = approvals
        self._inpainter = inpainter
        self._detector = detector
        self._limits = limits
        self._names = names
        self._places = places
        self._publisher = publisher
        self._ledger = ledger

    def __call__(self, lease: Lease, report: Callable[[str], None]) -> Mapping[str, Any]:
        """Do the job; what it left: the copy's id, task, file digest, certificate digest, and what to look at."""
        job = lease.job
        report("fetch")
        approved = self._approved(job)
        subject = job.subject
        content = self._media.fetch(approved.source_url, project_id=subject.project_id, task_id=subject.task_id)
        original = Original.from_bytes(content, self._limits)
        report("plan")
        plan = _plan(approved, original)
        made = clean_copy(original, plan, self._inpainter, limits=self._limits, detector=self._detector, report=report)
        report("store")
        copy = self._stored(job, approved, plan, made)

        def require_current() -> None:
            self._unchanged(job)
            # The queue refuses the step if the lease was lost or a newer job was put.
            report("publish")

        try:
            record = self._publisher.publish(copy, require_current=require_current)
        except (SupersededError, LabelStudioRefusedError):
            if self._publisher.discard(copy):
                self._ledger.forget_file(copy.file_name)
            raise
        self._ledger.forget_file(copy.file_name)
        return {
            "copy_id": record.copy_id,
            "copy_task": record.copy_task_id,
            "sha256": record.sha256,
            "certificate": copy.certificate.digest,
            "re_encoded": copy.certificate.re_encoded,
            "second_look": list(record.second_look),
        }

    def _approved(self, job: Job) -> _Approved:
        """What the job was put for, if that is still what Label Studio says."""
        project, task, annotation = self._unchanged(job)
        config = LabelConfig.from_xml(project.label_config)
        policy = config.policy(self._approvals.approval)
        image_key = _only_image(config)
        source_url = task.data.get(image_key)
        if not isinstance(source_url, str) or not source_url:
            raise MediaMissingError(f"the task has no image in its field {image_key!r}")
        return _Approved(task, annotation, config, policy, image_key, source_url)

    def _unchanged(self, job: Job) -> tuple[Project, Task, Annotation]:
        subject = job.subject
        project = self._client.project(subject.project_id)
        task = self._client.task(subject.project_id, subject.task_id) if project else None
        annotations = task.annotations if task else ()
        annotation = next((found for found in annotations if found.id == subject.annotation_id), None)
        if project is None or task is None or annotation is None:
            raise SupersededError("the annotation is gone")
        if not self._approvals.is_approved(task, annotation):
            raise SupersededError("the annotation is not approved any more")
        if self._approvals.key(project, task, annotation) != job.key:
            raise SupersededError("the annotation, its image or what is to be done to it changed")
        return project, task, annotation

    def _stored(self, job: Job, approved: _Approved, plan: Plan, made: CleanCopy) -> Copy:
        subject = job.subject
        copy_id = self._names.copy_id(
            label_studio_url=subject.label_studio_url,
            project_id=subject.project_id,
            task_id=subject.task_id,
            annotation_id=subject.annotation_id,
        )
        file_name = self._names.object_name(job.key, made.extension)
        self._ledger.note_file(
            StoredFile(
                file_name=file_name,
                copy_id=copy_id,
                job_key=job.key,
                label_studio_url=subject.label_studio_url,
                project_id=subject.project_id,
                source_url=self._places.way_back(approved.source_url),
            )
        )
        address = self._places.put(
            made.content, name=file_name, project_id=subject.project_id, source_url=approved.source_url
        )
        removed = [region.region_id for region in plan.removed]
        certificate = made.certificate.with_clauses(
            verification.names_clause(verification.Names(original=_name_of(approved.source_url), copy=file_name)),
            task_clause(
                data=task_data(
                    image_key=approved.image_key,
                    address=address,
                    copy_id=copy_id,
                    second_look=made.certificate.second_look,
                ),
                source_url=approved.source_url,
                carried=plan.kept,
                removed=removed,
            ),
        )
        return Copy(
            copy_id=copy_id,
            subject=subject,
            job_key=job.key,
            image_key=approved.image_key,
            address=address,
            file_name=file_name,
            size_bytes=len(made.content),
            certificate=certificate,
            carried=kept_items(approved.annotation.result, plan.kept),
            region_ids=frozenset([*removed, *plan.kept, *plan.dropped]),
        )


def _plan(approved: _Approved, original: Original) -> Plan:
    picture = original.picture
    size = size_of(picture.image)
    drawn = regions_from_results(approved.annotation.result, approved.config, size)
    for problem in drawn.problems:
        _log.warning("annotation is odd", what=problem)
    return plan_removal(
        drawn.regions,
        prompts=drawn.prompts,
        policy=approved.policy,
        size=size,
        grid=grid_of(picture.container),
    )


def _only_image(config: LabelConfig) -> str:
    keys = [image.key for image in config.images]
    if len(keys) != 1 or keys[0] is None:
        raise PolicyError(
            'copies need a labelling config with exactly one <Image value="$…">: with several it is not clear '
            "which one a copy shows"
        )
    return keys[0]


def _name_of(url: str) -> str:
    return unquote(url).rpartition("/")[2]
