"""Who may come in, decided on a request's head alone, before a byte of its body is read."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cleanplate.web.options import WebOptions
from cleanplate.web.refusals import (
    BadHostError,
    BodyEncodedError,
    BodyTooLargeError,
    CrossOriginError,
    LengthRequiredError,
    RequestRefusedError,
    UnauthorizedError,
    WrongSecretError,
)

SECRET_HEADER: Final = "X-Cleanplate-Secret"  # noqa: S105  a header's name

WEBHOOK_PATH: Final = "/webhook"

OPEN_PATHS: Final = frozenset({"/", "/health", "/livez", "/readyz"})
"""Answered to everybody: probes carry no password, and what they are told is a word or two."""

_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_LENGTH = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Head:
    """What is known of a request before its body.

    Attributes:
        path: decoded, without the query, and with one slash in front as the routes are looked up.
        headers: by name as CGI writes it, `CONTENT_LENGTH`; a header that came twice is joined by commas.
    """

    method: str
    path: str
    headers: Mapping[str, str]

    @classmethod
    def from_environ(cls, environ: Mapping[str, Any], *, path: str) -> "Head":
        """The head of a WSGI request for this path."""
        headers = {name[5:]: value for name, value in environ.items() if name.startswith("HTTP_")}
        headers["CONTENT_LENGTH"] = environ.get("CONTENT_LENGTH") or "0"
        return cls(method=environ["REQUEST_METHOD"], path=path, headers=headers)

    def header(self, name: str) -> str:
        """A header's value; empty if it is missing."""
        return self.headers.get(name.upper().replace("-", "_"), "")


class Admission:
    """The rules every request has to pass.

    The server asks before it reads a body, and the app asks again: what one lets in and the other does not is refused.

    Without basic auth, anybody's web page could point a name of its own at this machine and have a browser talk to us.
    So a Host is then right only if no stranger can own it: an address, a name without a dot, a name under
    `.localhost` or `.internal`, or one that was allowed. With basic auth and no list, every well-formed Host is right.
    """

    def __init__(self, options: WebOptions) -> None:
        self._options = options

    def require(self, head: Head) -> None:
        """Raise RequestRefusedError unless the request may come in."""
        self._require_host(head.header("Host"))
        if head.method == "POST" and head.header("Origin"):
            raise CrossOriginError("requests from web pages are not answered; Label Studio's server sends no Origin")
        self._require_credentials(head)
        self._require_bounded_body(head)

    def _require_host(self, host: str) -> None:
        match = _HOST.fullmatch(host)
        if not match:
            raise BadHostError("a request needs one well-formed Host header")
        name = match["name"].rstrip(".").lower()
        if not (self._is_known(name) or (self._options.basic_auth and not self._options.allowed_hosts)):
            raise BadHostError("this server does not go by the name in the Host header; allow it by its settings")

    def _is_known(self, name: str) -> bool:
        return (
            "." not in name
            or name in self._options.allowed_hosts
            or name.endswith((".localhost", ".internal"))
            or _is_address(name)
        )

    def _require_credentials(self, head: Head) -> None:
        if head.path in OPEN_PATHS:
            return
        if head.path == WEBHOOK_PATH:
            if not self._options.webhook_secrets.accepts(head.header(SECRET_HEADER), datetime.now(UTC)):
                raise WrongSecretError(f"the header {SECRET_HEADER} is missing or wrong")
            return
        if self._options.basic_auth and not self._options.basic_auth.accepts(head.header("Authorization")):
            raise UnauthorizedError("user and password are missing or wrong")

    def _require_bounded_body(self, head: Head) -> None:
        if head.header("Transfer-Encoding"):
            raise LengthRequiredError("send the body in one piece, with its Content-Length")
        length = head.header("Content-Length") or "0"
        if not _LENGTH.fullmatch(length):
            raise RequestRefusedError("the Content-Length header is not a number")
        limit = self._options.max_body_bytes
        if int(length) > limit:
            raise BodyTooLargeError(f"the body is over the limit of {limit} bytes")
        if head.header("Content-Encoding").lower() not in {"", "identity"}:
            raise BodyEncodedError("send the body as it is, not compressed")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
