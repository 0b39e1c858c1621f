import json

import numpy as np
import pytest

from cleanplate.codecs.rle import mask_from_rle
from cleanplate.pipeline.project_run import ProjectRun
from fakes.workshop import FACE, HEIGHT, WIDTH, photograph, rectangle

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image" smart="true"><Label value="Face"/></RectangleLabels>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/></BrushLabels></View>"""


@pytest.fixture
def project(label_studio) -> int:
    """A project with a box around a face, and with an upload that is no image."""
    project = label_studio.add_project(CONFIG)
    for content in (photograph(), b"no image"):
        task = label_studio.add_task(project, {"image": label_studio.add_upload(project, "a.png", content)})
        label_studio.annotate(task, [rectangle(FACE)])
    return project


def test_boxes_become_predictions_and_what_failed_is_named(cleanplate, label_studio, project) -> None:
    good, bad = label_studio.tasks

    answer = cleanplate("predict", "--project", project, "--from-boxes")

    (prediction,) = label_studio.predictions.values()
    left, top, right, bottom = FACE
    mask = mask_from_rle(prediction["result"][0]["value"]["rle"], width=WIDTH, height=HEIGHT)
    assert answer.exit_code == 1
    assert "1 predicted, 1 failed" in answer.stdout
    assert f"task {bad}" in answer.stdout
    assert prediction["task"] == good
    assert mask[top:bottom, left:right].mean() > 0.9
    assert np.count_nonzero(mask) < 1.2 * (right - left) * (bottom - top)


def test_a_second_run_has_nothing_left_to_do(cleanplate, label_studio, project) -> None:
    label_studio.tasks.popitem()
    cleanplate("predict", "--project", project, "--from-boxes")

    answer = cleanplate("predict", "--project", project, "--from-boxes")

    assert (answer.exit_code, len(label_studio.predictions)) == (0, 1)
    assert "✓ 1 there already" in answer.stdout


def test_without_prelabel_it_says_how_the_project_would_use_them(cleanplate, label_studio, project) -> None:
    answer = cleanplate("predict", "--project", project, "--from-boxes")

    assert "choose graphcut-" in answer.stdout
    assert "--prelabel" in answer.stdout
    assert "model_version" not in label_studio.projects[project]


def test_with_prelabel_the_project_uses_them(cleanplate, label_studio, project) -> None:
    answer = cleanplate("predict", "--project", project, "--from-boxes", "--prelabel")

    (prediction,) = label_studio.predictions.values()
    assert label_studio.projects[project]["model_version"] == prediction["model_version"]
    assert "--prelabel" not in answer.stdout


def test_where_nothing_was_predicted_the_project_is_left_as_it_is(cleanplate, label_studio, project) -> None:
    label_studio.annotations.clear()

    answer = cleanplate("predict", "--project", project, "--from-boxes", "--prelabel")

    assert answer.exit_code == 0
    assert "2 with nothing to mask" in answer.stdout
    assert "model_version" not in label_studio.projects[project]


def test_the_json_has_a_line_for_each_task_and_a_summary(cleanplate, label_studio, project) -> None:
    good, bad = label_studio.tasks

    answer = cleanplate("predict", "--project", project, "--from-boxes", "--json")

    first, second, summary = (json.loads(line) for line in answer.stdout.splitlines())
    assert (first["task"], first["outcome"], first["regions"], first["reason"]) == (good, "predicted", 1, "")
    assert (second["task"], second["outcome"], second["reason"]) == (bad, "failed", "not_an_image")
    assert summary == {"summary": {"predicted": 1, "there_already": 0, "nothing": 0, "copy": 0, "failed": 1, "left": 0}}


def test_after_ctrl_c_it_says_what_is_left_and_how_to_go_on(cleanplate, label_studio, project, monkeypatch) -> None:
    outcome_of = ProjectRun._outcome

    def stopping(run, task):
        if task.id == max(label_studio.tasks):
            raise KeyboardInterrupt
        return outcome_of(run, task)

    monkeypatch.setattr(ProjectRun, "_outcome", stopping)

    answer = cleanplate("predict", "--project", project, "--from-boxes")

    assert answer.exit_code == 130
    assert "✓ 1 predicted" in answer.stdout
    assert "Stopped with 1 to go." in answer.stderr


def test_tasks_that_cannot_be_read_are_told(cleanplate, label_studio, project) -> None:
    label_studio.tasks.popitem()
    label_studio.tasks[4711] = {"id": 4711, "project": project, "data": "nonsense", "updated_at": None}

    answer = cleanplate("predict", "--project", project, "--from-boxes")

    assert answer.exit_code == 1
    assert "1 predicted" in answer.stdout
    assert "1 task could not be read" in answer.stderr


@pytest.mark.parametrize("options", [(), ("--as-drawn", "--detect", "face")])
def test_a_run_from_nothing_is_refused(cleanplate, options) -> None:
    answer = cleanplate("predict", "--project", 1, *options)

    assert answer.exit_code == 2
    assert "--from-boxes" in answer.stderr


def test_a_project_that_is_missing_is_told_in_a_sentence(cleanplate, label_studio) -> None:  # noqa: ARG001
    answer = cleanplate("predict", "--project", 4711, "--from-polygons")

    assert answer.exit_code == 1
    assert "no project 4711" in answer.stderr


def test_what_the_detector_cannot_find_is_told_with_what_it_finds(cleanplate, label_studio, project) -> None:
    answer = cleanplate("predict", "--project", project, "--detect", "dogs")

    assert answer.exit_code == 1
    assert "face, plate, body" in answer.stderr
    assert label_studio.predictions == {}


def test_everything_in_an_image_becomes_a_prediction_once(cleanplate, label_studio, project) -> None:
    label_studio.tasks.popitem()
    label_studio.annotations.clear()

    first = cleanplate("predict", "--project", project, "--everything", "--prelabel")
    second = cleanplate("predict", "--project", project, "--everything", "--label", "Face")

    (prediction,) = label_studio.predictions.values()
    masks = [mask_from_rle(item["value"]["rle"], width=WIDTH, height=HEIGHT) for item in prediction["result"]]
    left, top, right, bottom = FACE
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "✓ 1 there already" in second.stdout
    assert label_studio.projects[project]["model_version"] == prediction["model_version"]
    assert max(mask[top:bottom, left:right].mean() for mask in masks) > 0.9
    assert np.sum(masks, axis=0).max() == 1
    assert prediction["score"] == min(item["score"] for item in prediction["result"])


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--everything", "--label", "Moon"], "Moon"), (["--from-boxes", "--label", "Face"], "--label needs")],
)
def test_a_label_for_everything_that_makes_no_sense_is_refused(cleanplate, project, options, message) -> None:
    answer = cleanplate("predict", "--project", project, *options)

    assert answer.exit_code != 0
    assert message in answer.stderr
