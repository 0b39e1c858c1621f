"""What becomes of approved annotations, whether or not Label Studio's events arrive. No browser is needed."""

import time
from pathlib import Path

import numpy as np
import pytest
from pictures import png, wall_with_disc
from studio import COPY_KEY, SWEEP_INTERVAL_S, WITHIN_S, rectangle, wait_for

pytestmark = pytest.mark.e2e

SIZE = (160, 120)
DISC = (58, 38, 102, 82)
ELSEWHERE = (10, 10, 30, 30)
PLATES = """
<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="box" toName="image" smart="false"><Label value="Plate" clean="remove"/></RectangleLabels>
</View>
"""


@pytest.fixture
def project(connected_project) -> int:
    return connected_project(PLATES)


@pytest.fixture
def wall() -> np.ndarray:
    image, _ = wall_with_disc(SIZE, middle=(80, 60), radius=20)
    return image


def redness(image: np.ndarray, box: tuple[int, int, int, int]) -> float:
    """The share of red pixels in a box."""
    left, top, right, bottom = box
    part = image[top:bottom, left:right].astype(int)
    return float((part[..., 0] - part[..., 2] > 60).mean())


def changed_outside(before: np.ndarray, after: np.ndarray, box: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = box
    changed = (before != after).any(axis=-1)
    changed[top:bottom, left:right] = False
    return int(changed.sum())


def test_a_lost_event_is_made_good_by_the_sweep_exactly_once(studio, project, wall) -> None:
    studio.silence_webhooks(project)
    task = studio.upload(project, "wall.png", png(wall))
    studio.annotate(task, [rectangle(DISC, SIZE)])

    (copy,) = wait_for(lambda: studio.copies(project), within_s=SWEEP_INTERVAL_S + WITHIN_S, what="clean copy")

    assert redness(studio.image(copy), DISC) < 0.02
    assert changed_outside(wall, studio.image(copy), DISC) == 0
    time.sleep(SWEEP_INTERVAL_S + 5)
    assert len(studio.tasks(project)) == 2


def test_an_annotation_that_changes_changes_its_copy(studio, project, wall) -> None:
    task = studio.upload(project, "wall.png", png(wall))
    annotation = studio.annotate(task, [rectangle(ELSEWHERE, SIZE)])
    (first,) = wait_for(lambda: studio.copies(project), within_s=WITHIN_S, what="clean copy")
    assert redness(studio.image(first), DISC) > 0.3

    studio.change_annotation(annotation, [rectangle(DISC, SIZE)])

    def replaced() -> dict | None:
        (copy,) = studio.copies(project)
        return copy if copy["data"]["image"] != first["data"]["image"] else None

    second = wait_for(replaced, within_s=WITHIN_S, what="new file in the copy's task")
    assert second["id"] == first["id"]
    assert second["data"][COPY_KEY] == first["data"][COPY_KEY]
    assert redness(studio.image(second), DISC) < 0.02
    assert changed_outside(wall, studio.image(second), DISC) == 0


def test_an_annotation_deleted_before_its_turn_makes_no_copy(studio, project, wall, product) -> None:
    task = studio.upload(project, "wall.png", png(wall))
    with product.paused_worker():
        studio.delete_annotation(studio.annotate(task, [rectangle(DISC, SIZE)]))

    time.sleep(SWEEP_INTERVAL_S + 5)

    assert studio.copies(project) == []
    assert {job["state"] for job in product.jobs(project)} <= {"cancelled"}


def test_a_copy_starts_no_job_of_its_own(studio, project, wall, product) -> None:
    task = studio.upload(project, "wall.png", png(wall))
    studio.annotate(task, [rectangle(DISC, SIZE)])
    (copy,) = wait_for(lambda: studio.copies(project), within_s=WITHIN_S, what="clean copy")
    studio.annotate(copy["id"], [rectangle(ELSEWHERE, SIZE)])

    time.sleep(SWEEP_INTERVAL_S + 5)

    assert len(studio.tasks(project)) == 2
    assert {job["task"] for job in product.jobs(project)} == {task}


def test_a_local_file_is_cleaned_into_a_folder_beside_it(studio, project, wall, product) -> None:
    folder = Path(product.settings["CLEANPLATE_LOCAL_FILES_ROOT"]) / f"street-{project}"
    folder.mkdir(parents=True)
    (folder / "wall.png").write_bytes(png(wall))
    storage = {"project": project, "path": str(folder), "use_blob_urls": True, "regex_filter": r".*\.png"}
    number = studio.call("POST", "/api/storages/localfiles/", json=storage)["id"]
    studio.call("POST", f"/api/storages/localfiles/{number}/sync")
    (task,) = studio.tasks(project)
    studio.annotate(task["id"], [rectangle(DISC, SIZE)])

    (copy,) = wait_for(lambda: studio.copies(project), within_s=WITHIN_S, what="clean copy")

    assert redness(studio.image(copy), DISC) < 0.02
    assert [path.name for path in folder.iterdir()] == ["wall.png"]
    assert (folder / "wall.png").read_bytes() == png(wall)
    assert "/data/local-files/" in copy["data"]["image"]
    studio.call("POST", f"/api/storages/localfiles/{number}/sync")
    assert len(studio.tasks(project)) == 2
