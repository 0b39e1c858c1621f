"""Which parts of an image an inpainter is shown, one for each group of holes that lie close together.

Crops may overlap, their holes do not: every masked pixel is the business of one crop. What belongs to another crop is
never shown as filled, so no fill depends on the order in which the crops are worked off.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, Size, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.engines.protocols import Comfort

_CELL_PX: Final = 8
"""Holes are told apart in cells of this side: twenty times faster than by pixels, and no crop is as small as one."""

_MOST_GROUPS: Final = 256
"""A sprinkled mask has thousands of holes; before they are compared with each other, near ones are one."""

_MOST_CROPS: Final = 32
"""Beyond it holes share crops even if those become larger than is comfortable."""

_NEAR: Final = 0.05
_NEAR_PX: Final = 16
"""An inpainter that takes any size works for what is in the hole, not for what it is shown, and does better with one
thing at a time: for it, holes share a crop only if less lies between them than this share of the longer side of either,
or than so many pixels."""

Floats: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Crop:
    """A part of an image that an inpainter is shown, and the pixels that are taken from its answer.

    Attributes:
        box: whole pixels. Its right and bottom may lie beyond the image's: there the image is reflected.
        hole: (h, w) of the part of the box that lies on the image, True where the answer is taken.
        factor: the crop is filled this many times smaller; both sides of the box are multiples of it.
    """

    box: Box
    hole: Mask
    factor: int = 1


class _Groups(NamedTuple):
    """Groups of holes; one row for each.

    Attributes:
        wanted: (n, 4) left, top, right, bottom: what an inpainter is to see, holes and context.
        holes: (n, 4), around the holes alone.
        members: the numbers of the holes.
    """

    wanted: Floats
    holes: Floats
    members: list[Numbers]


def crops_of(mask: Mask, comfort: Comfort) -> tuple[Crop, ...]:
    """Cut crops so that an inpainter sees each hole with the context it wants.

    Holes whose contexts overlap share a crop if that is less to fill than two, and if neither must be shrunk further
    for it: far ends of a diagonal of holes stay apart. If the inpainter takes any size, only holes that lie side by
    side do. The crops are sorted by their boxes.
    """
    size = size_of(mask)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(pooled(mask, _CELL_PX).view(np.uint8), connectivity=8)
    holes = np.minimum(_edges(np.asarray(stats[1:], dtype=np.int32)), (*size, *size))
    if not len(holes):
        return ()
    groups = _merged(_sown(holes, size, comfort), size, comfort)
    group_of = np.zeros(len(holes) + 1, dtype=np.int32)
    for number, members in enumerate(groups.members, start=1):
        group_of[members + 1] = number
    owners = group_of[labels]
    crops = [_crop(mask, owners == number, wanted, comfort) for number, wanted in enumerate(groups.wanted, start=1)]
    return tuple(sorted(crops, key=lambda crop: (crop.box, crop.factor)))


def part_shown(mask: Mask, comfort: Comfort) -> Box | None:
    """The part of an image in which all of an inpainter's crops lie; None if nothing is masked."""
    boxes = [crop.box for crop in crops_of(mask, comfort)]
    return Box(*_around(np.array(boxes)).tolist()).clipped(size_of(mask)) if boxes else None


def pooled(mask: Mask, side_px: int) -> Mask:
    """One for each square cell of the mask, True if any of its pixels is. The last ones may be cut off."""
    cell = np.ones((side_px, side_px), dtype=np.uint8)
    widest = cv2.dilate(mask.view(np.uint8), cell, anchor=(0, 0))
    return np.ascontiguousarray(widest[::side_px, ::side_px]).view(np.bool_)


def _edges(stats: npt.NDArray[np.int32]) -> Floats:
    boxes = stats[:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    return np.hstack([boxes, boxes + stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]]).astype(np.float64) * _CELL_PX


def _sown(holes: Floats, size: Size, comfort: Comfort) -> _Groups:
    """A group for each hole; if they are too many, one for all small ones in the same square of a grid."""
    sides = holes[:, 2:] - holes[:, :2]
    longer = sides.max(axis=1)
    margins = np.maximum(comfort.context * longer[:, np.newaxis], (comfort.min_side_px - sides) / 2)
    wanted = np.hstack([holes[:, :2] - margins, holes[:, 2:] + margins])
    numbers = np.arange(len(holes))
    keys = numbers
    side = max(comfort.min_side_px / 4, _CELL_PX)
    while len(np.unique(keys)) > _MOST_GROUPS:
        columns, rows = ((holes[:, :2] + holes[:, 2:]) / (2 * side)).astype(np.intp).T
        squares = rows * math.ceil(size.width / _CELL_PX) + columns
        keys = np.where(longer <= side, squares, -1 - numbers)
        side *= 2
    members = [np.flatnonzero(keys == key) for key in np.unique(keys)]
    shown, filled = (np.array([_around(boxes[each]) for each in members]) for boxes in (wanted, holes))
    return _Groups(shown, filled, members)


def _merged(groups: _Groups, size: Size, comfort: Comfort) -> _Groups:
    """Join the two groups that gain most by it, and again, while any gain or there are too many."""
    groups = groups._replace(members=list(groups.members))
    gains = np.array([_gains(groups, one, size, comfort) for one in range(len(groups.members))])
    while len(groups.members) > 1:
        comfortable, forced = gains[:, 0], gains[:, 1]
        if comfortable.max() < 0 and len(groups.members) <= _MOST_CROPS:
            break
        choice = comfortable if comfortable.max() >= 0 else forced
        one, other = (int(number) for number in np.unravel_index(choice.argmax(), choice.shape))
        groups = _joined(groups, one, other)
        gains = np.delete(np.delete(gains, other, axis=0), other, axis=2)
        one -= one > other
        gains[one] = _gains(groups, one, size, comfort)
        gains[:, :, one] = gains[one].T
    return groups


def _joined(groups: _Groups, one: int, other: int) -> _Groups:
    wanted, holes, members = groups
    for boxes in (wanted, holes):
        boxes[one] = _around(boxes[[one, other]])
    members[one] = np.concatenate([members[one], members.pop(other)])
    return _Groups(np.delete(wanted, other, axis=0), np.delete(holes, other, axis=0), members)


def _gains(groups: _Groups, one: int, size: Size, comfort: Comfort) -> Floats:
    """How many pixels an inpainter is spared if a group is joined with each other one; −∞ where it must not be.

    Returns:
        (2, n): first only what keeps both comfortable, then any joining.
    """
    wanted = groups.wanted
    unions = np.hstack([np.minimum(wanted[one, :2], wanted[:, :2]), np.maximum(wanted[one, 2:], wanted[:, 2:])])
    pixels, factors = _effort(wanted, size, comfort)
    joint_pixels, joint_factors = _effort(unions, size, comfort)
    gains = pixels[one] + pixels - joint_pixels
    gains[one] = -np.inf
    overlap = ((wanted[one, :2] < wanted[:, 2:]) & (wanted[:, :2] < wanted[one, 2:])).all(axis=1)
    fine = overlap & (joint_factors <= np.maximum(factors[one], factors)) & _near(groups.holes, one, comfort)
    # Only groups that make the smallest crop are forced together.
    spread = -(unions[:, 2:] - unions[:, :2]).max(axis=1)
    spread[one] = -np.inf
    return np.array([np.where(fine, gains, -np.inf), spread])


def _near(holes: Floats, one: int, comfort: Comfort) -> Mask:
    if comfort.max_side_px is not None:
        return np.ones(len(holes), dtype=np.bool_)
    apart = np.maximum(holes[one, :2] - holes[:, 2:], holes[:, :2] - holes[one, 2:]).max(axis=1)
    longer = (holes[:, 2:] - holes[:, :2]).max(axis=1)
    return np.asarray(apart < np.maximum(_NEAR_PX, _NEAR * np.maximum(longer[one], longer)))


def _effort(wanted: Floats, size: Size, comfort: Comfort) -> tuple[Floats, Floats]:
    """How many pixels an inpainter is shown for each box, and how many times smaller than they are."""
    sides = np.minimum(wanted[:, 2:] - wanted[:, :2], size)
    factors = _factor(sides.max(axis=1), comfort)
    return (sides / factors[:, np.newaxis]).prod(axis=1), factors


def _factor(side_px: Floats, comfort: Comfort) -> Floats:
    if comfort.max_side_px is None or comfort.largest_small_px is None:
        return np.ones_like(side_px)
    whole, small = (
        side // comfort.multiple * comfort.multiple for side in (comfort.max_side_px, comfort.largest_small_px)
    )
    return np.where(side_px <= whole, 1.0, np.maximum(np.ceil(side_px / small), 2.0))


def _around(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _crop(mask: Mask, owned: Mask, wanted: Floats, comfort: Comfort) -> Crop:
    """The crop of the wanted box: widened to the inpainter's multiple, moved onto the image as far as it fits.

    Args:
        mask: (H, W).
        owned: one for each cell of the image, True for those of the crop's holes.
        wanted: left, top, right, bottom.
        comfort: the inpainter's.
    """
    size = size_of(mask)
    sides = np.minimum(np.ceil(wanted[2:] - wanted[:2]), size)
    factor = int(_factor(sides.max(keepdims=True), comfort)[0])
    step = factor * comfort.multiple
    widths = (np.ceil(sides / step) * step).astype(int)
    middles = (wanted[:2] + wanted[2:]) / 2
    starts = np.clip(np.floor(middles - widths / 2).astype(int), 0, np.maximum(np.array(size) - widths, 0))
    box = Box(*map(float, (*starts, *(starts + widths))))
    return Crop(box, _owned(mask, owned, box), factor)


def _owned(mask: Mask, owned: Mask, box: Box) -> Mask:
    """*mask* in the owned cells, for the part of the box that lies on the image."""
    window = box.slices(size_of(mask))
    hole = np.zeros_like(mask[window])
    around = bounding_box(owned)
    if around is None:
        return hole
    cells = np.ascontiguousarray(owned[around.slices(size_of(owned))])
    rows, columns = Box(*(_CELL_PX * edge for edge in around)).slices(size_of(mask))
    pixels = cv2.resize(cells.view(np.uint8), None, fx=_CELL_PX, fy=_CELL_PX, interpolation=cv2.INTER_NEAREST)
    part = mask[rows, columns]
    top, left = rows.start - window[0].start, columns.start - window[1].start
    height, width = part.shape
    hole[top : top + height, left : left + width] = part & pixels[:height, :width].view(np.bool_)
    return hole
