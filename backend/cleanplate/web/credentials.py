"""What a caller must know. Everything is compared as bytes and in constant time."""

import base64
import binascii
import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from cleanplate.errors import SettingsError


@dataclass(frozen=True)
class BasicAuth:
    """The user and password that Label Studio gives to its ML backend."""

    user: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.user or not self.password or ":" in self.user:
            raise SettingsError("basic auth needs a user without a colon, and a password")

    def accepts(self, authorization: str) -> bool:
        """Whether an Authorization header holds these credentials; whatever else it holds is a no."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic" or not encoded.isascii():
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            return False
        return _is_one_of(given, self._encoded())

    def _encoded(self) -> list[bytes]:
        # RFC 7617 leaves the charset open: browsers send UTF-8, Label Studio's HTTP library sends latin-1.
        text = f"{self.user}:{self.password}"
        encoded = [text.encode()]
        with suppress(UnicodeEncodeError):
            encoded.append(text.encode("latin-1"))
        return encoded


@dataclass(frozen=True)
class WebhookSecrets:
    """The secret that webhooks carry, and the one before it until its time is over."""

    current: str = field(repr=False)
    previous: str = field(default="", repr=False)
    previous_until: datetime | None = None

    def __post_init__(self) -> None:
        if not self.current:
            raise SettingsError("the webhook needs a secret")
        if not (self.current + self.previous).isascii():
            raise SettingsError("a webhook secret is ASCII: other characters do not survive in a header")

    def accepts(self, given: str, at: datetime) -> bool:
        """Whether this header value is right at that time."""
        if not given.isascii():
            return False
        valid = [self.current.encode()]
        if self.previous and self.previous_until is not None and at < self.previous_until:
            valid.append(self.previous.encode())
        return _is_one_of(given.encode(), valid)


def _is_one_of(given: bytes, valid: list[bytes]) -> bool:
    # Every comparison is made, so that the time does not tell which one matched.
    matches = [hmac.compare_digest(given, one) for one in valid]
    return any(matches)
