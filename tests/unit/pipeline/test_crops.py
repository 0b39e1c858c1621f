import time

import numpy as np
import pytest

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import size_of
from cleanplate.engines.protocols import Comfort
from cleanplate.pipeline.crops import Crop, crops_of, part_shown, pooled

HALF = Comfort(context=0.5, min_side_px=64)
NETWORK = Comfort(context=0.5, min_side_px=64, max_side_px=128, multiple=16)


def block(left: int, top: int, right: int, bottom: int, *, width: int = 600, height: int = 200) -> np.ndarray:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def specks() -> np.ndarray:
    mask = np.zeros((3000, 4000), dtype=np.bool_)
    mask[::97, ::83] = True
    return mask


def holes(crops: tuple[Crop, ...], mask: np.ndarray) -> np.ndarray:
    """How many crops take each pixel."""
    count = np.zeros(mask.shape, dtype=int)
    for crop in crops:
        count[crop.box.slices(size_of(mask))] += crop.hole
    return count


def shown_pixels(crops: tuple[Crop, ...]) -> float:
    return sum(crop.box.area / crop.factor**2 for crop in crops)


def test_objects_far_apart_get_crops_of_their_own_with_context() -> None:
    mask = block(104, 80, 152, 96) | block(400, 80, 500, 90)

    left, right = crops_of(mask, HALF)

    assert left.box.left <= 104 - 24
    assert left.box.right >= 152 + 24
    assert right.box.left <= 400 - 50
    assert right.box.right >= 500 + 50
    assert left.hole.sum() == 48 * 16
    np.testing.assert_array_equal(holes((left, right), mask), mask)


def test_a_crop_that_is_too_long_is_made_as_small_as_the_inpainter_was_trained_for() -> None:
    comfort = Comfort(context=0.5, min_side_px=64, max_side_px=256, coarse_side_px=96)

    (whole,) = crops_of(block(200, 40, 320, 160), comfort)
    (small,) = crops_of(block(200, 40, 340, 160), comfort)

    assert (whole.factor, whole.box.width) == (1, 240)
    assert small.factor == 3
    assert small.box.width / small.factor <= 96


def test_a_small_object_is_shown_in_the_middle_of_the_least_crop() -> None:
    (crop,) = crops_of(block(304, 104, 312, 112), HALF)

    assert crop.box == Box(276, 76, 340, 140)


def test_objects_whose_contexts_overlap_share_a_crop() -> None:
    (crop,) = crops_of(block(104, 80, 120, 96) | block(128, 80, 144, 96), HALF)

    assert crop.hole.sum() == 2 * 16 * 16


def test_the_part_that_is_shown_holds_all_crops_and_no_more_than_the_image() -> None:
    mask = block(104, 80, 120, 96) | block(560, 150, 600, 200)

    boxes = [crop.box for crop in crops_of(mask, HALF)]

    assert part_shown(mask, HALF) == Box(
        min(box.left for box in boxes), min(box.top for box in boxes), 600, max(box.bottom for box in boxes)
    )
    assert part_shown(block(0, 0, 41, 30, width=41, height=30), NETWORK) == Box(0, 0, 41, 30)
    assert part_shown(np.zeros((20, 30), dtype=np.bool_), HALF) is None


def test_objects_that_lie_apart_share_a_crop_only_if_the_inpainter_works_for_what_it_is_shown() -> None:
    mask = block(104, 80, 120, 96) | block(200, 80, 216, 96)
    wide = {"context": 6, "min_side_px": 64}

    assert len(crops_of(mask, Comfort(**wide))) == 2
    assert len(crops_of(mask, Comfort(**wide, max_side_px=512))) == 1


def test_objects_share_a_crop_if_they_all_but_touch_beside_their_size() -> None:
    wide = Comfort(context=1.5, min_side_px=16)

    for length, gap, count in ((160, 8, 1), (160, 16, 2), (640, 24, 1), (640, 40, 2)):
        mask = block(40, 20, 80, 20 + length, height=700) | block(80 + gap, 20, 120 + gap, 20 + length, height=700)
        assert len(crops_of(mask, wide)) == count


def test_an_inpainter_that_works_for_what_is_masked_is_given_holes_that_lie_apart_as_if_each_were_alone() -> None:
    any_size = Comfort(context=1.0, min_side_px=96)
    plate, person = block(40, 120, 120, 150), block(220, 20, 260, 130)

    alone = [*crops_of(plate, any_size), *crops_of(person, any_size)]

    assert [crop.box for crop in crops_of(plate | person, any_size)] == [crop.box for crop in alone]


def test_an_object_in_the_context_of_another_but_off_to_the_side_keeps_a_crop_of_its_own() -> None:
    mask = block(200, 80, 216, 96) | block(256, 136, 272, 152)

    crops = crops_of(mask, HALF)

    assert len(crops) == 2
    assert crops[0].box.right > crops[1].box.left
    np.testing.assert_array_equal(holes(crops, mask), mask)


def test_far_ends_of_a_diagonal_of_holes_do_not_share_a_crop() -> None:
    mask = np.zeros((1200, 1600), dtype=np.bool_)
    for step in range(20):
        mask[20 + 56 * step :, 20 + 72 * step :][:24, :24] = True

    crops = crops_of(mask, HALF)

    assert len(crops) > 5
    assert shown_pixels(crops) < 0.1 * mask.size
    np.testing.assert_array_equal(holes(crops, mask), mask)


def test_at_the_border_a_crop_is_moved_inwards_before_anything_is_reflected() -> None:
    for mask in (block(0, 0, 8, 8), block(592, 192, 600, 200), block(592, 0, 600, 8)):
        (crop,) = crops_of(mask, NETWORK)

        assert (crop.box.width, crop.box.height) == (64, 64)
        assert crop.box == crop.box.clipped(size_of(mask))
        assert crop.hole.sum() == 64


def test_an_image_smaller_than_the_least_crop_is_shown_whole_and_reflected_to_the_multiple() -> None:
    (crop,) = crops_of(block(10, 10, 12, 12, width=41, height=30), NETWORK)

    assert crop.box == Box(0, 0, 48, 32)
    assert crop.hole.shape == (30, 41)


def test_a_crop_is_widened_to_whole_multiples() -> None:
    (crop,) = crops_of(block(200, 80, 240, 120), NETWORK)

    assert (crop.box.width, crop.box.height) == (80, 80)
    assert crop.factor == 1


@pytest.mark.parametrize(("side", "factor", "shown"), [(64, 1, 128), (72, 2, 80), (160, 3, 112), (480, 8, 128)])
def test_what_is_larger_than_comfortable_is_filled_smaller(side, factor, shown) -> None:
    (crop,) = crops_of(block(504, 504, 504 + side, 504 + side, width=2000, height=2000), NETWORK)

    assert crop.factor == factor
    assert (crop.box.width / factor, crop.box.height / factor) == (shown, shown)


def test_two_objects_that_are_comfortable_apart_are_not_made_smaller_to_share_a_crop() -> None:
    mask = block(200, 80, 256, 136) | block(280, 80, 336, 136)

    crops = crops_of(mask, NETWORK)

    assert [crop.factor for crop in crops] == [1, 1]
    assert crops[0].box.right > crops[1].box.left


def test_an_inpainter_that_takes_any_size_is_never_shown_less() -> None:
    (crop,) = crops_of(block(0, 0, 4000, 3000, width=4000, height=3000), HALF)

    assert crop.box == Box(0, 0, 4000, 3000)
    assert crop.factor == 1


@pytest.mark.parametrize("comfort", [HALF, Comfort(context=0.75, min_side_px=512, max_side_px=512, multiple=64)])
def test_thousands_of_specks_make_few_crops_in_little_time(comfort) -> None:
    mask = specks()
    start = time.process_time()

    crops = crops_of(mask, comfort)

    assert time.process_time() - start < 30
    assert len(crops) <= 32
    assert shown_pixels(crops) < 1.5 * mask.size
    np.testing.assert_array_equal(holes(crops, mask), mask)


def test_an_empty_mask_needs_no_crop() -> None:
    assert crops_of(block(0, 0, 0, 0), HALF) == ()


def test_a_cell_is_masked_if_any_of_its_pixels_is() -> None:
    mask = np.zeros((5, 7), dtype=np.bool_)
    mask[4, 2] = mask[0, 6] = True

    np.testing.assert_array_equal(pooled(mask, 3), [[False, False, True], [True, False, False]])
