import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, Size
from cleanplate.pipeline.outlines import REACH_PX, held, prompt_from_box, prompt_from_outline

SIZE = Size(120, 90)


def empty() -> Mask:
    return np.zeros((SIZE.height, SIZE.width), dtype=np.bool_)


def disc(x: int, y: int, radius: int) -> Mask:
    return cv2.circle(empty().view(np.uint8), (x, y), radius, 1, cv2.FILLED).view(np.bool_)


def ring(x: int, y: int, *, outer: int, inner: int) -> Mask:
    return disc(x, y, outer) & ~disc(x, y, inner)


def test_a_box_says_where_and_nothing_else() -> None:
    mask = empty()
    mask[10:30, 20:70] = True

    prompt = prompt_from_box(mask)

    assert (prompt.box, prompt.points, prompt.previous) == (Box(20, 10, 70, 30), (), None)


def test_a_disc_is_its_box_with_a_point_in_the_middle_and_four_outside() -> None:
    prompt = prompt_from_outline(disc(60, 45, 30))

    assert prompt.box == Box(30, 15, 91, 76)
    inner, *outer = prompt.points
    assert (inner.positive, abs(inner.x - 60) <= 1, abs(inner.y - 45) <= 1) == (True, True, True)
    assert [(point.positive, point.x < 60, point.y < 45) for point in outer] == [
        (False, True, True),
        (False, False, True),
        (False, True, False),
        (False, False, False),
    ]


def test_the_outline_is_the_earlier_mask() -> None:
    mask = disc(60, 45, 30)

    previous = prompt_from_outline(mask).previous

    assert previous is not None
    np.testing.assert_array_equal(previous > 0, mask)


def test_each_large_piece_has_a_point_and_a_crumb_has_none() -> None:
    pieces = disc(20, 20, 10) | disc(90, 60, 14) | disc(60, 80, 2)

    inside = [point for point in prompt_from_outline(pieces).points if point.positive]

    assert [(round(point.x), round(point.y)) for point in inside] == [(90, 60), (20, 20)]


def test_the_point_of_a_ring_lies_on_it_and_the_hole_has_points_outside() -> None:
    mask = ring(60, 45, outer=40, inner=25)

    inner, *outer = prompt_from_outline(mask).points

    assert mask[int(inner.y), int(inner.x)]
    assert not any(mask[int(point.y), int(point.x)] for point in outer)


def test_a_rectangle_has_nothing_outside() -> None:
    mask = empty()
    mask[10:30, 20:70] = True

    assert [point.positive for point in prompt_from_outline(mask).points] == [True]


@given(seed=st.integers(0, 10_000), step=st.sampled_from([1, 5]))
def test_points_are_on_the_side_that_they_say(seed: int, step: int) -> None:
    noise = np.random.default_rng(seed).random((30, 40)).astype(np.float32)
    mask = cv2.resize(cv2.GaussianBlur(noise, (0, 0), 3), None, fx=20 * step, fy=10 * step) > 0.5
    if not mask.any():
        return

    prompt = prompt_from_outline(mask)

    assert all(mask[int(point.y), int(point.x)] == point.positive for point in prompt.points)
    assert any(point.positive for point in prompt.points)


def test_an_answer_is_held_in_the_outline_and_two_pixels_beyond() -> None:
    everything, outline = ~empty(), disc(60, 45, 20)

    kept = held(everything, outline)

    distance = cv2.distanceTransform((~outline).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert kept[outline].all()
    assert REACH_PX <= distance[kept].max() < REACH_PX + 0.5
    assert everything.all()


def test_an_answer_inside_the_outline_stays_as_it_is() -> None:
    answer = disc(55, 45, 10)

    np.testing.assert_array_equal(held(answer, disc(60, 45, 30)), answer)


def test_an_outline_at_the_border_holds_as_one_in_the_middle() -> None:
    outline = empty()
    outline[:10, :10] = True

    kept = held(~empty(), outline)

    assert kept[:10, :12].all()
    assert not kept[:, 12:].any()
