"""Connects a project of Label Studio with this backend: the ML backend, its webhook, its labelling config."""

from collections.abc import Iterator
from typing import Final

from cleanplate.app.application import Application
from cleanplate.app.checks import Check, Outcome
from cleanplate.app.doctor import CONNECTED, config_checks, door_checks, project_config_checks, storage_checks
from cleanplate.errors import LabelStudioAuthError, LabelStudioRefusedError, ProjectMissingError
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.payloads import MlBackend, Project, Webhook, WebhookAction

BACKEND_TITLE: Final = "cleanplate"

SECRET_HEADER: Final = "X-Cleanplate-Secret"  # noqa: S105  a header's name


def connect(
    application: Application, project_id: int, *, backend_url: str, label_config: str | None = None
) -> Iterator[Check]:
    """Connect a project, step by step; doing it again changes nothing that is right already.

    Args:
        application: whose Label Studio, secret and password are used.
        project_id: which project.
        backend_url: where Label Studio reaches `cleanplate serve`, without a slash at its end.
        label_config: a labelling config to give the project; None leaves the one it has.

    Yields:
        Each step when it is done. After one that failed nothing more is changed.

    Raises:
        ProjectMissingError: There is no such project.
        LabelStudioError: Label Studio refused a step or did not answer.
    """
    client = application.client
    project = client.project(project_id)
    if project is None:
        raise ProjectMissingError(f"Label Studio has no project {project_id}, or the token may not see it")
    if label_config is not None:
        mistakes = [
            check for check in config_checks("labelling config", label_config, application.approval) if not check.ok
        ]
        yield from mistakes
        if mistakes:
            return
    doors = tuple(door_checks(client, backend_url))
    yield from doors
    if not all(door.ok for door in doors):
        return
    if label_config is not None:
        client.validate_config(label_config)
        project = client.update_project(project_id, label_config=label_config)
        yield Check("labelling config", Outcome.OK, f"given to project {project_id}")
    backend = _backend(application, client, project, backend_url)
    yield backend
    if not backend.ok:
        return
    yield _webhook(application, client, project, backend_url)
    yield from project_config_checks(project, application.approval)
    yield from storage_checks(client, project, application.settings.local_files_root)


def _backend(application: Application, client: LabelStudioClient, project: Project, backend_url: str) -> Check:
    name = "ML backend"
    try:
        backend = _connected(application, client, project, backend_url)
    except LabelStudioAuthError:
        raise
    except LabelStudioRefusedError as error:
        remedy = f"Start `cleanplate serve`, and see that Label Studio's machine reaches {backend_url}."
        return Check(name, Outcome.FAILED, str(error), remedy)
    if backend.state != CONNECTED:
        remedy = f"See that `cleanplate serve` runs and Label Studio's machine reaches {backend_url}."
        return Check(name, Outcome.FAILED, f"Label Studio does not reach {backend_url}", remedy)
    return Check(name, Outcome.OK, f"{backend_url} answers this project's clicks")


def _connected(application: Application, client: LabelStudioClient, project: Project, backend_url: str) -> MlBackend:
    user, password = application.basic_auth
    existing = [backend for backend in client.ml_backends(project.id) if backend.url.rstrip("/") == backend_url]
    if not existing:
        return client.create_ml_backend(project.id, url=backend_url, title=BACKEND_TITLE, user=user, password=password)
    # Label Studio does not show the password it has, so it is given again; and it looks anew whether we answer.
    return client.update_ml_backend(
        existing[0].id, project.id, url=backend_url, title=BACKEND_TITLE, user=user, password=password
    )


def _webhook(application: Application, client: LabelStudioClient, project: Project, backend_url: str) -> Check:
    name, url, actions = "webhook", f"{backend_url}/webhook", tuple(WebhookAction)
    headers = {SECRET_HEADER: application.webhook_secret}
    own = [webhook for webhook in client.webhooks(project.id) if webhook.url == url and webhook.project == project.id]
    if not own:
        client.create_webhook(project.id, url=url, actions=actions, headers=headers)
        return Check(name, Outcome.OK, "made; it carries the secret")
    if not _is_right(own[0], headers):
        client.update_webhook(own[0].id, url=url, actions=actions, headers=headers)
    return Check(name, Outcome.OK, "Label Studio's own webhook carries the secret")


def _is_right(webhook: Webhook, headers: dict[str, str]) -> bool:
    return (
        webhook.headers == headers
        and webhook.is_active
        and webhook.send_payload
        and not webhook.send_for_all_actions
        and set(webhook.actions) == set(WebhookAction)
    )
