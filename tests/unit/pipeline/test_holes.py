import numpy as np
import pytest

from cleanplate.domain.policy import Closing
from cleanplate.pipeline.holes import closed


def disc(*holes: tuple[int, int, int, int]) -> np.ndarray:
    """A square of 40×40 in an image of 60×60, with rectangles cut out: left, top, right, bottom."""
    mask = np.zeros((60, 60), dtype=np.bool_)
    mask[10:50, 10:50] = True
    for left, top, right, bottom in holes:
        mask[top:bottom, left:right] = False
    return mask


def test_a_hole_of_at_most_one_percent_is_closed() -> None:
    np.testing.assert_array_equal(closed(disc((20, 20, 24, 24)), Closing(1)), disc())


def test_a_hole_of_more_stays() -> None:
    ring = disc((20, 20, 24, 24), (30, 30, 37, 33))

    np.testing.assert_array_equal(closed(ring, Closing(1)), disc((30, 30, 37, 33)))


def test_nothing_is_closed_if_the_share_is_0() -> None:
    np.testing.assert_array_equal(closed(disc((20, 20, 21, 21)), Closing(0)), disc((20, 20, 21, 21)))


@pytest.mark.parametrize("cut", [(30, 10, 31, 20), (10, 10, 11, 11)])
def test_a_notch_in_the_outline_is_no_hole(cut) -> None:
    np.testing.assert_array_equal(closed(disc(cut), Closing(1)), disc(cut))


def test_a_hole_at_the_border_of_the_image_is_none() -> None:
    mask = np.ones((40, 40), dtype=np.bool_)
    mask[0, 20] = False

    np.testing.assert_array_equal(closed(mask, Closing(1)), mask)


def test_a_way_out_over_a_corner_is_none() -> None:
    mask = disc((20, 20, 21, 21), (21, 21, 22, 22))

    np.testing.assert_array_equal(closed(mask, Closing(1)), disc())


def test_each_island_closes_its_own_holes() -> None:
    small, large = np.zeros((60, 120), dtype=np.bool_), np.zeros((60, 120), dtype=np.bool_)
    small[5:11, 5:11], large[:, 20:] = True, True
    hole = np.zeros_like(small)
    hole[7:9, 7:9] = hole[30:32, 50:52] = True

    result = closed((small | large) & ~hole, Closing(1))

    assert not result[7:9, 7:9].any()
    assert result[30:32, 50:52].all()


def test_the_island_in_a_large_hole_counts_for_itself() -> None:
    mask = disc((15, 15, 45, 45))
    mask[20:40, 20:40] = True
    mask[30, 30] = mask[12, 12] = False

    result = closed(mask, Closing(1))

    assert result[30, 30]
    assert result[12, 12]
    assert not result[17, 17]


def test_a_mask_without_a_pixel_stays_so() -> None:
    assert not closed(np.zeros((4, 5), dtype=np.bool_), Closing(1)).any()
