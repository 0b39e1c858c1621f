"""What somebody drew around an object, or all over it, as a prompt for a segmenter.

A segmenter takes points and boxes, and an earlier mask to refine. So an outline becomes the box around it, a point
inside each of its larger pieces, points in the box that are clearly outside, and itself as the earlier mask. Where a
segmenter takes an earlier mask for its own answer, the box alone is better: around the objects of the benchmark of
masks, with loose outlines that overlap with them by .85, graphcut's answers to the box overlapped by .90, to the
box and the points by .87, and to all of it by .85, as the outlines themselves. The answer is held inside the outline
either way: whoever drew it said that the object ends there.
"""

import math
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Mask, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.domain.prompt import Prompt
from cleanplate.pipeline.conversation import logits_from_mask

REACH_PX: Final = 2
"""So far beyond an outline an object may still reach: outlines are drawn by hand."""

_POINTS_SIDE_PX: Final = 256
"""Points are looked for in every so manieth pixel of larger outlines, so that it takes no longer."""

_MAX_PIECES: Final = 4
_LEAST_PIECE: Final = 0.1
"""A piece of an outline gets a point if it is at least this share of the largest."""

_LEAST_DEPTH: Final = 0.05
"""A point outside must be this share of the box's longer side away from the outline, to be clearly outside."""


def box_around(mask: Mask) -> Box:
    """The tight box around what was drawn. *mask* (H, W) must not be empty."""
    box = bounding_box(mask)
    assert box is not None, "an outline on the image has pixels"  # noqa: S101
    return box


def prompt_from_box(mask: Mask) -> Prompt:
    """The box around what was drawn, and nothing else. *mask* (H, W) must not be empty."""
    return Prompt(box=box_around(mask))


def prompt_from_outline(mask: Mask) -> Prompt:
    """All that an outline says. *mask* (H, W) is what it encloses, and must not be empty."""
    box = box_around(mask)
    crop = mask[box.slices(size_of(mask))]
    step = math.ceil(max(crop.shape) / _POINTS_SIDE_PX)
    places = np.ascontiguousarray(crop[::step, ::step])
    points = [
        Point(box.left + x * step, box.top + y * step, positive)
        for positive, found in ((True, _inner(places)), (False, _outer(places)))
        for x, y in found
    ]
    return Prompt(points=tuple(points), box=box, previous=logits_from_mask(mask))


def held(mask: Mask, outline: Mask) -> Mask:
    """The part of *mask* that lies in what an outline encloses, or at most REACH_PX beyond. Both (H, W)."""
    size = size_of(outline)
    place = box_around(outline).grown(REACH_PX).slices(size)
    side = 2 * REACH_PX + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    result = np.zeros_like(mask)
    result[place] = mask[place] & cv2.dilate(outline[place].view(np.uint8), disc).view(np.bool_)
    return result


def _inner(places: Mask) -> Iterator[tuple[int, int]]:
    """(x, y) of the places furthest inside, one in each large piece."""
    count, numbers, facts, _ = cv2.connectedComponentsWithStats(places.view(np.uint8), connectivity=8)
    areas = facts[1:, cv2.CC_STAT_AREA]
    largest_first = np.argsort(-areas, kind="stable")[:_MAX_PIECES] if count > 1 else ()
    for piece in largest_first:
        if areas[piece] >= _LEAST_PIECE * areas.max():
            x, y, _ = _deepest(np.asarray(numbers == piece + 1), open_border=False)
            yield x, y


def _outer(places: Mask) -> Iterator[tuple[int, int]]:
    """(x, y) of the places furthest outside, one in each quarter that has one."""
    height, width = places.shape
    outside = ~places
    middle_x, middle_y = (width + 1) // 2, (height + 1) // 2
    for rows in (slice(0, middle_y), slice(middle_y, height)):
        for columns in (slice(0, middle_x), slice(middle_x, width)):
            quarter = np.zeros_like(outside)
            quarter[rows, columns] = outside[rows, columns]
            if not quarter.any():
                continue
            x, y, depth = _deepest(outside, open_border=True, among=quarter)
            if depth >= _LEAST_DEPTH * max(places.shape):
                yield x, y


def _deepest(inside: Mask, *, open_border: bool, among: Mask | None = None) -> tuple[int, int, float]:
    """(x, y) of the place furthest from all that is not *inside*, and how far it is.

    Args:
        inside: (h, w).
        open_border: whether what lies beyond the border counts as inside, too.
        among: (h, w), the places to choose from; None: all.
    """
    padded = np.pad(inside, 1, constant_values=open_border).view(np.uint8)
    depths = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    chosen = depths if among is None else np.where(among, depths, 0)
    y, x = np.unravel_index(int(chosen.argmax()), chosen.shape)
    return int(x), int(y), float(chosen[y, x])
