"""One encoding at a time: two at once take twice as long each, and twice the memory."""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Final, NamedTuple, TypeVar

from cleanplate.errors import BusyError

MAX_WAITING: Final = 32

_COME_AGAIN_S: Final = 5.0

_Made = TypeVar("_Made")


class _Piece(NamedTuple):
    subject: Hashable
    work: Callable[[], Any]
    made: "Future[Any]"


class EncodingLine:
    """Does one piece of work at a time, in a thread of its own: first what somebody waits for, the rest as it came.

    A piece that has begun is finished. The thread begins with the first piece.
    """

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._waiting: list[_Piece] = []
        self._awaited: Counter[Hashable] = Counter()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @contextmanager
    def awaited(self, subject: Hashable) -> Iterator[None]:
        """While the block runs, work on *subject* goes before work that nobody waits for, whoever asked for it."""
        with self._changed:
            self._awaited[subject] += 1
        try:
            yield
        finally:
            with self._changed:
                self._awaited[subject] -= 1
                if not self._awaited[subject]:
                    del self._awaited[subject]

    def do(self, subject: Hashable, work: Callable[[], _Made]) -> _Made:
        """What *work* returns or raises, when its turn has come.

        Raises:
            BusyError: Too much waits already, or the line was closed.
        """
        made: Future[_Made] = Future()
        with self._changed:
            if self._is_closed:
                raise BusyError("cleanplate is stopping")
            if len(self._waiting) >= self._max_waiting:
                raise BusyError("too many images wait to be prepared", retry_after_s=_COME_AGAIN_S)
            # In the context of whoever asked: log lines say which request they belong to.
            context = copy_context()
            self._waiting.append(_Piece(subject, lambda: context.run(work), made))
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
                self._thread.start()
        return made.result()

    def close(self) -> None:
        """Finish the piece at hand, refuse those that wait, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._waiting)
                if self._is_closed:
                    for piece in self._waiting:
                        piece.made.set_exception(BusyError("cleanplate is stopping"))
                    return
                piece = self._next()
            try:
                made = piece.work()
            except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
                piece.made.set_exception(error)
            else:
                piece.made.set_result(made)
                # What was made may be large, and the next piece may be long in coming.
                del made
            del piece

    def _next(self) -> _Piece:
        wanted = (number for number, piece in enumerate(self._waiting) if piece.subject in self._awaited)
        return self._waiting.pop(next(wanted, 0))
