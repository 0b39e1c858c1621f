import numpy as np
import pytest

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Size
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.segmenters.graphcut import LONGEST_PX, load
from cleanplate.errors import PromptError


def two_blocks(scale: int = 1) -> np.ndarray:
    """A red block and a blue one, side by side with a gap, on grey."""
    image = np.full((90, 130, 3), 130, dtype=np.uint8)
    image[20:70, 15:55] = (200, 50, 40)
    image[20:70, 70:115] = (40, 60, 190)
    noise = np.random.default_rng(6).normal(0, 6, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)


def truth(left: int, right: int, scale: int = 1) -> np.ndarray:
    mask = np.zeros((90 * scale, 130 * scale), dtype=np.bool_)
    mask[20 * scale : 70 * scale, left * scale : right * scale] = True
    return mask


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.fixture(scope="module")
def engine():
    return load()


@pytest.fixture(scope="module")
def embedding(engine):
    return engine.embed(two_blocks())


def test_a_second_click_adds_the_second_object(engine, embedding) -> None:
    answer = engine.segment(embedding, Prompt((Point(35, 45), Point(92, 45))))

    assert overlap(answer.mask, truth(15, 55) | truth(70, 115)) > 0.95


def test_a_negative_click_takes_it_away_again(engine, embedding) -> None:
    both = engine.segment(embedding, Prompt((Point(35, 45), Point(92, 45))))

    answer = engine.segment(embedding, Prompt((Point(92, 45, positive=False),), previous=both.logits))

    assert overlap(answer.mask, truth(15, 55)) > 0.95


def test_a_click_that_the_answer_already_agrees_with_changes_nothing(engine, embedding) -> None:
    points = (Point(35, 45), Point(3, 3, positive=False), Point(20, 30))
    before = engine.segment(embedding, Prompt(points[:1]))

    after = engine.segment(embedding, Prompt(points, previous=before.logits))

    np.testing.assert_array_equal(after.mask, before.mask)


def test_a_click_at_the_rim_moves_only_what_is_near(engine, embedding) -> None:
    before = engine.segment(embedding, Prompt((Point(35, 45),)))

    after = engine.segment(embedding, Prompt((Point(35, 45), Point(16, 22, positive=False)), previous=before.logits))

    changed = np.argwhere(after.mask != before.mask)
    assert len(changed) > 0
    assert changed[:, 1].max() < 40
    assert overlap(after.mask, truth(15, 55)) > 0.8


def test_a_box_takes_only_what_is_in_it(engine, embedding) -> None:
    answer = engine.segment(embedding, Prompt(box=Box(13, 18, 57, 72)))

    assert overlap(answer.mask, truth(15, 55)) > 0.95
    assert not answer.mask[:, 58:].any()


def test_clicks_refine_a_box_and_may_reach_beyond_it(engine, embedding) -> None:
    box = Box(13, 18, 57, 72)

    reached = engine.segment(embedding, Prompt((Point(92, 45),), box))
    refined = engine.segment(embedding, Prompt((Point(20, 25, positive=False),), box))

    assert overlap(reached.mask, truth(15, 55) | truth(70, 115)) > 0.9
    assert not refined.mask[25, 20]
    assert not refined.mask[:, 58:].any()


def test_a_box_around_the_last_answer_keeps_it_and_another_box_begins_anew(engine, embedding) -> None:
    first = engine.segment(embedding, Prompt((Point(35, 45),)))

    same = engine.segment(embedding, Prompt(box=Box(13, 18, 57, 72), previous=first.logits))
    other = engine.segment(embedding, Prompt(box=Box(68, 18, 117, 72), previous=first.logits))

    np.testing.assert_array_equal(same.mask, first.mask)
    assert overlap(other.mask, truth(70, 115)) > 0.95


def test_an_earlier_mask_of_another_resolution_is_refined_too(engine, embedding) -> None:
    drawn = np.where(truth(15, 55)[::2, ::2] | truth(70, 115)[::2, ::2], 16, -16).astype(np.float32)

    answer = engine.segment(embedding, Prompt((Point(92, 45, positive=False),), previous=drawn))

    assert overlap(answer.mask, truth(15, 55)) > 0.93


@pytest.mark.parametrize("nothing", [-4.0, np.nan, -np.inf])
def test_an_earlier_mask_without_anything_in_it_needs_a_positive_click(engine, embedding, nothing) -> None:
    previous = np.full((90, 130), nothing, dtype=np.float32)

    with pytest.raises(PromptError, match="earlier mask is empty"):
        engine.segment(embedding, Prompt((Point(5, 5, positive=False),), previous=previous))
    answer = engine.segment(embedding, Prompt((Point(35, 45),), previous=previous))
    assert overlap(answer.mask, truth(15, 55)) > 0.95


def test_an_object_of_one_pixel_cannot_be_clicked_away(engine) -> None:
    embedding = engine.embed(np.zeros((1, 1, 3), dtype=np.uint8))

    with pytest.raises(PromptError, match="leave nothing"):
        engine.segment(embedding, Prompt((Point(0, 0), Point(0, 0, positive=False))))


def test_the_last_of_two_clicks_on_one_pixel_counts(engine, embedding) -> None:
    place = Point(35, 45)

    answer = engine.segment(embedding, Prompt((place, place._replace(positive=False), place)))

    assert answer.mask[45, 35]


def test_a_large_image_gets_small_logits_and_a_sharp_mask(engine) -> None:
    scale = 12
    embedding = engine.embed(two_blocks(scale))

    answer = engine.segment(embedding, Prompt((Point(35 * scale, 45 * scale),)))

    assert embedding.size == Size(130 * scale, 90 * scale)
    assert max(answer.logits.shape) == LONGEST_PX
    assert overlap(answer.mask, truth(15, 55, scale)) > 0.97


def test_a_small_thing_in_a_large_image_is_found_with_one_click(engine) -> None:
    image = np.random.default_rng(8).normal(120, 6, (1500, 2000, 3)).clip(0, 255).astype(np.uint8)
    image[400:900, 300:1500] = (60, 90, 60)
    image[700:730, 1200:1270] = (230, 220, 60)
    image[705:725, 1205:1265:8] = 20
    embedding = engine.embed(image)

    first = engine.segment(embedding, Prompt((Point(1235, 715),)))
    second = engine.segment(embedding, Prompt((Point(1235, 715), Point(1203, 702, positive=False)), None, first.logits))

    plate = np.zeros((1500, 2000), dtype=np.bool_)
    plate[700:730, 1200:1270] = True
    assert overlap(first.mask, plate) > 0.85
    assert overlap(second.mask, plate) > 0.7
    assert not second.mask[702, 1203]


def test_a_negative_click_adds_nothing_to_the_mask_of_a_large_image(engine) -> None:
    scale = 12
    embedding = engine.embed(two_blocks(scale))
    points = (Point(35 * scale, 45 * scale), Point(20 * scale, 25 * scale, positive=False))
    before = engine.segment(embedding, Prompt(points[:1]))

    after = engine.segment(embedding, Prompt(points, previous=before.logits))

    assert not after.mask[25 * scale, 20 * scale]
    assert after.mask.any()
    assert not (after.mask & ~before.mask).any()


def test_an_embedding_tells_about_how_much_memory_it_holds(engine) -> None:
    small, large = engine.embed(two_blocks()), engine.embed(two_blocks(12))

    assert 90 * 130 * 3 < small.size_bytes < 2_000_000
    assert large.size_bytes > 12 * 12 * 90 * 130 * 3
    assert not large.image.flags.writeable
    assert not large.small.flags.writeable


def test_the_version_changes_with_the_learned_numbers(engine) -> None:
    name, digest = engine.version.rsplit("-", 1)

    assert name == "graphcut"
    assert len(digest) == 12
    assert int(digest, 16) >= 0
