import cv2
import numpy as np
import pytest

from cleanplate.engines.inpainters.opencv import load
from cleanplate.errors import EngineError, EngineMemoryError


def half_masked() -> tuple[np.ndarray, np.ndarray]:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    mask = np.zeros((20, 30), dtype=np.bool_)
    mask[:, :15] = True
    return image, mask


def test_pixels_outside_the_mask_are_untouched() -> None:
    image, mask = half_masked()

    filled = load().inpaint(image, mask).image

    np.testing.assert_array_equal(filled[~mask], image[~mask])


def test_an_image_without_any_known_pixel_becomes_mid_grey() -> None:
    image, mask = half_masked()

    filled = load().inpaint(image, np.ones_like(mask)).image

    np.testing.assert_array_equal(filled, np.full_like(image, 128))


def test_a_fill_in_the_corner_keeps_to_the_colours_around_it() -> None:
    image = np.full((40, 40, 3), 200, dtype=np.uint8)
    mask = np.zeros((40, 40), dtype=np.bool_)
    mask[:20, :20] = True
    image[mask] = 0

    filled = load().inpaint(image, mask).image

    np.testing.assert_allclose(filled.astype(int), 200, atol=6)


@pytest.mark.parametrize("shape", [(1, 6), (6, 1)])
def test_an_image_of_a_single_row_or_column_is_filled_from_its_own_pixels_only(shape) -> None:
    image = np.full((*shape, 3), 200, dtype=np.uint8)
    mask = np.zeros(shape, dtype=np.bool_)
    mask.flat[:3] = True

    fills = []
    for level in range(0, 256, 15):
        junk = [np.full(size, level, dtype=np.uint8) for size in range(1, 2000, 7)]
        del junk
        fills.append(load().inpaint(image, mask).image)

    assert len({filled.tobytes() for filled in fills}) == 1
    np.testing.assert_allclose(fills[0].astype(int), 200, atol=2)


@pytest.mark.parametrize(
    ("code", "expected"), [(cv2.Error.StsNoMem, EngineMemoryError), (cv2.Error.StsAssert, EngineError)]
)
def test_what_opencv_raises_is_translated(monkeypatch, code, expected) -> None:
    def fail(*_: object) -> None:
        error = cv2.error("it failed")
        error.code, error.err = code, "it failed"
        raise error

    monkeypatch.setattr(cv2, "inpaint", fail)
    with pytest.raises(expected, match="30×20") as caught:
        load().inpaint(*half_masked())

    assert type(caught.value) is expected
