"""The traditional ways: a solid colour, a mosaic, a blur. Of the last two is known how much they leave at most.

Both keep nothing of an object but one average colour for each of a few cells, rounded to 4 bits a channel. So whatever
is done to the file, no more of the object comes back than that: `cells × 3 × 4` bits. A mosaic shows the cells flat; a
blur is a smooth surface made of the same averages and nothing else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np

from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.domain.policy import Action
from cleanplate.pipeline.growth import widened
from cleanplate.pipeline.plan import Treatment

_BITS_PER_CHANNEL: Final = 4
_STEP_LEVELS: Final = 256 >> _BITS_PER_CHANNEL

_MIN_CELL_PX: Final = 4
"""In smaller cells an object of a few pixels would be seen as it is."""

_MAX_OBJECTS: Final = 1000
"""More are no objects but a pattern, which would keep a sample for each of its dots."""

_SIGMA_CELLS: Final = 1.0
"""The blur's sigma: with 8 cells along the longer side, an eighth of the object; at least _MIN_CELL_PX."""

_KERNEL_CELLS: Final = 7


class Reduction(NamedTuple):
    """What mosaics and blurs leave of the original at most."""

    pixels: int = 0
    objects: int = 0
    bits: int = 0


@dataclass(frozen=True, eq=False)
class Treated:
    """An image in which pixels were treated, and what is left of the original there."""

    image: RgbImage
    reduction: Reduction


class _Samples(NamedTuple):
    """The averages that are all a mosaic or a blur knows of an object.

    Attributes:
        colours: (rows, columns, 3) uint8, rounded; 0 where the object has no pixel.
        known: (rows, columns), True where it has one.
        side_px: of a cell.
    """

    colours: RgbImage
    known: Mask
    side_px: int

    @property
    def bits(self) -> int:
        return int(self.known.sum()) * 3 * _BITS_PER_CHANNEL


def treat(original: RgbImage, onto: RgbImage, treatments: Sequence[Treatment]) -> Treated:
    """Fill, pixelate and blur as the treatments say. What is to be removed stays as it is in *onto*.

    A treated pixel depends on those of its own treatment only, so nothing of what another one hides shows in it.

    Args:
        original: (H, W, 3), where mosaics and blurs take their averages from.
        onto: (H, W, 3), what the result is apart from treated pixels.
        treatments: their masks must not overlap.
    """
    painted = [treatment for treatment in treatments if treatment.way.action is not Action.REMOVE]
    image = onto.copy() if painted else onto
    reduction = Reduction()
    for treatment in painted:
        way, mask = treatment.way, treatment.mask
        if way.action is Action.FILL:
            image[mask] = way.colour
        if way.action not in {Action.PIXELATE, Action.BLUR}:
            continue
        for window, part in _objects(mask):
            samples = _samples(original[window], part, way.cells)
            shown = _mosaic(samples) if way.action is Action.PIXELATE else _blur(samples)
            height, width = part.shape
            image[window] = np.where(part[..., np.newaxis], shown[:height, :width], image[window])
            reduction = Reduction(
                reduction.pixels + int(part.sum()), reduction.objects + 1, reduction.bits + samples.bits
            )
    return Treated(image, reduction)


def _objects(mask: Mask) -> Iterator[tuple[tuple[slice, slice], Mask]]:
    """The window of each object, and which of its pixels are the object's.

    What lies less than two cells apart counts as one object, and so does a pattern of dots.
    """
    near = widened(mask, _MIN_CELL_PX)
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(near.view(np.uint8), connectivity=8)
    if len(stats) > _MAX_OBJECTS:
        numbers, stats = np.ones_like(numbers), np.array([stats[0], [0, 0, mask.shape[1], mask.shape[0], 0]])
    for number, (left, top, width, height, _) in enumerate(stats[1:].tolist(), start=1):
        rows, columns = slice(top, top + height), slice(left, left + width)
        part = (numbers[rows, columns] == number) & mask[rows, columns]
        box = bounding_box(part)
        assert box is not None, "widening makes no islands"  # noqa: S101
        y, x = box.slices(size_of(part))
        window = (
            slice(rows.start + y.start, rows.start + y.stop),
            slice(columns.start + x.start, columns.start + x.stop),
        )
        yield window, part[y, x]


def _samples(crop: RgbImage, part: Mask, cells: int) -> _Samples:
    """Average the object's pixels in cells that begin at the top-left corner of its box."""
    height, width = part.shape
    side_px = max(-(-max(height, width) // cells), _MIN_CELL_PX)
    rows, columns = -(-height // side_px), -(-width // side_px)
    colours = np.zeros((rows, columns, 3), dtype=np.uint8)
    known = np.zeros((rows, columns), dtype=np.bool_)
    for row, column in np.ndindex(rows, columns):
        cell = (slice(row * side_px, (row + 1) * side_px), slice(column * side_px, (column + 1) * side_px))
        if part[cell].any():
            means = cv2.mean(crop[cell], part[cell].view(np.uint8))[:3]
            colours[row, column] = [_rounded(mean) for mean in means]
            known[row, column] = True
    return _Samples(colours, known, side_px)


def _rounded(mean: float) -> int:
    """The middle of the step that a mean lies in: never quite black or white, so that flat objects change as well."""
    return int(mean // _STEP_LEVELS) * _STEP_LEVELS + _STEP_LEVELS // 2


def _mosaic(samples: _Samples) -> RgbImage:
    return samples.colours.repeat(samples.side_px, axis=0).repeat(samples.side_px, axis=1)


def _blur(samples: _Samples) -> RgbImage:
    """The averages, blurred among themselves and stretched smoothly over the object."""
    kernel = (_KERNEL_CELLS, _KERNEL_CELLS)
    weights = samples.known.astype(np.float32)
    sums, shares = (
        cv2.GaussianBlur(values, kernel, _SIGMA_CELLS, borderType=cv2.BORDER_CONSTANT)
        for values in (samples.colours * weights[..., np.newaxis], weights)
    )
    smooth = sums / np.maximum(shares, np.finfo(np.float32).eps)[..., np.newaxis]
    rows, columns = weights.shape
    size = (columns * samples.side_px, rows * samples.side_px)
    stretched = cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(stretched), dtype=np.uint8)
