"""Completes masks: a small hole in one is a slip of the brush, a large one the view through a wheel."""

from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.domain.policy import Closing

Numbers: TypeAlias = npt.NDArray[np.int32]
"""Which connected part a pixel belongs to."""

_AREA: Final = cv2.CC_STAT_AREA


def closed(mask: Mask, closing: Closing) -> Mask:
    """*mask* with its small holes filled.

    A hole is what is not masked and cannot be left sideways, up or down without crossing the mask. It is small if it
    has at most the closing's share of its island, which is counted with all its holes. An island that lies in a hole
    counts for itself.
    """
    box = bounding_box(mask)
    if box is None or closing.pct == 0:
        return mask.copy()
    # One pixel more on each side: all that is outside is then one part, the first.
    window = np.pad(mask[box.slices(size_of(mask))], 1)
    _, parts, part_stats, _ = cv2.connectedComponentsWithStats((~window).view(np.uint8), connectivity=4)
    inside = ~window & (parts != parts[0, 0])
    if not inside.any():
        return mask.copy()
    _, islands, island_stats, _ = cv2.connectedComponentsWithStats(window.view(np.uint8), connectivity=8)
    holes, around = _holes(np.asarray(parts, np.int32), np.asarray(islands, np.int32), np.flatnonzero(inside))
    island_px = island_stats[:, _AREA].astype(np.int64)
    island_px += np.bincount(around, part_stats[holes, _AREA], len(island_px)).astype(np.int64)
    is_small = np.zeros(len(part_stats), dtype=np.bool_)
    is_small[holes] = part_stats[holes, _AREA] <= closing.pct / 100 * island_px[around]
    result = mask.copy()
    result[box.slices(size_of(mask))] |= is_small[parts][1:-1, 1:-1]
    return result


def _holes(parts: Numbers, islands: Numbers, inside: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], Numbers]:
    """The number of each hole, and of the island it is in.

    Args:
        parts: (h, w), numbers what is not masked.
        islands: (h, w), numbers what is masked.
        inside: flat places of all pixels of holes, from the top downwards.
    """
    first = np.zeros(int(parts.max()) + 1, dtype=np.intp)
    # From the bottom upwards: what is written last, a hole's topmost pixel, stays. No hole has a pixel at place 0.
    first[parts.ravel()[inside[::-1]]] = inside[::-1]
    holes = np.flatnonzero(first)
    # Above a hole's topmost pixel lies its island: whatever else is in the hole begins further down.
    return holes, islands.ravel()[first[holes] - parts.shape[1]]
