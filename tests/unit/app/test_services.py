from datetime import UTC, datetime

import pytest

from cleanplate.app.checks import Outcome
from cleanplate.app.services import WebServices
from cleanplate.errors import SettingsError
from cleanplate.jobs.job import JobState, NewJob, Subject
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.storage.ledger import CopyRecord


@pytest.fixture
def made(application, label_studio):  # noqa: ARG001  (it has to answer)
    return application()


def put_job(made, key="a" * 64, annotation_id=1) -> None:
    made.queue.put(NewJob(key, Subject(made.client.url, 1, 2, annotation_id)))


def test_the_engines_are_shown(made) -> None:
    services = WebServices(made)

    assert [(engine.kind, engine.name) for engine in services.engines] == [
        ("segmenter", made.segmenter.version),
        ("inpainter", "exemplar"),
        ("detector", "cascade"),
    ]
    assert services.model_version == made.segmenter.version


def test_engines_that_only_a_worker_needs_are_shown_without_being_loaded(
    application,
    label_studio,  # noqa: ARG001  (it has to answer)
    tmp_path,
) -> None:
    made = application(CLEANPLATE_INPAINTER="lama", CLEANPLATE_LAMA_CHECKPOINT=str(tmp_path / "not there"))

    shown = [(engine.kind, engine.name) for engine in WebServices(made).engines]

    assert shown[1:] == [("inpainter", "lama"), ("detector", "cascade")]
    assert not {"inpainter", "detector"} & vars(made).keys()


def test_without_a_detector_none_is_shown(application, label_studio) -> None:  # noqa: ARG001  (it has to answer)
    made = application(CLEANPLATE_DETECTOR="none")

    assert made.detector is None
    assert [engine.kind for engine in WebServices(made).engines] == ["segmenter", "inpainter"]


def test_copies_that_wait_for_a_second_look_are_what_the_ledger_says(made) -> None:
    services = WebServices(made)
    assert (services.second_looks(limit=5), services.second_look_count()) == ([], 0)

    for copy_id in ("abc", "def"):
        made.ledger.put(
            CopyRecord(copy_id, made.client.url, 1, 2, 3, "job", 9, "x.png", "/x.png", "00", 1, second_look=("why",))
        )

    assert [record.copy_id for record in services.second_looks(limit=1)] == ["def"]
    assert services.second_look_count() == 2


def test_an_opened_task_has_no_answer(made) -> None:
    request = PredictRequest.parse({"tasks": [], "project": "1.1", "label_config": "<View/>", "params": {}})

    assert WebServices(made).predict(request) == []


def test_events_of_clicks_are_counted_by_name(made) -> None:
    events = dict(WebServices(made).click_events())

    assert events
    assert set(events.values()) == {0}


def test_a_hint_is_stored(made) -> None:
    WebServices(made).hint(3, 4)

    assert [(hint.project_id, hint.task_id) for hint in made.queue.hints()] == [(3, 4)]


def test_a_hint_about_everything_is_one_for_each_project_that_was_swept(made) -> None:
    for project_id in (5, 7):
        made.queue.set_watermark(project_id, datetime.now(UTC))

    WebServices(made).hint_all()

    assert [(hint.project_id, hint.task_id) for hint in made.queue.hints()] == [(5, None), (7, None)]


def test_jobs_and_how_long_the_oldest_waits_are_what_the_queue_says(made) -> None:
    services = WebServices(made)
    assert services.oldest_ready_age_s() is None

    put_job(made)

    assert services.counts()[JobState.READY] == 1
    assert [job.key for job in services.jobs(state=JobState.READY, limit=5)] == ["a" * 64]
    assert services.jobs(state=JobState.DONE, limit=5) == []
    assert 0 <= services.oldest_ready_age_s() < 60


def test_all_is_well_with_a_worker_and_a_label_studio(made) -> None:
    made.queue.lead("a worker", for_s=60)

    checks = {check.name: check for check in WebServices(made).checks()}

    assert {name: check.outcome for name, check in checks.items()} == {
        "queue": Outcome.OK,
        "worker": Outcome.OK,
        "Label Studio": Outcome.OK,
    }
    assert "1.23.2" in checks["Label Studio"].message


def test_a_missing_worker_is_a_warning_with_the_command_that_starts_one(made) -> None:
    worker = next(check for check in WebServices(made).checks() if check.name == "worker")

    assert worker.outcome is Outcome.WARNING
    assert "cleanplate work" in worker.remedy


def test_a_label_studio_that_is_in_trouble_is_a_failed_check(made, label_studio) -> None:
    services = WebServices(made)
    label_studio.trouble("GET", "/api/version", status=500)

    check = next(check for check in services.checks() if check.name == "Label Studio")

    assert check.outcome is Outcome.FAILED
    assert check.remedy


def test_a_queue_that_cannot_be_read_is_a_failed_check(made, tmp_path) -> None:
    services = WebServices(made)
    made.queue.close()
    (tmp_path / "data" / "jobs.sqlite3").write_bytes(b"this is no database, and never was " * 100)

    queue, *others = services.checks()

    assert (queue.name, queue.outcome) == ("queue", Outcome.FAILED)
    assert "CLEANPLATE_DATA_DIR" in queue.remedy
    assert "worker" not in [check.name for check in others]


def test_a_list_of_tasks_is_answered_with_what_was_drawn(made) -> None:
    config = (
        '<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image" smart="false">'
        '<Label value="Face"/></BrushLabels></View>'
    )
    tasks = [{"id": number, "project": 1, "data": {"image": "/data/x.png"}} for number in (1, 2)]
    listed = {"tasks": tasks, "project": "1.2", "label_config": config, "params": {"context": None}}

    assert WebServices(made).predict_many(PredictRequest.parse(listed)) == [[], []]


def test_what_to_detect_in_lists_is_checked_at_the_start(
    application,
    label_studio,  # noqa: ARG001  (it has to answer)
) -> None:
    made = application(CLEANPLATE_BATCH_DETECT="face,,")

    with pytest.raises(SettingsError, match="CLEANPLATE_BATCH_DETECT"):
        WebServices(made)
