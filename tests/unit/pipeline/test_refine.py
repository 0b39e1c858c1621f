import numpy as np
import pytest

from cleanplate.pipeline.composite import ERASED, erase
from cleanplate.pipeline.refine import Small, refined

HEIGHT, WIDTH, FACTOR = 240, 320, 4
NOWHERE = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
HOLE = NOWHERE.copy()
HOLE[90:150, 130:200] = True


def grainy(seed: int = 0) -> np.ndarray:
    """Plain ground with grain."""
    grain = np.random.default_rng(seed).normal(0, 12, (HEIGHT, WIDTH, 1))
    return np.clip(np.add(grain, (90, 120, 150)), 0, 255).astype(np.uint8)


def filled_plainly(small: Small) -> np.ndarray:
    guide = small.image.copy()
    guide[small.mask] = np.median(small.image[~small.mask], axis=0)
    return guide


def refined_plainly(image: np.ndarray, *, mask: np.ndarray = HOLE, avoid: np.ndarray = NOWHERE) -> np.ndarray:
    small = Small.of(image, mask, avoid, factor=FACTOR)
    return refined(image, filled_plainly(small), small, hole=mask)


def test_a_small_pixel_is_the_mean_of_what_is_known_of_it() -> None:
    image = np.full((8, 8, 3), 100, dtype=np.uint8)
    image[:4, :4] = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 10
    mask = np.zeros((8, 8), dtype=np.bool_)
    mask[3, 1:4] = True

    small = Small.of(erase(image, mask), mask, np.zeros_like(mask), factor=4)

    known = image[:4, :4][~mask[:4, :4]].mean()
    np.testing.assert_allclose(small.image[0, 0], known, atol=1)
    assert (small.image[0, 1] == 100).all()
    assert not small.mask.any()


def test_a_small_pixel_of_which_too_little_is_known_is_masked_and_overwritten() -> None:
    mask = np.zeros((8, 8), dtype=np.bool_)
    mask[:4, :2] = True

    small = Small.of(np.full((8, 8, 3), 100, dtype=np.uint8), mask, np.zeros_like(mask), factor=4)

    np.testing.assert_array_equal(small.mask, [[True, False], [False, False]])
    assert (small.image[0, 0] == ERASED).all()
    assert (small.image[~small.mask] == 100).all()


def test_one_pixel_to_be_avoided_is_a_small_pixel_to_be_avoided() -> None:
    avoid = np.zeros((8, 8), dtype=np.bool_)
    avoid[7, 7] = True

    small = Small.of(np.full((8, 8, 3), 100, dtype=np.uint8), np.zeros_like(avoid), avoid, factor=4)

    np.testing.assert_array_equal(small.avoid, [[False, False], [False, True]])
    np.testing.assert_array_equal(small.sound, ~small.avoid)


def test_a_plain_fill_gets_the_grain_of_its_surroundings() -> None:
    image = grainy()

    result = refined_plainly(erase(image, HOLE))

    for channel in range(3):
        assert result[HOLE][:, channel].std() == pytest.approx(image[..., channel].std(), rel=0.25)
    assert result[HOLE].mean() == pytest.approx(image.mean(), abs=2)


def test_each_part_gets_the_detail_of_what_looks_like_it() -> None:
    image = grainy()
    image[:, : WIDTH // 2] = (40, 160, 40)
    small = Small.of(erase(image, HOLE), HOLE, NOWHERE, factor=FACTOR)
    guide = small.image.copy()
    guide[:, :40][small.mask[:, :40]] = (40, 160, 40)
    guide[:, 40:][small.mask[:, 40:]] = (90, 120, 150)

    result = refined(erase(image, HOLE), guide, small, hole=HOLE)

    assert result[100:140, 135:150].std(axis=(0, 1)).max() < 3
    assert result[100:140, 175:195].std(axis=(0, 1)).min() > 6


def test_neither_what_is_masked_nor_what_is_to_be_avoided_is_read() -> None:
    avoid = NOWHERE.copy()
    avoid[60:180, 220:300] = True
    small = Small.of(erase(grainy(), HOLE), HOLE, avoid, factor=FACTOR)
    guide = filled_plainly(small)
    results = []
    for seed in range(4):
        image = grainy()
        image[HOLE | avoid] = grainy(seed + 1)[::-1][HOLE | avoid]
        results.append(refined(image, guide, small, hole=HOLE)[HOLE])

    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_what_is_masked_does_not_come_into_the_small_image() -> None:
    ragged = np.random.default_rng(5).random((HEIGHT, WIDTH)) < 0.1
    smalls = []
    for seed in range(4):
        image = grainy()
        image[ragged] = grainy(seed + 1)[ragged]
        smalls.append(Small.of(image, ragged, NOWHERE, factor=FACTOR))

    assert not smalls[0].mask.all()
    for small in smalls[1:]:
        np.testing.assert_array_equal(small.image, smalls[0].image)


def test_where_there_is_nothing_to_take_detail_from_the_fill_is_smooth() -> None:
    result = refined_plainly(erase(grainy(), HOLE), avoid=~HOLE)

    assert result[100:140, 145:185].std(axis=(0, 1)).max() < 1


@pytest.mark.parametrize(
    "mask", [np.ones_like(HOLE), np.roll(HOLE, (-90, -130), (0, 1)), np.roll(HOLE, (90, 120), (0, 1))]
)
def test_holes_at_the_border_and_images_that_are_all_hole_are_refined(mask) -> None:
    small = Small.of(erase(grainy(), mask), mask, NOWHERE, factor=FACTOR)
    guide = np.where(small.mask[..., np.newaxis], np.uint8((90, 120, 150)), small.image)

    result = refined(erase(grainy(), mask), guide, small, hole=mask)

    assert result.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(result[mask].mean(axis=0), (90, 120, 150), atol=2)


def test_the_same_fill_is_refined_the_same_way() -> None:
    np.testing.assert_array_equal(refined_plainly(erase(grainy(), HOLE)), refined_plainly(erase(grainy(), HOLE)))
