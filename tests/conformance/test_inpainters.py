"""What every registered inpainter has to do. One that is not installed here is skipped with its reason."""

import numpy as np
import pytest

from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.protocols import Inpainter
from cleanplate.engines.registry import INPAINTERS, WITH_WEIGHTS
from cleanplate.errors import ImageError, SizeMismatchError
from cleanplate.pipeline.composite import erase
from cleanplate.pipeline.fill import fill

HEIGHT, WIDTH = 48, 64


def blank() -> Mask:
    return np.zeros((HEIGHT, WIDTH), dtype=np.bool_)


def block(top: int, bottom: int, left: int, right: int) -> Mask:
    mask = blank()
    mask[top:bottom, left:right] = True
    return mask


MASKS = {
    "one pixel": block(20, 21, 30, 31),
    "the pixel in the corner": block(0, 1, 0, 1),
    "a block in the middle": block(10, 30, 20, 50),
    "a corner": block(0, 20, 0, 25),
    "the opposite corner": block(30, HEIGHT, 40, WIDTH),
    "a border": block(0, HEIGHT, 0, 9),
    "two islands": block(5, 10, 5, 10) | block(30, 40, 40, 60),
    "all but a row": block(0, HEIGHT - 1, 0, WIDTH),
    "all but a pixel": ~block(24, 25, 32, 33),
    "everything": block(0, HEIGHT, 0, WIDTH),
}


@pytest.fixture(scope="module", params=sorted(INPAINTERS))
def inpainter(request, inpainter_called) -> Inpainter:
    return inpainter_called(request.param)


@pytest.fixture(scope="module", params=sorted(INPAINTERS.keys() - WITH_WEIGHTS))
def able_inpainter(request, inpainter_called) -> Inpainter:
    """One that need not learn anything first."""
    return inpainter_called(request.param)


@pytest.fixture
def image() -> RgbImage:
    return np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_fills_an_image_of_the_same_size_and_leaves_its_input_alone(inpainter, image, mask) -> None:
    image_before, mask_before = image.copy(), mask.copy()

    filled = inpainter.inpaint(image, mask).image

    assert filled.shape == image.shape
    assert filled.dtype == np.uint8
    assert not np.shares_memory(filled, image)
    np.testing.assert_array_equal(image, image_before)
    np.testing.assert_array_equal(mask, mask_before)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_what_lies_under_the_mask_has_no_influence(inpainter, image, mask) -> None:
    hidden = np.random.default_rng(8)
    fills = []
    for _ in range(3):
        image[mask] = hidden.integers(0, 256, (int(mask.sum()), 3), dtype=np.uint8)
        fills.append(inpainter.inpaint(image, mask).image[mask])

    np.testing.assert_array_equal(fills[0], fills[1])
    np.testing.assert_array_equal(fills[0], fills[2])


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_whatever_it_paints_a_copy_changes_nowhere_but_under_the_mask(inpainter, image, mask) -> None:
    filled = fill(erase(image, mask), mask, avoid=np.zeros_like(mask), inpainter=inpainter).image

    np.testing.assert_array_equal(filled[~mask], image[~mask])
    assert (filled[mask] != image[mask]).any()


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_the_same_question_twice_has_the_same_answer(inpainter, image, mask) -> None:
    np.testing.assert_array_equal(inpainter.inpaint(image, mask).image, inpainter.inpaint(image, mask).image)


def test_an_object_on_plain_ground_vanishes(able_inpainter) -> None:
    image = np.full((HEIGHT, WIDTH, 3), (40, 120, 200), dtype=np.uint8)
    mask = block(10, 30, 20, 50)
    image[mask] = (255, 0, 0)

    filled = able_inpainter.inpaint(image, mask).image

    np.testing.assert_allclose(filled[mask].astype(int), np.full((mask.sum(), 3), (40, 120, 200)), atol=6)


def test_takes_a_crop_that_is_a_view_of_a_larger_image(inpainter, image) -> None:
    mask = block(10, 20, 10, 30)
    crop, crop_mask = image[5:30, 5:45], mask[5:30, 5:45]

    filled = inpainter.inpaint(crop, crop_mask).image

    np.testing.assert_array_equal(filled, inpainter.inpaint(crop.copy(), crop_mask.copy()).image)


def test_a_mask_of_another_size_is_refused(inpainter, image) -> None:
    with pytest.raises(SizeMismatchError, match="63×48"):
        inpainter.inpaint(image, block(0, 5, 0, 5)[:, :-1])


def test_an_image_that_is_not_rgb_is_refused(inpainter, image) -> None:
    with pytest.raises(ImageError, match="float64"):
        inpainter.inpaint(image.astype(np.float64), block(0, 5, 0, 5))


def test_its_version_is_one_short_line(inpainter) -> None:
    assert inpainter.version
    assert inpainter.version == inpainter.version.strip()
    assert len(inpainter.version.splitlines()) == 1
