import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from typing import Final

_SPARE_S: Final = 30.0
"""How long before its end an access token is exchanged: clocks differ, and requests take time."""

_UNKNOWN_LIFE_S: Final = 60.0
_DOTS_IN_A_JWT: Final = 2


class Credentials:
    """The token of a person, in either of Label Studio's two kinds, as an `Authorization` header.

    A personal access token is a JWT with two dots that only buys access tokens, each good for a few minutes. Anything
    else is a legacy token and is sent as it is. Safe to use from many threads.

    Args:
        api_key: the token.
        exchange: asks Label Studio for an access token in return for a personal one.
        now: seconds since 1970.
    """

    def __init__(self, api_key: str, exchange: Callable[[str], str], now: Callable[[], float] = time.time) -> None:
        self._api_key = api_key
        self._exchange = exchange
        self._now = now
        self._lock = threading.Lock()
        self._access = ""
        self._until = 0.0

    @property
    def is_personal(self) -> bool:
        """Whether the token is a personal access token."""
        return self._api_key.count(".") == _DOTS_IN_A_JWT

    def header(self) -> str:
        """The value of the `Authorization` header; exchanges the token first if that is needed."""
        if not self.is_personal:
            return f"Token {self._api_key}"
        with self._lock:
            if self._now() >= self._until:
                self._access = self._exchange(self._api_key)
                self._until = self._end_of(self._access) - _SPARE_S
            return f"Bearer {self._access}"

    def renew(self, refused: str) -> bool:
        """Forget the access token that was just refused; whether trying again makes sense.

        Args:
            refused: the header that was sent: another thread may have renewed the token since.
        """
        if not self.is_personal:
            return False
        with self._lock:
            if refused == f"Bearer {self._access}":
                self._until = 0.0
        return True

    def _end_of(self, access: str) -> float:
        fallback = self._now() + _UNKNOWN_LIFE_S
        try:
            payload = access.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            return float(claims["exp"])
        except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
            return fallback
