import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cleanplate.domain.policy import Closing
from cleanplate.pipeline.holes import closed

masks = arrays(np.bool_, (12, 15), elements=st.booleans())
shares = st.sampled_from([0.0, 1.0, 5.0, 25.0, 100.0])


def parts(mask: np.ndarray, steps: list[tuple[int, int]]) -> list[set[tuple[int, int]]]:
    """The connected parts of a mask, found by walking."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        part, edge = set(), {left.pop()}
        while edge:
            part |= edge
            edge = {(y + down, x + right) for y, x in edge for down, right in steps} & left
            left -= edge
        found.append(part)
    return found


STRAIGHT = [(-1, 0), (1, 0), (0, -1), (0, 1)]
ALL_AROUND = [*STRAIGHT, (-1, -1), (-1, 1), (1, -1), (1, 1)]


def expected(mask: np.ndarray, pct: float) -> np.ndarray:
    """Holes and islands by walking, and each hole's island by stepping up from its topmost pixel."""
    height, width = mask.shape
    islands = parts(mask, ALL_AROUND)
    holes = [part for part in parts(~mask, STRAIGHT) if all(0 < y < height - 1 and 0 < x < width - 1 for y, x in part)]
    island_of = {id(hole): next(i for i in islands if (min(hole)[0] - 1, min(hole)[1]) in i) for hole in holes}
    result = mask.copy()
    for hole in holes:
        island = island_of[id(hole)]
        area = len(island) + sum(len(other) for other in holes if island_of[id(other)] is island)
        if len(hole) <= pct / 100 * area:
            for y, x in hole:
                result[y, x] = True
    return result


@given(mask=masks, pct=shares)
def test_exactly_the_small_holes_are_closed(mask, pct) -> None:
    np.testing.assert_array_equal(closed(mask, Closing(pct)), expected(mask, pct))


@given(mask=masks, pct=shares)
def test_closing_keeps_the_region_and_stays_in_its_outline(mask, pct) -> None:
    before = mask.copy()
    result = closed(mask, Closing(pct))

    np.testing.assert_array_equal(mask, before)
    assert result[mask].all()
    outside = np.ones_like(mask)
    for hole in (p for p in parts(~mask, STRAIGHT) if all(0 < y < 11 and 0 < x < 14 for y, x in p)):
        for y, x in hole:
            outside[y, x] = False
    outside &= ~mask
    assert not result[outside].any()
