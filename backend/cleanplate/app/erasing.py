"""Erasing what was kept of a task, here and in every process that has some of it in memory."""

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from cleanplate.errors import CleanplateError, JobError, SettingsError

if TYPE_CHECKING:
    from cleanplate.app.application import Application

INTERVAL_S: Final = 1.0
"""How long a running process may go on with what another one erased."""

_REDIS: Final = "purges in Redis"

_log = structlog.get_logger()


@dataclass
class Erased:
    """What was removed.

    Attributes:
        images: of which prepared images were stored. Those that were in memory only are not counted.
        copies: that were there.
        tasks: of these copies.
        files_missing: the ids of copies whose file was not where it should be, or is out of this machine's reach.
    """

    images: int = 0
    copies: int = 0
    tasks: int = 0
    files_missing: list[str] = field(default_factory=list)


class Erasing:
    """Removes what was kept of a task, or of a whole project. It can be repeated, also when it broke off."""

    def __init__(self, application: "Application", *, project_id: int, task_id: int | None) -> None:
        """Find out what there is to do.

        Raises:
            JobError: A copy is about to be made.
            SettingsError: A copy is in another Label Studio than the one that is set.
        """
        self._application = application
        self._project_id = project_id
        self._task_id = task_id
        self.copies = application.ledger.published(project_id=project_id, task_id=task_id)
        self._require_quiet()
        if any(copy.label_studio_url != application.client.url for copy in self.copies):
            raise SettingsError("a copy is in another Label Studio than LABEL_STUDIO_URL says: set it to that one")

    def run(self) -> Erased:
        """Remove it all: the copies first, since they are seen.

        Raises:
            CleanplateError: Some of it is still there.
        """
        erased = Erased()
        for copy in self.copies:
            withdrawn = self._application.publisher.withdraw(copy)
            erased.copies += 1
            erased.tasks += withdrawn.tasks
            if not withdrawn.had_file:
                erased.files_missing.append(copy.copy_id)
        try:
            erased.images = self._application.shelf.purge(project_id=self._project_id, task_id=self._task_id)
        finally:
            # Last, so that whoever hears of it finds nothing to take again; but also if one shelf could not be reached.
            self._application.ledger.note_erasure(project_id=self._project_id, task_id=self._task_id)
        _log.info("erased", project=self._project_id, task=self._task_id, images=erased.images, copies=erased.copies)
        return erased

    def _require_quiet(self) -> None:
        waiting = self._application.queue.subjects(project_id=self._project_id, task_id=self._task_id)
        if waiting:
            tasks = ", ".join(str(number) for number in sorted({subject.task_id for subject in waiting}))
            raise JobError(f"copies of task {tasks} are about to be made: wait until they are, then erase")


class ErasureWatch:
    """Has a running process forget what another one erased, here or on another machine."""

    def __init__(self, application: "Application") -> None:
        """Begin with what was erased from now on, and what other machines purged while this one was away."""
        self._application = application
        self._ledger = application.ledger
        self._known = max((erasure.number for erasure in self._ledger.erasures()), default=0)
        self._redis = application.embedding_redis
        self._mark = self._ledger.mark(_REDIS)
        self._ended = threading.Event()
        self._fails = False
        self._thread = threading.Thread(target=self._run, name="erasures", daemon=True)

    def start(self) -> None:
        """Look again and again, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Forget what was erased since the last look."""
        for erasure in self._ledger.erasures(after=self._known):
            self._application.predictor.forget(project_id=erasure.project_id, task_id=erasure.task_id)
            self._known = erasure.number
        if self._redis is None:
            return
        for purge in self._redis.purges_after(self._mark or self._redis.FIRST):
            self._application.embedding_disk.purge(project_id=purge.project_id, task_id=purge.task_id)
            self._application.predictor.forget(project_id=purge.project_id, task_id=purge.task_id)
            self._mark = purge.mark
            self._ledger.note_mark(_REDIS, purge.mark)

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_S):
            try:
                self.look()
            except CleanplateError as error:
                if not self._fails:
                    _log.warning("what others erased cannot be found out; tried again", reason=error.reason)
                self._fails = True
            except Exception:  # noqa: BLE001  logged here: clicks must not suffer from it, and later looks must follow
                _log.exception("what others erased cannot be found out")
            else:
                self._fails = False
