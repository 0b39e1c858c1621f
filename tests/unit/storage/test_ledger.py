from dataclasses import replace

import pytest

from cleanplate.storage.ledger import CopyRecord, CopyState, Ledger

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
