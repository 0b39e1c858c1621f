"""What people, kills and other programs do to annotations and copies: no copy shows what was to go, none is lost."""

from http import HTTPStatus
from typing import Any

import numpy as np
import pytest

from cleanplate.codecs.rle import rle_from_mask
from cleanplate.jobs.job import Job, JobState
from fakes.label_studio import FakeLabelStudio
from fakes.workshop import CONFIG, FACE, HEIGHT, TREE, WIDTH, Workshop, photograph, rectangle, redness

SMALL = (2, 2, 12, 12)
BRUSH = '<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/></BrushLabels></View>'


@pytest.fixture
def project(label_studio) -> int:
    return label_studio.add_project(CONFIG.replace("</View>", BRUSH))


@pytest.fixture
def task(label_studio, project) -> int:
    url = label_studio.add_upload(project, "John Doe.png", photograph())
    return label_studio.add_task(project, {"image": url, "name": "John Doe"}, {"owner": "John Doe"})


def last(jobs: list[Job]) -> Job:
    return jobs[-1]


def only_copy(fake: FakeLabelStudio) -> dict[str, Any]:
    (copy,) = fake.copies()
    return copy


def shown(fake: FakeLabelStudio) -> bytes:
    return fake.content_of(only_copy(fake)["data"]["image"])


def brush(*boxes: tuple[int, int, int, int], region_id: str = "stroke", **more: Any) -> dict[str, Any]:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return {
        "id": region_id,
        "from_name": "brush",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": rle_from_mask(mask), "brushlabels": ["Face"]},
        **more,
    }


# What is drawn


@pytest.mark.parametrize(
    "drawn",
    [
        [brush(FACE)],
        [brush(SMALL, FACE)],
        [rectangle(SMALL, region_id="same"), rectangle(FACE, region_id="same")],
        [rectangle(SMALL, region_id=""), rectangle(FACE, region_id="")],
        [brush(FACE, hidden=True)],
        [brush(FACE, image_rotation=90)],
        [brush(FACE, from_name="gone")],
        [rectangle(FACE), rectangle(FACE, "Tree", "tree")],
        [rectangle((0, 0, WIDTH, HEIGHT), "Tree", "tree"), rectangle(FACE)],
        [brush(FACE), {"type": "relation", "from_id": "stroke", "to_id": "stroke", "direction": "right"}],
    ],
    ids=[
        "stroke",
        "two islands",
        "one id twice",
        "no ids",
        "hidden",
        "turned on the screen",
        "control that is gone",
        "kept region on top",
        "kept region around",
        "relation",
    ],
)
def test_what_was_approved_is_gone_however_it_was_drawn(label_studio, workshop, task, drawn) -> None:
    label_studio.annotate(task, drawn)

    assert last(workshop.sweep_and_work()).state is JobState.DONE
    assert redness(shown(label_studio)) == 0


def test_words_written_for_a_kept_region_do_not_go_along(label_studio, workshop, task) -> None:
    tree = rectangle(TREE, "Tree", "tree")
    words = {**tree, "from_name": "note", "type": "textarea", "value": {**tree["value"], "text": ["John Doe's tree"]}}
    label_studio.annotate(task, [rectangle(FACE), {**tree, "meta": {"text": ["John Doe"]}}, words])

    workshop.sweep_and_work()

    (carried,) = label_studio.annotations_of(only_copy(label_studio)["id"])
    assert carried["result"] == [tree]


# What happens meanwhile


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<Label value="Face" clean="remove"/>', '<Label value="Head" clean="remove"/>'),
        ('<Label value="Face" clean="remove"/>', '<Label value="Face" alias="head" clean="remove"/>'),
        ('<RectangleLabels name="box"', '<RectangleLabels name="area"'),
    ],
    ids=["label renamed", "alias given", "control renamed"],
)
def test_renaming_in_the_config_brings_nothing_back_and_undoing_it_mends_all(
    label_studio, workshop, project, before, after
) -> None:
    config = CONFIG.replace("</View>", BRUSH.replace("Face", "Person")).replace(
        '<Label value="Person"/>', '<Label value="Person" clean="remove"/><Label value="Plate" clean="remove"/>'
    )
    label_studio.projects[project]["label_config"] = config
    url = label_studio.add_upload(project, "a.png", photograph())
    annotation = label_studio.annotate(label_studio.add_task(project, {"image": url}), [rectangle(FACE)])
    stroke = brush(SMALL)
    stroke["value"]["brushlabels"] = ["Person"]
    label_studio.change(annotation, result=[rectangle(FACE), stroke])
    workshop.sweep_and_work()

    label_studio.projects[project]["label_config"] = config.replace(before, after)
    job = last(workshop.sweep_and_work())
    assert (job.state, job.reason) == (JobState.ATTENTION, "unknown_region")
    assert redness(shown(label_studio)) == 0

    label_studio.projects[project]["label_config"] = config
    workshop.sweep_and_work()
    assert workshop.queue.counts()[JobState.ATTENTION] == 0
    assert redness(shown(label_studio)) == 0


@pytest.mark.parametrize("image", ["https://example.com/x.png", "/admin", "x.png", "", 5, None, ["x.png"], {"a": 1}])
def test_a_copy_that_somebody_pointed_elsewhere_is_put_right_with_the_next_change(
    label_studio, workshop, task, image
) -> None:
    annotation = label_studio.annotate(task, [rectangle(SMALL)])
    workshop.sweep_and_work()
    only_copy(label_studio)["data"]["image"] = image

    label_studio.change(annotation, result=[rectangle(FACE)])

    assert last(workshop.sweep_and_work()).state is JobState.DONE
    assert redness(shown(label_studio)) == 0
    assert len(label_studio.uploads) == 2


@pytest.mark.parametrize("line", [r"PATCH /api/tasks/\d+/", r"POST /api/tasks/\d+/annotations/"])
def test_the_outline_of_what_is_to_go_now_leaves_a_copy_that_was_only_half_made(
    label_studio, workshop, task, line
) -> None:
    annotation = label_studio.annotate(task, [rectangle(FACE), rectangle(TREE, "Tree", "tree")])
    label_studio.trouble(*line.split(" "), after=True)
    workshop.sweep_and_work()
    workshop.expire_leases()

    label_studio.change(annotation, result=[rectangle(FACE), rectangle(TREE, "Face", "tree")])
    workshop.sweep_and_work()

    assert label_studio.annotations_of(only_copy(label_studio)["id"]) == []


def test_what_people_draw_on_a_copy_that_was_only_half_made_stays(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    label_studio.trouble("POST", "/api/tasks/", after=True)
    workshop.sweep_and_work()
    drawn = label_studio.annotate(only_copy(label_studio)["id"], [rectangle(TREE, "Tree", "theirs")])

    workshop.expire_leases()
    workshop.work()

    assert [found["id"] for found in label_studio.annotations_of(only_copy(label_studio)["id"])] == [drawn]


@pytest.mark.parametrize("status", [HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN])
def test_a_copy_that_label_studio_refuses_leaves_no_file(label_studio, workshop, task, status) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    label_studio.trouble("POST", "/api/tasks/", status=status)

    job = last(workshop.sweep_and_work())

    assert (job.state, job.reason) == (JobState.DEAD, "label_studio_refused")
    assert len(label_studio.uploads) == 1


def test_a_refused_copy_is_made_when_somebody_tries_again(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    label_studio.trouble("POST", "/api/tasks/", status=HTTPStatus.FORBIDDEN)
    job = last(workshop.sweep_and_work())

    workshop.queue.retry(job.key)

    assert last(workshop.work()).state is JobState.DONE
    assert redness(shown(label_studio)) == 0


def test_jobs_of_another_label_studio_are_left_undone_and_come_back_with_it(label_studio, workshop, task) -> None:
    label_studio.annotate(task, [rectangle(FACE)])
    workshop.sweep()

    with FakeLabelStudio() as other:
        Workshop(other.url, workshop.folder).work()
        assert other.copies() == []
        assert not [path for method, path in other.requests if method != "GET"]

    workshop.sweep_and_work()
    assert redness(shown(label_studio)) == 0


def test_an_original_that_names_itself_a_copy_is_left_alone(label_studio, workshop, project) -> None:
    url = label_studio.add_upload(project, "a.png", photograph())
    pretender = label_studio.add_task(project, {"image": url, "cleanplate": "mine"})
    label_studio.annotate(pretender, [rectangle(FACE)])

    assert workshop.sweep_and_work() == []
    assert only_copy(label_studio)["id"] == pretender
