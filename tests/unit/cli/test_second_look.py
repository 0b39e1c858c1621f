import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cleanplate.jobs.job import NewJob, Subject
from cleanplate.jobs.sqlite import SqliteQueue
from cleanplate.label_studio.client import LOOK_KEY
from cleanplate.storage.ledger import CopyRecord, Ledger

WHY = ("the detector sees a face in the fill (score 0.91)", "[red]and more[/red]")


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    (tmp_path / "data").mkdir()
    return Ledger(tmp_path / "data" / "ledger.sqlite3")


@pytest.fixture
def record(label_studio, ledger) -> CopyRecord:
    """A copy in Label Studio that a person should look at."""
    project = label_studio.add_project("<View/>")
    data = {"image": "/data/upload/1/x.png", "cleanplate": "abc", LOOK_KEY: "; ".join(WHY)}
    task = label_studio.add_task(project, data, {"cleanplate": {"certificate": "00"}})
    made = CopyRecord(
        copy_id="abc",
        label_studio_url=label_studio.url,
        project_id=project,
        task_id=77,
        annotation_id=78,
        job_key="k" * 64,
        copy_task_id=task,
        file_name="x.png",
        address="/data/upload/1/x.png",
        sha256="00",
        size_bytes=1,
        second_look=WHY,
    )
    ledger.put(made)
    return made


def test_without_copies_to_look_at_the_list_says_so(cleanplate) -> None:
    answer = cleanplate("second-look", "list")

    assert answer.exit_code == 0
    assert answer.stdout == "No copy waits for a second look.\n"
    assert json.loads(cleanplate("second-look", "list", "--json").stdout) == {"count": 0, "copies": []}


def test_the_list_says_which_copies_why_and_where(cleanplate, record) -> None:
    _, line, hint = cleanplate("second-look", "list").stdout.splitlines()

    assert line.split()[:2] == [str(record.copy_task_id), str(record.project_id)]
    assert "; ".join(WHY) in line
    assert f"{record.label_studio_url}/projects/{record.project_id}/data?task={record.copy_task_id}" in line
    assert "cleanplate second-look accept" in hint


def test_a_long_list_is_cut_and_says_how_many_more_there_are(cleanplate, ledger, record) -> None:
    for number in range(4):
        ledger.put(replace(record, copy_id=str(number), copy_task_id=1000 + number))

    assert "… and 3 more." in cleanplate("second-look", "list", "--limit", "2").stdout


def test_an_accepted_copy_loses_its_mark_and_is_not_listed_any_more(cleanplate, label_studio, ledger, record) -> None:
    answer = cleanplate("second-look", "accept", record.copy_task_id)

    assert answer.exit_code == 0
    assert label_studio.tasks[record.copy_task_id]["data"] == {"image": record.address, "cleanplate": "abc"}
    assert ledger.get("abc").accepted_at <= datetime.now(UTC)
    assert "No copy waits" in cleanplate("second-look", "list").stdout


def test_the_json_of_what_was_accepted_says_what_it_was(cleanplate, record) -> None:
    (accepted,) = json.loads(cleanplate("second-look", "accept", record.copy_task_id, "--json").stdout)

    assert (accepted["task"], accepted["copy"], accepted["why"]) == (record.copy_task_id, "abc", list(WHY))


@pytest.mark.parametrize("again", [False, True])
def test_what_does_not_wait_cannot_be_accepted(cleanplate, record, again) -> None:
    if again:
        cleanplate("second-look", "accept", record.copy_task_id)

    answer = cleanplate("second-look", "accept", record.copy_task_id if again else 4711)

    assert answer.exit_code == 1
    assert "waits for a second look" in answer.stderr


def test_a_copy_that_is_just_being_made_again_is_not_accepted(
    cleanplate, tmp_path, label_studio, ledger, record
) -> None:
    queue = SqliteQueue(tmp_path / "data" / "jobs.sqlite3", lease_s=60, max_attempts=5)
    queue.put(NewJob("b" * 64, Subject(record.label_studio_url, record.project_id, 77, 78)))

    answer = cleanplate("second-look", "accept", record.copy_task_id)

    assert answer.exit_code == 1
    assert "just being made again" in answer.stderr
    assert LOOK_KEY in label_studio.tasks[record.copy_task_id]["data"]
    assert ledger.waiting_count() == 1


def test_a_copy_in_another_label_studio_is_not_accepted_here(cleanplate, ledger, record) -> None:
    ledger.put(replace(record, copy_id="def", copy_task_id=1000, label_studio_url="http://elsewhere:8080"))

    assert cleanplate("second-look", "accept", 1000).exit_code == 1
    assert ledger.waiting_count() == 2
