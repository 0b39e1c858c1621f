import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanplate.engines.segmenters.graphcut_parts.superpixels import lab_from_image, superpixels_of


def halves(*, width: int = 60, height: int = 40, edge: int = 33) -> np.ndarray:
    image = np.full((height, width, 3), (200, 60, 40), dtype=np.uint8)
    image[:, edge:] = (30, 90, 200)
    return image


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 40), height=st.integers(1, 40), count=st.integers(1, 60), seed=st.integers(0, 9))
def test_every_pixel_is_in_one_connected_superpixel(width, height, count, seed) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    pixels = superpixels_of(image, count)

    assert pixels.labels.shape == (height, width)
    assert sorted(np.unique(pixels.labels)) == list(range(pixels.count))
    np.testing.assert_array_equal(pixels.sizes, np.bincount(pixels.labels.ravel()))
    for label in range(pixels.count):
        parts, _ = cv2.connectedComponents((pixels.labels == label).astype(np.uint8), connectivity=8)
        assert parts == 2


def test_no_superpixel_lies_on_both_sides_of_an_edge() -> None:
    image = halves(edge=33)

    labels = superpixels_of(image, 40).labels

    assert not set(np.unique(labels[:, :32])) & set(np.unique(labels[:, 34:]))


def test_the_contrast_between_superpixels_is_the_edge_between_them() -> None:
    image = halves(edge=33)

    pixels = superpixels_of(image, 40)

    left = pixels.centres[:, 0] < 33
    across = left[pixels.pairs[:, 0]] != left[pixels.pairs[:, 1]]
    assert pixels.contrasts[across].min() > 10
    assert pixels.contrasts[~across].max() < 0.5 * pixels.contrasts[across].min()
    assert pixels.borders[across].sum() == pytest.approx(40, abs=4)


def test_measures_are_those_of_the_pixels() -> None:
    image = halves(edge=30)

    pixels = superpixels_of(image, 2)

    expected = lab_from_image(image)[20, [5, 55]]
    order = np.argsort(pixels.centres[:, 0])
    assert pixels.count == 2
    np.testing.assert_allclose(pixels.colours[order], expected, atol=3)
    np.testing.assert_array_equal(pixels.rims, pixels.sizes / 40 * 2 + 40)
