import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import Final, Protocol

import structlog

from cleanplate.errors import CleanplateError
from cleanplate.jobs.job import NewJob, Subject, new_owner
from cleanplate.jobs.queue import Hint, Queue

OVERLAP: Final = timedelta(minutes=10)
"""How far before its watermark a sweep begins: changes may become visible late and out of order."""

_DAY_S: Final = 86_400.0
_RELIST_S: Final = 5.0
_BREATH_S: Final = 0.001
_HINTS_AT_ONCE: Final = 1000

_log = structlog.get_logger()


@dataclass(frozen=True)
class TaskState:
    """What Label Studio says about one task now.

    Attributes:
        updated_at: when the task or one of its annotations last changed, by Label Studio's clock.
        jobs: one for each approved annotation.
        annotation_ids: of all annotations that the task has, approved or not.
    """

    task_id: int
    updated_at: datetime
    jobs: tuple[NewJob, ...]
    annotation_ids: frozenset[int]


class Source(Protocol):
    """Says what was approved. Its methods raise CleanplateError when they cannot."""

    def projects(self) -> list[int]:
        """The projects that are watched."""
        ...

    def changes(self, project_id: int, *, since: datetime | None, task_id: int | None) -> Iterator[TaskState]:
        """The tasks that changed since then, all if None; or the one task, nothing if it is gone.

        It may give more than was asked for: all tasks, when the project's policy changed.
        """
        ...


class Sweeper:
    """Sees to it that every approved annotation has its job, whatever became of the webhooks.

    Of several sweepers on one queue one leads, and the others wait to take its place.
    """

    def __init__(
        self,
        queue: Queue,
        source: Source,
        *,
        interval_s: float = 60.0,
        poll_s: float = 0.2,
        full_every_s: float = _DAY_S,
        lead_s: float = 15.0,
        owner: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Join a queue and a source.

        Args:
            queue: gets the jobs; it also keeps the hints and the watermarks.
            source: is asked what was approved.
            interval_s: how often each project is asked for its changes.
            poll_s: how often the hints are looked at.
            full_every_s: how often a project is looked through from end to end.
            lead_s: how long a leader may be silent before another takes its place.
            owner: a name that no other sweeper has; made up if None.
            clock: counts seconds and never goes back.
        """
        self._queue = queue
        self._source = source
        self._interval_s = interval_s
        self._poll_s = poll_s
        self._full_every_s = full_every_s
        self._lead_s = lead_s
        self._owner = owner or new_owner()
        self._clock = clock
        self._stop = Event()
        self._patience = _Patience(clock, longest_s=interval_s)
        self._leading = False
        self._lead_again_at = -float("inf")
        self._listed_at = -float("inf")
        self._hints_seen_at = -float("inf")
        self._due: dict[int, float] = {}

    def run(self, stop: Event) -> None:
        """Sweep until *stop* is set, then let another lead."""
        self._stop = stop
        while not stop.is_set():
            self.tick()
            stop.wait(self._poll_s)
        if self._leading:
            self._attempt("leadership", lambda: self._queue.lead(self._owner, for_s=0))

    def tick(self) -> None:
        """Do what is due now. No failure of Label Studio or the queue gets out: it is logged, and tried again."""
        self._attempt("sweep", self._do_what_is_due)

    def _do_what_is_due(self) -> None:
        if not self._goes_on():
            return
        if self._clock() - self._listed_at >= self._interval_s:
            self._attempt("projects", self._list_projects)
        self._look_into_hints(whole_projects=True)
        for project_id, due_at in sorted(self._due.items(), key=lambda item: item[1]):
            if due_at <= self._clock():
                self._attempt(f"project {project_id}", partial(self._sweep, project_id, full=False))

    def _attempt(self, what: str, work: Callable[[], object]) -> bool:
        """Do some work unless it failed a short while ago; whether it was done.

        A failure of one project must not stop the others, and a Label Studio that is down must not fill the log.
        """
        if self._patience.waits_for(what):
            return False
        try:
            work()
        except Exception as error:  # noqa: BLE001  (whatever it is: without its sweep the product stands still)
            self._patience.failed(what, error)
            return False
        self._patience.succeeded(what)
        return True

    def _goes_on(self) -> bool:
        """Whether this sweeper leads and was not stopped."""
        now = self._clock()
        if now >= self._lead_again_at:
            self._leading = self._queue.lead(self._owner, for_s=self._lead_s)
            self._lead_again_at = now + self._lead_s / 3
        return self._leading and not self._stop.is_set()

    def _list_projects(self) -> None:
        now = self._clock()
        self._due = {project_id: self._due.get(project_id, now) for project_id in self._source.projects()}
        self._listed_at = now

    # Hints

    def _look_into_hints(self, *, whole_projects: bool) -> None:
        """Look into every hint, those about whole projects only if asked to."""
        self._hints_seen_at = self._clock()
        hints = self._queue.hints(_HINTS_AT_ONCE)
        if any(hint.project_id not in self._due for hint in hints):
            hints = self._without_strangers(hints)
        for hint in hints:
            if not self._goes_on():
                return
            if hint.task_id is not None or whole_projects:
                self._attempt(f"hints of project {hint.project_id}", partial(self._look_into, hint))

    def _without_strangers(self, hints: list[Hint]) -> list[Hint]:
        """Forget the hints about projects that are not watched, but not on the word of an old list."""
        listed = self._clock() - self._listed_at >= _RELIST_S and self._attempt("projects", self._list_projects)
        if listed:
            self._queue.resolve(hint for hint in hints if hint.project_id not in self._due)
        return [hint for hint in hints if hint.project_id in self._due]

    def _look_into(self, hint: Hint) -> None:
        try:
            if hint.task_id is not None:
                self._look_at(hint.project_id, hint.task_id)
            elif not self._sweep(hint.project_id, full=True):
                return
        except CleanplateError as error:
            if error.transient:
                self._queue.hint(hint.project_id, hint.task_id)  # behind the others, so that it does not hold them up
            else:
                self._queue.resolve([hint])  # the sweep comes by there anyway
            raise
        self._queue.resolve([hint])

    def _look_at(self, project_id: int, task_id: int) -> None:
        """Take over what became of one task."""
        states = list(self._source.changes(project_id, since=None, task_id=task_id))
        for state in states:
            self._take(project_id, state)
        if task_id not in {state.task_id for state in states}:
            self._cancel(self._queue.subjects(project_id=project_id, task_id=task_id))

    # Projects

    def _sweep(self, project_id: int, *, full: bool) -> bool:
        """Take over a project's changes; False if it was interrupted and has to begin again.

        The watermark advances only when all was seen: the source's order need not be that of the changes.
        """
        watermark = self._queue.watermark(project_id)
        whole = full or watermark is None or self._queue.full_sweep_due(project_id, every_s=self._full_every_s)
        since = None if whole or watermark is None else watermark - OVERLAP
        # Asked before, so that a task that is new since then is not taken for one that is gone.
        unfinished = self._queue.subjects(project_id=project_id) if whole else []
        seen = set()
        for state in self._source.changes(project_id, since=since, task_id=None):
            self._take(project_id, state)
            seen.add(state.task_id)
            watermark = state.updated_at if watermark is None else max(watermark, state.updated_at)
            if not self._goes_on():
                return False
            if self._clock() - self._hints_seen_at >= self._poll_s:
                self._look_into_hints(whole_projects=False)
        self._cancel([subject for subject in unfinished if subject.task_id not in seen])
        if watermark is not None:
            self._queue.set_watermark(project_id, watermark)
        if whole:
            self._queue.note_full_sweep(project_id)
        self._due[project_id] = self._clock() + self._interval_s
        return True

    def _take(self, project_id: int, state: TaskState) -> None:
        """Make the queue agree with what Label Studio says about a task."""
        for job in state.jobs:
            if self._queue.put(job):
                _log.info("job put", project=project_id, task=state.task_id, annotation=job.subject.annotation_id)
                # After a first sweep's thousands of jobs in a row the webhooks' hints would come too late.
                self._stop.wait(_BREATH_S)
        subjects = self._queue.subjects(project_id=project_id, task_id=state.task_id)
        self._cancel([subject for subject in subjects if subject.annotation_id not in state.annotation_ids])

    def _cancel(self, gone: list[Subject]) -> None:
        for subject in gone:
            self._queue.cancel(subject)
            names = {"project": subject.project_id, "task": subject.task_id, "annotation": subject.annotation_id}
            _log.info("annotation is gone, its jobs are cancelled", **names)


class _Patience:
    """Remembers what failed, and lets it rest: a second, then two, four … up to *longest_s*."""

    def __init__(self, clock: Callable[[], float], *, longest_s: float) -> None:
        self._clock = clock
        self._longest_s = longest_s
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def waits_for(self, what: str) -> bool:
        return self._clock() < self._until.get(what, -float("inf"))

    def failed(self, what: str, error: Exception) -> None:
        """Count a failure; only the first in a row is logged."""
        failures = self._failures.get(what, 0)
        self._failures[what] = failures + 1
        self._until[what] = self._clock() + min(2.0**failures, self._longest_s)
        if failures:
            return
        if isinstance(error, CleanplateError):
            _log.warning("sweep fails, and will try again", what=what, reason=error.reason, message=str(error))
        else:
            _log.error("sweep fails unexpectedly, and will try again", what=what, exc_info=error)

    def succeeded(self, what: str) -> None:
        if self._failures.pop(what, 0):
            del self._until[what]
            _log.info("sweep works again", what=what)
