"""Work that nobody waits for."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import structlog

from cleanplate.engines.embeddings import ImageIdentity

_log = structlog.get_logger()


class Errand(NamedTuple):
    """An image to prepare, and whether an overview of it is needed as well."""

    image: ImageIdentity
    with_overview: bool


class Warmer:
    """Prepares images that nobody has clicked on yet, one at a time, in a thread of its own.

    First those that somebody has opened; then, while there are none of these, those that will probably be opened next.
    Being asked costs nothing and never fails: what does not fit in the queue is dropped, since a click on that image
    will prepare it anyway. The thread begins with the first image.
    """

    def __init__(self, prepare: Callable[[Errand], None], *, max_waiting: int = 4) -> None:
        self._prepare = prepare
        self._max_waiting = max_waiting
        self._waiting: deque[Errand] = deque()
        self._ahead: Iterator[Errand] | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def ask(self, errand: Errand) -> bool:
        """Prepare an image soon; False if there is no room, or if this warmer was closed."""
        with self._changed:
            if self._is_closed or len(self._waiting) >= self._max_waiting:
                return False
            self._waiting.append(errand)
            self._wake()
        return True

    def ask_ahead(self, errands: Iterator[Errand]) -> None:
        """Prepare these when there is nothing else to do, in the place of those that were asked for so before.

        Args:
            errands: gone through in this warmer's thread, so finding out the next may take its time.
        """
        with self._changed:
            if not self._is_closed:
                self._ahead = errands
                self._wake()

    def drop_ahead(self) -> None:
        """Begin no more of those: somebody is at work, and should have the machine."""
        with self._changed:
            self._ahead = None

    def close(self) -> None:
        """Finish the image at hand, drop those that wait, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._ahead = None
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _wake(self) -> None:
        self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="warmer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._waiting or self._ahead is not None)
                if self._is_closed:
                    return
                errand = self._waiting.popleft() if self._waiting else None
                ahead = self._ahead
            if errand is None and ahead is not None:
                errand = self._next(ahead)
            if errand is not None:
                self._do(errand)

    def _next(self, ahead: Iterator[Errand]) -> Errand | None:
        """The next of those that may be opened next; None if there is none, or something more urgent came."""
        try:
            errand = next(ahead, None)
        except Exception:  # noqa: BLE001  logged here: nobody waits, and later images must not suffer from it
            _log.exception("what may be opened next could not be found out")
            errand = None
        with self._changed:
            if self._ahead is not ahead:
                return None
            if errand is None:
                self._ahead = None
            elif self._waiting:
                # What was opened meanwhile goes first; this one is prepared when it is opened.
                return None
            return errand

    def _do(self, errand: Errand) -> None:
        image = errand.image
        try:
            self._prepare(errand)
        except Exception:  # noqa: BLE001  logged here: nobody waits, and the next image must not suffer from it
            _log.exception("an image could not be prepared ahead", project=image.project_id, task=image.task_id)
