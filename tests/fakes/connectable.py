"""The small Label Studio, with what one needs to connect a project: ML backends, webhooks and labelling configs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fakes.label_studio import FakeLabelStudio, RefusedError, _Request

CONFIG = """<View><Image name="image" value="$image"/>
<KeyPointLabels name="kp" toName="image" smart="true"><Label value="Face" clean="remove" dilate="4%"/></KeyPointLabels>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/></BrushLabels></View>"""

BLOCKED = "URL resolves to a reserved network address (block: 127.0.0.0/8)"


@dataclass
class ConnectableLabelStudio(FakeLabelStudio):
    """Answers as Label Studio 1.23.2 was seen to.

    Attributes:
        ml_block_local_ip: the setting of this name; every address in a test is a local one.
        ssrf_protection_enabled: the setting of this name.
        reaches: whether its health check of ML backends succeeds.
        backends: what was connected, with passwords.
        webhooks: of all projects.
    """

    ml_block_local_ip: bool = False
    ssrf_protection_enabled: bool = False
    reaches: bool = True
    backends: dict[int, dict[str, Any]] = field(default_factory=dict)
    webhooks: dict[int, dict[str, Any]] = field(default_factory=dict)

    def _do(
        self, method: str, path: str, query: dict[str, list[str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[HTTPStatus, Any]:
        request = _Request(path, query, headers, body)
        for wanted, pattern, action in _ROUTES:
            match = re.fullmatch(pattern, path)
            if wanted == method and match and headers.get("Authorization") == f"Token {self.token}":
                return action(self, *(int(number) for number in match.groups()), request)
        return super()._do(method, path, query, headers, body)

    def _patch_project(self, number: int, request: _Request) -> tuple[HTTPStatus, Any]:
        self.projects[number].update(request.json())
        return HTTPStatus.OK, self.projects[number]

    def _validate(self, request: _Request) -> tuple[HTTPStatus, Any]:
        if "<Image" not in request.json()["label_config"]:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Label config should contain an object tag.")
        return HTTPStatus.NO_CONTENT, None

    def _get_backends(self, request: _Request) -> tuple[HTTPStatus, Any]:
        project = int(request.query["project"][0])
        backends = [backend for backend in self.backends.values() if backend["project"] == project]
        for backend in backends:
            backend["state"] = "CO" if self.reaches else "DI"
        return HTTPStatus.OK, [_without_password(backend) for backend in backends]

    def _post_backend(self, request: _Request) -> tuple[HTTPStatus, Any]:
        body = request.json()
        self._require_health(body)
        number = self._next()
        self.backends[number] = {"id": number, "state": "CO", **body}
        url = body["url"].rstrip("/") + "/webhook"
        if all(hook["url"] != url for hook in self.webhooks.values()):
            self._require_open_door()
            self._add_webhook({"project": body["project"], "url": url, "send_for_all_actions": True})
        return HTTPStatus.CREATED, _without_password(self.backends[number])

    def _patch_backend(self, number: int, request: _Request) -> tuple[HTTPStatus, Any]:
        self._require_health(request.json())
        self.backends[number].update(request.json())
        return HTTPStatus.OK, _without_password(self.backends[number])

    def _require_health(self, body: Mapping[str, Any]) -> None:
        if self.ml_block_local_ip:
            raise RefusedError(HTTPStatus.FORBIDDEN, BLOCKED)
        if "project" not in body:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "This field is required.")
        if not self.reaches:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, f"Can't connect to ML backend {body['url']}, health check failed."
            )

    def _require_open_door(self) -> None:
        if self.ssrf_protection_enabled:
            raise RefusedError(HTTPStatus.FORBIDDEN, BLOCKED)

    def _get_webhooks(self, request: _Request) -> tuple[HTTPStatus, Any]:
        project = int(request.query["project"][0])
        return HTTPStatus.OK, [webhook for webhook in self.webhooks.values() if webhook["project"] == project]

    def _post_webhook(self, request: _Request) -> tuple[HTTPStatus, Any]:
        self._require_open_door()
        if not isinstance(request.json()["headers"], dict):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Headers must be a JSON object.")
        return HTTPStatus.CREATED, self._add_webhook(request.json())

    def _patch_webhook(self, number: int, request: _Request) -> tuple[HTTPStatus, Any]:
        self.webhooks[number].update(request.json())
        return HTTPStatus.OK, self.webhooks[number]

    def _add_webhook(self, body: Mapping[str, Any]) -> dict[str, Any]:
        number = self._next()
        usual = {"send_payload": True, "is_active": True, "headers": {}, "actions": []}
        self.webhooks[number] = {**usual, **body, "id": number}
        return self.webhooks[number]


def _without_password(backend: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in backend.items() if name != "basic_auth_pass"}


_ROUTES = [
    ("PATCH", r"/api/projects/(\d+)/?", ConnectableLabelStudio._patch_project),
    ("POST", r"/api/projects/validate/?", ConnectableLabelStudio._validate),
    ("GET", r"/api/ml", ConnectableLabelStudio._get_backends),
    ("POST", r"/api/ml", ConnectableLabelStudio._post_backend),
    ("PATCH", r"/api/ml/(\d+)", ConnectableLabelStudio._patch_backend),
    ("GET", r"/api/webhooks/", ConnectableLabelStudio._get_webhooks),
    ("POST", r"/api/webhooks/", ConnectableLabelStudio._post_webhook),
    ("PATCH", r"/api/webhooks/(\d+)/", ConnectableLabelStudio._patch_webhook),
]
