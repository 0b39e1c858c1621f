"""Looks at everything cleanplate depends on, and says what to do about what is wrong."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import Final

from cleanplate.app.application import Application
from cleanplate.app.checks import Check, Outcome, worker_check
from cleanplate.domain.policy import Approval
from cleanplate.errors import CleanplateError, EngineError, LabelStudioAuthError, PolicyError, SettingsError
from cleanplate.jobs.job import JobState
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.config import LabelConfig, Severity
from cleanplate.label_studio.payloads import LocalStorage, MlBackend, Project
from cleanplate.pipeline.places import STORAGE_TITLE

CONNECTED: Final = "CO"
"""The state Label Studio gives an ML backend that it reaches."""

_ENOUGH_DISK_BYTES: Final = 1024**3

_CLOCK_TOLERANCE_S: Final = 30.0
"""Label Studio's access tokens are valid for minutes, and when they end is told by its clock."""

_OUTCOMES: Final = {Severity.ERROR: Outcome.FAILED, Severity.WARNING: Outcome.WARNING, Severity.HINT: Outcome.OK}


def examine(application: Application, *, backend_url: str | None = None) -> Iterator[Check]:
    """Check everything, one thing after the other.

    Args:
        application: what to examine.
        backend_url: where Label Studio is to reach this backend; None: where its projects are connected to.
    """
    settings = application.settings
    yield _data_dir_check(settings.data_dir)
    yield _engine_check("segmenter", settings.segmenter, lambda: application.segmenter.version)
    yield _engine_check("inpainter", settings.inpainter, lambda: application.inpainter.version)
    yield _engine_check("detector", settings.detector, lambda: _detector_version(application))
    yield from _redis_checks(application)
    yield from _local_root_checks(settings.local_files_root)
    yield from _label_studio_checks(application, backend_url)
    yield from _queue_checks(application)
    yield from _second_look_checks(application)


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


def clock_checks(client: LabelStudioClient) -> Iterator[Check]:
    """Whether Label Studio's clock and ours agree; nothing if it does not tell the time."""
    with client.open("/api/version") as response:
        stamp = response.headers.get("Date", "")
    try:
        ahead_s = (parsedate_to_datetime(stamp) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return
    if abs(ahead_s) <= _CLOCK_TOLERANCE_S:
        yield Check("clocks", Outcome.OK, "Label Studio's and this machine's agree")
        return
    message = f"Label Studio's is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    yield Check("clocks", Outcome.WARNING, message, "Let both machines set their clocks by NTP.")


def config_checks(name: str, label_config: str, approval: Approval) -> Iterator[Check]:
    """What the lint finds in a labelling config; one check that says so if it finds nothing."""
    try:
        findings = LabelConfig.from_xml(label_config).lint(approval)
    except PolicyError as error:
        yield Check(name, Outcome.FAILED, str(error), "Mend it in Label Studio: Settings, Labeling Interface.")
        return
    for finding in findings:
        yield Check(name, _OUTCOMES[finding.severity], finding.message)
    if not findings:
        yield Check(name, Outcome.OK, "nothing to mend")


def project_config_checks(project: Project, approval: Approval) -> Iterator[Check]:
    """The same for the labelling config that a project has."""
    return config_checks(f"labelling config of project {project.id}", project.label_config, approval)


def storage_checks(client: LabelStudioClient, project: Project, local_root: Path | None) -> Iterator[Check]:
    """Whether copies of a project's local files can go beside them; nothing if it has none."""
    name = f"local files of project {project.id}"
    storages = [storage for storage in client.local_storages(project.id) if storage.title != STORAGE_TITLE]
    if not storages:
        return
    if local_root is None:
        message = "copies of its local files are uploaded instead of written beside them"
        remedy = "Set CLEANPLATE_LOCAL_FILES_ROOT, if this machine sees Label Studio's document root."
        yield Check(name, Outcome.OK, message, remedy)
        return
    missing = [storage for storage in storages if not _is_below(local_root, storage)]
    if missing:
        message = f"{local_root} has no folder like {missing[0].path}, so copies are uploaded instead"
        remedy = "Set CLEANPLATE_LOCAL_FILES_ROOT to what is Label Studio's LOCAL_FILES_DOCUMENT_ROOT there."
        yield Check(name, Outcome.WARNING, message, remedy)
    else:
        yield Check(name, Outcome.OK, "copies are written beside them")


def _is_below(root: Path, storage: LocalStorage) -> bool:
    # The root may have another name on Label Studio's machine, so the folder is looked for by how its path ends.
    parts = PurePosixPath(storage.path).parts
    return any(root.joinpath(*parts[start:]).is_dir() for start in range(1, len(parts)))


def _data_dir_check(data_dir: Path) -> Check:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=data_dir):
            free_bytes = shutil.disk_usage(data_dir).free
    except OSError as error:
        remedy = "Set CLEANPLATE_DATA_DIR to a folder this user may write to."
        return Check("data directory", Outcome.FAILED, f"{data_dir} cannot be written: {error.strerror}", remedy)
    free = f"{data_dir.absolute()}, {free_bytes / 1024**3:.1f} GiB free"
    if free_bytes < _ENOUGH_DISK_BYTES:
        return Check("data directory", Outcome.WARNING, free, "Make room: jobs stop when the disk is full.")
    return Check("data directory", Outcome.OK, free)


def _engine_check(kind: str, name: str, version: Callable[[], str]) -> Check:
    try:
        return Check(kind, Outcome.OK, version())
    except CleanplateError as error:
        return Check(kind, Outcome.FAILED, str(error), f"Set CLEANPLATE_{kind.upper()} to another engine than {name}.")


def _detector_version(application: Application) -> str:
    detector = application.detector
    return "none is wanted, so nobody looks at copies again" if detector is None else detector.version


def _redis_checks(application: Application) -> Iterator[Check]:
    try:
        shared = application.embedding_redis
        if shared is None:
            return
        policy = shared.require_usable()
    except SettingsError as error:
        yield Check("Redis", Outcome.FAILED, str(error), "Mend CLEANPLATE_REDIS_URL, or unset it to share nothing.")
    except CleanplateError as error:
        remedy = "See that it runs, and that CLEANPLATE_REDIS_URL is right. Until then every machine prepares its own."
        yield Check("Redis", Outcome.FAILED, str(error), remedy)
    else:
        if policy == "noeviction":
            yield Check("Redis", Outcome.OK, "prepared images are shared with other machines")
            return
        message = f"it drops what it likes when it is full ({policy}), also what a purge must be able to find"
        remedy = "Set its maxmemory-policy to noeviction; CLEANPLATE_EMBEDDING_REDIS_BYTES limits what is kept."
        yield Check("Redis", Outcome.WARNING, message, remedy)


def _local_root_checks(root: Path | None) -> Iterator[Check]:
    if root is None:
        return
    if not root.is_dir() or not os.access(root, os.W_OK):
        remedy = (
            "Mount Label Studio's document root here, or unset CLEANPLATE_LOCAL_FILES_ROOT to upload copies instead."
        )
        yield Check("local files", Outcome.FAILED, f"{root} is not a folder this user may write to", remedy)
    else:
        yield Check("local files", Outcome.OK, f"{root} can be written")


def _label_studio_checks(application: Application, backend_url: str | None) -> Iterator[Check]:
    try:
        client = application.client
        yield Check("Label Studio", Outcome.OK, f"{client.url} answers, version {client.version()}")
        yield from clock_checks(client)
        user = client.whoami()
        kind = "personal access token" if client.uses_personal_token else "legacy token"
        yield Check("token", Outcome.OK, f"accepted: a {kind} of user {user.id}")
        yield from _project_checks(application, client, backend_url)
    except SettingsError as error:
        yield Check("settings", Outcome.FAILED, str(error), "`cleanplate settings` lists them all.")
    except EngineError:
        yield Check("projects", Outcome.FAILED, "not looked at", "Mend the inpainter first.")
    except LabelStudioAuthError as error:
        remedy = "Copy a new access token from Label Studio, Account & Settings, into LABEL_STUDIO_API_KEY."
        yield Check("token", Outcome.FAILED, str(error), remedy)
    except CleanplateError as error:
        yield Check("Label Studio", Outcome.FAILED, str(error), "See that it runs and LABEL_STUDIO_URL is right.")


def _project_checks(application: Application, client: LabelStudioClient, backend_url: str | None) -> Iterator[Check]:
    watched = set(application.approvals.projects())
    projects = [project for project in client.projects() if project.id in watched]
    yield from _watch_checks(watched, application.settings.projects)
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
        yield from project_config_checks(project, application.approval)
        yield from storage_checks(client, project, application.settings.local_files_root)


def _watch_checks(watched: set[int], chosen: frozenset[int]) -> Iterator[Check]:
    remedy = 'Give a label clean="remove", and connect the project: cleanplate connect --project ID --backend-url URL'
    if not watched and not chosen:
        yield Check("projects", Outcome.WARNING, "the token sees no project that has a label with a policy", remedy)
    for project_id in sorted(chosen - watched):
        message = "CLEANPLATE_PROJECTS names it, but the token does not see it or no label of it has a policy"
        yield Check(f"project {project_id}", Outcome.WARNING, message, remedy)


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
    active = [webhook for webhook in client.webhooks(project.id) if webhook.is_active]
    if any(application.webhook_secret in webhook.headers.values() for webhook in active):
        return Check(name, Outcome.OK, "carries the secret")
    message = "none carries the secret, so copies wait for the sweep"
    return Check(name, Outcome.WARNING, message, _connect_command(project))


def _connect_command(project: Project) -> str:
    return f"Run cleanplate connect --project {project.id} --backend-url URL"


def _queue_checks(application: Application) -> Iterator[Check]:
    try:
        counts = application.queue.counts()
        yield worker_check(application.queue)
    except CleanplateError as error:
        yield Check("jobs", Outcome.FAILED, str(error), "See that CLEANPLATE_DATA_DIR is the right folder.")
        return
    waiting, dead, attention = (counts[state] for state in (JobState.READY, JobState.DEAD, JobState.ATTENTION))
    message = f"{waiting} waiting, {dead} dead, {attention} need a person"
    if dead or attention:
        state = JobState.DEAD if dead else JobState.ATTENTION
        yield Check("jobs", Outcome.WARNING, message, f"See cleanplate jobs list --state {state}")
    else:
        yield Check("jobs", Outcome.OK, message)


def _second_look_checks(application: Application) -> Iterator[Check]:
    try:
        count = application.ledger.waiting_count()
    except CleanplateError as error:
        yield Check("ledger", Outcome.FAILED, str(error), "See that CLEANPLATE_DATA_DIR is the right folder.")
        return
    if count:
        message = f"{count} {'copy waits' if count == 1 else 'copies wait'} for a person to look at"
        yield Check("second look", Outcome.WARNING, message, "See cleanplate second-look list")
    else:
        yield Check("second look", Outcome.OK, "no copy waits for one")
