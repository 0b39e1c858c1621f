"""Looks at everything cleanplate depends on, and says what to do about what is wrong."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cleanplate.app.application import Application
from cleanplate.app.checks import Check, Outcome
from cleanplate.domain.policy import Approval
from cleanplate.errors import CleanplateError, LabelStudioAuthError, PolicyError
from cleanplate.jobs.job import JobState
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.config import LabelConfig, Severity
from cleanplate.label_studio.payloads import MlBackend, Project

CONNECTED: Final = "CO"
"""The state Label Studio gives an ML backend that it reaches."""

_ENOUGH_DISK_BYTES: Final = 1024**3

_OUTCOMES: Final = {Severity.ERROR: Outcome.FAILED, Severity.WARNING: Outcome.WARNING, Severity.HINT: Outcome.OK}


def examine(application: Application, *, backend_url: str | None = None) -> Iterator[Check]:
    """Check everything, one thing after the other.

    Args:
        application: what to examine.
        backend_url: where Label Studio is to reach this backend; None: where its projects are connected to.
    """
    yield _data_dir_check(application.settings.data_dir)
    yield _engine_check("segmenter", application.settings.segmenter, lambda: application.segmenter.version)
    yield _engine_check("inpainter", application.settings.inpainter, lambda: application.inpainter.version)
    yield from _local_files_checks(application.settings.local_files_root)
    yield from _label_studio_checks(application, backend_url)
    yield _jobs_check(application)


def door_checks(client: LabelStudioClient, backend_url: str) -> Iterator[Check]:
    """Whether Label Studio may call this address at all: its two settings block private networks by default."""
    doors = (
        ("Label Studio may call the ML backend", "ML_BLOCK_LOCAL_IP", client.refuses_ml_backend),
        ("Label Studio may call the webhook", "SSRF_PROTECTION_ENABLED", client.refuses_webhook),
    )
    for name, setting, refuses in doors:
        if refuses(backend_url):
            remedy = f"Start Label Studio with {setting}=false, or give cleanplate a public address."
            yield Check(name, Outcome.FAILED, f"it blocks {backend_url}: the address is a private one", remedy)
        else:
            yield Check(name, Outcome.OK, f"{backend_url} is not blocked")


def config_checks(project: Project, approval: Approval) -> Iterator[Check]:
    """What the lint finds in a project's labelling config; one check that says so if it finds nothing."""
    name = f"labelling config of project {project.id}"
    try:
        findings = LabelConfig.from_xml(project.label_config).lint(approval)
    except PolicyError as error:
        yield Check(name, Outcome.FAILED, str(error), "Mend it in Label Studio: Settings, Labeling Interface.")
        return
    for finding in findings:
        yield Check(name, _OUTCOMES[finding.severity], finding.message)
    if not findings:
        yield Check(name, Outcome.OK, "nothing to mend")


def _data_dir_check(data_dir: Path) -> Check:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=data_dir):
            free_bytes = shutil.disk_usage(data_dir).free
    except OSError as error:
        remedy = "Set CLEANPLATE_DATA_DIR to a folder this user may write to."
        return Check("data directory", Outcome.FAILED, f"cannot be written: {error.strerror}", remedy)
    free = f"{free_bytes / 1024**3:.1f} GiB free"
    if free_bytes < _ENOUGH_DISK_BYTES:
        return Check("data directory", Outcome.WARNING, f"writable, but only {free}", "Make room on that disk.")
    return Check("data directory", Outcome.OK, f"writable, {free}")


def _engine_check(kind: str, name: str, version: Callable[[], str]) -> Check:
    try:
        return Check(kind, Outcome.OK, version())
    except CleanplateError as error:
        return Check(kind, Outcome.FAILED, str(error), f"Set CLEANPLATE_{kind.upper()} to another engine than {name}.")


def _local_files_checks(root: Path | None) -> Iterator[Check]:
    if root is None:
        return
    if not root.is_dir() or not os.access(root, os.W_OK):
        remedy = (
            "Mount Label Studio's document root here, or unset CLEANPLATE_LOCAL_FILES_ROOT to upload copies instead."
        )
        yield Check("local files", Outcome.FAILED, f"{root} is not a folder this user may write to", remedy)
    else:
        yield Check("local files", Outcome.OK, "copies of local files are written beside them")


def _label_studio_checks(application: Application, backend_url: str | None) -> Iterator[Check]:
    try:
        client = application.client
        yield Check("Label Studio", Outcome.OK, f"{client.url} answers, version {client.version()}")
        user = client.whoami()
        kind = "personal access token" if client.uses_personal_token else "legacy token"
        yield Check("token", Outcome.OK, f"accepted: a {kind} of user {user.id}")
        yield from _project_checks(application, client, backend_url)
    except LabelStudioAuthError as error:
        remedy = "Copy a new access token from Label Studio, Account & Settings, into LABEL_STUDIO_API_KEY."
        yield Check("token", Outcome.FAILED, str(error), remedy)
    except CleanplateError as error:
        yield Check("Label Studio", Outcome.FAILED, str(error), "See that it runs and LABEL_STUDIO_URL is right.")


def _project_checks(application: Application, client: LabelStudioClient, backend_url: str | None) -> Iterator[Check]:
    watched = set(application.approvals.projects())
    projects = [project for project in client.projects() if project.id in watched]
    if not projects:
        remedy = (
            'Give a label clean="remove", and connect the project: cleanplate connect --project ID --backend-url URL.'
        )
        yield Check("projects", Outcome.WARNING, "no project has a label with a policy", remedy)
    checked: set[str] = set()
    for project in projects:
        backends = client.ml_backends(project.id)
        urls = [backend_url] if backend_url else [backend.url for backend in backends]
        for url in dict.fromkeys(urls):
            if url not in checked:
                yield from door_checks(client, url)
            checked.add(url)
        yield _backend_check(project, backends)
        yield _webhook_check(application, client, project)
        yield from config_checks(project, application.approval)


def _backend_check(project: Project, backends: tuple[MlBackend, ...]) -> Check:
    name, remedy = f"ML backend of project {project.id}", _connect_command(project)
    if not backends:
        return Check(name, Outcome.WARNING, "none is connected, so clicks show nothing", remedy)
    interactive = [backend for backend in backends if backend.is_interactive]
    if not interactive:
        return Check(name, Outcome.FAILED, "it is not interactive, so clicks show nothing", remedy)
    if interactive[0].state != CONNECTED:
        remedy = f"See that `cleanplate serve` runs and Label Studio's machine reaches {interactive[0].url}."
        return Check(name, Outcome.FAILED, f"Label Studio does not reach {interactive[0].url}", remedy)
    return Check(name, Outcome.OK, f"Label Studio reaches {interactive[0].url}")


def _webhook_check(application: Application, client: LabelStudioClient, project: Project) -> Check:
    name = f"webhook of project {project.id}"
    secrets = [secret for webhook in client.webhooks(project.id) for secret in webhook.headers.values()]
    if application.webhook_secret in secrets:
        return Check(name, Outcome.OK, "carries the secret")
    message = "none carries the secret, so copies wait for the sweep"
    return Check(name, Outcome.WARNING, message, _connect_command(project))


def _connect_command(project: Project) -> str:
    return f"Run cleanplate connect --project {project.id} --backend-url URL."


def _jobs_check(application: Application) -> Check:
    counts = application.queue.counts()
    waiting, dead = counts[JobState.READY], counts[JobState.DEAD]
    attention = counts[JobState.ATTENTION]
    message = f"{waiting} waiting, {dead} dead, {attention} need a person"
    if dead or attention:
        return Check("jobs", Outcome.WARNING, message, "See cleanplate jobs list --state dead (or attention).")
    return Check("jobs", Outcome.OK, message)
