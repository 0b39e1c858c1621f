"""One download from a server that is not ours: what it sends is cut off by size and by time."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Final, Protocol
from urllib.parse import quote

from cleanplate.errors import (
    MediaError,
    MediaMissingError,
    MediaTooLargeError,
    MediaUnavailableError,
    UrlNotAllowedError,
)
from cleanplate.label_studio.addresses import Resolve, connection
from cleanplate.label_studio.client import retry_after_s

MOVED: Final = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})

_BUSY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_CHUNK_BYTES: Final = 64 * 1024
_PAGE_STARTS: Final = (b"<!doctype html", b"<html")
_HEADERS: Final = {"User-Agent": "cleanplate", "Accept": "image/*, */*;q=0.1", "Accept-Encoding": "identity"}


class Body(Protocol):
    """The body of an answer, to be read piece by piece."""

    def read1(self, amount: int, /) -> bytes:
        """What has arrived, at most *amount* bytes; nothing at the end."""
        ...


class Deadline:
    """A moment after which a download is given up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """How many seconds are left; 0 if none are."""
        return max(self._end - time.monotonic(), 0.0)

    def require(self) -> None:
        """Raise MediaUnavailableError if it has passed."""
        if self.left_s <= 0:
            raise MediaUnavailableError(f"the image's server took longer than {self._seconds:g} s")


@dataclass(frozen=True)
class Place:
    """Where to download from: the parts of an http(s) address, still with their percent signs."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def target(self) -> str:
        """Path and query as they are asked for: what must be quoted is, what is quoted already stays."""
        path = quote(self.path or "/", safe="/%:@!$&'()*+,;=~")
        return f"{path}?{quote(self.query, safe='/%:@!$&()*+,;=~?')}" if self.query else path


@dataclass(frozen=True)
class Redirect:
    """The server says the image is somewhere else."""

    location: str


def download(
    place: Place, *, private: bool, max_bytes: int, timeout_s: float, deadline: Deadline, resolve: Resolve
) -> bytes | Redirect:
    """The file at *place*, or where the server sends us instead.

    Args:
        place: what to ask for.
        private: whether it may be in a private network.
        max_bytes: longer files are refused.
        timeout_s: how long a connection may take, and how long it may be silent.
        deadline: when it all must be done.
        resolve: every address of a name.

    Raises:
        UrlNotAllowedError: Its name leads to an address that is not reached.
        MediaMissingError, MediaTooLargeError, MediaUnavailableError, MediaError: It cannot be had.
    """
    timeout_s = max(min(timeout_s, deadline.left_s), 0.001)
    line = connection(
        scheme=place.scheme,
        host=place.host,
        port=place.port,
        private=private,
        timeout_s=timeout_s,
        resolve=resolve,
    )
    try:
        with _cut_off(line, deadline):
            line.request("GET", place.target, headers=_HEADERS)
            return _answer(line.getresponse(), max_bytes, deadline)
    except ssl.SSLCertVerificationError:
        raise MediaError("the image's server has a certificate that is not trusted") from None
    except UnicodeError:
        raise UrlNotAllowedError("the image's address has an impossible host name") from None
    except (OSError, HTTPException, ValueError) as error:
        # A ValueError is what reading from a TLS connection gives that was shut at the deadline.
        deadline.require()
        kind = type(error).__name__
    finally:
        line.close()
    # Not chained: such errors may hold the address.
    raise MediaUnavailableError(f"the image's server did not deliver ({kind})")


def read_all(body: Body, *, declared: str | None, max_bytes: int, deadline: Deadline) -> bytes:
    """Read a body to its end.

    Args:
        body: of the answer.
        declared: its Content-Length, if it has one.
        max_bytes: longer bodies are refused.
        deadline: when it must have ended.

    Raises:
        MediaTooLargeError: It is longer, or says so.
        MediaUnavailableError: It ended early, or did not end in time.
    """
    length = int(declared) if declared and declared.isdecimal() else None
    if length is not None and length > max_bytes:
        raise MediaTooLargeError(f"the image is longer than {max_bytes:,} bytes")
    content = bytearray()
    while piece := body.read1(_CHUNK_BYTES):
        content += piece
        if len(content) > max_bytes:
            raise MediaTooLargeError(f"the image is longer than {max_bytes:,} bytes")
        deadline.require()
    # A connection that was shut, by the server or at the deadline, looks like the end of the headers or of the body.
    deadline.require()
    if len(content) < (1 if length is None else length):
        raise MediaUnavailableError("the image's server broke off in the middle")
    return bytes(content)


def is_page(content_type: str | None, content: bytes) -> bool:
    """Whether an answer is a web page – a login, most likely – and not an image."""
    if content_type and content_type.strip().lower().startswith("text/html"):
        return True
    return content[:_CHUNK_BYTES].lstrip()[: len(_PAGE_STARTS[0])].lower().startswith(_PAGE_STARTS)


def _answer(response: HTTPResponse, max_bytes: int, deadline: Deadline) -> bytes | Redirect:
    deadline.require()
    status = response.status
    if status in MOVED:
        return Redirect(response.getheader("Location", ""))
    if status in GONE:
        raise MediaMissingError(f"the image's server has no such file (it answered {status})")
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait_s = retry_after_s(response.getheader("Retry-After"))
        raise MediaUnavailableError(f"the image's server answered {status}", retry_after_s=wait_s)
    if status != HTTPStatus.OK:
        raise MediaError(f"the image's server answered {status}")
    content = read_all(response, declared=response.getheader("Content-Length"), max_bytes=max_bytes, deadline=deadline)
    if is_page(response.getheader("Content-Type"), content):
        raise MediaUnavailableError("the image's server answered with a web page; most likely it wants a login")
    return content


@contextmanager
def _cut_off(line: HTTPConnection, deadline: Deadline) -> Iterator[None]:
    """Shut the connection at the deadline, also while it waits for headers that come byte by byte."""
    timer = threading.Timer(deadline.left_s, _shut, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(line: HTTPConnection) -> None:
    open_socket = line.sock
    if open_socket is None:
        return
    try:
        open_socket.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it was closed meanwhile, which is as good
