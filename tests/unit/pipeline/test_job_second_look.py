"""Copies that keep the contract, but that a person should look at: the mark on their task, and how it goes away."""

from collections.abc import Collection
from datetime import UTC, datetime

import pytest

from cleanplate.domain.geometry import Box
from cleanplate.engines.inpainters.opencv import OpenCvInpainter
from cleanplate.engines.protocols import Detection, Inpainting
from cleanplate.errors import SupersededError
from cleanplate.jobs.job import JobState
from cleanplate.label_studio.client import LOOK_KEY
from cleanplate.pipeline.certificate import Verdict
from cleanplate.pipeline.publish import task_clause, task_data
from fakes.workshop import CONFIG, FACE, TREE, Workshop, photograph, rectangle, redness

MARK = "the inpainter is not sure of its fill (confidence 0.10)"


class Unsure(OpenCvInpainter):
    confidence = 0.1

    def inpaint(self, image, mask, *, avoid=None) -> Inpainting:
        return Inpainting(super().inpaint(image, mask, avoid=avoid).image, confidence=self.confidence)


class SeeingFaces:
    """Sees a face in the middle of whatever it is shown."""

    version = "seeing faces"
    kinds = ("face",)

    def detect(self, image, *, kinds: Collection[str] | None = None) -> tuple[Detection, ...]:
        height, width = image.shape[:2]
        if kinds is not None and "face" not in kinds:
            return ()
        return (Detection("face", Box(width / 2 - 4, height / 2 - 4, width / 2 + 4, height / 2 + 4), 0.8),)


@pytest.fixture
def workshop(label_studio, tmp_path) -> Workshop:
    made = Workshop(label_studio.url, tmp_path)
    made.inpainter = Unsure()
    return made


@pytest.fixture
def annotation(label_studio) -> int:
    project = label_studio.add_project(CONFIG)
    url = label_studio.add_upload(project, "Grandma's house.png", photograph())
    return label_studio.annotate(label_studio.add_task(project, {"image": url}), [rectangle(FACE)])


def copy_of(label_studio) -> dict:
    (copy,) = label_studio.copies()
    return copy


def record_of(workshop, label_studio):
    return workshop.ledger.get(copy_of(label_studio)["data"]["cleanplate"])


@pytest.mark.usefixtures("annotation")
def test_a_doubtful_copy_is_published_with_a_mark_and_the_ledger_and_the_job_say_why(label_studio, workshop) -> None:
    (job,) = workshop.sweep_and_work()

    assert job.state is JobState.DONE
    copy = copy_of(label_studio)
    assert set(copy["data"]) == {"image", "cleanplate", LOOK_KEY}
    assert copy["data"][LOOK_KEY] == MARK
    assert redness(label_studio.content_of(copy["data"]["image"])) == 0
    assert job.result["second_look"] == [MARK]
    record = record_of(workshop, label_studio)
    assert (record.second_look, record.accepted_at) == ((MARK,), None)
    assert record.certificate["second_look"] == [MARK]
    assert all(clause["verdict"] == "pass" for clause in record.certificate["clauses"])
    assert [waiting.copy_id for waiting in workshop.ledger.waiting()] == [record.copy_id]


@pytest.mark.usefixtures("annotation")
def test_a_copy_without_doubts_has_no_mark(label_studio, workshop) -> None:
    workshop.inpainter.confidence = 0.9

    workshop.sweep_and_work()

    assert set(copy_of(label_studio)["data"]) == {"image", "cleanplate"}
    assert workshop.ledger.waiting() == []


@pytest.mark.usefixtures("annotation")
def test_what_a_detector_sees_in_the_fill_is_a_doubt(label_studio, workshop) -> None:
    workshop.inpainter, workshop.detector = OpenCvInpainter(), SeeingFaces()

    workshop.sweep_and_work()

    assert copy_of(label_studio)["data"][LOOK_KEY] == "the detector sees a face in the fill (score 0.80)"


@pytest.mark.usefixtures("annotation")
def test_a_copy_that_a_person_accepted_loses_its_mark_and_nothing_else(label_studio, workshop) -> None:
    workshop.sweep_and_work()
    before = copy_of(label_studio)
    data, meta = dict(before["data"]), dict(before["meta"])
    since = datetime.now(UTC)

    workshop.publisher.accept(record_of(workshop, label_studio))

    after = copy_of(label_studio)
    assert after["data"] == {key: value for key, value in data.items() if key != LOOK_KEY}
    assert after["meta"] == meta
    record = record_of(workshop, label_studio)
    assert record.second_look == (MARK,)
    assert since <= record.accepted_at <= datetime.now(UTC)
    assert workshop.ledger.waiting() == []


@pytest.mark.usefixtures("annotation")
def test_an_accepted_copy_that_is_made_again_as_it_was_stays_accepted(label_studio, workshop) -> None:
    (job,) = workshop.sweep_and_work()
    workshop.publisher.accept(record_of(workshop, label_studio))

    workshop.queue.retry(job.key)
    workshop.work()

    assert LOOK_KEY not in copy_of(label_studio)["data"]
    assert record_of(workshop, label_studio).accepted_at is not None
    assert workshop.ledger.waiting() == []


def test_an_accepted_copy_that_becomes_another_one_has_to_be_looked_at_again(
    label_studio, workshop, annotation
) -> None:
    workshop.sweep_and_work()
    workshop.publisher.accept(record_of(workshop, label_studio))

    label_studio.change(annotation, result=[rectangle(FACE), rectangle(TREE, "Face", "second")])
    workshop.sweep_and_work()

    assert copy_of(label_studio)["data"][LOOK_KEY] == MARK
    assert len(workshop.ledger.waiting()) == 1


def test_a_copy_that_was_made_again_after_one_looked_is_not_accepted(label_studio, workshop, annotation) -> None:
    workshop.sweep_and_work()
    looked_at = record_of(workshop, label_studio)
    label_studio.change(annotation, result=[rectangle(FACE), rectangle(TREE, "Face", "second")])
    workshop.sweep_and_work()
    data = dict(copy_of(label_studio)["data"])

    with pytest.raises(SupersededError, match="was made again"):
        workshop.publisher.accept(looked_at)

    assert copy_of(label_studio)["data"] == data
    assert len(workshop.ledger.waiting()) == 1


@pytest.mark.usefixtures("annotation")
def test_a_copy_whose_task_is_gone_needs_no_look_any_more(label_studio, workshop) -> None:
    workshop.sweep_and_work()
    record = record_of(workshop, label_studio)
    del label_studio.tasks[record.copy_task_id]

    workshop.publisher.accept(record)

    assert workshop.ledger.waiting() == []


@pytest.mark.usefixtures("annotation")
def test_where_label_studio_does_not_answer_the_copy_still_waits(label_studio, workshop) -> None:
    workshop.sweep_and_work()
    label_studio.trouble("PATCH", r"/api/tasks/\d+/", status=503)

    with pytest.raises(Exception, match="answered 503"):
        workshop.publisher.accept(record_of(workshop, label_studio))

    assert len(workshop.ledger.waiting()) == 1
    assert copy_of(label_studio)["data"][LOOK_KEY] == MARK


def test_the_mark_is_one_of_the_keys_a_task_may_have_and_no_other_is() -> None:
    data = task_data(image_key="image", address="/data/upload/1/x.png", copy_id="abc", second_look=("a", "b"))

    assert data == {"image": "/data/upload/1/x.png", "cleanplate": "abc", LOOK_KEY: "a; b"}
    clauses = [
        task_clause(data=told, source_url="/data/upload/1/grandma.png", carried=[], removed=[])
        for told in (data, data | {"name": "John Doe"})
    ]
    assert [clause.verdict for clause in clauses] == [Verdict.PASS, Verdict.FAIL]
