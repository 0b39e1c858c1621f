import numpy as np
import pytest

from cleanplate.domain.geometry import Box, Point
from cleanplate.engines.segmenters.graphcut_parts.overview import overview_of
from cleanplate.engines.segmenters.graphcut_parts.view import View, near_side_px, near_view


def large() -> tuple[np.ndarray, np.ndarray]:
    """An image with a small red square at (1000 … 1040, 600 … 640), and the same at half its size."""
    image = np.full((1200, 1600, 3), 90, dtype=np.uint8)
    image[600:640, 1000:1040] = (220, 40, 40)
    return image, image[::2, ::2].copy()


def test_a_near_view_shows_the_surroundings_of_a_place_in_more_detail() -> None:
    image, small = large()

    view = near_view(image, small, x=510, y=310)

    assert view.box == Box(460, 260, 560, 360)
    assert near_side_px(small) == 100
    height, width = view.overview.superpixels.labels.shape
    assert (height, width) == (160, 160)
    assert view.click(Point(509.5, 309.5)) == (0.5, 0.5, True)
    assert view.overview.superpixels.colours[view.overview.superpixel_at(0.5, 0.5), 1] > 40


def test_a_view_at_the_corner_ends_where_the_image_does() -> None:
    view = near_view(*large(), x=799, y=2)

    assert view.box == Box(749, 0, 800, 52)


def test_the_share_of_a_mask_is_that_in_the_view() -> None:
    image, small = large()
    view = near_view(image, small, x=510, y=310)
    mask = np.zeros((600, 800), dtype=np.bool_)
    mask[300:320, 500:520] = True

    drawn = view.drawn(view.shares(mask) > 0.5)

    assert drawn.sum() == pytest.approx(32 * 32, rel=0.1)
    assert drawn[80, 80]


@pytest.mark.parametrize(("x", "expected"), [(510, False), (0, True)])
def test_only_the_views_own_border_cuts_a_region_off(x, expected) -> None:
    image, small = large()
    view = near_view(image, small, x=x, y=310)
    left = view.overview.superpixels.centres[:, 0] < 40
    middle = abs(view.overview.superpixels.centres[:, 1] - 80) < 40

    (whole,) = view.whole((left & middle)[np.newaxis], small)

    assert whole == expected


def test_nothing_is_cut_off_in_a_view_of_the_whole_image() -> None:
    _, small = large()
    view = View(overview_of(small), Box(0, 0, 800, 600))

    assert view.whole(np.ones((1, view.overview.superpixels.count), dtype=np.bool_), small).all()
