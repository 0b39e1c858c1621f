"""What jobs that ended early leave behind: files that were put for a copy, and that no copy shows."""

from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Protocol

import structlog

from cleanplate.errors import CleanplateError
from cleanplate.jobs.job import Job
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.pipeline.places import Places
from cleanplate.storage.ledger import CopyRecord, Ledger, StoredFile

_log = structlog.get_logger()


class Jobs(Protocol):
    """Knows what became of jobs."""

    def get(self, key: str) -> Job | None:
        """The job of this key."""
        ...


class Leftovers:
    """Takes away the files of jobs that ended between putting a file and publishing it.

    Such a file may show what a later state of the annotation removes, and no later job knows of it: the ledger's notes
    do. Several processes may tidy up at once.

    Args:
        client: Label Studio.
        places: where the files are.
        ledger: has the notes.
        jobs: say whether the job of a file may still publish it.
        interval_s: how long to wait from one round to the next.
    """

    def __init__(
        self, client: LabelStudioClient, places: Places, ledger: Ledger, jobs: Jobs, *, interval_s: float
    ) -> None:
        self._client = client
        self._places = places
        self._ledger = ledger
        self._jobs = jobs
        self._interval_s = interval_s
        self._stop = Event()
        self._failing: set[str] = set()

    def run(self, stop: Event) -> None:
        """Tidy up again and again until *stop* is set."""
        self._stop = stop
        while not stop.is_set():
            self.tidy()
            stop.wait(self._interval_s)

    def tidy(self) -> None:
        """Look after each noted file once. What fails is logged, once, and tried again the next time."""
        files: list[StoredFile] = []
        self._attempt("", lambda: files.extend(self._ledger.noted_files()))
        for file in files:
            if self._stop.is_set():
                return
            self._attempt(file.file_name, partial(self._look_after, file))

    def _look_after(self, file: StoredFile) -> None:
        # Another Label Studio's project of this number says nothing about the file.
        if file.label_studio_url != self._client.url or not self._is_over(file):
            return
        if self._client.project(file.project_id) is None:
            _log.warning("project is gone, a file of a copy in it may be left", project=file.project_id)
        elif not self._is_used(file):
            # Asked again: in the meantime the annotation may have become again what the job was put for.
            if not self._is_over(file):
                return
            self._places.delete_by_name(file.file_name, project_id=file.project_id, source_url=file.source_url)
            _log.info("file of a copy that was never published deleted", copy=file.copy_id, project=file.project_id)
        if self._is_over(file):
            self._ledger.forget_file(file.file_name)

    def _is_over(self, file: StoredFile) -> bool:
        """Whether nobody publishes the file any more, not even a worker whose job was superseded meanwhile."""
        job = self._jobs.get(file.job_key)
        return job is None or (job.state.ended and not job.held)

    def _is_used(self, file: StoredFile) -> bool:
        """Whether a copy shows the file; of a copy whose task somebody deleted: whether it was published."""
        copies = self._client.copies(file.project_id, file.copy_id)
        record = self._ledger.get(file.copy_id)
        published = record is not None and record.file_name == file.file_name
        if not copies:
            return published
        shown = any(file.file_name in str(value) for copy in copies for value in copy.data.values())
        if shown and record is not None and not published:
            self._note_replaced(record)
        return shown

    def _note_replaced(self, record: CopyRecord) -> None:
        """Note the file that a job had replaced, but not deleted yet when it was killed."""
        self._ledger.note_file(
            StoredFile(
                file_name=record.file_name,
                copy_id=record.copy_id,
                job_key=record.job_key,
                label_studio_url=record.label_studio_url,
                project_id=record.project_id,
                source_url=self._places.way_back(record.address),
            )
        )

    def _attempt(self, what: str, work: Callable[[], object]) -> None:
        """Do some work. Whatever fails must stop neither the rest nor the process, and must not fill the log."""
        try:
            work()
        except Exception as error:  # noqa: BLE001  (see above)
            if what in self._failing:
                return
            self._failing.add(what)
            if isinstance(error, CleanplateError):
                _log.warning("tidying up fails, and is tried again", reason=error.reason, message=str(error))
            else:
                _log.error("tidying up fails unexpectedly, and is tried again", exc_info=error)
        else:
            self._failing.discard(what)
