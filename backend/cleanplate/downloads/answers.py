"""One request for a file, or for the rest of it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from ipaddress import ip_address
from time import time
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
import urllib3

from cleanplate import __version__
from cleanplate.errors import DownloadError, DownloadUnavailableError

MAX_REDIRECTS: Final = 5

_TIMEOUT_S: Final = (15.0, 60.0)
"""To connect, and of silence."""

_PIECE_BYTES: Final = 1024 * 1024
_LONGEST_WAIT_S: Final = 60.0

_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_RANGE: Final = re.compile(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15}|\*)")


@dataclass(frozen=True, eq=False)
class Answer:
    """What a server sends of a file.

    Attributes:
        start: how many bytes of the file lie before it.
        version: what the server calls this version of the file, if it can be asked for again by that; or empty.
        host: who sends it.
    """

    start: int
    version: str
    host: str
    _response: requests.Response

    def pieces(self) -> Iterator[bytes]:
        """The bytes, as they come.

        Raises:
            DownloadUnavailableError: They do not come any more.
        """
        body: urllib3.BaseHTTPResponse = self._response.raw
        broken = ""
        try:
            while piece := body.read1(_PIECE_BYTES, decode_content=False):
                yield piece
        except (urllib3.exceptions.HTTPError, OSError) as error:
            broken = type(error).__name__
        if broken:
            # Not chained: such errors hold the address, and that of a redirect may be signed.
            raise DownloadUnavailableError(f"{self.host} broke off ({broken})")


@contextmanager
def answer_from(address: str, *, size_bytes: int, start: int, version: str) -> Iterator[Answer]:
    """Ask for a file, from a byte on if the server can do that and still has the same version.

    Proxies and certificates are those that the environment names; credentials are never sent.

    Args:
        address: of the file.
        size_bytes: of the whole file.
        start: how many bytes of it are here.
        version: of which they are; empty: the whole file is asked for.

    Raises:
        DownloadUnavailableError: The server does not deliver now.
        DownloadError: It delivers something else, or wants us to go where we must not.
    """
    headers = {"User-Agent": f"cleanplate/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
    first = start if version else 0
    the_rest = {"Range": f"bytes={first}-", "If-Range": version} if first else {}
    with requests.Session() as session:
        response, host = _final_response(session, address, headers | the_rest)
        if _is_other_part(response, first=first, size_bytes=size_bytes, version=version):
            response.close()
            the_rest = {}
            response, host = _final_response(session, address, headers)
        with response:
            goes_on = bool(the_rest) and response.status_code == HTTPStatus.PARTIAL_CONTENT
            if not goes_on:
                _require_whole(response, host, size_bytes)
            yield Answer(first if goes_on else 0, _version(response), host, response)


def require_safe(address: str, *, origin: str) -> SplitResult:
    """The parts of an address, if we may go there.

    That is https, and http only within this machine when *origin*, the address we began with, is that already.

    Raises:
        DownloadError: We may not.
    """
    try:
        parts = urlsplit(address)
        _ = parts.port  # which raises ValueError if it is none
    except ValueError:
        raise DownloadError(f"{_host(origin)} leads to something that is no address") from None
    if not parts.hostname or parts.username is not None:
        raise DownloadError(f"{_host(origin)} leads to something that is no address of a published file")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_local(address) and _is_local(origin)):
        return parts
    raise DownloadError(f"{_host(origin)} leads to {parts.scheme}://{parts.hostname}: only https is followed")


def _final_response(session: requests.Session, address: str, headers: dict[str, str]) -> tuple[requests.Response, str]:
    """The answer at the end of all redirects, and who gave it."""
    origin = address
    for _ in range(1 + MAX_REDIRECTS):
        host = require_safe(address, origin=origin).hostname or ""
        response = _response(session, address, host, headers)
        if response.status_code not in _MOVED:
            return response, host
        response.close()
        address = urljoin(address, response.headers.get("Location", ""))
    raise DownloadError(f"{_host(origin)} redirects more than {MAX_REDIRECTS} times")


def _response(session: requests.Session, address: str, host: str, headers: dict[str, str]) -> requests.Response:
    try:
        return session.get(
            address, headers=headers, auth=_no_credentials, stream=True, allow_redirects=False, timeout=_TIMEOUT_S
        )
    except requests.exceptions.SSLError:
        message = f"{host} cannot be trusted: its certificate, this machine's clock or a proxy between may be wrong"
        failure = DownloadError(message)
    except (requests.ConnectionError, requests.Timeout) as error:
        failure = DownloadUnavailableError(f"{host} cannot be reached ({type(error).__name__})")
    except (requests.RequestException, ValueError) as error:
        failure = DownloadError(f"{host} cannot be asked ({type(error).__name__})")
    # Not chained: such errors hold the address, and that of a redirect may be signed.
    raise failure


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Otherwise requests would take some from a .netrc file."""
    return request


def _require_success(response: requests.Response, host: str) -> None:
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
        raise DownloadUnavailableError(f"{host} answered {status}", retry_after_s=wait_s)
    raise DownloadError(f"{host} answered {status}: the file may have been moved")


def _is_other_part(response: requests.Response, *, first: int, size_bytes: int, version: str) -> bool:
    """Whether the answer is a part of the file that cannot be added to what is here."""
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return True
    if response.status_code != HTTPStatus.PARTIAL_CONTENT:
        return False
    given = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if given is None or int(given[1]) != first or given[2] not in {str(size_bytes), "*"}:
        return True
    return _version(response) not in {"", version}


def _require_whole(response: requests.Response, host: str, size_bytes: int) -> None:
    """Refuse what says itself that it is not the file, before anything that is here is dropped for it."""
    _require_success(response, host)
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise DownloadError(f"{host} sends the file packed, which nobody asked for")
    if response.headers.get("Content-Type", "").strip().lower().startswith("text/html"):
        raise DownloadError(f"{host} answers with a web page: a login or a proxy may stand between")
    declared = response.headers.get("Content-Length", str(size_bytes))
    if declared != str(size_bytes):
        raise DownloadError(f"{host} announces {declared} bytes instead of {size_bytes}: it is not the published file")


def _version(response: requests.Response) -> str:
    """What can stand in If-Range: an ETag unless it is a weak one, or else a date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _retry_after_s(header: str) -> float | None:
    try:
        seconds = float(header) if header.strip().isdecimal() else parsedate_to_datetime(header).timestamp() - time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_S)


def _host(address: str) -> str:
    return urlsplit(address).hostname or "the server"


def _is_local(address: str) -> bool:
    parts = urlsplit(address)
    try:
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
