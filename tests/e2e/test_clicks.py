"""An annotator clicks in the browser, and a clean copy comes back."""

import io
import json
import subprocess
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelling import KEYPOINT, RECTANGLE, LabellingPage
from pictures import jpeg_from_a_turned_telephone, png, wall_with_disc
from PIL import Image
from studio import WITHIN_S, wait_for

pytestmark = pytest.mark.e2e

CHECKOUT = Path(__file__).parents[2]
PRIVACY = (CHECKOUT / "label_config" / "privacy.xml").read_text(encoding="utf-8")
PARKED_CARS = CHECKOUT / "samples" / "3-parked-cars.png"
# Places in the sample image, in percent.
PLATE = (49.7, 75.2)
PAINT_BESIDE_THE_PLATE = (57.8, 77.5)
PASSER_BY = (67.2, 48.3, 72.9, 69.0)
# The worker imports torch, reads 200 MB and tries what its processor is good at.
LAMA_WITHIN_S = 120
# As the template says: how far a mask is grown, as a share of the longer side of its object.
DILATION = {"Face": 0.08, "Licence plate": 0.06, "Person": 0.04}
# Decodes brush strokes with Label Studio's own library: reads the JSON of result items, writes one mask for each.
DECODE = """
import json, sys, numpy
from label_studio_sdk.converter.brush import decode_rle
masks = [numpy.reshape(decode_rle(item["value"]["rle"]), (item["original_height"], item["original_width"], 4))[..., 3]
         for item in json.load(sys.stdin)]
sys.stdout.buffer.write(numpy.stack(masks).astype("uint8").tobytes())
"""


@pytest.fixture
def masks_of(label_studio_python):
    """The masks, with their labels, that the brush strokes of an annotation or an answer are."""

    def decode(annotation: dict) -> list[tuple[str, np.ndarray]]:
        items = [item for item in annotation["result"] if item["type"] == "brushlabels"]
        command = [label_studio_python, "-c", DECODE]
        decoded = subprocess.run(command, input=json.dumps(items).encode(), capture_output=True, check=True)
        shape = (len(items), items[0]["original_height"], items[0]["original_width"])
        masks = np.frombuffer(decoded.stdout, np.uint8).reshape(shape) > 0
        return [(item["value"]["brushlabels"][0], mask) for item, mask in zip(items, masks, strict=True)]

    return decode


@pytest.fixture
def lama_checkpoint(tmp_path) -> Path:
    """The file of LaMa's weights as it is published, with weights that have learnt nothing."""
    pytest.importorskip("torch", reason="torch is not installed; scripts/test installs it")
    checkpoints = import_module("fakes.lama_checkpoints")
    return checkpoints.torchscript(tmp_path / "big-lama.pt")


def where_anything_may_change(masks: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """The masks, each grown as its label's policy says, and a pixel more for roundings."""
    total = np.zeros_like(masks[0][1])
    for label, mask in masks:
        _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
        radius = int(np.ceil(DILATION[label] * max(width, height))) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        total |= cv2.dilate(mask.astype(np.uint8), disc) > 0
    return total


def pixel(place_pct: tuple[float, float], mask: np.ndarray) -> tuple[int, int]:
    """Row and column of a place in percent."""
    height, width = mask.shape
    return int(place_pct[1] / 100 * height), int(place_pct[0] / 100 * width)


def far_inside(mask: np.ndarray, place_pct: tuple[float, float]) -> tuple[float, float]:
    """The place well inside a mask, in percent, that is farthest from the given one."""
    inner = cv2.erode(np.pad(mask.astype(np.uint8), 1), np.ones((7, 7), np.uint8))[1:-1, 1:-1]
    rows, columns = np.nonzero(inner)
    row, column = pixel(place_pct, mask)
    farthest = np.argmax((rows - row) ** 2 + (columns - column) ** 2)
    height, width = mask.shape
    return 100 * (columns[farthest] + 0.5) / width, 100 * (rows[farthest] + 0.5) / height


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=-1)


def the_copy(studio, project: int):
    return wait_for(lambda: studio.copies(project), within_s=WITHIN_S, what="clean copy")


def test_click_refine_box_accept_submit_and_the_copy_is_clean(
    labelling: LabellingPage, studio, connected_project, masks_of, picture
) -> None:
    project = connected_project(PRIVACY)
    task = studio.upload(project, PARKED_CARS.name, PARKED_CARS.read_bytes())
    labelling.open(project=project, task=task)
    labelling.switch_on_auto_annotation()

    labelling.choose_smart_tool(KEYPOINT)
    labelling.choose_label("Licence plate", control="click")
    painted_before = labelling.colour_at(*PLATE)
    labelling.answer_to(lambda: labelling.click(*PLATE))
    (first,) = labelling.suggestions()
    assert (first["type"], first["labels"]) == ("brushregion", ["Licence plate"])
    assert labelling.colour_at(*PLATE) != painted_before
    picture(labelling, "1-a-click-finds-the-plate")

    labelling.choose_label("Licence plate", control="click")
    refined = labelling.answer_to(lambda: labelling.click(*PAINT_BESIDE_THE_PLATE, negative=True))
    ((label, mask),) = masks_of(refined)
    assert label == "Licence plate"
    assert mask[pixel(PLATE, mask)]
    assert not mask[pixel(PAINT_BESIDE_THE_PLATE, mask)]
    assert len(labelling.suggestions()) == 1
    labelling.accept_suggestions()

    labelling.choose_smart_tool(RECTANGLE)
    labelling.choose_label("Person", control="box")
    labelling.answer_to(lambda: labelling.drag(*PASSER_BY))
    assert [shape["labels"] for shape in labelling.suggestions()] == [["Person"]]
    picture(labelling, "2-a-box-finds-another")
    labelling.accept_suggestions()
    assert sorted(shape["labels"][0] for shape in labelling.regions()) == ["Licence plate", "Person"]
    picture(labelling, "3-accepted")

    annotation = labelling.submit()
    (copy,) = the_copy(studio, project)
    original, clean = studio.image(studio.task(project, task)), studio.image(copy)
    masks = masks_of(studio.annotation(annotation))
    assert {label for label, _ in masks} == {"Licence plate", "Person"}
    for _, mask in masks:
        assert changed(original, clean)[mask].mean() > 0.95
    np.testing.assert_array_equal(clean[~where_anything_may_change(masks)], original[~where_anything_may_change(masks)])

    labelling.open(project=project, task=copy["id"])
    picture(labelling, "4-the-clean-copy")


def test_the_same_with_suggestions_accepted_by_themselves(
    labelling: LabellingPage, studio, connected_project, masks_of
) -> None:
    project = connected_project(PRIVACY)
    task = studio.upload(project, PARKED_CARS.name, PARKED_CARS.read_bytes())
    labelling.open(project=project, task=task)
    labelling.switch_on_auto_annotation(accepting=True)
    labelling.choose_smart_tool(KEYPOINT)

    labelling.choose_label("Licence plate", control="click")
    ((_, mask),) = masks_of(labelling.answer_to(lambda: labelling.click(*PLATE)))
    (first,) = labelling.regions()
    unwanted = far_inside(mask, PLATE)
    labelling.choose_label("Licence plate", control="click")
    ((_, refined),) = masks_of(labelling.answer_to(lambda: labelling.click(*unwanted, negative=True, into_region=True)))
    assert [shape["id"] for shape in labelling.regions()] == [first["id"]]
    assert mask[pixel(unwanted, mask)]
    assert not refined[pixel(unwanted, refined)]
    assert refined[pixel(PLATE, refined)]

    annotation = labelling.submit()
    (copy,) = the_copy(studio, project)
    original, clean = studio.image(studio.task(project, task)), studio.image(copy)
    masks = masks_of(studio.annotation(annotation))
    ((_, mask),) = masks
    outside = ~where_anything_may_change(masks)
    assert changed(original, clean)[mask].mean() > 0.95
    np.testing.assert_array_equal(clean[outside], original[outside])


def test_a_photograph_lying_on_its_side_loses_the_right_pixels_and_comes_back_upright(
    labelling: LabellingPage, studio, connected_project
) -> None:
    image, disc = wall_with_disc((240, 360), middle=(70, 250), radius=30)
    project = connected_project(PRIVACY)
    task = studio.upload(project, "telephone.jpg", jpeg_from_a_turned_telephone(image))
    labelling.open(project=project, task=task)
    assert labelling.image_size() == (240, 360)
    labelling.switch_on_auto_annotation()
    labelling.choose_smart_tool(RECTANGLE)
    labelling.choose_label("Person", control="box")
    labelling.answer_to(lambda: labelling.drag(100 * 36 / 240, 100 * 216 / 360, 100 * 104 / 240, 100 * 284 / 360))
    labelling.accept_suggestions()

    labelling.submit()
    (copy,) = the_copy(studio, project)
    with Image.open(io.BytesIO(studio.download(copy))) as stored:
        assert stored.size == (240, 360)
        assert dict(stored.getexif()) == {}
    before, after = (np.asarray(studio.image(each), np.int16) for each in (studio.task(project, task), copy))
    redness = after[..., 0] - after[..., 2]
    assert (redness[disc] > 60).mean() < 0.02
    near = cv2.dilate(disc.astype(np.uint8), np.ones((81, 81), np.uint8)) > 0
    assert np.abs(after - before)[~near].mean() < 2


def test_prompts_nobody_accepted_are_flagged_and_nothing_is_published(
    labelling: LabellingPage, studio, connected_project, product
) -> None:
    image, _ = wall_with_disc((200, 160), middle=(100, 80), radius=30)
    project = connected_project(PRIVACY)
    task = studio.upload(project, "wall.png", png(image))
    labelling.open(project=project, task=task)
    labelling.switch_on_auto_annotation()
    labelling.choose_smart_tool(KEYPOINT)
    labelling.choose_label("Face", control="click")
    labelling.answer_to(lambda: labelling.click(50, 50))

    labelling.submit()

    (job,) = wait_for(
        lambda: [job for job in product.jobs(project) if job["state"] == "attention"],
        within_s=WITHIN_S,
        what="flagged job",
    )
    assert (job["task"], job["reason"]) == (task, "unaccepted_prompts")
    assert studio.copies(project) == []


def test_the_copy_of_a_boxed_thing_is_filled_by_lama_where_that_is_chosen(
    labelling: LabellingPage, connected_project, masks_of, product, lama_checkpoint
) -> None:
    studio = product.studio
    project = connected_project(PRIVACY)
    task = studio.upload(project, PARKED_CARS.name, PARKED_CARS.read_bytes())
    labelling.open(project=project, task=task)
    labelling.switch_on_auto_annotation()
    labelling.choose_smart_tool(RECTANGLE)
    labelling.choose_label("Person", control="box")
    labelling.answer_to(lambda: labelling.drag(*PASSER_BY))
    labelling.accept_suggestions()

    # Only this project: with another engine, every copy there is would be made again.
    settings = {
        "CLEANPLATE_PROJECTS": str(project),
        "CLEANPLATE_INPAINTER": "lama",
        "CLEANPLATE_LAMA_CHECKPOINT": str(lama_checkpoint),
    }
    with product.paused_worker(), product.working(**settings):
        annotation = labelling.submit()
        (copy,) = wait_for(lambda: studio.copies(project), within_s=LAMA_WITHIN_S, what="clean copy")

    original, clean = studio.image(studio.task(project, task)), studio.image(copy)
    masks = masks_of(studio.annotation(annotation))
    outside = ~where_anything_may_change(masks)
    np.testing.assert_array_equal(clean[outside], original[outside])
    assert changed(original, clean)[masks[0][1]].mean() > 0.95
    assert product.engine_of(copy).startswith("lama ")
