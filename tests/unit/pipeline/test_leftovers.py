"""Files that a job put and did not live to publish: none stays, and none is taken away that a copy shows."""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import structlog

from cleanplate.jobs.job import JobState
from cleanplate.storage.ledger import StoredFile
from fakes.label_studio import FakeLabelStudio
from fakes.workshop import CONFIG, FACE, Workshop, local_task, photograph, rectangle, redness

SMALL = (0, 0, 9, 9)

Change = Callable[[FakeLabelStudio, int], None]

CHANGES: list[Change] = [
    lambda fake, annotation: fake.change(annotation, result=[rectangle(FACE)]),
    lambda fake, annotation: fake.forget(annotation),
    lambda fake, annotation: fake.change(annotation, was_cancelled=True),
]
NAMES = ["changed", "deleted", "not approved any more"]


class KilledError(BaseException):
    """Ends a worker where it stands: nothing in it catches this."""


class Rounds(Event):
    """Is set after so many rounds, and lets no time pass."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self._left = rounds

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        self._left -= 1
        if not self._left:
            self.set()
        return self.is_set()


@pytest.fixture
def project(label_studio) -> int:
    return label_studio.add_project(CONFIG)


@pytest.fixture
def annotation(label_studio, project) -> int:
    """Approved, and it leaves the face in the image."""
    return annotated(label_studio, project)


def annotated(fake: FakeLabelStudio, project: int) -> int:
    url = fake.add_upload(project, "a.png", photograph())
    return fake.annotate(fake.add_task(project, {"image": url}), [rectangle(SMALL)])


def work_and_die(workshop: Workshop, step: str = "publish") -> None:
    """Do what there is to do and be killed when a job comes to a step: its file is put, and no task shows it."""

    def die(_: object, reached: str) -> None:
        if reached == step:
            raise KilledError

    workshop.sweep()
    with pytest.raises(KilledError):
        workshop.work(on_step=die)


def die_after(workshop: Workshop, fake: FakeLabelStudio, request: str) -> None:
    """Do what there is to do, and be killed before the answer to a request comes."""
    fake.trouble(*request.split(" "), after=True)
    workshop.sweep_and_work()


def only_note(workshop: Workshop) -> StoredFile:
    (file,) = workshop.ledger.noted_files()
    return file


def uploaded(fake: FakeLabelStudio) -> list[str]:
    """The names of the uploads that are copies'."""
    names = [upload["file"].partition("-")[2] for upload in fake.uploads.values()]
    return [name for name in names if name != "a.png"]


def only_copy(fake: FakeLabelStudio) -> dict[str, Any]:
    (copy,) = fake.copies()
    return copy


def shown(fake: FakeLabelStudio) -> bytes:
    return fake.content_of(only_copy(fake)["data"]["image"])


# What goes


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_the_file_of_a_job_that_never_runs_again_goes(label_studio, workshop, annotation, change) -> None:
    work_and_die(workshop)
    left = only_note(workshop).file_name
    assert uploaded(label_studio) == [left]

    workshop.expire_leases()
    change(label_studio, annotation)
    workshop.sweep_and_work()
    assert left in uploaded(label_studio)
    workshop.leftovers.tidy()

    published = [task["data"]["image"].rpartition("-")[2] for task in label_studio.copies()]
    assert uploaded(label_studio) == published
    assert len(published) == (change is CHANGES[0])
    assert len(label_studio.uploads) == 1 + len(published)
    assert workshop.ledger.noted_files() == []


def test_the_file_of_a_job_that_failed_for_good_goes_and_trying_again_makes_it_again(
    label_studio, workshop, annotation
) -> None:
    label_studio.change(annotation, result=[rectangle(FACE)])
    label_studio.trouble("POST", "/api/tasks/", status=HTTPStatus.FORBIDDEN)
    label_studio.trouble("DELETE", r"/api/import/.*", status=HTTPStatus.FORBIDDEN)
    (job,) = workshop.sweep_and_work()
    assert job.state is JobState.DEAD
    assert len(uploaded(label_studio)) == 1

    workshop.leftovers.tidy()
    assert uploaded(label_studio) == []

    workshop.queue.retry(job.key)
    workshop.work()
    workshop.leftovers.tidy()
    assert redness(shown(label_studio)) == 0


@pytest.mark.usefixtures("annotation")
def test_a_file_of_which_the_job_is_not_known_any_more_goes(label_studio, workshop) -> None:
    work_and_die(workshop)
    workshop.ledger.note_file(replace(only_note(workshop), job_key="unknown"))

    workshop.leftovers.tidy()

    assert uploaded(label_studio) == []


def test_what_a_job_replaced_and_did_not_live_to_delete_goes(label_studio, workshop, annotation) -> None:
    workshop.sweep_and_work()
    label_studio.change(annotation, result=[rectangle(FACE)])
    die_after(workshop, label_studio, r"PATCH /api/tasks/\d+/")
    assert len(uploaded(label_studio)) == 2

    label_studio.forget(annotation)
    workshop.expire_leases()
    workshop.sweep_and_work()
    for _ in range(2):
        workshop.leftovers.tidy()

    assert redness(shown(label_studio)) == 0
    assert len(uploaded(label_studio)) == 1
    assert workshop.ledger.noted_files() == []


# What stays


def test_a_file_is_noted_before_it_is_put_and_forgotten_when_its_copy_shows_it(
    label_studio, workshop, annotation
) -> None:
    noted: list[int] = []

    def count(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/import"):
            noted.append(len(workshop.ledger.noted_files()))

    label_studio.before = count
    workshop.sweep_and_work()
    label_studio.change(annotation, result=[rectangle(FACE)])
    workshop.sweep_and_work()

    assert noted == [1, 1]
    assert workshop.ledger.noted_files() == []


@pytest.mark.parametrize("with_task", [True, False], ids=["shown", "its task deleted"])
@pytest.mark.parametrize("change", CHANGES[1:], ids=NAMES[1:])
def test_a_published_file_stays_whatever_became_of_its_annotation(
    label_studio, workshop, annotation, change, with_task
) -> None:
    notes: list[StoredFile] = []
    workshop.sweep()
    workshop.work(on_step=lambda _, step: notes.extend(workshop.ledger.noted_files() if step == "publish" else ()))
    workshop.ledger.note_file(notes[0])
    change(label_studio, annotation)
    if not with_task:
        del label_studio.tasks[only_copy(label_studio)["id"]]
    workshop.sweep_and_work()

    workshop.leftovers.tidy()

    assert uploaded(label_studio) == [notes[0].file_name]
    assert workshop.ledger.noted_files() == []


def test_a_file_that_is_shown_but_not_in_the_ledger_yet_stays(label_studio, workshop, annotation) -> None:
    die_after(workshop, label_studio, "POST /api/tasks/")
    label_studio.forget(annotation)
    workshop.expire_leases()
    workshop.sweep_and_work()

    workshop.leftovers.tidy()

    assert len(shown(label_studio)) > 0
    assert workshop.ledger.noted_files() == []


@pytest.mark.usefixtures("annotation")
def test_the_file_of_a_job_that_goes_on_stays(label_studio, workshop) -> None:
    work_and_die(workshop)
    (job,) = workshop.queue.jobs()
    assert job.state is JobState.LEASED
    workshop.leftovers.tidy()
    assert len(uploaded(label_studio)) == 1

    workshop.expire_leases()
    workshop.queue.later(workshop.queue.claim("another"), reason="", message="", delay_s=0)
    (job,) = workshop.queue.jobs()
    assert job.state is JobState.READY
    workshop.leftovers.tidy()

    assert len(uploaded(label_studio)) == 1
    assert only_note(workshop).job_key == job.key


def test_a_job_superseded_while_its_worker_publishes_keeps_its_file_until_then(
    label_studio, workshop, annotation
) -> None:
    seen: list[bytes] = []

    def supersede_and_tidy(method: str, path: str) -> None:
        if (method, path) == ("POST", "/api/tasks/") and not seen:
            label_studio.before = None
            label_studio.change(annotation, result=[rectangle(FACE)])
            workshop.sweep()
            workshop.leftovers.tidy()
            seen.extend(label_studio.files[upload["file"]] for upload in label_studio.uploads.values())

    label_studio.before = supersede_and_tidy
    workshop.sweep_and_work()
    workshop.leftovers.tidy()

    assert len(seen) == 2, "the original and the file on its way"
    assert redness(shown(label_studio)) == 0
    assert len(uploaded(label_studio)) == 1
    assert workshop.ledger.noted_files() == []


def test_a_job_that_comes_back_before_its_file_goes_keeps_it(label_studio, workshop, annotation) -> None:
    work_and_die(workshop)
    left = only_note(workshop)
    workshop.expire_leases()
    label_studio.change(annotation, was_cancelled=True)
    workshop.sweep_and_work()

    def bring_back(method: str, path: str) -> None:
        if (method, path) == ("GET", "/api/tasks"):
            label_studio.before = None
            workshop.queue.retry(left.job_key)

    label_studio.before = bring_back
    workshop.leftovers.tidy()

    assert uploaded(label_studio) == [left.file_name]
    assert only_note(workshop) == left


def test_a_job_that_comes_back_after_its_file_went_makes_it_again(label_studio, workshop, project, annotation) -> None:
    label_studio.change(annotation, result=[rectangle(FACE)])
    work_and_die(workshop)
    left = only_note(workshop)
    workshop.expire_leases()
    label_studio.projects[project]["label_config"] = CONFIG.replace('"remove"', '"remove" dilate="2"')
    workshop.sweep_and_work()
    workshop.leftovers.tidy()
    assert left.file_name not in uploaded(label_studio)

    label_studio.projects[project]["label_config"] = CONFIG
    workshop.sweep_and_work()
    workshop.leftovers.tidy()

    assert uploaded(label_studio) == [left.file_name]
    assert redness(shown(label_studio)) == 0


@pytest.mark.usefixtures("annotation")
def test_the_files_of_another_label_studio_are_left_until_it_is_back(label_studio, workshop) -> None:
    work_and_die(workshop)
    workshop.ledger.note_file(replace(only_note(workshop), job_key="unknown"))

    with FakeLabelStudio() as other:
        Workshop(other.url, workshop.folder).leftovers.tidy()
        assert other.requests == []
    assert len(uploaded(label_studio)) == 1

    workshop.leftovers.tidy()
    assert uploaded(label_studio) == []


# What goes wrong


def test_one_file_that_cannot_be_looked_after_does_not_keep_the_others(label_studio, workshop, project) -> None:
    for _ in range(2):
        annotated(label_studio, project)
        work_and_die(workshop)
    for file in workshop.ledger.noted_files():
        workshop.ledger.note_file(replace(file, job_key="unknown"))
    first, _ = workshop.ledger.noted_files()
    label_studio.trouble("GET", rf"/api/projects/{project}", times=2)

    with structlog.testing.capture_logs() as lines:
        workshop.leftovers.tidy()
        label_studio.trouble("GET", rf"/api/projects/{project}", times=1)
        workshop.leftovers.tidy()

    fails = [line["reason"] for line in lines if line["event"].startswith("tidying up fails")]
    assert fails == ["label_studio_unreachable"] * 2, "once for each file"
    assert uploaded(label_studio) == [first.file_name]
    workshop.leftovers.tidy()
    assert uploaded(label_studio) == []


@pytest.mark.usefixtures("annotation")
def test_a_file_that_label_studio_does_not_let_go_is_tried_again(label_studio, workshop) -> None:
    work_and_die(workshop)
    workshop.ledger.note_file(replace(only_note(workshop), job_key="unknown"))
    label_studio.trouble("DELETE", r"/api/import/.*", status=HTTPStatus.FORBIDDEN)

    workshop.leftovers.tidy()
    assert len(uploaded(label_studio)) == 1
    workshop.leftovers.tidy()

    assert uploaded(label_studio) == []


@pytest.mark.usefixtures("annotation")
def test_a_project_that_is_gone_is_not_asked_for_again(label_studio, workshop, project) -> None:
    work_and_die(workshop)
    workshop.ledger.note_file(replace(only_note(workshop), job_key="unknown"))
    del label_studio.projects[project]

    with structlog.testing.capture_logs() as lines:
        workshop.leftovers.tidy()

    assert [line["project"] for line in lines] == [project]
    assert workshop.ledger.noted_files() == []


def test_a_ledger_that_cannot_be_read_is_logged_once(workshop, tmp_path) -> None:
    workshop.ledger.close()
    for path in tmp_path.glob("ledger.sqlite3*"):
        path.unlink()
    (tmp_path / "ledger.sqlite3").mkdir()

    with structlog.testing.capture_logs() as lines:
        workshop.leftovers.run(Rounds(3))

    assert [line["reason"] for line in lines] == ["storage_unavailable"]


@pytest.mark.usefixtures("annotation")
def test_it_is_tidied_up_at_once_and_again_and_not_when_told_to_stop(label_studio, workshop) -> None:
    work_and_die(workshop)
    workshop.ledger.note_file(replace(only_note(workshop), job_key="unknown"))
    label_studio.trouble("GET", r"/api/projects/\d+")
    stopped = Event()
    stopped.set()

    workshop.leftovers.run(stopped)
    workshop.leftovers.run(Rounds(1))
    assert len(uploaded(label_studio)) == 1
    workshop.leftovers.run(Rounds(2))

    assert uploaded(label_studio) == []


# Local files


def annotated_local(fake: FakeLabelStudio) -> int:
    return fake.annotate(local_task(fake), [rectangle(SMALL)])


@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_what_is_left_beside_local_files_goes_too(local, root, tmp_path, change) -> None:
    annotation = annotated_local(local)
    workshop = Workshop(local.url, tmp_path, local_root=root)
    work_and_die(workshop)
    left = root / "street-cleanplate" / only_note(workshop).file_name
    assert left.is_file()

    workshop.expire_leases()
    change(local, annotation)
    workshop.sweep_and_work()
    workshop.leftovers.tidy()

    published = [Path(task["data"]["image"]).name for task in local.copies()]
    assert [path.name for path in (root / "street-cleanplate").iterdir()] == published
    assert len(published) == (change is CHANGES[0])
    assert (root / "street" / "day 1" / "a b.png").read_bytes() == photograph()
    assert workshop.ledger.noted_files() == []


def test_what_a_job_replaced_beside_local_files_goes_too(local, root, tmp_path) -> None:
    annotation = annotated_local(local)
    workshop = Workshop(local.url, tmp_path, local_root=root)
    workshop.sweep_and_work()
    local.change(annotation, result=[rectangle(FACE)])
    die_after(workshop, local, r"PATCH /api/tasks/\d+/")
    local.forget(annotation)
    workshop.expire_leases()
    workshop.sweep_and_work()

    for _ in range(2):
        workshop.leftovers.tidy()

    (file,) = (root / "street-cleanplate").iterdir()
    assert only_copy(local)["data"]["image"].endswith(file.name)
    assert redness(file.read_bytes()) == 0


@pytest.mark.parametrize("source", ["", "http://studio/data/local-files/?d=street/day%201/a%20b.png"])
@pytest.mark.parametrize("name", ["a b.png", "../street/a.png", "a" * 32, f"{'a' * 32}.gif", f"x/{'a' * 32}.png"])
def test_nothing_is_deleted_by_a_name_that_is_not_ours(local, root, tmp_path, name, source) -> None:
    annotated_local(local)
    for folder in ("street", "street-cleanplate"):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / "a b.png").write_bytes(b"abc")
    local.add_upload(1, name, b"abc")
    workshop = Workshop(local.url, tmp_path, local_root=root)

    assert not workshop.places.delete_by_name(name, project_id=1, source_url=source)

    assert len(list(root.rglob("*.png"))) == 3
    assert len(local.uploads) == 1


def test_a_file_of_our_form_stays_in_a_folder_that_is_not_for_copies(local, root, tmp_path) -> None:
    annotated_local(local)
    name = f"{'a' * 32}.png"
    for folder in ("street", "street/day 1", "street-cleanplate"):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / name).write_bytes(b"abc")
    source = "http://studio/data/local-files/?d=street/day%201/a%20b.png"

    assert Workshop(local.url, tmp_path, local_root=root).places.delete_by_name(name, project_id=1, source_url=source)

    assert sorted(path.parent.name for path in root.rglob(name)) == ["day 1", "street"]


@pytest.mark.parametrize(
    "source",
    ["data:image/png;base64,AAAA", "s3://bucket/a.png", "/data/upload/1/a.png", "https://example.com/a.png?token=1"],
)
def test_of_an_original_that_is_no_local_file_nothing_is_noted(workshop, source) -> None:
    assert workshop.places.way_back(source) == ""
