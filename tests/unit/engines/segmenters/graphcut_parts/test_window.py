import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Size
from cleanplate.engines.segmenters.graphcut_parts.window import LONGEST_PX, window_around

IMAGE = Size(640, 480)


@given(left=st.floats(0, 600), top=st.floats(0, 440), width=st.floats(0.5, 640), height=st.floats(0.5, 480))
def test_a_window_holds_its_box_lies_on_the_image_and_is_small(left, top, width, height) -> None:
    box = Box(left, top, left + width, top + height).clipped(IMAGE)

    window = window_around(box, IMAGE, margin=0.2, margin_px=3)

    assert 0 <= window.left <= box.left
    assert 0 <= window.top <= box.top
    assert box.right <= window.right <= IMAGE.width
    assert box.bottom <= window.bottom <= IMAGE.height
    assert 1 <= min(window.size) <= max(window.size) <= LONGEST_PX


def test_a_small_box_is_seen_pixel_by_pixel() -> None:
    window = window_around(Box(100, 50, 120, 60), IMAGE, margin=0, margin_px=4)

    assert (window.left, window.top, window.right, window.bottom) == (96, 46, 124, 64)
    assert window.size == (28, 18)
    assert window.place(100.5, 50.5) == (4, 4)
    assert window.box(Box(100, 50, 120, 60)) == Box(4, 4, 24, 14)


def test_masks_of_both_resolutions_land_at_the_same_place() -> None:
    window = window_around(Box(200, 100, 520, 420), IMAGE, margin=0, margin_px=0)
    full = np.zeros((480, 640), dtype=np.bool_)
    full[180:300, 280:440] = True
    half = full[::2, ::2]

    from_full, from_half = window.shrunk_mask(full), window.fitted_mask(half, Box(0, 0, 640, 480))

    expected = np.zeros((160, 160), dtype=np.bool_)
    expected[40:100, 40:120] = True
    np.testing.assert_array_equal(from_full, expected)
    np.testing.assert_array_equal(from_half, expected)
    np.testing.assert_array_equal(window.enlarged_mask(expected), full[window.slices])


def test_a_mask_of_a_part_of_the_image_lands_there_and_nothing_is_around_it() -> None:
    window = window_around(Box(200, 100, 520, 420), IMAGE, margin=0, margin_px=0)

    fitted = window.fitted_mask(np.ones((30, 40), dtype=np.bool_), Box(280, 180, 440, 300))

    assert fitted[40:100, 40:120].all()
    assert not fitted[:38].any()
    assert not fitted[:, 122:].any()


def test_a_window_of_a_large_area_is_shrunk() -> None:
    window = window_around(Box(0, 0, 640, 480), IMAGE, margin=0.5, margin_px=9)

    assert window.size == (160, 120)
    assert window.scale == pytest.approx(0.25)
    assert window.shrunk(np.zeros((480, 640, 3), dtype=np.uint8)).shape == (120, 160, 3)
