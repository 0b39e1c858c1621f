"""Our own Label Studio: how it is started, and what a newcomer finds in it."""

import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from console import ScriptError
from environments import CHECKOUT
from processes import POLL_S, Service

LABEL_CONFIG: Final = CHECKOUT / "label_config" / "privacy.xml"
SAMPLES: Final = CHECKOUT / "samples"
IMAGE_SUFFIXES: Final = frozenset({".jpg", ".png", ".webp"})
# The first start makes the database: a minute on a laptop, a few on a slow disk.
READY_TIMEOUT_S: Final = 600.0
API_TIMEOUT_S: Final = 60.0
ACCESS_REMEDY: Final = (
    "The account's token was changed in Label Studio, or legacy tokens were switched off there (Organization, API "
    "Tokens Settings). Change it back, or start afresh in another folder with --data-dir."
)
PROJECT_TITLE: Final = "Street privacy"
PROJECT_DESCRIPTION: Final = "Sample images to try cleanplate on. Do with them what you like."
INSTRUCTION: Final = """
<p>Make faces, licence plates and passers-by vanish:</p>
<ol>
<li>Below the image, switch on <b>Auto-Annotation</b>; in the toolbar, choose the purple tool (or press M).</li>
<li>Choose a label and click the object: its mask appears. <b>Alt-click</b> takes away what does not belong to it; with
the purple rectangle, draw a box around it instead. Every click wants its label again, unless you switch on
<i>Keep label selected</i> in the settings below the image.</li>
<li>Accept the mask with the <b>check mark</b> below the image, then <b>Submit</b>. To click into a mask that is
accepted already, hold <b>Ctrl</b> as well.</li>
</ol>
<p>A few seconds later the clean copy is a new task in this project.</p>
""".strip()
# Label Studio refuses to talk to private and loopback addresses, where our backend is. This is its own list of refused
# networks without 127.0.0.0/8: all others stay refused.
STILL_REFUSED: Final = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/127",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/32",
    "2001:20::/28",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
)


@dataclass(frozen=True)
class Account:
    """The one person in our Label Studio."""

    email: str
    password: str
    api_key: str


@dataclass(frozen=True)
class LabelStudioServer:
    """Our own Label Studio, on this machine and for this machine only."""

    python: Path
    port: int
    data: Path
    files: Path
    account: Account

    @property
    def url(self) -> str:
        """Where it is, as a person opens it."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, log: Path) -> Service:
        """Start it; it is ready later."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.files.mkdir(parents=True, exist_ok=True)
        address = ("--internal-host", "127.0.0.1", "--port", str(self.port))
        command = (self.python, "-m", "label_studio.server", "start", "--no-browser", *address)
        return Service("Label Studio", command, environment=self._settings(), log=log)

    def _settings(self) -> Mapping[str, str]:
        # The account is given here and not as arguments, which everyone on the machine can read.
        return {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data),
            "LABEL_STUDIO_HOST": self.url,
            "LABEL_STUDIO_USERNAME": self.account.email,
            "LABEL_STUDIO_PASSWORD": self.account.password,
            "LABEL_STUDIO_USER_TOKEN": self.account.api_key,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.files),
            "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "false",
            "LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS": ",".join(STILL_REFUSED),
            "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
            "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
            "LABEL_STUDIO_SENTRY_DSN": "",
            "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
        }


class Api:
    """The few calls of Label Studio's API that a first start needs."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._api_key = api_key

    def has_project(self, project: int) -> bool:
        """Whether there (still) is a project of this number."""
        listed = self._call("GET", f"/api/projects/?ids={project}&include=id")
        return any(found["id"] == project for found in listed["results"])

    def create_project(self) -> int:
        """Make the project for newcomers; its number."""
        project = {
            "title": PROJECT_TITLE,
            "description": PROJECT_DESCRIPTION,
            "label_config": LABEL_CONFIG.read_text(encoding="utf-8"),
            "expert_instruction": INSTRUCTION,
            "show_instruction": True,
        }
        created = self._call("POST", "/api/projects/", json.dumps(project).encode(), "application/json")
        return int(created["id"])

    def has_tasks(self, project: int) -> bool:
        """Whether the project holds any image."""
        return bool(self._call("GET", f"/api/projects/{project}/")["task_number"])

    def import_images(self, project: int, images: Iterable[Path]) -> None:
        """Upload images; each becomes a task."""
        body, content_type = _multipart(images)
        self._call("POST", f"/api/projects/{project}/import", body, content_type)

    def _call(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> Any:
        request = urllib.request.Request(self._url + path, data=body, method=method)  # noqa: S310 - http to ourselves
        request.add_header("Authorization", f"Token {self._api_key}")
        if content_type:
            request.add_header("Content-Type", content_type)
        try:
            with _OPENER.open(request, timeout=API_TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
            message = f"Label Studio answered {method} {path} with {error.code}: {said}"
            raise ScriptError(message, remedy=ACCESS_REMEDY if error.code == HTTPStatus.UNAUTHORIZED else "") from error
        except (OSError, http.client.HTTPException) as error:
            raise ScriptError(f"Label Studio did not answer {method} {path}: {error}") from error


def wait_until_ready(url: str, service: Service) -> None:
    """Wait until a service answers at this address with 200.

    Raises:
        ScriptError: It stopped, or is not ready after ten minutes.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        service.check()
        if _answers(url):
            return
        time.sleep(POLL_S)
    raise ScriptError(f"{service.name} is not ready after {READY_TIMEOUT_S / 60:g} minutes", log=service.log)


def sample_images() -> tuple[Path, ...]:
    """The images that come with the checkout, in the order in which a newcomer meets them."""
    return tuple(path for path in sorted(SAMPLES.iterdir()) if path.suffix in IMAGE_SUFFIXES)


# Everything here is on this machine; a proxy from the environment must not come between.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answers(url: str) -> bool:
    try:
        with _OPENER.open(url, timeout=2):
            return True
    except (OSError, http.client.HTTPException):
        return False


def _multipart(files: Iterable[Path]) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    parts = []
    for number, path in enumerate(files):
        disposition = f'form-data; name="file{number}"; filename="{path.name}"'
        kind = "image/jpeg" if path.suffix == ".jpg" else f"image/{path.suffix.removeprefix('.')}"
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {kind}\r\n\r\n"
        parts.append(head.encode() + path.read_bytes() + b"\r\n")
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"
