"""Connects a project of Label Studio with this backend: the ML backend, its webhook, its labelling config."""

from collections.abc import Iterator
from typing import Final

from cleanplate.app.application import Application
from cleanplate.app.checks import Check, Outcome
from cleanplate.app.doctor import config_checks, door_checks
from cleanplate.errors import LabelStudioError, LabelStudioRefusedError
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.payloads import Project, WebhookAction

BACKEND_TITLE: Final = "cleanplate"

SECRET_HEADER: Final = "X-Cleanplate-Secret"  # noqa: S105  a header's name


class ProjectMissingError(LabelStudioError):
    """Label Studio has no project of this number, or the token may not see it."""

    reason = "project_missing"


def connect(
    application: Application, project_id: int, *, backend_url: str, label_config: str | None = None
) -> Iterator[Check]:
    """Connect a project, step by step; doing it again changes nothing that is right already.

    Args:
        application: whose Label Studio, secret and password are used.
        project_id: which project.
        backend_url: where Label Studio reaches `cleanplate serve`.
        label_config: a labelling config to give the project; None leaves the one it has.

    Yields:
        Each step when it is done. After one that failed there are no more.

    Raises:
        ProjectMissingError: There is no such project.
        LabelStudioError: Label Studio refused a step or did not answer.
    """
    client, backend_url = application.client, backend_url.rstrip("/")
    project = client.project(project_id)
    if project is None:
        raise ProjectMissingError(f"Label Studio has no project {project_id}, or the token may not see it")
    doors = tuple(door_checks(client, backend_url))
    yield from doors
    if not all(door.ok for door in doors):
        return
    if label_config is not None:
        client.validate_config(label_config)
        project = client.update_project(project_id, label_config=label_config)
        yield Check("labelling config", Outcome.OK, f"given to project {project_id}")
    yield _backend(application, client, project, backend_url)
    yield _webhook(application, client, project, backend_url)
    yield from config_checks(project, application.approval)


def _backend(application: Application, client: LabelStudioClient, project: Project, backend_url: str) -> Check:
    user, password = application.basic_auth
    existing = [backend for backend in client.ml_backends(project.id) if backend.url.rstrip("/") == backend_url]
    try:
        if existing:
            client.update_ml_backend(
                existing[0].id, project.id, url=backend_url, title=BACKEND_TITLE, user=user, password=password
            )
        else:
            client.create_ml_backend(project.id, url=backend_url, title=BACKEND_TITLE, user=user, password=password)
    except LabelStudioRefusedError as error:
        return Check(
            "ML backend",
            Outcome.FAILED,
            str(error),
            f"Start `cleanplate serve`, and see that Label Studio's machine reaches {backend_url}.",
        )
    return Check("ML backend", Outcome.OK, f"{backend_url} answers this project's clicks")


def _webhook(application: Application, client: LabelStudioClient, project: Project, backend_url: str) -> Check:
    url, actions = f"{backend_url}/webhook", tuple(WebhookAction)
    headers = {SECRET_HEADER: application.webhook_secret}
    own = [webhook for webhook in client.webhooks(project.id) if webhook.url == url and webhook.project == project.id]
    if own:
        client.update_webhook(own[0].id, url=url, actions=actions, headers=headers)
        return Check("webhook", Outcome.OK, "Label Studio's own webhook carries the secret")
    client.create_webhook(project.id, url=url, actions=actions, headers=headers)
    return Check("webhook", Outcome.OK, "made; it carries the secret")
