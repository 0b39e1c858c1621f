import numpy as np

from cleanplate.domain.geometry import Point
from cleanplate.engines.segmenters.graphcut_parts.tidying import tidied


def block() -> np.ndarray:
    soft = np.full((60, 80), 0.1, dtype=np.float32)
    soft[10:50, 20:70] = 0.9
    return soft


def test_specks_vanish_and_pinholes_are_filled() -> None:
    soft = block()
    soft[5:7, 5:7] = 0.8
    soft[30:33, 40:42] = 0.3

    np.testing.assert_array_equal(tidied(soft, ()) > 0.5, block() > 0.5)


def test_a_speck_or_pinhole_that_was_clicked_on_stays() -> None:
    soft = block()
    soft[5:7, 5:7] = 0.8
    soft[30:33, 40:42] = 0.3

    tidy = tidied(soft, (Point(5, 6), Point(41, 31, positive=False)))

    np.testing.assert_array_equal(tidy, soft)


def test_a_click_of_the_other_kind_protects_nothing() -> None:
    soft = block()
    soft[5:7, 5:7] = 0.8
    soft[30:33, 40:42] = 0.3

    tidy = tidied(soft, (Point(5, 6, positive=False), Point(41, 31)))

    np.testing.assert_array_equal(tidy > 0.5, block() > 0.5)


def test_large_parts_and_large_holes_stay() -> None:
    soft = block()
    soft[2:8, 2:18] = 0.9
    soft[20:30, 30:50] = 0.2

    np.testing.assert_array_equal(tidied(soft, ()), soft)


def test_a_bay_at_the_images_border_is_no_hole() -> None:
    soft = np.full((30, 30), 0.9, dtype=np.float32)
    soft[:2, 10:12] = 0.1

    np.testing.assert_array_equal(tidied(soft, ()), soft)


def test_the_largest_part_stays_however_small() -> None:
    soft = np.zeros((30, 30), dtype=np.float32)
    soft[4, 4] = soft[20:22, 20] = 0.9

    tidy = tidied(soft, ())

    assert np.argwhere(tidy > 0.5).tolist() == [[20, 20], [21, 20]]


def test_nothing_stays_nothing() -> None:
    assert not (tidied(np.zeros((9, 9), dtype=np.float32), ()) > 0.5).any()
