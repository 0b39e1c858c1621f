from dataclasses import replace

import pytest

from cleanplate.database import Database
from cleanplate.storage import ledger as ledgers
from cleanplate.storage.ledger import CopyRecord, CopyState, Ledger, StoredFile

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


def test_a_ledger_from_before_there_were_notes_keeps_its_copies(tmp_path, monkeypatch) -> None:
    path = tmp_path / "ledger.sqlite3"
    with monkeypatch.context() as before:
        before.setattr(ledgers, "_MIGRATIONS", ledgers._MIGRATIONS[:1])
        Ledger(path).put(RECORD)
    with Database(path, "ledger", ledgers._MIGRATIONS[:1]).reading() as db:
        assert db.execute("SELECT version FROM schemas").fetchone()[0] == 1

    migrated = Ledger(path)
    migrated.note_file(FILE)

    assert migrated.get("abc") == RECORD
    assert migrated.certificates("abc")[0].certificate == RECORD.certificate
    assert migrated.noted_files() == [FILE]
