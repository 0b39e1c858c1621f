"""Work that nobody waits for."""

import queue
import threading
from collections.abc import Callable
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

    Being asked costs nothing and never fails: what does not fit in the queue is dropped, since a click on that image
    will prepare it anyway. The thread begins with the first image.
    """

    def __init__(self, prepare: Callable[[Errand], None], *, max_waiting: int = 4) -> None:
        self._prepare = prepare
        self._waiting: queue.Queue[Errand | None] = queue.Queue(max_waiting)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def ask(self, errand: Errand) -> bool:
        """Prepare an image soon; False if there is no room, or if this warmer was closed."""
        with self._lock:
            if self._is_closed:
                return False
            try:
                self._waiting.put_nowait(errand)
            except queue.Full:
                return False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="warmer", daemon=True)
                self._thread.start()
        return True

    def close(self) -> None:
        """Finish the image at hand, drop those that wait, and end the thread."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            thread = self._thread
        if thread is None:
            return
        while True:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                self._waiting.get()
            else:
                break
        thread.join()

    def _run(self) -> None:
        while (errand := self._waiting.get()) is not None:
            image = errand.image
            try:
                self._prepare(errand)
            except Exception:  # noqa: BLE001  logged here: nobody waits, and the next image must not suffer from it
                _log.exception("an image could not be prepared ahead", project=image.project_id, task=image.task_id)
