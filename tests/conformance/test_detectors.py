"""What every registered detector has to do. One that is not installed here is skipped with its reason."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cleanplate.domain.image import RgbImage
from cleanplate.engines.protocols import Detector
from cleanplate.engines.registry import DETECTORS, load_detector
from cleanplate.errors import EngineError, EngineMissingError, ImageError


def noise(height: int, width: int, seed: int = 5) -> RgbImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(height: int, width: int, level: int) -> RgbImage:
    return np.full((height, width, 3), level, dtype=np.uint8)


IMAGES = {
    "one pixel": noise(1, 1),
    "one row": noise(1, 300),
    "one column": noise(300, 1),
    "smaller than any window": noise(12, 9),
    "a long strip": noise(40, 2400),
    "noise": noise(240, 320),
    "black": plain(200, 200, 0),
    "white": plain(200, 200, 255),
    "a view": noise(300, 400)[20:220, 30:330],
    "every other pixel": noise(300, 400)[::2, ::2],
}


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def detector(request) -> Detector:
    try:
        return load_detector(request.param)
    except EngineMissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
def test_boxes_lie_on_the_image_and_scores_between_0_and_1(detector, image) -> None:
    height, width = image.shape[:2]

    for found in detector.detect(image):
        assert found.kind in detector.kinds
        assert 0 <= found.score <= 1
        assert all(math.isfinite(edge) for edge in found.box)
        assert 0 <= found.box.left < found.box.right <= width
        assert 0 <= found.box.top < found.box.bottom <= height


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
def test_its_input_is_left_alone(detector, image) -> None:
    before = image.copy()

    detector.detect(image)

    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("image", [noise(240, 320), noise(50, 60)], ids=["noise", "small noise"])
def test_the_same_image_twice_has_the_same_answer(detector, image) -> None:
    assert detector.detect(image) == detector.detect(image.copy())


def test_the_most_certain_comes_first(detector) -> None:
    scores = [found.score for found in detector.detect(noise(480, 640))]

    assert scores == sorted(scores, reverse=True)


def test_only_what_was_asked_for_is_found(detector) -> None:
    everything = detector.detect(noise(480, 640))

    for kind in detector.kinds:
        found = detector.detect(noise(480, 640), kinds=[kind])
        assert found == tuple(one for one in everything if one.kind == kind)
    assert detector.detect(noise(480, 640), kinds=[]) == ()


def test_what_it_cannot_find_is_refused_with_what_it_can(detector) -> None:
    with pytest.raises(EngineError, match=detector.kinds[0]):
        detector.detect(noise(30, 30), kinds=["unicorn"])


def test_several_threads_get_the_answers_that_one_gets(detector) -> None:
    images = [noise(200, 260, seed) for seed in range(6)]
    alone = [detector.detect(image) for image in images]

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(detector.detect, images))

    assert together == alone


@pytest.mark.parametrize("image", [noise(9, 9).astype(np.float32), noise(9, 9)[..., 0], np.zeros((0, 5, 3), np.uint8)])
def test_what_is_not_an_image_is_refused(detector, image) -> None:
    with pytest.raises(ImageError):
        detector.detect(image)


def test_its_version_is_one_short_line_and_the_same_each_time(detector, request) -> None:
    again = load_detector(request.node.callspec.params["detector"])

    assert detector.version == again.version
    assert detector.version == detector.version.strip()
    assert len(detector.version.splitlines()) == 1
