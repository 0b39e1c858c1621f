import numpy as np
import pytest

from cleanplate.pipeline.harmonise import harmonised

HEIGHT, WIDTH = 60, 80


def scene() -> np.ndarray:
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([60 + xs, 200 - 2 * ys, 40 + xs + ys], axis=-1).astype(np.uint8)


def block(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def off_by(image: np.ndarray, levels: np.ndarray | int) -> np.ndarray:
    return np.clip(image.astype(int) + levels, 0, 255).astype(np.uint8)


def test_an_answer_with_the_known_pixels_as_they_are_stays_as_it_is() -> None:
    mask = block(20, 10, 60, 50)
    answer = scene()
    answer[mask] = np.random.default_rng(1).integers(0, 256, (mask.sum(), 3))

    np.testing.assert_array_equal(harmonised(scene(), answer, mask=mask, hole=mask), answer)


@pytest.mark.parametrize("levels", [-20, 7, np.array([12, -9, 4])])
def test_a_fill_that_is_off_by_the_same_everywhere_is_put_right(levels) -> None:
    mask = block(20, 10, 60, 50)

    result = harmonised(scene(), off_by(scene(), levels), mask=mask, hole=mask)

    np.testing.assert_allclose(result[mask].astype(int), scene()[mask], atol=1)


def test_a_difference_that_changes_along_the_edge_is_continued_smoothly() -> None:
    mask, slope = block(20, 10, 60, 50), (np.arange(WIDTH)[:, np.newaxis] - 40) // 3

    result = harmonised(scene(), off_by(scene(), slope), mask=mask, hole=mask)

    np.testing.assert_allclose(result[mask].astype(int), scene()[mask], atol=3)


def test_an_edge_the_inpainter_did_not_draw_again_smears_no_further_than_the_limit() -> None:
    mask, image = block(20, 10, 60, 50), scene()
    image[:, :20] = 255
    answer = np.full_like(image, 100)

    result = harmonised(image, answer, mask=mask, hole=mask)

    assert np.abs(result[mask].astype(int) - 100).max() <= 32


def test_only_the_hole_is_corrected() -> None:
    hole, other = block(20, 10, 40, 50), block(45, 10, 60, 50)
    answer = off_by(scene(), 10)

    result = harmonised(scene(), answer, mask=hole | other, hole=hole)

    np.testing.assert_array_equal(result[~hole], answer[~hole])
    np.testing.assert_allclose(result[hole].astype(int), scene()[hole], atol=1)


def test_what_lies_under_another_hole_is_not_compared() -> None:
    hole, other = block(20, 10, 40, 50), block(40, 10, 60, 50)
    image, answer = scene(), scene()
    image[other] = 0

    np.testing.assert_array_equal(harmonised(image, answer, mask=hole | other, hole=hole), answer)


@pytest.mark.parametrize("hole", [block(0, 0, WIDTH, HEIGHT), block(0, 0, 0, 0)])
def test_without_an_edge_there_is_nothing_to_compare(hole) -> None:
    answer = off_by(scene(), 10)

    np.testing.assert_array_equal(harmonised(scene(), answer, mask=hole, hole=hole), answer)


@pytest.mark.parametrize(
    "hole", [block(0, 0, 1, 1), block(WIDTH - 1, HEIGHT - 1, WIDTH, HEIGHT), block(7, 0, 8, HEIGHT)]
)
def test_holes_of_one_pixel_and_holes_at_the_border_are_corrected_too(hole) -> None:
    result = harmonised(scene(), off_by(scene(), -15), mask=hole, hole=hole)

    np.testing.assert_allclose(result[hole].astype(int), scene()[hole], atol=1)


def test_a_correction_that_is_to_fade_is_gone_deep_in_the_hole() -> None:
    mask = block(10, 5, 70, 55)

    result = harmonised(scene(), off_by(scene(), 12), mask=mask, hole=mask, reach_px=2.0)

    assert np.abs(result[5, 10:70].astype(int) - scene()[5, 10:70]).max() <= 6
    np.testing.assert_array_equal(result[25:35, 30:50], off_by(scene(), 12)[25:35, 30:50])


def test_inputs_are_left_alone() -> None:
    mask, image, answer = block(20, 10, 60, 50), scene(), off_by(scene(), 10)
    before = answer.copy()

    harmonised(image, answer, mask=mask, hole=mask)

    np.testing.assert_array_equal(answer, before)
    np.testing.assert_array_equal(image, scene())
