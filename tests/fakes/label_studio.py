"""A small Label Studio 1.23.2 for tests: the calls cleanplate makes, answered as the real one was seen to answer.

It keeps everything in memory, speaks HTTP on a port of its own, and can lose an answer after it did what was asked.
"""

import json
import re
import secrets
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import HTTP
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "fedcba9876543210fedcba9876543210fedcba98"


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: HTTPStatus, detail: str = "", *, html: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.html = html


@dataclass(frozen=True)
class File:
    """An answer that is a file."""

    content: bytes


@dataclass
class Trouble:
    """What goes wrong with requests that match, and how often."""

    method: str
    path: re.Pattern[str]
    times: int
    after: bool
    status: HTTPStatus | None


@dataclass
class FakeLabelStudio:
    """The server and what it knows. Use it as a context manager.

    Attributes:
        document_root: where local files lie, if it serves any.
        requests: method and path of everything that was asked, without queries.
        before: called with method and path before a request is answered.
    """

    document_root: Path | None = None
    token: str = TOKEN
    projects: dict[int, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    predictions: dict[int, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[int, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    storages: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    before: Callable[[str, str], None] | None = None

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._last = 0
        self._troubles: list[Trouble] = []
        fake = self

        class Handler(_Handler):
            label_studio = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    # What a person does in the browser

    def add_project(self, label_config: str) -> int:
        """Make a project."""
        number = self._next()
        self.projects[number] = {"id": number, "title": f"project {number}", "label_config": label_config}
        return number

    def add_upload(self, project_id: int, name: str, content: bytes) -> str:
        """Upload a file; its address for the task's data."""
        number = self._next()
        path = f"upload/{project_id}/{secrets.token_hex(4)}-{_valid(name)}"
        self.files[path] = content
        self.uploads[number] = {"id": number, "file": path, "size": len(content), "project": project_id}
        return f"/data/{path}"

    def add_task(self, project_id: int, data: Mapping[str, Any], meta: Mapping[str, Any] | None = None) -> int:
        """Import a task."""
        number = self._next()
        self.tasks[number] = {
            "id": number,
            "project": project_id,
            "data": dict(data),
            "meta": dict(meta or {}),
            "created_at": _now(),
            "updated_at": _now(),
        }
        return number

    def annotate(self, task_id: int, result: list[dict[str, Any]], **more: Any) -> int:
        """Submit an annotation."""
        number = self._next()
        task = self.tasks[task_id]
        self.annotations[number] = {
            "id": number,
            "task": task_id,
            "project": task["project"],
            "result": result,
            "was_cancelled": False,
            "ground_truth": False,
            "created_at": _now(),
            "updated_at": _now(),
            **more,
        }
        task["updated_at"] = _now()
        return number

    def change(self, annotation_id: int, **changes: Any) -> None:
        """Update an annotation."""
        annotation = self.annotations[annotation_id]
        annotation.update(changes, updated_at=_now())
        self.tasks[annotation["task"]]["updated_at"] = _now()

    def forget(self, annotation_id: int) -> None:
        """Delete an annotation."""
        annotation = self.annotations.pop(annotation_id)
        self.tasks[annotation["task"]]["updated_at"] = _now()

    # What a test asks

    def copies(self) -> list[dict[str, Any]]:
        """The tasks that are copies."""
        return [task for task in self.tasks.values() if "cleanplate" in task["data"]]

    def annotations_of(self, task_id: int) -> list[dict[str, Any]]:
        """A task's annotations."""
        return [annotation for annotation in self.annotations.values() if annotation["task"] == task_id]

    def predictions_of(self, task_id: int) -> list[dict[str, Any]]:
        """A task's predictions."""
        return [prediction for prediction in self.predictions.values() if prediction["task"] == task_id]

    def content_of(self, url: str) -> bytes:
        """The file an address in a task's data leads to."""
        parts = urlsplit(url)
        return self._file(parts.path, parse_qs(parts.query)).content

    def trouble(
        self, method: str, path: str, *, times: int = 1, after: bool = False, status: HTTPStatus | None = None
    ) -> None:
        """Break the connection of requests whose path matches, or answer with *status*.

        Args:
            method: of the requests.
            path: a pattern that their whole path has to match.
            times: how many of them.
            after: do what was asked first.
            status: what to answer instead of breaking the connection.
        """
        self._troubles.append(Trouble(method, re.compile(path), times, after, status))

    # The server

    def answer(self, method: str, address: str, headers: Mapping[str, str], body: bytes) -> tuple[HTTPStatus, Any]:
        """Do what a request asks. Raises RefusedError; a status of None means that the connection breaks."""
        parts = urlsplit(address)
        path, query = parts.path, parse_qs(parts.query)
        if self.before is not None:
            self.before(method, path)
        with self._lock:
            self.requests.append((method, path))
            trouble = self._trouble(method, path)
            if trouble and not trouble.after:
                raise _broken(trouble)
            result = self._do(method, path, query, headers, body)
            if trouble:
                raise _broken(trouble)
            return result

    def _trouble(self, method: str, path: str) -> Trouble | None:
        for trouble in self._troubles:
            if trouble.times and trouble.method == method and trouble.path.fullmatch(path):
                trouble.times -= 1
                return trouble
        return None

    def _do(
        self, method: str, path: str, query: dict[str, list[str]], headers: Mapping[str, str], body: bytes
    ) -> tuple[HTTPStatus, Any]:
        if headers.get("Authorization") != f"Token {self.token}":
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "Invalid token.")
        for wanted, pattern, action in _ROUTES:
            match = re.fullmatch(pattern, path)
            if wanted == method and match:
                numbers = [int(number) for number in match.groups()]
                return action(self, *numbers, _Request(path, query, headers, body))
        raise RefusedError(HTTPStatus.NOT_FOUND, "Not found.", html=True)

    def _next(self) -> int:
        with self._lock:
            self._last += 1
            return self._last

    def _get_version(self, _: "_Request") -> tuple[HTTPStatus, Any]:
        return HTTPStatus.OK, {"release": "1.23.2"}

    def _get_user(self, _: "_Request") -> tuple[HTTPStatus, Any]:
        return HTTPStatus.OK, {"id": 1, "email": "admin@example.com"}

    def _get_projects(self, request: "_Request") -> tuple[HTTPStatus, Any]:
        page, size = int(request.query["page"][0]), int(request.query["page_size"][0])
        projects = list(self.projects.values())
        more = f"{self.url}/api/projects?page={page + 1}" if len(projects) > page * size else None
        results = projects[(page - 1) * size : page * size]
        return HTTPStatus.OK, {"count": len(projects), "next": more, "previous": None, "results": results}

    def _get_project(self, number: int, _: "_Request") -> tuple[HTTPStatus, Any]:
        return HTTPStatus.OK, _found(self.projects, number, "Project")

    def _get_tasks(self, request: "_Request") -> tuple[HTTPStatus, Any]:
        project = _found(self.projects, int(request.query["project"][0]), "Project")
        wanted = json.loads(request.query.get("query", ["{}"])[0])
        tasks = [
            self._with_annotations(task)
            for task in sorted(self.tasks.values(), key=lambda task: task["id"])
            if task["project"] == project["id"]
            and all(_matches(task, item) for item in wanted.get("filters", {}).get("items", ()))
        ]
        size = int(request.query.get("page_size", ["100"])[0])
        return HTTPStatus.OK, {
            "total_annotations": 0,
            "total_predictions": 0,
            "total": len(tasks),
            "tasks": tasks[:size],
        }

    def _with_annotations(self, task: dict[str, Any]) -> dict[str, Any]:
        return task | {
            "annotations": self.annotations_of(task["id"]),
            "predictions": self.predictions_of(task["id"]),
            "drafts": [],
        }

    def _post_task(self, request: "_Request") -> tuple[HTTPStatus, Any]:
        body = request.json()
        number = self.add_task(body["project"], body["data"], body.get("meta"))
        return HTTPStatus.CREATED, self.tasks[number]

    def _get_task(self, number: int, _: "_Request") -> tuple[HTTPStatus, Any]:
        return HTTPStatus.OK, self._with_annotations(_found(self.tasks, number, "Task"))

    def _patch_task(self, number: int, request: "_Request") -> tuple[HTTPStatus, Any]:
        task, body = _found(self.tasks, number, "Task"), request.json()
        task.update({key: body[key] for key in ("data", "meta") if key in body}, updated_at=_now())
        return HTTPStatus.OK, self._with_annotations(task)

    def _delete_task(self, number: int, _: "_Request") -> tuple[HTTPStatus, Any]:
        _found(self.tasks, number, "Task")
        del self.tasks[number]
        self.annotations = {key: value for key, value in self.annotations.items() if value["task"] != number}
        return HTTPStatus.NO_CONTENT, None

    def _post_annotation(self, task_id: int, request: "_Request") -> tuple[HTTPStatus, Any]:
        _found(self.tasks, task_id, "Task")
        return HTTPStatus.CREATED, self.annotations[self.annotate(task_id, request.json()["result"])]

    def _get_annotation(self, number: int, _: "_Request") -> tuple[HTTPStatus, Any]:
        return HTTPStatus.OK, _found(self.annotations, number, "Annotation")

    def _patch_annotation(self, number: int, request: "_Request") -> tuple[HTTPStatus, Any]:
        _found(self.annotations, number, "Annotation")
        self.change(number, **request.json())
        return HTTPStatus.OK, self.annotations[number]

    def _delete_annotation(self, number: int, _: "_Request") -> tuple[HTTPStatus, Any]:
        _found(self.annotations, number, "Annotation")
        self.forget(number)
        return HTTPStatus.NO_CONTENT, None

    def _post_prediction(self, request: "_Request") -> tuple[HTTPStatus, Any]:
        body = request.json()
        task = _found(self.tasks, body["task"], "Task")
        if not 0 <= body["score"] <= 1:
            raise RefusedError(HTTPStatus.BAD_REQUEST, "Error validating prediction: ['Score must be between 0 and 1']")
        number = self._next()
        self.predictions[number] = {"id": number, "project": task["project"], "created_at": _now(), **body}
        return HTTPStatus.CREATED, self.predictions[number]

    def _delete_prediction(self, number: int, _: "_Request") -> tuple[HTTPStatus, Any]:
        _found(self.predictions, number, "Prediction")
        del self.predictions[number]
        return HTTPStatus.NO_CONTENT, None

    def _post_import(self, project_id: int, request: "_Request") -> tuple[HTTPStatus, Any]:
        _found(self.projects, project_id, "Project")
        commit = request.query.get("commit_to_project", ["true"])[0] == "true"
        ids = []
        for name, content in request.parts():
            url = self.add_upload(project_id, name, content)
            ids.append(self._last)
            if commit:
                self.add_task(project_id, {"image": url})
        return HTTPStatus.CREATED, {"task_count": len(ids), "file_upload_ids": ids}

    def _get_uploads(self, project_id: int, request: "_Request") -> tuple[HTTPStatus, Any]:
        uploads = [upload for upload in self.uploads.values() if upload["project"] == project_id]
        return HTTPStatus.OK, uploads if request.query.get("all") == ["true"] else []

    def _get_upload(self, number: int, _: "_Request") -> tuple[HTTPStatus, Any]:
        return HTTPStatus.OK, _found(self.uploads, number, "FileUpload")

    def _delete_upload(self, number: int, _: "_Request") -> tuple[HTTPStatus, Any]:
        if number not in self.uploads:
            raise RefusedError(HTTPStatus.NOT_FOUND, html=True)
        del self.uploads[number]
        return HTTPStatus.NO_CONTENT, None

    def _get_storages(self, request: "_Request") -> tuple[HTTPStatus, Any]:
        project_id = int(request.query["project"][0])
        return HTTPStatus.OK, [storage for storage in self.storages.values() if storage["project"] == project_id]

    def _post_storage(self, request: "_Request") -> tuple[HTTPStatus, Any]:
        body = request.json()
        path = Path(body["path"])
        if not path.is_dir():
            raise RefusedError(HTTPStatus.BAD_REQUEST, f'Absolute local path "{path}" does not exist')
        if self.document_root not in path.parents:
            raise RefusedError(HTTPStatus.BAD_REQUEST, f'Absolute local path "{path}" must be a subdirectory')
        number = self._next()
        self.storages[number] = {"recursive_scan": False, "regex_filter": None, "title": None, **body, "id": number}
        return HTTPStatus.CREATED, self.storages[number]

    def _sync_storage(self, number: int, _: "_Request") -> tuple[HTTPStatus, Any]:
        storage = _found(self.storages, number, "LocalFilesImportStorage")
        folder = Path(storage["path"])
        known = {task["data"].get("image") for task in self.tasks.values() if task.get("synced")}
        for path in sorted(folder.rglob("*") if storage["recursive_scan"] else folder.glob("*")):
            if not path.is_file() or not re.match(storage["regex_filter"] or "", path.name):
                continue
            url = f"/data/local-files/?d={path.relative_to(self.document_root)}"
            if url not in known:
                self.tasks[self.add_task(storage["project"], {"image": url})]["synced"] = True
        return HTTPStatus.OK, storage

    def _resolve(self, _: int, request: "_Request") -> tuple[HTTPStatus, Any]:
        name = b64decode(request.query["fileuri"][0], altchars=b"-_").decode()
        if name not in self.files:
            raise RefusedError(HTTPStatus.NOT_FOUND)
        return HTTPStatus.OK, File(self.files[name])

    def _get_file(self, request: "_Request") -> tuple[HTTPStatus, Any]:
        return HTTPStatus.OK, self._file(request.path, request.query)

    def _file(self, path: str, query: Mapping[str, list[str]]) -> File:
        if path.startswith("/data/upload/"):
            name = unquote(path.removeprefix("/data/"))
            if all(upload["file"] != name for upload in self.uploads.values()):
                raise RefusedError(
                    HTTPStatus.INTERNAL_SERVER_ERROR, "'NoneType' object has no attribute 'has_permission'"
                )
            return File(self.files[name])
        if self.document_root is None:
            raise RefusedError(HTTPStatus.FORBIDDEN, html=True)
        file = (self.document_root / query["d"][0].lstrip("/")).resolve()
        served = any(Path(storage["path"]) in file.parents for storage in self.storages.values())
        if not served or not file.is_file():
            raise RefusedError(HTTPStatus.NOT_FOUND, html=True)
        return File(file.read_bytes())


@dataclass(frozen=True)
class _Request:
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def parts(self) -> list[tuple[str, bytes]]:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message = message_from_bytes(head + self.body, policy=HTTP)
        return [(part.get_filename() or "", part.get_payload(decode=True)) for part in message.iter_parts()]


_Action = Callable[..., tuple[HTTPStatus, Any]]

_ROUTES: list[tuple[str, str, _Action]] = [
    ("GET", r"/api/version", FakeLabelStudio._get_version),
    ("GET", r"/api/current-user/whoami", FakeLabelStudio._get_user),
    ("GET", r"/api/projects/?", FakeLabelStudio._get_projects),
    ("GET", r"/api/projects/(\d+)/?", FakeLabelStudio._get_project),
    ("POST", r"/api/projects/(\d+)/import", FakeLabelStudio._post_import),
    ("GET", r"/api/projects/(\d+)/file-uploads", FakeLabelStudio._get_uploads),
    ("GET", r"/api/import/file-upload/(\d+)", FakeLabelStudio._get_upload),
    ("DELETE", r"/api/import/file-upload/(\d+)", FakeLabelStudio._delete_upload),
    ("GET", r"/api/tasks/?", FakeLabelStudio._get_tasks),
    ("POST", r"/api/tasks/", FakeLabelStudio._post_task),
    ("GET", r"/api/tasks/(\d+)/?", FakeLabelStudio._get_task),
    ("PATCH", r"/api/tasks/(\d+)/", FakeLabelStudio._patch_task),
    ("DELETE", r"/api/tasks/(\d+)/", FakeLabelStudio._delete_task),
    ("POST", r"/api/tasks/(\d+)/annotations/", FakeLabelStudio._post_annotation),
    ("GET", r"/api/annotations/(\d+)/", FakeLabelStudio._get_annotation),
    ("PATCH", r"/api/annotations/(\d+)/", FakeLabelStudio._patch_annotation),
    ("DELETE", r"/api/annotations/(\d+)/", FakeLabelStudio._delete_annotation),
    ("POST", r"/api/predictions/", FakeLabelStudio._post_prediction),
    ("DELETE", r"/api/predictions/(\d+)/", FakeLabelStudio._delete_prediction),
    ("GET", r"/api/storages/localfiles", FakeLabelStudio._get_storages),
    ("POST", r"/api/storages/localfiles", FakeLabelStudio._post_storage),
    ("POST", r"/api/storages/localfiles/(\d+)/sync", FakeLabelStudio._sync_storage),
    ("GET", r"/tasks/(\d+)/resolve/", FakeLabelStudio._resolve),
    ("GET", r"/data/.*", FakeLabelStudio._get_file),
]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer
    disable_nagle_algorithm = True
    label_studio: FakeLabelStudio

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            status, answer = self.label_studio.answer(self.command, self.path, self.headers, body)
        except ConnectionAbortedError:
            self.close_connection = True
            return
        except RefusedError as error:
            status, answer = error.status, None if error.html else {"status_code": error.status, "detail": error.detail}
        if isinstance(answer, File):
            self._send(status, answer.content, "application/octet-stream")
        elif answer is None:
            self._send(status, b"", "text/html; charset=utf-8")
        else:
            self._send(status, json.dumps(answer).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _broken(trouble: Trouble) -> Exception:
    if trouble.status is None:
        return ConnectionAbortedError()
    return RefusedError(trouble.status, "trouble")


def _found(things: Mapping[int, dict[str, Any]], number: int, kind: str) -> dict[str, Any]:
    if number not in things:
        raise RefusedError(HTTPStatus.NOT_FOUND, f"No {kind} matches the given query.")
    return things[number]


def _matches(task: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    column = item["filter"].removeprefix("filter:tasks:")
    value = task["data"].get(column.removeprefix("data.")) if column.startswith("data.") else task[column]
    if item["operator"] == "equal":
        return bool(value == item["value"])
    return bool(value is not None and value > item["value"])


def _valid(name: str) -> str:
    return re.sub(r"[^-\w.]", "", name.replace("\\", "/").rsplit("/", 1)[-1].strip().replace(" ", "_"))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
