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
from running import figures_of, free_port
from studio import WITHIN_S, wait_for

from cleanplate.engines.registry import load_segmenter
from cleanplate.engines.weights import Weights

pytestmark = pytest.mark.e2e

CHECKOUT = Path(__file__).parents[2]
PRIVACY = (CHECKOUT / "label_config" / "privacy.xml").read_text(encoding="utf-8")
POLYGONS = (CHECKOUT / "label_config" / "polygons.xml").read_text(encoding="utf-8")
PARKED_CARS = CHECKOUT / "samples" / "3-parked-cars.png"
# Places in the sample image, in percent.
PLATE = (49.7, 75.2)
PAINT_BESIDE_THE_PLATE = (57.8, 77.5)
PASSER_BY = (67.2, 48.3, 72.9, 69.0)
# The worker imports torch, reads 200 MB and tries what its processor is good at.
LAMA_WITHIN_S = 120
# The image of the tests with SAM.
WALL_SIZE = (360, 240)
DISC = (41.7, 45.8)
# A ViT-B in fp32 on two cores that do other things as well.
SAM_WITHIN_S = 240
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


@pytest.fixture(scope="module")
def wall() -> tuple[np.ndarray, np.ndarray]:
    """The image for SAM, and where its disc is."""
    return wall_with_disc(WALL_SIZE, middle=(150, 110), radius=40)


@pytest.fixture(scope="module")
def sam_checkpoint(tmp_path_factory, wall) -> Path:
    """A ViT-B of SAM as it is published; it has learnt to find the disc on the wall, and nothing else."""
    torch = pytest.importorskip("torch", reason="torch is not installed; scripts/test installs it")
    pytest.importorskip("segment_anything", reason="segment-anything is not installed; scripts/test installs it")
    checkpoints = import_module("fakes.sam_checkpoints")
    image, disc = wall
    folder = tmp_path_factory.mktemp("sam")
    sam = checkpoints.seeded_sam(**checkpoints.VIT_B)
    untaught = load_segmenter("sam", Weights(checkpoint=checkpoints.state_dict(folder / "untaught.pth", sam)))
    features = torch.from_numpy(untaught.embed(image).features.astype(np.float32))
    return checkpoints.state_dict(folder / "taught.pth", checkpoints.taught(sam, features, disc))


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


def masks_of_polygons(annotation: dict) -> list[tuple[str, np.ndarray]]:
    """The masks, with their labels, that the polygons of an annotation or an answer are."""
    masks = []
    for item in annotation["result"]:
        if item["type"] == "polygonlabels":
            width, height = item["original_width"], item["original_height"]
            corners = np.array(item["value"]["points"]) * (width, height) / 100
            mask = cv2.fillPoly(np.zeros((height, width), np.uint8), [np.round(corners - 0.5).astype(np.int32)], 1) > 0
            masks.append((item["value"]["polygonlabels"][0], mask))
    return masks


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def cpu_s_of(backend_url: str) -> float:
    """The processor time that a backend has taken since its start."""
    return figures_of(backend_url)["process_cpu_seconds_total"]


def check_copy(copy: np.ndarray, original: np.ndarray, masks: list[tuple[str, np.ndarray]], disc: np.ndarray) -> None:
    """See that a copy has no red disc, and nothing else that is not in the original."""
    assert (copy[disc][:, 0].astype(int) - copy[disc][:, 2] > 60).mean() < 0.02
    outside = ~where_anything_may_change(masks)
    assert outside.mean() > 0.5
    np.testing.assert_array_equal(copy[outside], original[outside])


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


def test_clicking_the_same_place_again_shows_what_else_was_meant_and_accepting_keeps_what_is_shown(
    labelling: LabellingPage, studio, connected_project, masks_of
) -> None:
    project = connected_project(PRIVACY)
    task = studio.upload(project, PARKED_CARS.name, PARKED_CARS.read_bytes())
    labelling.open(project=project, task=task)
    labelling.switch_on_auto_annotation()
    labelling.choose_smart_tool(KEYPOINT)
    shown, region_ids = [], set()
    for into_region in (False, True, True):
        labelling.choose_label("Licence plate", control="click")
        answer = labelling.answer_to(lambda held=into_region: labelling.click(*PLATE, into_region=held))
        ((_, mask),) = masks_of(answer)
        shown.append(mask)
        region_ids |= {shape["id"] for shape in labelling.suggestions()}
    assert len(region_ids) == 1
    assert max(overlap(shown[0], shown[1]), overlap(shown[1], shown[2]), overlap(shown[0], shown[2])) < 0.8

    labelling.accept_suggestions()
    ((_, accepted),) = masks_of(studio.annotation(labelling.submit()))
    np.testing.assert_array_equal(accepted, shown[-1])


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


def test_with_sam_an_image_is_encoded_once_and_clicks_become_brush_strokes_or_polygons_and_a_clean_copy(
    labelling: LabellingPage, product, masks_of, wall, sam_checkpoint
) -> None:
    studio, (image, disc) = product.studio, wall
    settings = {"CLEANPLATE_SEGMENTER": "sam", "CLEANPLATE_SAM_CHECKPOINT": str(sam_checkpoint)}
    brushes, polygons = (studio.create_project("with SAM", config) for config in (PRIVACY, POLYGONS))
    tasks = {project: studio.upload(project, "wall.png", png(image)) for project in (brushes, polygons)}
    port = free_port()

    with product.serving(port, **settings) as backend:
        product.connect(brushes, backend)
        before_s = cpu_s_of(backend)
        labelling.open(project=brushes, task=tasks[brushes])
        wait_for(
            lambda: figures_of(backend)['cleanplate_click_events_total{event="warmed"}'],
            within_s=SAM_WITHIN_S,
            what="image that was prepared because its task was opened",
        )
        encoding_s = cpu_s_of(backend) - before_s

        labelling.switch_on_auto_annotation()
        labelling.choose_smart_tool(KEYPOINT)
        before_s = cpu_s_of(backend)
        for place in (DISC, (DISC[0] + 5, DISC[1])):
            labelling.choose_label("Person", control="click")
            ((label, mask),) = masks_of(labelling.answer_to(lambda place=place: labelling.click(*place)))
            assert label == "Person"
            assert mask[pixel(place, mask)]
            assert overlap(mask, disc) > 0.8
        assert cpu_s_of(backend) - before_s < encoding_s / 4
        labelling.accept_suggestions()
        annotation = labelling.submit()
        (copy,) = the_copy(studio, brushes)
        check_copy(studio.image(copy), image, masks_of(studio.annotation(annotation)), disc)

    with product.serving(port, **settings) as backend:
        product.connect(polygons, backend)
        before_s = cpu_s_of(backend)
        labelling.open(project=polygons, task=tasks[polygons])
        labelling.switch_on_auto_annotation()
        labelling.choose_smart_tool(KEYPOINT)
        labelling.choose_label("Person", control="click")
        answer = labelling.answer_to(lambda: labelling.click(*DISC))
        assert [item["type"] for item in answer["result"]] == ["polygonlabels"]
        assert overlap(masks_of_polygons(answer)[0][1], disc) > 0.8
        assert cpu_s_of(backend) - before_s < encoding_s / 4
        labelling.accept_suggestions()
        annotation = labelling.submit()
        (copy,) = the_copy(studio, polygons)
        check_copy(studio.image(copy), image, masks_of_polygons(studio.annotation(annotation)), disc)
