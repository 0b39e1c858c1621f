import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cleanplate.errors import BusyError

_COME_AGAIN_S: Final = 1.0


class Places:
    """So many requests are in the house, and the next one is sent away at once."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Keep a place while the block runs.

        Raises:
            BusyError: There is none.
        """
        if not self._free.acquire(blocking=False):
            raise BusyError("too many clicks are waiting already", retry_after_s=_COME_AGAIN_S)
        try:
            yield
        finally:
            self._free.release()

    @property
    def is_full(self) -> bool:
        """Whether the next one would be sent away."""
        if not self._free.acquire(blocking=False):
            return True
        self._free.release()
        return False
