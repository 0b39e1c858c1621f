"""Where a task's image comes from, and where a copy goes back to."""

import base64
import binascii
import re
from collections.abc import Iterable
from enum import StrEnum
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urljoin, urlsplit

import requests
import urllib3

from cleanplate.errors import (
    LabelStudioAuthError,
    LabelStudioUnreachableError,
    MediaError,
    MediaMissingError,
    MediaTooLargeError,
    UrlNotAllowedError,
)
from cleanplate.label_studio.addresses import Resolve, resolve
from cleanplate.label_studio.client import LabelStudioClient, origin_of, retry_after_s
from cleanplate.label_studio.downloads import GONE, MOVED, Deadline, Place, Redirect, download, is_page, read_all
from cleanplate.label_studio.payloads import Upload

MAX_REDIRECTS: Final = 3
MAX_URL_CHARACTERS: Final = 8192

_UPLOADS: Final = "/data/upload/"
_LOCAL_FILES: Final = "/data/local-files/"
_CLOUD_SCHEMES: Final = frozenset({"s3", "gs", "azure-blob"})
_PORTS: Final = {"http": 80, "https": 443}
_MEDIA_TYPES: Final = {".jpg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff", ".webp": "image/webp"}

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\\]")
_STILL_ENCODED = re.compile(r"%(?:00|25|2e|2f|5c)", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,40};base64,", re.IGNORECASE)
_DATA_URL_START: Final = 80
_DECODINGS: Final = 3
_COMPLAINT_BYTES: Final = 4096


class SourceKind(StrEnum):
    """The ways a task can name its image."""

    UPLOAD = "upload"
    LOCAL = "local"
    CLOUD = "cloud"
    HTTP = "http"
    DATA = "data"


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class Media:
    """Fetches the images of tasks and puts copies beside them. Safe to share between threads.

    An upload or local file is asked from our own Label Studio, whatever host its address names: the token goes there
    and nowhere else. A cloud address is resolved by Label Studio; where that leads is reached if it is public or an
    allowed origin. Any other address must belong to an allowed origin, and so must every redirect from there.

    Args:
        client: our Label Studio.
        allowed_origins: `scheme://host:port` of servers the admin named. They may be in a private network.
        max_bytes: of one image file.
        timeout_s: how long another server may take to connect, and how long it may be silent.
        deadline_s: how long one download may take in all.
        resolve: every address of a name.
    """

    def __init__(
        self,
        client: LabelStudioClient,
        *,
        allowed_origins: Iterable[str] = (),
        max_bytes: int = 64 * 1024 * 1024,
        timeout_s: float = 10.0,
        deadline_s: float = 60.0,
        resolve: Resolve = resolve,
    ) -> None:
        self._client = client
        self._home = _origin(_parts(client.url))
        self._home_path = urlsplit(client.url).path
        self._allowed = frozenset(_origin(_parts(origin)) for origin in allowed_origins)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._resolve = resolve

    def kind_of(self, url: str) -> SourceKind:
        """What kind of address it is.

        Raises:
            UrlNotAllowedError: It is none that cleanplate fetches from.
        """
        if _DATA_URL.match(url[:_DATA_URL_START]):
            return SourceKind.DATA
        parts = _parts(url)
        if parts.scheme in _CLOUD_SCHEMES and parts.netloc:
            return SourceKind.CLOUD
        if parts.scheme not in {"", *_PORTS} or bool(parts.scheme) != bool(parts.netloc):
            raise UrlNotAllowedError("the image's address is neither one of Label Studio nor one of http(s)")
        own = self._own_path(parts)
        if own is not None:
            return SourceKind.UPLOAD if own.startswith(_UPLOADS) else SourceKind.LOCAL
        if parts.scheme and _origin(parts) in self._allowed:
            return SourceKind.HTTP
        place = origin_of(url) if parts.scheme else "other pages of Label Studio"
        raise UrlNotAllowedError(f"images from {place} are not fetched: CLEANPLATE_ALLOWED_ORIGINS does not name it")

    def fetch(self, url: str, *, project_id: int, task_id: int | None) -> bytes:
        """The bytes of the image a task names.

        Raises:
            UrlNotAllowedError: The address, or one it redirects to, is not to be reached.
            MediaMissingError: There is no such file.
            MediaTooLargeError: It is longer than allowed; reading was stopped.
            MediaUnavailableError: Its server did not deliver; later it may.
            MediaError: Its server refuses.
            LabelStudioUnreachableError, LabelStudioAuthError: Label Studio did not deliver.
        """
        kind = self.kind_of(url)
        if kind is SourceKind.DATA:
            return self._from_data_url(url)
        if kind is SourceKind.HTTP:
            return self._from_server(url, public=False)
        if kind is SourceKind.CLOUD:
            owner = f"/tasks/{task_id}" if task_id else f"/projects/{project_id}"
            coded = base64.urlsafe_b64encode(url.encode()).decode("ascii")
            return self._from_label_studio(f"{owner}/resolve/?{urlencode({'fileuri': coded})}")
        parts = _parts(url)
        if kind is SourceKind.LOCAL:
            return self._from_label_studio(local_files_url(local_name(url)))
        return self._from_label_studio(_upload_path(self._own_path(parts) or ""))

    def put_upload(self, project_id: int, *, name: str, content: bytes) -> str:
        """Upload a copy to a project, unless a file of this name is there already; the address to put into a task.

        Args:
            project_id: where to.
            name: a plain file name that no other content ever had: Label Studio keeps its end.
            content: a JPEG, PNG or WebP file.
        """
        known = self._uploaded(project_id, name)
        if known:
            return f"/data/{known[0].file}"
        media_type = _MEDIA_TYPES[PurePosixPath(name).suffix]
        return f"/data/{self._client.upload(project_id, name=name, content=content, media_type=media_type).file}"

    def delete_upload(self, project_id: int, *, name: str) -> bool:
        """Delete an uploaded copy; whether there was one."""
        deleted = [self._client.delete_upload(upload.id) for upload in self._uploaded(project_id, name)]
        return True in deleted

    def _uploaded(self, project_id: int, name: str) -> tuple[Upload, ...]:
        ends = f"-{name}"  # after the eight characters Label Studio puts in front
        return tuple(upload for upload in self._client.uploads(project_id) if upload.file.endswith(ends))

    def _own_path(self, parts: SplitResult) -> str | None:
        """The path of a file that Label Studio serves; None if it is anything else.

        Label Studio writes its own idea of its host into addresses, which need not be how we reach it, so only the
        path counts – unless the admin named that host as another server.
        """
        if parts.scheme and _origin(parts) in self._allowed - {self._home}:
            return None
        path = parts.path.removeprefix(self._home_path)
        is_file = path.startswith(_UPLOADS) or path in {_LOCAL_FILES, _LOCAL_FILES.rstrip("/")}
        return path if is_file else None

    def _from_data_url(self, url: str) -> bytes:
        coded = url.partition(",")[2]
        if len(coded) * 3 // 4 > self._max_bytes:
            raise MediaTooLargeError(f"the image is longer than {self._max_bytes:,} bytes")
        try:
            return base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            raise MediaError("the image's data URL is broken") from None

    def _from_label_studio(self, address: str) -> bytes:
        with self._client.open(address) as response:
            location = response.headers.get("Location", "") if response.status_code in MOVED else None
            if location is None:
                return self._file(response)
        if _origin(_parts(urljoin(self._client.url, location))) == self._home:
            raise _login_wanted(response.status_code)
        # Where the storage really is: the token stays behind.
        return self._from_server(location, public=True)

    def _file(self, response: requests.Response) -> bytes:
        _require_file(response)
        declared = response.headers.get("Content-Length")
        deadline = Deadline(self._deadline_s)
        try:
            content = read_all(response.raw, declared=declared, max_bytes=self._max_bytes, deadline=deadline)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            kind = type(error).__name__
        else:
            if is_page(response.headers.get("Content-Type"), content):
                raise _login_wanted(response.status_code)
            return content
        raise LabelStudioUnreachableError(f"Label Studio broke off in the middle of an image ({kind})")

    def _from_server(self, url: str, *, public: bool) -> bytes:
        """Download from another server.

        Args:
            url: what an allowed origin, or Label Studio itself, named.
            public: whether any server with a public address will do.
        """
        deadline = Deadline(self._deadline_s)
        for _ in range(MAX_REDIRECTS + 1):
            parts = _parts(url)
            origin = _origin(parts)
            named = origin in self._allowed
            if not (named or public):
                raise UrlNotAllowedError(f"the image's server redirects to {origin_of(url)}, which is not allowed")
            answer = download(
                Place(*origin, path=parts.path, query=parts.query),
                private=named,
                max_bytes=self._max_bytes,
                timeout_s=self._timeout_s,
                deadline=deadline,
                resolve=self._resolve,
            )
            if not isinstance(answer, Redirect):
                return answer
            url = urljoin(url, answer.location)
        raise MediaError(f"the image's server redirects more than {MAX_REDIRECTS} times")


def local_files_url(name: str) -> str:
    """The address of a file below Label Studio's local files document root, as its storage writes it."""
    return f"{_LOCAL_FILES}?d={quote(name)}"


def _parts(url: str) -> SplitResult:
    if len(url) > MAX_URL_CHARACTERS or _UNPRINTABLE.search(url):
        raise UrlNotAllowedError("the image's address is too long or holds characters that no address has")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UrlNotAllowedError("the image's address cannot be read") from None
    if "@" in parts.netloc and parts.scheme in _PORTS:
        raise UrlNotAllowedError("the image's address holds a user name, which is never sent")
    return parts


def _origin(parts: SplitResult) -> _Origin:
    try:
        port = parts.port if parts.port is not None else _PORTS.get(parts.scheme)
    except ValueError:
        port = None
    if parts.scheme not in _PORTS or not parts.hostname or not port:
        raise UrlNotAllowedError("the image's address is not one of http(s)")
    return _Origin(parts.scheme, parts.hostname, port)


def _upload_path(path: str) -> str:
    text = path
    for _ in range(_DECODINGS):
        _require_plain(text)
        text, before = unquote(text), text
        if text == before:
            return quote(path, safe="/%")
    raise UrlNotAllowedError("the image's path is encoded again and again")


def local_name(url: str) -> str:
    """The file below the document root that a local-files address names.

    It stands there once, is decoded once, and leads nowhere else.

    Raises:
        UrlNotAllowedError: It does not.
    """
    try:
        pairs = parse_qsl(_parts(url).query, keep_blank_values=True, strict_parsing=True, max_num_fields=2)
    except ValueError:
        pairs = []
    if [key for key, _ in pairs] != ["d"]:
        raise UrlNotAllowedError("a local file's address must have exactly one d=")
    name = pairs[0][1]
    if not name or name.startswith("/") or _DRIVE.match(name) or _STILL_ENCODED.search(name):
        raise UrlNotAllowedError("a local file's name must lead down from the document root")
    _require_plain(name)
    return name


def _require_plain(path: str) -> None:
    if _UNPRINTABLE.search(path) or not {".", ".."}.isdisjoint(path.split("/")):
        raise UrlNotAllowedError("the image's path leads out of its folder or holds characters that no path has")


def _require_file(response: requests.Response) -> None:
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if status in GONE or _is_unknown_upload(response):
        raise MediaMissingError(f"Label Studio has no such file (it answered {status})")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wait_s = retry_after_s(response.headers.get("Retry-After"))
        raise LabelStudioUnreachableError(f"Label Studio answered {status} for an image", retry_after_s=wait_s)
    if status == HTTPStatus.UNAUTHORIZED:
        raise LabelStudioAuthError("Label Studio does not accept the token for an image", status=status)
    raise MediaError(f"Label Studio answered {status} for an image")


def _is_unknown_upload(response: requests.Response) -> bool:
    """Whether this is how Label Studio 1.23 says that an upload is not there: it fails on the row it has not found."""
    if response.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    return b"has_permission" in next(response.iter_content(_COMPLAINT_BYTES), b"")


def _login_wanted(status: int) -> LabelStudioAuthError:
    return LabelStudioAuthError(
        "Label Studio answered with a web page instead of an image; most likely it wants a login", status=status
    )
