"""Copies that a person should look at, and what happens when one did."""

from cleanplate.app.application import Application
from cleanplate.errors import JobError, SupersededError
from cleanplate.jobs.job import JobState, Subject
from cleanplate.storage.ledger import CopyRecord


def accept(application: Application, copy_task_id: int) -> CopyRecord:
    """Note that a person looked at a copy and found it good, and take the mark off its task.

    Args:
        application: what the copy belongs to.
        copy_task_id: the number of the copy's task.

    Raises:
        JobError: No copy with this task waits for a second look.
        SupersededError: The copy is just being made again, or was: there is another one to look at.
    """
    url = application.client.url
    waiting = application.ledger.waiting(limit=max(application.ledger.waiting_count(), 1))
    record = next((one for one in waiting if (one.copy_task_id, one.label_studio_url) == (copy_task_id, url)), None)
    if record is None:
        raise JobError(f"no copy in task {copy_task_id} waits for a second look; see `cleanplate second-look list`")
    if _is_being_made(application, record):
        raise SupersededError(f"the copy in task {copy_task_id} is just being made again: look at it then")
    application.publisher.accept(record)
    return record


def _is_being_made(application: Application, record: CopyRecord) -> bool:
    # A task's data is replaced as a whole, so a worker must not replace it at the same moment.
    subject = Subject(record.label_studio_url, record.project_id, record.task_id, record.annotation_id)
    queue, limit = application.queue, max(sum(application.queue.counts().values()), 1)
    return any(
        job.subject == subject
        for state in (JobState.READY, JobState.LEASED)
        for job in queue.jobs(state=state, project_id=record.project_id, limit=limit)
    )
