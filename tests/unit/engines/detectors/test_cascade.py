"""What the cascades find and what they do not: the figures here are the ones that are promised."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage
from PIL import Image, ImageOps

from cleanplate.domain.geometry import Box
from cleanplate.engines.detectors import cascade
from cleanplate.engines.registry import load_detector
from cleanplate.errors import EngineMissingError

SAMPLES = Path(__file__).parents[4] / "samples"
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
LIKELY = 0.5


@pytest.fixture(scope="module")
def detector():
    return load_detector("cascade")


def sample(name):
    return np.asarray(ImageOps.exif_transpose(Image.open(SAMPLES / name)).convert("RGB"))


def photograph(name):
    return np.asarray(Image.open(PHOTOGRAPHS / name).convert("RGB"))


def likely(detector, image, kind):
    return [found.box for found in detector.detect(image, kinds=[kind]) if found.score >= LIKELY]


def overlap(one, other):
    shared = one.intersection(other).area
    return shared / (one.area + other.area - shared)


def test_the_astronaut_has_one_face(detector) -> None:
    (face,) = likely(detector, sample("5-astronaut.jpg"), "face")

    assert overlap(face, Box(177, 66, 272, 161)) > 0.8


def test_a_photographer_is_found_from_the_side_and_mirrored(detector) -> None:
    image = sample("6-photographer.jpg")
    width = image.shape[1]

    (face,) = likely(detector, image, "face")
    (mirrored,) = likely(detector, np.ascontiguousarray(image[:, ::-1]), "face")

    assert overlap(face, Box(width - mirrored.right, mirrored.top, width - mirrored.left, mirrored.bottom)) > 0.5


@pytest.mark.parametrize(
    ("name", "plates"),
    [
        ("1-afternoon.jpg", [(214, 636), (806, 632)]),
        ("3-parked-cars.png", [(72, 340), (314, 345), (582, 342)]),
    ],
)
def test_each_licence_plate_of_the_drawn_cars_is_found(detector, name, plates) -> None:
    boxes = likely(detector, sample(name), "plate")

    assert len(boxes) == len(plates)
    for x, y in plates:
        assert any(box.left <= x + 30 <= box.right and box.top <= y + 10 <= box.bottom for box in boxes)


@pytest.mark.parametrize("name", ["2-zebra-crossing.jpg", "4-doorway.jpg", "5-astronaut.jpg", "7-cat.jpg"])
def test_where_there_are_no_plates_none_is_found(detector, name) -> None:
    assert likely(detector, sample(name), "plate") == []


@pytest.mark.parametrize(("name", "faces"), [("2-zebra-crossing.jpg", 3), ("4-doorway.jpg", 2)])
def test_the_drawn_people_who_look_at_the_viewer_have_faces(detector, name, faces) -> None:
    assert len(likely(detector, sample(name), "face")) == faces


def test_of_a_hundred_real_faces_at_least_95_are_found_and_none_in_a_hundred_other_pictures(detector) -> None:
    found = []
    for patch in np.load(PHOTOGRAPHS / "lfw_subset.npy"):
        canvas = np.full((110, 110, 3), 128, dtype=np.uint8)
        grey = cv2.resize(np.clip(patch * 255, 0, 255).astype(np.uint8), (75, 75), interpolation=cv2.INTER_CUBIC)
        canvas[17:92, 17:92] = grey[..., np.newaxis]
        found.append(bool(likely(detector, canvas, "face")))

    assert sum(found[:100]) >= 95
    assert sum(found[100:]) == 0


@pytest.mark.parametrize("name", ["brick.png", "grass.png", "gravel.png", "text.png", "moon.png", "coffee.png"])
def test_textures_and_things_have_neither_faces_nor_plates(detector, name) -> None:
    image = photograph(name)

    assert likely(detector, image, "face") == []
    assert likely(detector, image, "plate") == []


def test_a_large_image_is_looked_at_in_a_bounded_size_and_boxes_are_in_its_own(detector) -> None:
    image = sample("5-astronaut.jpg")
    large = cv2.resize(image, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)

    (small_face,), (face,) = likely(detector, image, "face"), likely(detector, large, "face")

    assert overlap(Box(*(edge * 5 for edge in small_face)), face) > 0.75


def test_one_thing_that_several_cascades_find_is_found_once(detector) -> None:
    boxes = [found.box for found in detector.detect(sample("2-zebra-crossing.jpg"), kinds=["face"])]

    assert max(overlap(one, other) for one in boxes for other in boxes if one is not other) <= 0.4


def test_an_opencv_without_cascades_says_what_to_install(monkeypatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")

    with pytest.raises(EngineMissingError, match=r"pip install 'opencv-python-headless>=4\.12,<5'"):
        load_detector("cascade")


def test_so_does_one_without_their_files(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(cv2.data, "haarcascades", f"{tmp_path}{os.sep}")

    with pytest.raises(EngineMissingError, match="pip install"):
        load_detector("cascade")


def test_another_way_of_using_the_cascades_is_another_version(monkeypatch) -> None:
    before = load_detector("cascade").version
    monkeypatch.setattr(cascade, "_MAX_SIDE_PX", 480)

    assert load_detector("cascade").version != before
