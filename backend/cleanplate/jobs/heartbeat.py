import os
import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

import structlog

from cleanplate.errors import CleanplateError, LeaseLostError
from cleanplate.jobs.job import Lease
from cleanplate.jobs.queue import Queue

_BEATS_PER_LEASE: Final = 3
_LONGEST_NAP_S: Final = 0.5
_GIVEN_BACK_FOR_S: Final = 5.0

_log = structlog.get_logger()


class Heartbeat:
    """Keeps a lease alive while its job runs, and ends the process when the job must not go on.

    That is when another worker may have the job, or when the time to finish after a stop is over. A thread cannot be
    stopped in the middle of its work; a process can. Enter it on the handler's thread.
    """

    def __init__(
        self,
        queue: Queue,
        lease: Lease,
        *,
        lease_s: float,
        stop: Event,
        grace_s: float,
        exit_process: Callable[[int], object] = os._exit,
    ) -> None:
        """Take care of one lease.

        Args:
            queue: whose lease it is.
            lease: extended three times as often as it must be.
            lease_s: how long it lasts.
            stop: set when the process is to end.
            grace_s: how long the job may go on after that.
            exit_process: ends the process before another line of any thread is run.
        """
        self._queue = queue
        self._lease = lease
        self._beat_s = lease_s / _BEATS_PER_LEASE
        self._stop = stop
        self._grace_s = grace_s
        self._exit_process = exit_process
        self._finished = Event()
        self._thread = Thread(target=self._watch, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Joined, so that no beat comes after the job was given back: it would look like a lost lease.
        self._finished.set()
        self._thread.join()

    def _watch(self) -> None:
        beat_at = time.monotonic() + self._beat_s
        leave_at: float | None = None
        while not self._finished.wait(min(self._beat_s, _LONGEST_NAP_S)):
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + self._beat_s
                self._beat()
            if leave_at is None and self._stop.is_set():
                leave_at = now + self._grace_s
            if leave_at is not None and now >= leave_at:
                self._leave()
                return

    def _beat(self) -> None:
        try:
            self._queue.extend(self._lease)
        except LeaseLostError as error:
            _log.critical("another worker may have this job, the process ends", message=str(error))
            self._exit_process(os.EX_TEMPFAIL)
        except CleanplateError as error:
            # Nobody can take the job from a queue that cannot be used; the next beat tells.
            _log.warning("a lease could not be extended", reason=error.reason, message=str(error))

    def _leave(self) -> None:
        """Give the job back, but not to be started before what is under way outside has ended too."""
        try:
            self._queue.later(
                self._lease,
                reason="stopped",
                message="its worker was stopped",
                delay_s=_GIVEN_BACK_FOR_S,
                counts=False,
            )
        except CleanplateError as error:
            _log.warning("a job was not given back; its lease runs out", reason=error.reason, message=str(error))
        _log.warning("the job took too long to finish after the stop, the process ends")
        self._exit_process(os.EX_OK)
