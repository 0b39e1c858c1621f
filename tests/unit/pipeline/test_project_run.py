from collections.abc import Iterator
from http import HTTPStatus

import numpy as np
import pytest

from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.codecs.rle import mask_from_rle
from cleanplate.domain.image import RgbImage
from cleanplate.engines.embeddings import ImageIdentity
from cleanplate.errors import LabelStudioAuthError, LabelStudioUnreachableError, PolicyError, ProjectMissingError
from cleanplate.label_studio.client import LabelStudioClient
from cleanplate.label_studio.media import Media
from cleanplate.pipeline.project_run import Outcome, ProjectRun, TaskOutcome
from cleanplate.pipeline.proposals import Proposer
from cleanplate.pipeline.wishes import BOXES, Wishes
from fakes.label_studio import FakeLabelStudio
from fakes.segmenters import BrightThings
from fakes.workshop import FACE, HEIGHT, TOKEN, WIDTH, photograph, rectangle

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image" smart="true"><Label value="Face"/></RectangleLabels>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/></BrushLabels></View>"""


@pytest.fixture
def fake() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as server:
        yield server


@pytest.fixture
def project(fake) -> int:
    return fake.add_project(CONFIG)


@pytest.fixture
def client(fake) -> LabelStudioClient:
    return LabelStudioClient(fake.url, TOKEN, retries=0)


@pytest.fixture
def proposer(client) -> Proposer:
    segmenter, media = BrightThings(), Media(client)

    def image(identity: ImageIdentity) -> RgbImage:
        content = media.fetch(identity.url, project_id=identity.project_id, task_id=identity.task_id)
        return picture_from_bytes(content, ImageLimits()).image

    return Proposer(
        segmenter=segmenter,
        detector=lambda: None,
        embedding=lambda identity: segmenter.embed(image(identity)),
        image=image,
        label_studio_url=client.url,
        max_pixels=1_000_000,
    )


def boxed_task(fake: FakeLabelStudio, project: int) -> int:
    task = fake.add_task(project, {"image": fake.add_upload(project, "a.png", photograph())})
    fake.annotate(task, [rectangle(FACE)])
    return task


@pytest.fixture
def run(client, proposer, project):
    """Run over the project and list what became of its tasks."""

    def once(*, again: bool = False) -> list[TaskOutcome]:
        return list(ProjectRun(client, proposer, project, Wishes(shapes=BOXES), again=again).outcomes())

    return once


def test_masks_are_written_as_predictions_with_version_and_score(fake, project, run) -> None:
    task = boxed_task(fake, project)

    (outcome,) = run()

    (prediction,) = fake.predictions_of(task)
    (item,) = prediction["result"]
    mask = mask_from_rle(item["value"]["rle"], width=WIDTH, height=HEIGHT)
    left, top, right, bottom = FACE
    assert outcome == TaskOutcome(task, Outcome.PREDICTED, regions=1, score=prediction["score"])
    assert prediction["model_version"] == "bright-1"
    assert 0 < prediction["score"] <= 1
    assert mask[top:bottom, left:right].all()
    assert np.count_nonzero(mask) == (right - left) * (bottom - top)
    assert fake.annotations_of(task)[0]["result"] == [rectangle(FACE)]


def test_a_second_run_writes_nothing_and_fetches_nothing(fake, project, run) -> None:
    task = boxed_task(fake, project)
    run()
    before = dict(fake.predictions)
    fake.requests.clear()

    (outcome,) = run()

    assert outcome == TaskOutcome(task, Outcome.THERE_ALREADY)
    assert fake.predictions == before
    assert {method for method, _ in fake.requests} == {"GET"}
    assert not any(path.startswith("/data/") for _, path in fake.requests)


def test_a_run_that_was_broken_off_goes_on_where_it_was(fake, client, proposer, project, run) -> None:
    tasks = [boxed_task(fake, project) for _ in range(3)]
    broken = ProjectRun(client, proposer, project, Wishes(shapes=BOXES)).outcomes()
    next(broken)
    broken.close()

    assert [outcome.outcome for outcome in run()] == [Outcome.THERE_ALREADY, Outcome.PREDICTED, Outcome.PREDICTED]
    assert [len(fake.predictions_of(task)) for task in tasks] == [1, 1, 1]


def test_again_replaces_only_what_the_same_version_predicted(fake, project, run) -> None:
    task = boxed_task(fake, project)
    run()
    (first,) = fake.predictions_of(task)
    foreign = first | {"id": 999, "model_version": "another"}
    fake.predictions[999] = foreign

    (outcome,) = run(again=True)

    kept = {prediction["model_version"]: prediction for prediction in fake.predictions_of(task)}
    assert outcome.outcome is Outcome.PREDICTED
    assert len(fake.predictions_of(task)) == 2
    assert kept["another"] == foreign
    assert kept["bright-1"]["id"] != first["id"]


def test_again_takes_nothing_away_where_there_is_nothing_new(fake, project, run) -> None:
    task = boxed_task(fake, project)
    run()
    fake.annotations.clear()
    before = fake.predictions_of(task)

    assert [outcome.outcome for outcome in run(again=True)] == [Outcome.NOTHING]
    assert fake.predictions_of(task) == before


def test_the_prediction_of_another_version_does_not_count(fake, project, run) -> None:
    task = boxed_task(fake, project)
    fake.predictions[999] = {"id": 999, "task": task, "model_version": "another", "score": None, "result": []}

    assert [outcome.outcome for outcome in run()] == [Outcome.PREDICTED]


def test_tasks_with_nothing_drawn_and_copies_get_no_prediction(fake, project, run) -> None:
    fake.add_task(project, {"image": fake.add_upload(project, "a.png", photograph())})
    copy = fake.add_task(project, {"image": "/data/x.png", "cleanplate": "abc"})
    fake.annotate(copy, [rectangle(FACE)])

    assert [outcome.outcome for outcome in run()] == [Outcome.NOTHING, Outcome.COPY]
    assert fake.predictions == {}


def test_a_task_that_fails_says_why_and_spoils_no_other(fake, project, run) -> None:
    first = fake.add_task(project, {"image": fake.add_upload(project, "a.png", b"no image")})
    fake.annotate(first, [rectangle(FACE)])
    boxed_task(fake, project)

    failed, fine = run()

    assert (failed.task_id, failed.outcome, failed.reason) == (first, Outcome.FAILED, "not_an_image")
    assert failed.message
    assert fine.outcome is Outcome.PREDICTED


def test_a_refused_prediction_is_told(fake, project, run) -> None:
    boxed_task(fake, project)
    fake.trouble("POST", "/api/predictions/", status=HTTPStatus.BAD_REQUEST)

    (outcome,) = run()

    assert (outcome.outcome, outcome.reason) == (Outcome.FAILED, "label_studio_refused")


def test_a_prediction_whose_answer_was_lost_is_not_written_twice(fake, project, run) -> None:
    task = boxed_task(fake, project)
    fake.trouble("POST", "/api/predictions/", after=True)

    first, second = run(), run()

    assert [outcome.outcome for outcome in (*first, *second)] == [Outcome.FAILED, Outcome.THERE_ALREADY]
    assert len(fake.predictions_of(task)) == 1


def test_a_label_studio_that_stays_away_ends_the_run(fake, project, run) -> None:
    for _ in range(6):
        boxed_task(fake, project)
    fake.trouble("POST", "/api/predictions/", times=99)

    with pytest.raises(LabelStudioUnreachableError):
        run()

    assert [path for _, path in fake.requests].count("/api/predictions/") == 3


def test_a_token_that_is_no_longer_accepted_ends_the_run(fake, project, run) -> None:
    for _ in range(2):
        boxed_task(fake, project)
    fake.trouble("POST", "/api/predictions/", status=HTTPStatus.UNAUTHORIZED)

    with pytest.raises(LabelStudioAuthError):
        run()

    assert [path for _, path in fake.requests].count("/api/predictions/") == 1


def test_a_project_that_is_missing_or_can_show_no_mask_is_refused_at_once(fake, client, proposer) -> None:
    mute = fake.add_project('<View><Image name="image" value="$image"/></View>')

    with pytest.raises(ProjectMissingError, match="no project 4711"):
        ProjectRun(client, proposer, 4711, Wishes(shapes=BOXES))
    with pytest.raises(PolicyError, match="no control that could show a mask"):
        ProjectRun(client, proposer, mute, Wishes(shapes=BOXES))


def test_how_many_tasks_there_are_is_known_beforehand(fake, client, proposer, project) -> None:
    for _ in range(60):
        fake.add_task(project, {"image": "/data/x.png"})

    assert ProjectRun(client, proposer, project, Wishes(shapes=BOXES)).total == 60
