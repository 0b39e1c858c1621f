"""Label Studio's API: the calls cleanplate needs, with time limits, one retry policy and one translation of errors."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import structlog
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from cleanplate.errors import (
    LabelStudioAuthError,
    LabelStudioRefusedError,
    LabelStudioUnreachableError,
    PayloadError,
)
from cleanplate.label_studio.credentials import Credentials
from cleanplate.label_studio.payloads import (
    Annotation,
    LocalStorage,
    MlBackend,
    Prediction,
    Project,
    Reference,
    Task,
    Upload,
    User,
    Webhook,
    loads,
)

COPY_KEY: Final = "cleanplate"
"""The field of a task's data that only copies have."""

LOOK_KEY: Final = "cleanplate_second_look"
"""The field of a copy's data that says why a person should look at it. The Data Manager can filter by it."""

MAX_ANSWER_BYTES: Final = 512 * 1024 * 1024
"""A page of tasks with many brush strokes may be long; this only stops what never ends."""

_PROJECTS_PER_PAGE: Final = 100
_TASKS_PER_PAGE: Final = 50
_CHUNK_BYTES: Final = 256 * 1024
_DETAIL_CHARACTERS: Final = 300
_LONGEST_WAIT_S: Final = 3600.0

_BLOCKED: Final = "reserved network address"
"""What Label Studio says of an address in a private network, unless it was told to allow them."""

_RETRIED: Final = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
_MARKUP = re.compile(r"<[^>]*>")
_QUERY = re.compile(r"\?[^\s\"'<>]+")
_SECRETIVE = re.compile(r"[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}|\b[0-9a-f]{40}\b")

_log = structlog.get_logger()


class LabelStudioClient:
    """One Label Studio, seen as the person whose token is used. Safe to share between threads.

    All methods raise:
        LabelStudioUnreachableError: it did not answer, or answered 429 or 5xx; later it may.
        LabelStudioAuthError: it does not accept the token.
        LabelStudioRefusedError: it said no.
        PayloadError: its answer is not what it should be.

    Args:
        url: where it answers; a path in front of its own is kept.
        api_key: a personal access token or a legacy token.
        connect_timeout_s: how long a connection may take.
        read_timeout_s: how long it may be silent.
        retries: how often a read is tried again within one call.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 60.0,
        retries: int = 2,
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = (connect_timeout_s, read_timeout_s)
        self._credentials = Credentials(api_key, self._access_token)
        self._session = requests.Session()
        self._session.trust_env = False
        # Its session cookie would outlive the token, and a jar is not safe between threads.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        retry = Retry(
            total=retries,
            backoff_factor=0.3,
            status_forcelist=_RETRIED,
            allowed_methods={"GET"},
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=16))

    @property
    def uses_personal_token(self) -> bool:
        """Whether the token is a personal access token; Label Studio may have the other kind switched off."""
        return self._credentials.is_personal

    # Who and what

    def version(self) -> str:
        """The release of Label Studio that answers."""
        answer = self._call("GET", "/api/version")
        return str(answer.get("release", "")) if isinstance(answer, dict) else ""

    def whoami(self) -> User:
        """The person the token belongs to."""
        return User.parse(self._call("GET", "/api/current-user/whoami"))

    def legacy_token(self) -> str:
        """That person's legacy token. It exists even where Label Studio does not accept it."""
        answer = self._call("GET", "/api/current-user/token")
        if not isinstance(answer, dict) or not isinstance(answer.get("token"), str):
            raise PayloadError("Label Studio answered without a token")
        return str(answer["token"])

    # Projects

    def projects(self) -> Iterator[Project]:
        """All projects the token may see, by id."""
        page = 1
        while True:
            query = {
                "page": page,
                "page_size": _PROJECTS_PER_PAGE,
                "ordering": "id",
                "include": "id,title,label_config",
            }
            answer = self._call("GET", "/api/projects", query=query)
            yield from (Project.parse(item) for item in _list(answer, "results"))
            if not answer.get("next"):
                return
            page += 1

    def project(self, project_id: int) -> Project | None:
        """One project; None if there is none, or the token may not see it."""
        answer = self._find(f"/api/projects/{project_id}")
        return None if answer is None else Project.parse(answer)

    def create_project(self, title: str, label_config: str) -> Project:
        """Make an empty project. The title needs three characters or more."""
        body = {"title": title, "label_config": label_config}
        return Project.parse(self._call("POST", "/api/projects", body=body))

    def update_project(
        self,
        project_id: int,
        *,
        label_config: str | None = None,
        show_predictions: bool | None = None,
        model_version: str | None = None,
    ) -> Project:
        """Change a project.

        Args:
            project_id: which.
            label_config: its new labelling config.
            show_predictions: whether opening a task asks the ML backend for predictions first.
            model_version: whose predictions annotators begin with, and whose scores tasks are ordered by. Refused
                unless there are some of that version, or an ML backend of that title.
        """
        changes = {
            "label_config": label_config,
            "show_collab_predictions": show_predictions,
            "model_version": model_version,
        }
        body = {name: value for name, value in changes.items() if value is not None}
        return Project.parse(self._call("PATCH", f"/api/projects/{project_id}", body=body))

    def validate_config(self, label_config: str) -> None:
        """Ask Label Studio whether it takes this labelling config.

        Raises:
            LabelStudioRefusedError: It does not, and says why.
        """
        self._call("POST", "/api/projects/validate/", body={"label_config": label_config})

    # Tasks

    def tasks(self, project_id: int, *, updated_since: datetime | None = None) -> Iterator[Task]:
        """A project's tasks with their annotations, by id, without asking the ML backend for predictions.

        A task that cannot be read is logged and left out: it must not hide the others.

        Args:
            project_id: whose.
            updated_since: only those changed after this time. A new or changed annotation changes its task.
        """
        last = 0
        while True:
            # Pages by number would skip tasks when others leave the filter meanwhile; pages by id do not.
            filters = [_filter("id", "greater", "Number", last)]
            if updated_since is not None:
                filters.append(_filter("updated_at", "greater", "Datetime", _timestamp(updated_since)))
            try:
                items, total = self._task_page(project_id, filters)
                found = [_readable_task(item, project_id) for item in items]
            except PayloadError:
                # A single number or nesting beyond all bounds, in data of which nobody asks, spoils the whole page.
                items, total = self._task_page(project_id, filters, only_ids=True)
                found = [self._readable_alone(item, project_id) for item in items]
            yield from (task for task in found if task is not None)
            ids = [item["id"] for item in items if isinstance(item, dict) and isinstance(item.get("id"), int)]
            if not ids or total <= len(items):
                return
            last = max(ids)

    def task(self, project_id: int, task_id: int) -> Task | None:
        """One task with its annotations and the drafts of the token's person; None if the project has no such task.

        Asking for the task by its own address could make Label Studio call `/predict`, so this does not.
        """
        items, _ = self._task_page(project_id, [_filter("id", "equal", "Number", task_id)])
        return Task.parse(items[0]) if items else None

    def tasks_after(self, project_id: int, task_id: int, *, count: int) -> tuple[Task, ...]:
        """The tasks of a project that follow one of them by id, *count* at the most; those that can be read."""
        items, _ = self._task_page(project_id, [_filter("id", "greater", "Number", task_id)], page_size=count)
        found = [_readable_task(item, project_id) for item in items]
        return tuple(task for task in found if task is not None)

    def task_count(self, project_id: int) -> int:
        """How many tasks a project has."""
        _, total = self._task_page(project_id, [], only_ids=True)
        return total

    def copies(self, project_id: int, copy_id: str) -> tuple[Task, ...]:
        """The tasks of the copy with this id, by id; there should be at most one."""
        items, _ = self._task_page(project_id, [_filter(f"data.{COPY_KEY}", "equal", "String", copy_id)])
        tasks = (Task.parse(item) for item in items)
        return tuple(task for task in tasks if task.data.get(COPY_KEY) == copy_id)

    def create_task(self, project_id: int, data: Mapping[str, Any], *, meta: Mapping[str, Any]) -> Task:
        """Add a task."""
        body = {"project": project_id, "data": dict(data), "meta": dict(meta)}
        return Task.parse(self._call("POST", "/api/tasks/", body=body))

    def update_task(self, task_id: int, data: Mapping[str, Any], *, meta: Mapping[str, Any]) -> Task:
        """Replace the whole data and meta of a task."""
        return Task.parse(self._call("PATCH", f"/api/tasks/{task_id}/", body={"data": dict(data), "meta": dict(meta)}))

    def delete_task(self, task_id: int) -> bool:
        """Delete a task with all its annotations; whether there was one."""
        return self._remove(f"/api/tasks/{task_id}/")

    # Annotations

    def annotation(self, annotation_id: int) -> Annotation | None:
        """One annotation; None if there is none, or the token may not see it."""
        answer = self._find(f"/api/annotations/{annotation_id}/")
        return None if answer is None else Annotation.parse(answer)

    def create_annotation(self, task_id: int, result: Sequence[Mapping[str, Any]]) -> Annotation:
        """Add an annotation to a task."""
        body = {"result": list(result)}
        return Annotation.parse(self._call("POST", f"/api/tasks/{task_id}/annotations/", body=body))

    def update_annotation(self, annotation_id: int, result: Sequence[Mapping[str, Any]]) -> Annotation:
        """Replace the result of an annotation. Only for annotations of copies: it counts as a change by a person."""
        return Annotation.parse(
            self._call("PATCH", f"/api/annotations/{annotation_id}/", body={"result": list(result)})
        )

    def delete_annotation(self, annotation_id: int) -> bool:
        """Delete an annotation; whether there was one."""
        return self._remove(f"/api/annotations/{annotation_id}/")

    # Predictions

    def create_prediction(
        self, task_id: int, result: Sequence[Mapping[str, Any]], *, model_version: str, score: float
    ) -> Prediction:
        """Propose something for a task. An annotator who opens it begins with this."""
        body = {"task": task_id, "result": list(result), "model_version": model_version, "score": score}
        return Prediction.parse(self._call("POST", "/api/predictions/", body=body))

    def delete_prediction(self, prediction_id: int) -> bool:
        """Take a proposal back; whether there was one."""
        return self._remove(f"/api/predictions/{prediction_id}/")

    # Files

    def upload(self, project_id: int, *, name: str, content: bytes, media_type: str) -> Upload:
        """Upload a file without making a task of it. Label Studio puts eight characters before its name."""
        answer = self._call(
            "POST",
            f"/api/projects/{project_id}/import",
            query={"commit_to_project": "false"},
            files={"file": (name, content, media_type)},
        )
        ids = _list(answer, "file_upload_ids")
        if len(ids) != 1:
            raise PayloadError(f"Label Studio made {len(ids)} uploads of one file")
        return Upload.parse(self._call("GET", f"/api/import/file-upload/{ids[0]}"))

    def uploads(self, project_id: int) -> tuple[Upload, ...]:
        """All files the token's person uploaded to a project."""
        answer = self._call("GET", f"/api/projects/{project_id}/file-uploads", query={"all": "true"})
        return tuple(Upload.parse(item) for item in _items(answer))

    def delete_upload(self, upload_id: int) -> bool:
        """Delete an uploaded file; whether there was one."""
        return self._remove(f"/api/import/file-upload/{upload_id}")

    # What is connected to a project

    def ml_backends(self, project_id: int) -> tuple[MlBackend, ...]:
        """The ML backends of a project, the oldest first."""
        answer = self._call("GET", "/api/ml", query={"project": project_id})
        return tuple(sorted((MlBackend.parse(item) for item in _items(answer)), key=lambda backend: backend.id))

    def create_ml_backend(
        self, project_id: int, *, url: str, title: str, user: str = "", password: str = ""
    ) -> MlBackend:
        """Connect an interactive ML backend. Label Studio calls it before it answers, and adds a webhook of its own."""
        body = _ml_backend(project_id, url=url, title=title, user=user, password=password)
        return MlBackend.parse(self._call("POST", "/api/ml", body=body))

    def update_ml_backend(
        self, backend_id: int, project_id: int, *, url: str, title: str, user: str = "", password: str = ""
    ) -> MlBackend:
        """Change an ML backend. Label Studio wants all of it each time."""
        body = _ml_backend(project_id, url=url, title=title, user=user, password=password)
        return MlBackend.parse(self._call("PATCH", f"/api/ml/{backend_id}", body=body))

    def webhooks(self, project_id: int) -> tuple[Webhook, ...]:
        """The webhooks of a project, the oldest first."""
        answer = self._call("GET", "/api/webhooks/", query={"project": project_id})
        return tuple(sorted((Webhook.parse(item) for item in _items(answer)), key=lambda webhook: webhook.id))

    def create_webhook(
        self, project_id: int, *, url: str, actions: Sequence[str], headers: Mapping[str, str]
    ) -> Webhook:
        """Have Label Studio report these actions of a project."""
        body = _webhook(url=url, actions=actions, headers=headers) | {"project": project_id}
        return Webhook.parse(self._call("POST", "/api/webhooks/", body=body))

    def update_webhook(
        self, webhook_id: int, *, url: str, actions: Sequence[str], headers: Mapping[str, str]
    ) -> Webhook:
        """Change a webhook, such as the one that came with the ML backend and carries no secret."""
        body = _webhook(url=url, actions=actions, headers=headers)
        return Webhook.parse(self._call("PATCH", f"/api/webhooks/{webhook_id}/", body=body))

    def refuses_ml_backend(self, url: str) -> bool:
        """Whether Label Studio would refuse an ML backend there because it blocks the address. Nothing is made."""
        return self._refuses_address("/api/ml", {"url": url})

    def refuses_webhook(self, url: str) -> bool:
        """Whether Label Studio would refuse to call a webhook there because it blocks the address. Nothing is made."""
        return self._refuses_address("/api/webhooks/", {"url": url, "headers": 0})

    def _refuses_address(self, path: str, body: Mapping[str, Any]) -> bool:
        """Ask for something that cannot be made: the address is looked at before what is wrong with the rest."""
        try:
            self._call("POST", path, body=body)
        except LabelStudioRefusedError as error:
            if error.status == HTTPStatus.FORBIDDEN and _BLOCKED in str(error):
                return True
            if error.status == HTTPStatus.BAD_REQUEST:
                return False
            raise
        raise PayloadError(f"POST {path} accepted what it cannot")

    def local_storages(self, project_id: int) -> tuple[LocalStorage, ...]:
        """The folders of Label Studio's machine that a project may show files from."""
        answer = self._call("GET", "/api/storages/localfiles", query={"project": project_id})
        return tuple(LocalStorage.parse(item) for item in _items(answer))

    def create_local_storage(self, project_id: int, *, path: str, title: str, regex_filter: str) -> LocalStorage:
        """Let a project show the files in a folder of Label Studio's machine. This alone imports nothing.

        Args:
            project_id: which project.
            path: the folder, as Label Studio's machine calls it.
            title: what people see.
            regex_filter: a sync imports the files whose names match this.
        """
        body = {"project": project_id, "path": path, "title": title, "regex_filter": regex_filter}
        return LocalStorage.parse(self._call("POST", "/api/storages/localfiles", body=body | {"use_blob_urls": True}))

    # The wire

    def open(self, path: str, *, query: Mapping[str, str] | None = None) -> requests.Response:
        """Begin to download a file: an answer of any status, not read yet, redirects not followed. Close it.

        The address itself never appears in an error: it may hold the name of a source.
        """
        return self._send("GET", path, query=query, headers={"Accept": "*/*", "Accept-Encoding": "identity"})

    def _find(self, path: str) -> Any:
        try:
            return self._call("GET", path)
        except LabelStudioRefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _remove(self, path: str) -> bool:
        try:
            self._call("DELETE", path)
        except LabelStudioRefusedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def _readable_alone(self, item: Any, project_id: int) -> Task | None:
        """The task of which a list tells only the id; None, and a line in the log, if it cannot be read."""
        task_id = Reference.parse(item).id
        try:
            return self.task(project_id, task_id)
        except PayloadError as error:
            _log.warning("task left out", project=project_id, task=task_id, why=str(error))
            return None

    def _task_page(
        self,
        project_id: int,
        filters: list[dict[str, Any]],
        *,
        only_ids: bool = False,
        page_size: int = _TASKS_PER_PAGE,
    ) -> tuple[list[Any], int]:
        query = {
            "project": project_id,
            "fields": "all",
            "resolve_uri": "false",
            "page_size": page_size,
            "query": json.dumps({"filters": {"conjunction": "and", "items": filters}, "ordering": ["tasks:id"]}),
        }
        if only_ids:
            query["include"] = "id"
        answer = self._call("GET", "/api/tasks", query=query)
        items = _list(answer, "tasks")
        total = answer.get("total")
        if not isinstance(total, int):
            raise PayloadError("Label Studio listed tasks without saying how many there are")
        return items, total

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> Any:
        with self._send(method, path, query=query, body=body, files=files) as response:
            content = _content(response)
        _require_success(response, f"{method} {path}", content)
        if not content.strip():
            return None
        if "json" not in response.headers.get("Content-Type", ""):
            raise LabelStudioAuthError(
                f"{method} {path} answered with a web page instead of JSON: "
                "LABEL_STUDIO_URL is wrong, or something in front of Label Studio wants a login",
                status=response.status_code,
            )
        return loads(content)

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        authorization = self._credentials.header()
        response = self._request(method, path, authorization, query=query, body=body, files=files, headers=headers)
        if response.status_code != HTTPStatus.UNAUTHORIZED or not self._credentials.renew(authorization):
            return response
        response.close()
        authorization = self._credentials.header()
        return self._request(method, path, authorization, query=query, body=body, files=files, headers=headers)

    def _request(
        self,
        method: str,
        path: str,
        authorization: str | None,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                self.url + path,
                params=query,
                json=body,
                files=files,
                headers={"Accept": "application/json", **(headers or {}), "Authorization": authorization},
                timeout=self._timeout_s,
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            # Not chained: requests puts the whole address into its messages.
            message = f"Label Studio at {origin_of(self.url)} did not answer ({type(error).__name__})"
        raise LabelStudioUnreachableError(message)

    def _access_token(self, api_key: str) -> str:
        path = "/api/token/refresh"
        with self._request("POST", path, None, body={"refresh": api_key}) as response:
            content = _content(response)
        _require_success(response, f"POST {path}", content)
        answer = loads(content)
        if not isinstance(answer, dict) or not isinstance(answer.get("access"), str):
            raise PayloadError("Label Studio gave no access token for the personal one")
        return str(answer["access"])


def task_page(label_studio_url: str, *, project_id: int, task_id: int) -> str:
    """Where a person sees a task."""
    return f"{label_studio_url}/projects/{project_id}/data?task={task_id}"


def origin_of(url: str) -> str:
    """Scheme, host and port of an address: the part of it that may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def retry_after_s(header: str | None) -> float | None:
    """How long a `Retry-After` header asks us to wait, up to an hour; None if it does not say."""
    if not header:
        return None
    try:
        seconds = float(header) if header.strip().isdigit() else parsedate_to_datetime(header).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_S)


def _content(response: requests.Response) -> bytes:
    content = bytearray()
    try:
        for chunk in response.iter_content(_CHUNK_BYTES):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise PayloadError(f"Label Studio's answer is longer than {MAX_ANSWER_BYTES:,} bytes")
    except requests.RequestException as error:
        message = f"Label Studio broke off in the middle of an answer ({type(error).__name__})"
    else:
        return bytes(content)
    raise LabelStudioUnreachableError(message)


def _require_success(response: requests.Response, what: str, content: bytes) -> None:
    status = response.status_code
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        target = origin_of(response.headers.get("Location", ""))
        raise LabelStudioRefusedError(
            f"{what} was redirected to {target}: set LABEL_STUDIO_URL to where Label Studio itself answers",
            status=status,
        )
    detail = _detail(content)
    message = f"{what} answered {status}{': ' if detail else ''}{detail}"
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise LabelStudioUnreachableError(message, retry_after_s=retry_after_s(response.headers.get("Retry-After")))
    if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and "token" in detail.lower()):
        raise LabelStudioAuthError(message, status=status)
    raise LabelStudioRefusedError(message, status=status)


def _detail(content: bytes) -> str:
    """What Label Studio says was wrong, without markup, queries and anything that looks like a token."""
    try:
        answer = loads(content)
    except PayloadError:
        return ""
    if not isinstance(answer, dict):
        return ""
    said = answer.get("validation_errors") or answer.get("detail") or answer
    text = said if isinstance(said, str) else "; ".join(_sentences(said))
    for pattern, instead in ((_MARKUP, ""), (_QUERY, "?…"), (_SECRETIVE, "…")):
        text = pattern.sub(instead, text)
    return " ".join(text.split())[:_DETAIL_CHARACTERS]


def _sentences(said: Any) -> Iterator[str]:
    if isinstance(said, dict):
        for part in said.values():
            yield from _sentences(part)
    elif isinstance(said, list):
        for part in said:
            yield from _sentences(part)
    elif isinstance(said, str):
        yield said


def _items(answer: Any) -> list[Any]:
    if not isinstance(answer, list):
        raise PayloadError("Label Studio did not answer with a list")
    return answer


def _list(answer: Any, key: str) -> list[Any]:
    if not isinstance(answer, dict) or not isinstance(answer.get(key), list):
        raise PayloadError(f'Label Studio answered without a list of "{key}"')
    items: list[Any] = answer[key]
    return items


def _filter(column: str, operator: str, kind: str, value: int | str) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _timestamp(moment: datetime) -> str:
    """In the one notation that Label Studio's filters read."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _readable_task(item: Any, project_id: int) -> Task | None:
    try:
        return Task.parse(item)
    except PayloadError as error:
        task_id = item.get("id") if isinstance(item, dict) else None
        _log.warning("task left out", project=project_id, task=task_id, why=str(error))
        return None


def _ml_backend(project_id: int, *, url: str, title: str, user: str, password: str) -> dict[str, Any]:
    body = {"project": project_id, "url": url, "title": title, "is_interactive": True}
    if not user:
        return body | {"auth_method": "NONE"}
    return body | {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}


def _webhook(*, url: str, actions: Sequence[str], headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "url": url,
        "send_payload": True,
        "send_for_all_actions": False,
        "is_active": True,
        "actions": list(actions),
        "headers": dict(headers),
    }
