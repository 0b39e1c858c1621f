from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from cleanplate.codecs.images import ImageLimits
from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Size
from cleanplate.engines.inpainters.opencv import OpenCvInpainter
from cleanplate.engines.protocols import Comfort, Detection, Inpainting
from cleanplate.engines.registry import load_detector
from cleanplate.pipeline import clean
from cleanplate.pipeline.clean import Original, clean_copy, clean_image
from cleanplate.pipeline.plan import Grid, plan_from_mask
from cleanplate.pipeline.second_look import DOUBTFUL, likeness, look, sensitive_boxes
from fakes.image_files import encoded

SAMPLES = Path(__file__).parents[3] / "samples"
HEIGHT, WIDTH = 240, 320
NOTHING = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
HOLE = Box(120, 80, 200, 160)
WHOLE = Box(0, 0, WIDTH, HEIGHT)


class Seeing:
    """Finds the same boxes in every image of the size it knows, moved as the crop is."""

    version = "seeing"
    kinds = ("face", "plate", "body")

    def __init__(self, image, *found: tuple[str, Box, float]) -> None:
        self.image, self.found = image, found
        self.asked: list[tuple[str, ...] | None] = []
        self.sizes: list[tuple[int, int]] = []

    def detect(self, image, *, kinds: Collection[str] | None = None) -> tuple[Detection, ...]:
        self.asked.append(None if kinds is None else tuple(kinds))
        self.sizes.append(image.shape[:2])
        place = cv2.minMaxLoc(cv2.matchTemplate(self.image, np.ascontiguousarray(image), cv2.TM_SQDIFF))[2]
        return tuple(
            Detection(
                kind, Box(box.left - place[0], box.top - place[1], box.right - place[0], box.bottom - place[1]), score
            )
            for kind, box, score in self.found
            if kinds is None or kind in kinds
        )


def scene(seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 6, WIDTH // 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def covering(*boxes: Box) -> np.ndarray:
    mask = NOTHING.copy()
    for box in boxes:
        mask[box.slices(Size(WIDTH, HEIGHT))] = True
    return mask


def test_a_fill_with_nothing_to_it_needs_no_look() -> None:
    assert look(scene(), covering(HOLE), avoid=NOTHING, confidence=0.8, detector=Seeing(scene())) == ()
    assert look(scene(), covering(HOLE), avoid=NOTHING, confidence=None, detector=None) == ()


@pytest.mark.parametrize(
    ("box", "score", "counts"),
    [
        (Box(130, 90, 180, 140), 0.9, True),
        (Box(130, 90, 180, 140), 0.5, True),
        (Box(130, 90, 180, 140), 0.49, False),
        (Box(100, 90, 140, 140), 0.9, True),
        (Box(90, 90, 135, 140), 0.9, False),
        (Box(10, 10, 60, 60), 0.9, False),
    ],
    ids=["inside", "just likely", "unlikely", "half inside", "mostly outside", "elsewhere"],
)
def test_what_a_detector_sees_counts_if_it_is_likely_and_at_least_half_of_it_lies_in_the_fill(
    box, score, counts
) -> None:
    reasons = look(
        scene(), covering(HOLE), avoid=NOTHING, confidence=None, detector=Seeing(scene(), ("face", box, score))
    )

    assert reasons == ((f"the detector sees a face in the fill (score {score:.2f})",) if counts else ())


def test_of_several_hits_of_a_kind_the_best_is_told() -> None:
    seen = Seeing(
        scene(),
        ("plate", Box(125, 85, 165, 105), 0.6),
        ("plate", Box(130, 120, 170, 140), 0.8),
        ("face", Box(150, 100, 180, 130), 0.7),
    )

    assert look(scene(), covering(HOLE), avoid=NOTHING, confidence=None, detector=seen) == (
        "the detector sees a face in the fill (score 0.70)",
        "the detector sees a plate in the fill (score 0.80)",
    )


def test_each_of_a_few_holes_is_looked_at_and_many_are_looked_at_as_one() -> None:
    few = covering(Box(20, 20, 40, 40), Box(150, 100, 180, 140), Box(260, 30, 300, 60))
    many = covering(*(Box(x, y, x + 2, y + 2) for x in range(10, 300, 40) for y in range(10, 220, 40)))

    for mask, looks in ((few, 3), (many, 1)):
        detector = Seeing(scene())
        look(scene(), mask, avoid=NOTHING, confidence=None, detector=detector)
        assert detector.asked == [("face", "plate")] * looks


@pytest.mark.parametrize(("confidence", "count"), [(None, 0), (0.0, 1), (DOUBTFUL - 0.001, 1), (DOUBTFUL, 0), (1.0, 0)])
def test_an_inpainter_that_is_not_sure_wants_its_fill_looked_at(confidence, count) -> None:
    reasons = look(scene(), covering(HOLE), avoid=NOTHING, confidence=confidence, detector=None)

    assert len(reasons) == count
    assert all("not sure of its fill" in reason for reason in reasons)


# Likeness


OTHER = Box(20, 60, 80, 150)


def with_copy(region: np.ndarray, *, at: tuple[int, int] = (125, 75), ground: int = 1) -> np.ndarray:
    """The other region on a scene, and *region* again in the hole."""
    image = scene(ground)
    x, y = at
    height, width = region.shape[:2]
    image[y : y + height, x : x + width] = region
    return image


def region_of(image: np.ndarray) -> np.ndarray:
    return image[60:150, 20:80]


@pytest.mark.parametrize(
    "changed",
    [
        lambda region: region,
        lambda region: region[:, ::-1],
        lambda region: np.clip(region * 0.8 + 20, 0, 255).astype(np.uint8),
        lambda region: region[:45],
        lambda region: np.asarray(cv2.imdecode(cv2.imencode(".jpg", region, [1, 60])[1], 1)),
    ],
    ids=["as it is", "mirrored", "in other light", "its upper half", "after JPEG"],
)
def test_a_region_that_was_copied_into_the_hole_is_noticed(changed) -> None:
    mask, avoid = covering(Box(122, 72, 190, 170)), covering(OTHER)
    image = with_copy(changed(region_of(scene(1))))

    assert likeness(image, mask, avoid) >= 0.92
    (reason,) = look(image, mask, avoid=avoid, confidence=None, detector=None)
    assert "resembles another region" in reason


def test_other_ground_in_the_hole_does_not_resemble_the_region() -> None:
    for seed in range(8):
        image = with_copy(region_of(scene(seed + 20)))
        assert likeness(image, covering(Box(122, 72, 190, 170)), covering(OTHER)) < 0.9


def test_what_is_alike_beside_the_hole_does_not_count() -> None:
    image = with_copy(region_of(scene(1)), at=(220, 75))

    assert likeness(image, covering(Box(122, 72, 190, 170)), covering(OTHER)) < 0.9


def test_plain_ground_resembles_nothing() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)

    assert likeness(image, covering(HOLE), covering(OTHER)) == 0


def test_a_region_that_reaches_into_the_hole_is_compared_by_what_is_left_of_it() -> None:
    avoid = covering(Box(60, 60, 150, 150))

    assert 0 <= likeness(scene(), covering(HOLE), avoid) < 0.92


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (9, 9)])
def test_tiny_images_are_no_trouble(size) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, dtype=np.bool_)
    mask[0, 0] = True

    assert look(image, mask, avoid=~mask, confidence=1.0, detector=load_detector("cascade")) == ()
    assert look(image, np.ones_like(mask), avoid=np.zeros_like(mask), confidence=1.0, detector=None) == ()


# In the copy


def test_people_and_plates_that_nobody_labelled_are_where_nothing_may_be_copied_from() -> None:
    detector = Seeing(
        scene(),
        ("face", Box(60, 20, 80, 40), 0.9),
        ("plate", Box(200, 200, 260, 220), 0.7),
        ("face", Box(280, 10, 300, 30), 0.3),
        ("body", Box(10, 50, 40, 120), 0.8),
        ("body", Box(0, 0, 320, 240), 0.3),
    )

    boxes = sensitive_boxes(scene(), covering(HOLE), detector, outlined=NOTHING, within=WHOLE)

    # A face has hair above it, a body under it, and arms on both sides.
    assert boxes == (Box(30, 10, 110, 160), Box(200, 200, 260, 220), Box(10, 50, 40, 120))


def test_people_are_clipped_to_the_image() -> None:
    detector = Seeing(scene(), ("face", Box(0, 2, 20, 22), 0.9), ("face", Box(290, 180, 318, 208), 0.9))

    boxes = sensitive_boxes(scene(), covering(HOLE), detector, outlined=NOTHING, within=WHOLE)

    assert boxes == (Box(0, 0, 50, 142), Box(248, 166, 320, 240))


def test_what_somebody_wears_is_replaced_by_what_else_they_wear() -> None:
    detector = Seeing(scene(), ("face", Box(140, 20, 160, 40), 0.9))
    worn, beside = Box(145, 100, 155, 110), Box(180, 100, 200, 110)

    assert sensitive_boxes(scene(), covering(worn), detector, outlined=NOTHING, within=WHOLE) == (
        Box(130, 10, 170, 50),
    )
    assert sensitive_boxes(scene(), covering(beside), detector, outlined=NOTHING, within=WHOLE) == (
        Box(110, 10, 190, 160),
    )


def test_the_body_of_somebody_who_was_outlined_is_where_the_outline_says() -> None:
    detector = Seeing(scene(), ("face", Box(140, 20, 160, 40), 0.9))
    beside = covering(Box(180, 100, 200, 110))

    for outline, expected in (
        (Box(140, 15, 160, 160), Box(130, 10, 170, 50)),
        (Box(140, 35, 160, 160), Box(110, 10, 190, 160)),
    ):
        boxes = sensitive_boxes(scene(), beside, detector, outlined=covering(outline), within=WHOLE)

        assert boxes == (expected,)


def test_a_detector_is_shown_only_what_the_inpainter_is_shown() -> None:
    detector = Seeing(scene(), ("plate", Box(110, 90, 130, 100), 0.9))

    boxes = sensitive_boxes(scene(), covering(HOLE), detector, outlined=NOTHING, within=Box(100, 60, 240, 200))

    assert boxes == (Box(110, 90, 130, 100),)
    assert detector.sizes == [(140, 140)]


def test_a_part_of_a_large_image_is_searched_small_and_what_is_found_lies_where_it_is_in_the_image() -> None:
    image = cv2.resize(scene(), (2560, 1920), interpolation=cv2.INTER_CUBIC)
    part = Box(800, 480, 1920, 1600)
    shown = cv2.resize(image[480:1600, 800:1920], (560, 560), interpolation=cv2.INTER_AREA)
    detector = Seeing(shown, ("plate", Box(40, 120, 120, 160), 0.9))
    mask = np.zeros((1920, 2560), dtype=np.bool_)
    mask[900:1000, 1200:1300] = True

    boxes = sensitive_boxes(image, mask, detector, outlined=np.zeros_like(mask), within=part)

    assert detector.sizes == [(560, 560)]
    assert boxes == (Box(880, 720, 1040, 800),)


class Copying:
    """Copies the face of the astronaut into every hole, unless that is to be avoided."""

    version = "copying"
    comfort = Comfort(context=20)
    face = Box(170, 60, 280, 170)

    def inpaint(self, image, mask, *, avoid=None) -> Inpainting:
        filled = OpenCvInpainter().inpaint(image, mask).image
        rows, columns = np.nonzero(mask)
        middle = ((rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2)
        source = image[60:170, 170:280]
        if avoid is None or not avoid[100:130, 210:240].any():
            filled[middle[0] - 55 : middle[0] + 55, middle[1] - 55 : middle[1] + 55] = source
        return Inpainting(filled, confidence=0.9)


@pytest.fixture(scope="module")
def astronaut() -> Original:
    image = np.asarray(ImageOps.exif_transpose(Image.open(SAMPLES / "5-astronaut.jpg")).convert("RGB"))
    return Original.from_bytes(encoded(image, "PNG"), ImageLimits())


def beside_the_face(original: Original) -> np.ndarray:
    mask = np.zeros(original.picture.image.shape[:2], dtype=np.bool_)
    mask[20:150, 340:500] = True
    return mask


def test_a_face_in_the_fill_is_published_but_wants_a_second_look(astronaut, monkeypatch) -> None:
    monkeypatch.setattr(clean, "sensitive_boxes", lambda *_, **__: ())  # so that it may be copied at all

    copy = clean_image(
        astronaut, beside_the_face(astronaut), Copying(), limits=ImageLimits(), detector=load_detector("cascade")
    )

    (reason,) = copy.certificate.second_look
    assert "the detector sees a face in the fill" in reason
    assert copy.certificate.to_json()["second_look"] == [reason]


def test_a_face_that_nobody_labelled_is_not_copied_into_a_hole(astronaut) -> None:
    detector = load_detector("cascade")

    copy = clean_image(astronaut, beside_the_face(astronaut), Copying(), limits=ImageLimits(), detector=detector)

    assert copy.certificate.second_look == ()
    parameters = copy.certificate.parameters
    assert parameters["detector"] == detector.version
    assert parameters["avoided_pixels_unlabelled"] > 80 * 80


def test_what_is_found_under_the_mask_is_nothing_to_avoid() -> None:
    image = scene()
    original = Original.from_bytes(encoded(image, "PNG"), ImageLimits())
    plan = plan_from_mask(covering(HOLE), grid=Grid())
    asked = []

    class Asking(OpenCvInpainter):
        def inpaint(self, image, mask, *, avoid=None):
            asked.append((mask.copy(), avoid.copy()))
            return super().inpaint(image, mask, avoid=avoid)

    erased = image.copy()
    erased[covering(HOLE)] = 127
    detector = Seeing(erased, ("face", Box(100, 60, 140, 100), 0.9))
    clean_copy(original, plan, Asking(), limits=ImageLimits(), detector=detector)

    assert asked
    assert any(avoid.any() for _, avoid in asked)
    assert not any((avoid & mask).any() for mask, avoid in asked)


def test_the_certificate_says_how_sure_the_inpainter_was_and_in_how_many_crops_it_filled(astronaut) -> None:
    copy = clean_image(astronaut, beside_the_face(astronaut), Copying(), limits=ImageLimits())

    parameters = copy.certificate.parameters
    assert (parameters["confidence"], len(parameters["crops"]), parameters["detector"]) == (0.9, 1, None)


@pytest.mark.parametrize("options", [("PNG", {}), ("JPEG", {"quality": 85})], ids=["PNG", "JPEG"])
def test_with_a_detector_the_bytes_of_a_copy_depend_on_what_was_hidden_no_more_than_without(options) -> None:
    kind, how = options
    image = np.asarray(ImageOps.exif_transpose(Image.open(SAMPLES / "5-astronaut.jpg")).convert("RGB"))[:320].copy()
    mask = np.zeros(image.shape[:2], dtype=np.bool_)
    mask[40:200, 150:300] = True
    detector, copies = load_detector("cascade"), set()
    for hidden in (image[40:200, 150:300], 255 - image[40:200, 150:300], np.full((160, 150, 3), 80, dtype=np.uint8)):
        changed = image.copy()
        changed[40:200, 150:300] = hidden
        original = Original.from_bytes(encoded(changed, kind, **how), ImageLimits())
        made = clean_image(original, mask, OpenCvInpainter(), limits=ImageLimits(), detector=detector)
        copies.add((made.content, made.certificate.second_look))

    assert len(copies) == 1


def test_a_large_hole_is_shown_to_the_detector_in_a_bounded_size_and_what_is_seen_counts_the_same() -> None:
    shown = []

    class Looking(Seeing):
        def detect(self, image, **_):
            shown.append(image.shape[:2])
            height, width = image.shape[:2]
            return (Detection("face", Box(width * 0.4, height * 0.4, width * 0.6, height * 0.6), 0.9),)

    image = np.zeros((1500, 2000, 3), dtype=np.uint8)
    mask = np.zeros((1500, 2000), dtype=np.bool_)
    mask[400:1100, 500:1500] = True

    reasons = look(image, mask, avoid=np.zeros_like(mask), confidence=None, detector=Looking(image))

    assert max(shown[0]) == 640
    assert reasons == ("the detector sees a face in the fill (score 0.90)",)
