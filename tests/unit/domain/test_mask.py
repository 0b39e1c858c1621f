import numpy as np
import pytest

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Size
from cleanplate.domain.mask import bounding_box, require_fit, rounded_out, union
from cleanplate.errors import SizeMismatchError


def mask_of(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


def test_a_mask_of_another_size_does_not_fit() -> None:
    with pytest.raises(SizeMismatchError, match="2×3 does not fit an image of 3×2"):
        require_fit(np.zeros((3, 2), dtype=np.bool_), Size(width=3, height=2))


def test_the_bounding_box_is_tight() -> None:
    assert bounding_box(mask_of("....", ".#..", "...#")) == Box(1, 1, 4, 3)


def test_an_empty_mask_has_no_bounding_box() -> None:
    assert bounding_box(mask_of("...", "...")) is None


def test_a_union_holds_what_any_mask_holds() -> None:
    masks = (mask_of("#..", "..."), mask_of("...", "..#"))

    np.testing.assert_array_equal(union(masks, Size(3, 2)), mask_of("#..", "..#"))
    np.testing.assert_array_equal(masks[0], mask_of("#..", "..."))


def test_a_union_of_nothing_is_empty() -> None:
    np.testing.assert_array_equal(union((), Size(3, 2)), mask_of("...", "..."))


def test_a_union_refuses_a_mask_of_another_size() -> None:
    with pytest.raises(SizeMismatchError):
        union((mask_of("#."),), Size(3, 2))


def test_rounding_out_fills_every_cell_the_mask_touches() -> None:
    rounded = rounded_out(mask_of("......", "...#..", "......", "......", "#....."), Size(width=4, height=2))

    np.testing.assert_array_equal(rounded, mask_of("####..", "####..", "......", "......", "####.."))


def test_cells_cut_by_the_border_are_filled_too() -> None:
    rounded = rounded_out(mask_of(".....", ".....", "....#"), Size(width=4, height=2))

    np.testing.assert_array_equal(rounded, mask_of(".....", ".....", "....#"))


def test_a_grid_of_single_pixels_gives_a_new_equal_mask() -> None:
    mask = mask_of("#.", ".#")
    rounded = rounded_out(mask, Size(1, 1))

    np.testing.assert_array_equal(rounded, mask)
    assert not np.shares_memory(rounded, mask)
