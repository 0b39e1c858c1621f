"""`cleanplate clean --detect`: what a detector finds is removed, without masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cleanplate.codecs.images import ImageLimits, mask_from_png, picture_from_bytes
from cleanplate.engines.registry import load_detector
from cleanplate.pipeline.detections import detected_mask
from fakes.image_files import encoded, photograph

SAMPLES = Path(__file__).parents[3] / "samples"
FAST = ("--inpainter", "opencv")


def sample(name: str) -> np.ndarray:
    return np.asarray(Image.open(SAMPLES / name).convert("RGB"))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "astronaut.png").write_bytes(encoded(sample("5-astronaut.jpg")[:260, 100:360], "PNG"))
    (folder / "nobody.png").write_bytes(encoded(photograph(), "PNG"))
    return folder


def test_a_face_is_removed_and_an_image_without_one_is_not_copied(cleanplate, images, tmp_path) -> None:
    out, used = tmp_path / "out", tmp_path / "used"

    answer = cleanplate("clean", images, out, "--detect", "faces", "--masks-out", used, *FAST)

    assert answer.exit_code == 0
    assert "1 made" in answer.stdout
    assert "1 in which nothing was found, not copied" in answer.stdout
    assert [path.name for path in out.iterdir()] == ["astronaut.png"]
    removed = mask_from_png((used / "astronaut.png").read_bytes(), ImageLimits())
    assert removed[66:161, 77:172].mean() > 0.95
    cleaned = picture_from_bytes((out / "astronaut.png").read_bytes(), ImageLimits()).image
    assert not [one for one in load_detector("cascade").detect(cleaned, kinds=["face"]) if one.score > 0.5]
    check = cleanplate("verify", images / "astronaut.png", out / "astronaut.png", used / "astronaut.png")
    assert check.exit_code == 0


def test_of_one_file_the_same_works_without_a_mask(cleanplate, images, tmp_path) -> None:
    answer = cleanplate("clean", images / "astronaut.png", tmp_path / "out.png", "--detect", "face", *FAST)

    assert answer.exit_code == 0
    assert (tmp_path / "out.png").is_file()


def test_a_file_in_which_nothing_is_found_gets_no_copy(cleanplate, images, tmp_path) -> None:
    answer = cleanplate("clean", images / "nobody.png", tmp_path / "out.png", "--detect", "face,plate", *FAST)

    assert answer.exit_code == 1
    assert "no face or plate was found" in answer.stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("kinds", ["unicorn", "", ",", "face,unicorn"])
def test_what_cannot_be_found_is_refused_with_what_can(cleanplate, images, tmp_path, kinds) -> None:
    answer = cleanplate("clean", images, tmp_path / "out", "--detect", kinds, *FAST)

    assert answer.exit_code == 1
    assert "it finds face, plate, body" in answer.stderr


def test_without_a_detector_nothing_can_be_found(cleanplate, images, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CLEANPLATE_DETECTOR", "none")

    answer = cleanplate("clean", images, tmp_path / "out", "--detect", "face", *FAST)

    assert answer.exit_code == 1
    assert "CLEANPLATE_DETECTOR" in answer.stderr


def test_a_doubtful_copy_is_pointed_out(cleanplate, images, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("cleanplate.pipeline.clean.look", lambda *_, **__: ("the detector sees a [face] in the fill",))

    answer = cleanplate("clean", images, tmp_path / "out", "--detect", "face", *FAST)
    alone = cleanplate("clean", images / "astronaut.png", tmp_path / "out.png", "--detect", "face", *FAST)
    machine = cleanplate("clean", images, tmp_path / "again", "--detect", "face", "--json", *FAST)

    assert (answer.exit_code, alone.exit_code) == (0, 0)
    assert "the detector sees a [face] in the fill" in answer.stdout
    assert "! look" in alone.stdout
    results = [json.loads(line) for line in machine.stdout.splitlines()]
    assert results[0]["second_look"] == ["the detector sees a [face] in the fill"]


def test_a_face_is_covered_by_an_ellipse_that_holds_its_whole_box_and_a_plate_by_a_box() -> None:
    detector = load_detector("cascade")
    for name, kind in (("5-astronaut.jpg", "face"), ("3-parked-cars.png", "plate")):
        image = sample(name)
        mask = detected_mask(image, detector, kinds=[kind])

        found = [one.box for one in detector.detect(image, kinds=[kind]) if one.score >= 0.5]
        assert found
        for box in found:
            inner = mask[round(box.top) : round(box.bottom), round(box.left) : round(box.right)]
            assert inner.all()
        assert mask.mean() < 0.2
