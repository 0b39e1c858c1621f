import threading
import time
from typing import Final

from cleanplate.app.checks import Check
from cleanplate.web.services import Services

_FRESH_S: Final = 10.0


class Readiness:
    """The last look at what cleanplate depends on.

    Probes are open to everybody and come often, and a look may take seconds: so there is one look in ten seconds, and
    whoever asks meanwhile is told what the last one found.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looking = threading.Lock()
        self._looked_at: float | None = None
        self._checks: tuple[Check, ...] = ()

    def checks(self) -> tuple[Check, ...]:
        """What was found, at most a look older than ten seconds; nothing while the very first look is going on."""
        if self._is_stale() and self._looking.acquire(blocking=False):
            try:
                self._checks = tuple(self._services.checks())
                self._looked_at = time.monotonic()
            finally:
                self._looking.release()
        return self._checks

    def _is_stale(self) -> bool:
        return self._looked_at is None or time.monotonic() - self._looked_at > _FRESH_S
