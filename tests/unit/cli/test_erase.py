import json

import pytest
from typer.testing import CliRunner

from cleanplate.cli.main import app
from cleanplate.storage.ledger import CopyRecord, CopyState, Ledger

NAME = f"{'a' * 32}.png"


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    (tmp_path / "data").mkdir()
    return Ledger(tmp_path / "data" / "ledger.sqlite3")


@pytest.fixture
def copy(label_studio, ledger) -> CopyRecord:
    """A copy of task 77 in Label Studio, and a task that is none."""
    project = label_studio.add_project("<View/>")
    address = label_studio.add_upload(project, NAME, b"pixels")
    task = label_studio.add_task(project, {"image": address, "cleanplate": "abc"})
    label_studio.add_task(project, {"image": "/data/upload/1/other.png"})
    made = CopyRecord("abc", label_studio.url, project, 77, 78, "k" * 64, task, NAME, address, "00", 6)
    ledger.put(made)
    return made


def test_the_copies_of_a_task_go_with_their_files_and_tasks_and_nothing_else_does(
    cleanplate, label_studio, copy, ledger
) -> None:
    answer = cleanplate("erase", "--project", copy.project_id, "--task", 77, "--yes")

    assert answer.exit_code == 0, answer.output
    assert answer.stdout == "✓ removed 0 prepared images, 1 copy and 1 task of copies\n"
    assert copy.copy_task_id not in label_studio.tasks
    assert len(label_studio.tasks) == 1
    assert label_studio.uploads == {}
    assert ledger.get("abc").state is CopyState.WITHDRAWN
    assert len(ledger.certificates("abc")) == 1
    assert [(erasure.project_id, erasure.task_id) for erasure in ledger.erasures()] == [(copy.project_id, 77)]


def test_another_task_s_copies_stay(cleanplate, label_studio, copy) -> None:
    answer = cleanplate("erase", "--project", copy.project_id, "--task", 79, "--yes")

    assert answer.stdout == "✓ removed 0 prepared images, 0 copies and 0 tasks of copies\n"
    assert copy.copy_task_id in label_studio.tasks
    assert len(label_studio.uploads) == 1


def test_a_project_is_erased_with_all_its_tasks_and_twice_is_as_once(cleanplate, copy) -> None:
    first = json.loads(cleanplate("erase", "--project", copy.project_id, "--yes", "--json").stdout)
    second = json.loads(cleanplate("erase", "--project", copy.project_id, "--yes", "--json").stdout)

    assert first == {"images": 0, "copies": 1, "tasks": 1, "files_missing": []}
    assert second == {"images": 0, "copies": 0, "tasks": 0, "files_missing": []}


def test_a_file_that_is_not_there_is_told(cleanplate, label_studio, copy) -> None:
    label_studio.uploads.clear()

    answer = cleanplate("erase", "--project", copy.project_id, "--yes")

    assert answer.exit_code == 0
    assert "of 1 copy no file was found" in answer.stdout


@pytest.mark.parametrize(("said", "left"), [("n\n", 2), ("", 2), ("y\n", 1)])
def test_nothing_is_removed_before_somebody_says_yes(label_studio, copy, said, left) -> None:
    answer = CliRunner().invoke(app, ["erase", "--project", str(copy.project_id), "--task", "77"], input=said)

    assert "Of task 77 go: prepared images, and 1 copy." in answer.stderr
    assert len(label_studio.tasks) == left
    assert answer.exit_code == (0 if left == 1 else 1)


def test_a_script_must_say_yes(cleanplate, label_studio, copy) -> None:
    answer = cleanplate("erase", "--project", copy.project_id, "--json")

    assert answer.exit_code == 2
    assert "--yes" in answer.stderr
    assert len(label_studio.tasks) == 2


def test_a_label_studio_that_is_not_there_is_a_sentence(cleanplate, monkeypatch, copy) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "")

    answer = cleanplate("erase", "--project", copy.project_id, "--yes")

    assert answer.exit_code == 1
    assert "LABEL_STUDIO_URL is not set" in answer.stderr
