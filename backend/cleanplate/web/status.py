"""The page a person looks at: does it work, what went wrong, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from flask import Blueprint, g, render_template

import cleanplate
from cleanplate.app.checks import Outcome
from cleanplate.jobs.job import Job, JobState
from cleanplate.label_studio.client import task_page
from cleanplate.storage.ledger import CopyRecord
from cleanplate.web.clicks import FailedClick, FailedClicks
from cleanplate.web.readiness import Readiness
from cleanplate.web.remedies import remedy_for
from cleanplate.web.services import Services

_SHOWN: Final = 10

_LOOKED_AT: Final = 100
"""Among so many waiting jobs we look for those that wait because they failed."""

_EXPLAINED: Final = {
    JobState.READY: "waiting for a worker",
    JobState.LEASED: "being worked on",
    JobState.DONE: "copy published",
    JobState.ATTENTION: "a person must look",
    JobState.DEAD: "given up",
    JobState.SUPERSEDED: "annotation changed",
    JobState.CANCELLED: "annotation deleted",
}

_MARKS: Final = {Outcome.OK: "✓", Outcome.WARNING: "!", Outcome.FAILED: "✗"}

_AGES: Final = (
    (timedelta(days=2), timedelta(days=1), "d"),
    (timedelta(hours=2), timedelta(hours=1), "h"),
    (timedelta(minutes=2), timedelta(minutes=1), "min"),
)


@dataclass(frozen=True)
class JobRow:
    """A job as the page shows it: ids and reasons, nothing of the image or the people."""

    where: str
    link: str
    when: str
    age: str
    state: str
    attempt: int
    reason: str
    message: str
    remedy: str


@dataclass(frozen=True)
class ClickRow:
    """A failed click as the page shows it."""

    when: str
    age: str
    reason: str
    message: str
    remedy: str
    request_id: str


@dataclass(frozen=True)
class LookRow:
    """A copy that a person should look at, as the page shows it."""

    where: str
    link: str
    reasons: Sequence[str]


def status_routes(services: Services, readiness: Readiness, failed: FailedClicks) -> Blueprint:
    """`/status`."""
    routes = Blueprint("status", __name__)

    @routes.get("/status")
    def status() -> str:
        counts = services.counts()
        failures = _failures(services)
        done = services.jobs(state=JobState.DONE, limit=_SHOWN)
        now = datetime.now(UTC)
        return render_template(
            "status.html",
            nonce=g.style_nonce,
            version=cleanplate.__version__,
            model_version=services.model_version,
            engines=services.engines,
            checks=readiness.checks(),
            marks=_MARKS,
            states=[(state.value, counts.get(state, 0), explained) for state, explained in _EXPLAINED.items()],
            failures=[_job_row(job, now) for job in failures],
            clicks=[_click_row(click, now) for click in failed.last()],
            click_events=[(event.replace("_", " "), count) for event, count in services.click_events() if count],
            copies=[_job_row(job, now) for job in done],
            look_count=services.second_look_count(),
            looks=[_look_row(record) for record in services.second_looks(limit=_SHOWN)],
        )

    return routes


def _failures(services: Services) -> Sequence[Job]:
    failed = [*services.jobs(state=JobState.DEAD, limit=_SHOWN), *services.jobs(state=JobState.ATTENTION, limit=_SHOWN)]
    failed += [job for job in services.jobs(state=JobState.READY, limit=_LOOKED_AT) if job.reason]
    return sorted(failed, key=lambda job: job.updated_at, reverse=True)[:_SHOWN]


def _job_row(job: Job, now: datetime) -> JobRow:
    subject = job.subject
    return JobRow(
        where=f"project {subject.project_id}, task {subject.task_id}, annotation {subject.annotation_id}",
        link=task_page(subject.label_studio_url, project_id=subject.project_id, task_id=subject.task_id),
        when=job.updated_at.isoformat(timespec="seconds"),
        age=_age(now - job.updated_at),
        state="will be retried" if job.state is JobState.READY else job.state.value,
        attempt=job.attempt,
        reason=job.reason,
        message=job.message,
        remedy=remedy_for(job.reason),
    )


def _look_row(record: CopyRecord) -> LookRow:
    return LookRow(
        where=f"project {record.project_id}, copy in task {record.copy_task_id}",
        link=task_page(record.label_studio_url, project_id=record.project_id, task_id=record.copy_task_id),
        reasons=record.second_look,
    )


def _click_row(click: FailedClick, now: datetime) -> ClickRow:
    return ClickRow(
        when=click.at.isoformat(timespec="seconds"),
        age=_age(now - click.at),
        reason=click.reason,
        message=click.message,
        remedy=remedy_for(click.reason),
        request_id=click.request_id,
    )


def _age(age: timedelta) -> str:
    unit = next(((size, name) for least, size, name in _AGES if age >= least), None)
    return f"{age // unit[0]} {unit[1]} ago" if unit else "just now"
