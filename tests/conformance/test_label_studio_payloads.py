"""Parses what a real Label Studio 1.23.2 sent; payloads/README.md says how it was recorded."""

from pathlib import Path

import numpy as np
import pytest

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Size
from cleanplate.domain.policy import Action, Approval
from cleanplate.domain.region import Shape
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import Annotation, PredictRequest, SetupRequest, Task, WebhookEvent, loads
from cleanplate.label_studio.results import is_approved, prompt_items, regions_from_results

PAYLOADS = Path(__file__).parent / "payloads"
WEBHOOKS = sorted(path.stem for path in PAYLOADS.glob("webhook-*.json"))

SIZE = Size(640, 480)

SHAPES = """<View><Image name="image" value="$image"/>
  <BrushLabels name="brus" toName="image" smart="false"><Label value="Face" clean="remove"/></BrushLabels>
  <PolygonLabels name="poly" toName="image"><Label value="Face"/></PolygonLabels>
  <BitmaskLabels name="bitm" toName="image" smart="false"><Label value="Face"/></BitmaskLabels>
  <RectangleLabels name="out" toName="image" smart="false"><Label value="Face"/></RectangleLabels>
</View>"""


def payload(name: str) -> bytes:
    return (PAYLOADS / f"{name}.json").read_bytes()


def expected_mask() -> np.ndarray:
    """What the recording backend suggested: a box with a hole."""
    mask = np.zeros((480, 640), dtype=np.bool_)
    mask[150:300, 200:330] = True
    mask[200:220, 240:260] = False
    return mask


def test_setup_gives_project_and_config() -> None:
    setup = SetupRequest.from_json(payload("setup"))

    assert setup.project_id == 7
    assert setup.hostname == "http://label-studio.example:8080"
    assert LabelConfig.from_xml(setup.label_config).policy().of("Face").action is Action.REMOVE


@pytest.mark.parametrize(
    ("name", "tasks"), [("predict-opened", [2]), ("predict-opened-annotated", [2]), ("predict-batch", [3, 4])]
)
def test_requests_without_a_click_have_no_prompts(name, tasks) -> None:
    request = PredictRequest.from_json(payload(name))

    assert request.prompts is None
    assert [task.id for task in request.tasks] == tasks
    assert all("/data/upload/" in task.data["image"] for task in request.tasks)


def test_a_click_is_a_positive_point() -> None:
    request = PredictRequest.from_json(payload("predict-click"))

    (prompt,) = prompt_items(request.prompts, LabelConfig.from_xml(request.label_config))

    assert request.project_id == 7
    assert (prompt.label, prompt.to_name, prompt.size) == ("Face", "image", SIZE)
    assert prompt.point == pytest.approx(Point(255.5, 215.5, positive=True), abs=1)


def test_a_click_and_an_alt_click_come_together() -> None:
    request = PredictRequest.from_json(payload("predict-click-and-negative"))

    prompts = prompt_items(request.prompts, LabelConfig.from_xml(request.label_config))

    assert [prompt.point.positive for prompt in prompts] == [True, False]
    assert len({prompt.id for prompt in prompts}) == 2


def test_a_box_is_drawn_around_an_object() -> None:
    request = PredictRequest.from_json(payload("predict-box"))

    (prompt,) = prompt_items(request.prompts, LabelConfig.from_xml(request.label_config))

    assert prompt.box == pytest.approx(Box(128, 96, 384, 336), abs=1)
    assert prompt.point is None


def test_after_auto_accept_a_negative_click_comes_alone() -> None:
    request = PredictRequest.from_json(payload("predict-lone-negative"))

    (prompt,) = prompt_items(request.prompts, LabelConfig.from_xml(request.label_config))

    assert (prompt.label, prompt.point.positive) == ("Person", False)


@pytest.mark.parametrize(
    ("name", "action", "tasks", "annotations"),
    [
        ("webhook-tasks-created", "TASKS_CREATED", (2,), ()),
        ("webhook-annotation-created", "ANNOTATION_CREATED", (2,), (2,)),
        ("webhook-annotation-created-skipped", "ANNOTATION_CREATED", (4,), (4,)),
        ("webhook-annotation-updated", "ANNOTATION_UPDATED", (3,), (3,)),
        ("webhook-annotation-updated-ground-truth", "ANNOTATION_UPDATED", (3,), (3,)),
        ("webhook-annotations-created", "ANNOTATIONS_CREATED", (3,), (5,)),
        ("webhook-annotations-deleted", "ANNOTATIONS_DELETED", (), (3, 5)),
        ("webhook-project-updated", "PROJECT_UPDATED", (), ()),
        ("webhook-tasks-deleted", "TASKS_DELETED", (4,), ()),
    ],
)
def test_a_webhook_names_its_project_tasks_and_annotations(name, action, tasks, annotations) -> None:
    event = WebhookEvent.from_json(payload(name))

    assert (event.action, event.is_known, event.project_id) == (action, True, 7)
    assert event.task_ids == tasks
    assert event.annotation_ids == annotations


def test_every_recorded_webhook_is_looked_at() -> None:
    assert len(WEBHOOKS) == 9


def test_skipping_a_task_is_no_approval() -> None:
    skipped = Annotation.parse(loads(payload("webhook-annotation-created-skipped"))["annotation"])
    submitted = Annotation.parse(loads(payload("webhook-annotation-created"))["annotation"])
    starred = Annotation.parse(loads(payload("webhook-annotation-updated-ground-truth"))["annotation"])

    assert not is_approved(skipped, Approval())
    assert is_approved(submitted, Approval())
    assert not is_approved(submitted, Approval.from_text("ground_truth"))
    assert is_approved(starred, Approval.from_text("ground_truth"))


def test_a_mask_that_was_accepted_in_the_browser_comes_back_as_it_was() -> None:
    event = loads(payload("webhook-annotation-created"))
    config = LabelConfig.from_xml(event["project"]["label_config"])

    found = regions_from_results(Annotation.parse(event["annotation"]).result, config, SIZE)

    assert [(region.label, region.shape) for region in found.regions] == [("Face", Shape.BRUSH)]
    np.testing.assert_array_equal(found.regions[0].mask, expected_mask())


@pytest.mark.parametrize("name", ["annotation-bitmask", "annotation-polygon", "annotation-brush-polygon-rectangle"])
def test_every_shape_that_the_browser_drew_and_stored_is_the_mask_it_was_made_from(name) -> None:
    annotation = Annotation.from_json(payload(name))

    found = regions_from_results(annotation.result, LabelConfig.from_xml(SHAPES), SIZE)

    assert found.regions
    for region in found.regions:
        expected = expected_mask()
        if region.shape is Shape.RECTANGLE:
            expected[200:220, 240:260] = True
        np.testing.assert_array_equal(region.mask, expected)


def test_the_task_list_gives_tasks_with_their_annotations() -> None:
    tasks = [Task.parse(task) for task in loads(payload("api-tasks"))["tasks"]]

    assert [task.id for task in tasks] == sorted(task.id for task in tasks)
    assert all(task.project == 7 and task.updated_at for task in tasks)
    annotations = [annotation for task in tasks for annotation in task.annotations]
    assert annotations
    assert all(annotation.updated_at and annotation.task for annotation in annotations)
