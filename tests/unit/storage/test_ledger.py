import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cleanplate.database import Database
from cleanplate.storage import ledger as ledgers
from cleanplate.storage.ledger import CopyRecord, CopyState, Erasure, Ledger, Output, StoredFile

RECORD = CopyRecord(
    copy_id="abc",
    label_studio_url="http://localhost:8080",
    project_id=1,
    task_id=2,
    annotation_id=3,
    job_key="job-1",
    copy_task_id=9,
    file_name="xyz.png",
    address="/data/upload/1/xyz.png",
    sha256="00ff",
    size_bytes=17,
    certificate={"clauses": [{"level": "L1", "verdict": "pass"}]},
)

FILE = StoredFile(
    file_name="xyz.png",
    copy_id="abc",
    job_key="job-1",
    label_studio_url="http://localhost:8080",
    project_id=1,
    source_url="/data/local-files/?d=street/a.png",
)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite3")


def test_a_record_is_given_back_as_it_was_kept(ledger) -> None:
    ledger.put(RECORD)

    assert ledger.get("abc") == RECORD


def test_a_copy_that_was_never_made_has_no_record(ledger) -> None:
    assert ledger.get("abc") is None


def test_the_record_outlives_the_process(tmp_path) -> None:
    Ledger(tmp_path / "ledger.sqlite3").put(RECORD)

    assert Ledger(tmp_path / "ledger.sqlite3").get("abc") == RECORD


def test_a_copy_made_again_keeps_all_its_certificates(ledger) -> None:
    again = replace(RECORD, job_key="job-2", sha256="11ee", certificate={"clauses": []}, state=CopyState.WITHDRAWN)

    ledger.put(RECORD)
    ledger.put(again)

    assert ledger.get("abc") == again
    assert [noted.job_key for noted in ledger.certificates("abc")] == ["job-1", "job-2"]
    assert ledger.certificates("abc")[0].certificate == RECORD.certificate


def test_the_same_record_twice_is_one_certificate(ledger) -> None:
    ledger.put(RECORD)
    ledger.put(RECORD)

    assert len(ledger.certificates("abc")) == 1


def test_records_are_listed_by_project_the_last_changed_first(ledger) -> None:
    ledger.put(RECORD)
    ledger.put(replace(RECORD, copy_id="def", annotation_id=4))
    ledger.put(replace(RECORD, copy_id="ghi", project_id=2))

    assert [record.copy_id for record in ledger.records(project_id=1)] == ["def", "abc"]
    assert len(ledger.records()) == 3
    assert len(ledger.records(limit=1)) == 1


def test_noted_files_are_given_back_the_oldest_note_first(ledger) -> None:
    other = replace(FILE, file_name="abc.png")

    ledger.note_file(FILE)
    ledger.note_file(other)

    assert ledger.noted_files() == [FILE, other]


def test_a_file_noted_twice_is_one_note_and_the_last_one_counts(ledger) -> None:
    again = replace(FILE, project_id=2)

    ledger.note_file(FILE)
    ledger.note_file(again)

    assert ledger.noted_files() == [again]


def test_a_forgotten_file_is_not_noted_any_more(ledger) -> None:
    ledger.note_file(FILE)
    ledger.note_file(replace(FILE, file_name="abc.png"))

    ledger.forget_file("xyz.png")
    ledger.forget_file("never noted")

    assert [file.file_name for file in ledger.noted_files()] == ["abc.png"]


def test_notes_outlive_the_process(tmp_path) -> None:
    Ledger(tmp_path / "ledger.sqlite3").note_file(FILE)

    assert Ledger(tmp_path / "ledger.sqlite3").noted_files() == [FILE]


def test_where_the_original_is_does_not_show_when_a_note_is_printed() -> None:
    assert "street" not in repr(FILE)


@pytest.mark.parametrize("versions", [1, 2])
def test_a_ledger_of_an_earlier_version_keeps_its_copies(tmp_path, versions) -> None:
    path = tmp_path / "ledger.sqlite3"
    old = Database(path, "ledger", ledgers._MIGRATIONS[:versions])
    values = {**vars(RECORD), "certificate": json.dumps(RECORD.certificate), "state": "published", "now": "2026-11-20"}
    with old.writing() as db:
        db.execute(
            "INSERT INTO copies VALUES (:copy_id, :label_studio_url, :project_id, :task_id, :annotation_id, :job_key, "
            ":copy_task_id, :file_name, :address, :sha256, :size_bytes, :certificate, :state, :now, :now)",
            {name: value for name, value in values.items() if isinstance(value, (int, str))},
        )
    del old

    migrated = Ledger(path)
    migrated.note_file(FILE)
    migrated.note_output(OUTPUT)

    assert migrated.get("abc") == RECORD
    assert migrated.noted_files() == [FILE]
    assert migrated.waiting() == []
    migrated.put(replace(RECORD, second_look=LOOK))
    assert migrated.waiting_count() == 1


LOOK = ("the inpainter is not sure of its fill (confidence 0.21)",)
OUTPUT = Output("/home/me/clean/a.png", request="aa", sha256="bb", certificate={"copy": "bb"})


def test_copies_to_look_at_are_listed_until_a_person_accepts_them(ledger) -> None:
    ledger.put(RECORD)
    ledger.put(replace(RECORD, copy_id="def", second_look=LOOK))
    ledger.put(replace(RECORD, copy_id="ghi", second_look=LOOK))

    assert [record.copy_id for record in ledger.waiting()] == ["ghi", "def"]
    assert ledger.waiting_count() == 2
    assert len(ledger.waiting(limit=1)) == 1

    before = datetime.now(UTC)
    assert ledger.accept(ledger.get("def"))

    assert [record.copy_id for record in ledger.waiting()] == ["ghi"]
    assert before <= ledger.get("def").accepted_at <= datetime.now(UTC)
    assert ledger.get("def").second_look == LOOK


def test_what_was_accepted_once_is_not_accepted_again(ledger) -> None:
    ledger.put(replace(RECORD, second_look=LOOK))

    assert ledger.accept(ledger.get("abc"))
    when = ledger.get("abc").accepted_at

    assert not ledger.accept(ledger.get("abc"))
    assert ledger.get("abc").accepted_at == when


@pytest.mark.parametrize("change", [{"sha256": "22aa"}, {"second_look": ("the detector sees a face in the fill",)}])
def test_a_copy_that_was_made_again_meanwhile_is_not_accepted(ledger, change) -> None:
    ledger.put(replace(RECORD, second_look=LOOK))
    looked_at = ledger.get("abc")
    ledger.put(replace(looked_at, **change))

    assert not ledger.accept(looked_at)
    assert ledger.waiting_count() == 1


def test_a_withdrawn_copy_is_nothing_to_look_at(ledger) -> None:
    ledger.put(replace(RECORD, second_look=LOOK, state=CopyState.WITHDRAWN))

    assert ledger.waiting() == []
    assert ledger.waiting_count() == 0


def test_what_was_written_to_a_file_is_noted_until_something_else_is(ledger) -> None:
    again = replace(OUTPUT, request="cc")

    assert ledger.output(OUTPUT.path) is None
    ledger.note_output(OUTPUT)
    assert ledger.output(OUTPUT.path) == OUTPUT
    ledger.note_output(again)

    assert ledger.output(OUTPUT.path) == again


def test_where_somebody_keeps_files_does_not_show_when_a_note_is_printed() -> None:
    assert "home" not in repr(OUTPUT)


def test_the_copies_of_a_task_or_of_a_project_are_those_that_are_there(ledger) -> None:
    ledger.put(RECORD)
    ledger.put(replace(RECORD, copy_id="def", task_id=RECORD.task_id + 1))
    ledger.put(replace(RECORD, copy_id="ghi", project_id=RECORD.project_id + 1))
    ledger.put(replace(RECORD, copy_id="jkl", state=CopyState.WITHDRAWN))

    def ids(task_id: int | None) -> list[str]:
        return [record.copy_id for record in ledger.published(project_id=RECORD.project_id, task_id=task_id)]

    assert ids(RECORD.task_id) == ["abc"]
    assert ids(None) == ["abc", "def"]


def test_erasures_are_told_to_those_who_have_not_heard_of_them(ledger) -> None:
    ledger.note_erasure(project_id=1, task_id=7)
    ledger.note_erasure(project_id=2, task_id=None)

    assert ledger.erasures() == [Erasure(1, 1, 7), Erasure(2, 2, None)]
    assert ledger.erasures(after=1) == [Erasure(2, 2, None)]
    assert ledger.erasures(after=2) == []


def test_how_far_somebody_has_come_is_kept(ledger) -> None:
    assert ledger.mark("purges") is None

    ledger.note_mark("purges", "7-0")
    ledger.note_mark("purges", "8-0")

    assert ledger.mark("purges") == "8-0"
