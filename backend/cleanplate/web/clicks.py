import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_REMEMBERED: Final = 10


@dataclass(frozen=True)
class FailedClick:
    """A click that got no mask."""

    at: datetime
    reason: str
    message: str
    request_id: str


class FailedClicks:
    """The last clicks that got no mask. Label Studio drops the error, so this is where a person can read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: deque[FailedClick] = deque(maxlen=_REMEMBERED)

    def note(self, *, reason: str, message: str, request_id: str) -> None:
        """Remember one that failed just now."""
        with self._lock:
            self._last.appendleft(FailedClick(datetime.now(UTC), reason, message, request_id))

    def last(self) -> tuple[FailedClick, ...]:
        """The newest first."""
        with self._lock:
            return tuple(self._last)
