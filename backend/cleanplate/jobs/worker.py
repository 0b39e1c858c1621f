import os
import random
import signal
from collections.abc import Callable, Mapping
from threading import Event, Thread
from types import FrameType
from typing import Any, Final, Protocol

import structlog

from cleanplate.errors import AttentionError, CleanplateError, LeaseLostError, StorageUnavailableError, SupersededError
from cleanplate.jobs.heartbeat import Heartbeat
from cleanplate.jobs.job import JobState, Lease, new_owner
from cleanplate.jobs.queue import Queue

MAX_BACKOFF_S: Final = 600.0
MAX_RETRY_AFTER_S: Final = 3600.0
"""However long another side asks us to wait, we look again after this."""

_DAY_S: Final = 86_400.0
_QUEUE_PAUSE_S: Final = 2.0
_KEY_CHARACTERS: Final = 12

_log = structlog.get_logger()


class Handler(Protocol):
    """Does the work of a job."""

    def __call__(self, lease: Lease, report: Callable[[str], None]) -> Mapping[str, Any]:
        """Do the job and return what it left, as plain JSON values.

        It calls *report* with the name of each step before the step, and lets through what that raises. It may be
        called again for a job that an earlier call half finished.

        Raises:
            SupersededError: The annotation is not what the job was put for.
            AttentionError: A person has to look at it first.
            CleanplateError: The job is dead, or is tried again if the error is transient.
        """
        ...


class Worker:
    """Does one job after the other."""

    def __init__(
        self,
        queue: Queue,
        handler: Handler,
        *,
        lease_s: float,
        owner: str | None = None,
        poll_s: float = 0.2,
        grace_s: float = 30.0,
        patience_s: float = _DAY_S,
        on_step: Callable[[Lease, str], None] | None = None,
        exit_process: Callable[[int], object] = os._exit,
    ) -> None:
        """Join a queue and a handler.

        Args:
            queue: where the jobs come from.
            handler: what does them.
            lease_s: the queue's lease.
            owner: a name that no other worker has; made up if None.
            poll_s: how long an idle worker waits before it looks again.
            grace_s: how long a job may go on after the worker was told to stop.
            patience_s: for so long after a job was put, transient errors do not cost it its attempts.
            on_step: is told of each step once the queue knows it.
            exit_process: ends the process when a job must not go on.
        """
        self._queue = queue
        self._handler = handler
        self._lease_s = lease_s
        self._owner = owner or new_owner()
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._patience_s = patience_s
        self._on_step = on_step
        self._exit_process = exit_process

    def run(self, stop: Event) -> None:
        """Work until *stop* is set. The process ends if a job that runs then takes longer than the grace time."""
        while not stop.is_set():
            if not self.work(stop):
                stop.wait(self._poll_s)

    def work(self, stop: Event) -> bool:
        """Do one job; False if there was none."""
        try:
            lease = self._queue.claim(self._owner)
            if lease is None:
                return False
            with structlog.contextvars.bound_contextvars(**_names(lease)):
                self._do(lease, stop)
        except LeaseLostError as error:
            _log.warning("a job was taken away", message=str(error))
        except StorageUnavailableError as error:
            # If a job was just done: it is done again when its lease runs out, and every step can be repeated.
            _log.error("the queue cannot be used", message=str(error))
            stop.wait(_QUEUE_PAUSE_S)
        return True

    def _do(self, lease: Lease, stop: Event) -> None:
        _log.info("job starts")
        beats = Heartbeat(
            self._queue,
            lease,
            lease_s=self._lease_s,
            stop=stop,
            grace_s=self._grace_s,
            exit_process=self._exit_process,
        )
        try:
            with beats:
                result = self._handler(lease, lambda step: self._report(lease, step))
            self._queue.done(lease, result)
        except Exception as error:  # noqa: BLE001  (one job's failure, of whatever kind, must not end the others)
            self._settle(lease, error)
        else:
            _log.info("job done")

    def _report(self, lease: Lease, step: str) -> None:
        self._queue.report(lease, step)
        if self._on_step is not None:
            self._on_step(lease, step)

    def _settle(self, lease: Lease, error: Exception) -> None:
        """Tell the queue what became of a job that was not done."""
        match error:
            case LeaseLostError():
                raise error
            case SupersededError():
                _log.info("job superseded", message=str(error))
                self._queue.end(lease, JobState.SUPERSEDED, reason=error.reason, message=str(error))
            case AttentionError():
                _log.warning("job needs attention", reason=error.reason, message=str(error))
                self._queue.end(lease, JobState.ATTENTION, reason=error.reason, message=str(error))
            case CleanplateError(transient=True):
                _log.warning("job is tried again", reason=error.reason, message=str(error))
                self._try_later(lease, error)
            case CleanplateError():
                _log.error("job failed", reason=error.reason, message=str(error))
                self._queue.end(lease, JobState.DEAD, reason=error.reason, message=str(error))
            case MemoryError():
                _log.error("job needs more memory than there is")
                message = "the machine has not enough memory for this image"
                self._queue.end(lease, JobState.DEAD, reason="out_of_memory", message=message)
            case _:
                # Its own words may hold what must not be shown, so the queue keeps its kind alone.
                _log.error("job failed unexpectedly", exc_info=error)
                message = f"{type(error).__name__}: the worker's log has the traceback"
                delay_s = _backoff_s(lease.job.attempt)
                self._queue.later(lease, reason="unexpected", message=message, delay_s=delay_s)

    def _try_later(self, lease: Lease, error: CleanplateError) -> None:
        """Wait as long as it takes the other side; only a job that failed so for long uses up its attempts."""
        delay_s = max(_backoff_s(lease.job.attempt), min(error.retry_after_s or 0.0, MAX_RETRY_AFTER_S))
        age_s = (lease.job.updated_at - lease.job.created_at).total_seconds()
        counts = age_s >= self._patience_s
        self._queue.later(lease, reason=error.reason, message=str(error), delay_s=delay_s, counts=counts)


def stop_on_signals(stop: Event) -> None:
    """Set *stop* at the first SIGTERM or SIGINT; the next one ends the process. Call it on the main thread."""

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        # On a thread of its own: this one may be inside stop.wait(), which holds the lock that set() takes.
        Thread(target=stop.set, name="stop").start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _backoff_s(attempt: int) -> float:
    """2, 4, 8 … seconds at most, up to ten minutes; at random, so that jobs that failed together come back apart."""
    return random.uniform(0.0, min(MAX_BACKOFF_S, 2.0 ** min(attempt, 30)))  # noqa: S311  (no secret)


def _names(lease: Lease) -> dict[str, str | int]:
    """What every log line of a job says."""
    job = lease.job
    return {
        "job": job.key[:_KEY_CHARACTERS],
        "attempt": job.attempt,
        "project": job.subject.project_id,
        "task": job.subject.task_id,
        "annotation": job.subject.annotation_id,
    }
