import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cleanplate.errors import BusyError

_COME_AGAIN_S: Final = 1.0


class Places:
    """So many requests run, so many more wait for their turn, and the next one is sent away at once."""

    def __init__(self, *, running: int, waiting: int, patience_s: float) -> None:
        self._patience_s = patience_s
        self._room = threading.BoundedSemaphore(running + waiting)
        self._turn = threading.BoundedSemaphore(running)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Wait for a turn and keep it while the block runs.

        Raises:
            BusyError: Too many wait already, or the turn did not come in time.
        """
        if not self._room.acquire(blocking=False):
            raise BusyError("too many clicks are waiting already", retry_after_s=_COME_AGAIN_S)
        try:
            if not self._turn.acquire(timeout=self._patience_s):
                raise BusyError(f"no turn within {self._patience_s:g} s", retry_after_s=_COME_AGAIN_S)
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._room.release()

    @property
    def is_full(self) -> bool:
        """Whether the next one would be sent away."""
        if not self._room.acquire(blocking=False):
            return True
        self._room.release()
        return False
