"""Between an image and the square that a network looks at."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from PIL import Image
from torch import Tensor

from cleanplate.domain.image import Logits, Mask, RgbImage, Size, size_of
from cleanplate.engines.segmenters.sam_parts.layout import MASK_SIDE, SIDE_PX

_MEAN: Final = (123.675, 116.28, 103.53)
_SPREAD: Final = (58.395, 57.12, 57.375)
"""Of red, green and blue, in 8-bit steps, over the images that SAM learnt from."""

_OUTSIDE: Final = -16.0
"""The logit of what lies beyond the image."""

_Places = npt.NDArray[np.int64]
_Shares = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Square:
    """What a network looks at, and what it draws on.

    Attributes:
        side_px: of what it looks at.
        mask_side: of the logits that it gives and takes.
        stretched: whether the image fills the square, whatever its shape. Else its longer side does, from the upper
            left corner on, and logits are brought to the square's size before they are brought to the image's.
        mean: of red, green and blue, in 8-bit steps, over the images that the network learnt from.
        spread: their standard deviations.
    """

    side_px: int
    mask_side: int
    stretched: bool
    mean: tuple[float, ...]
    spread: tuple[float, ...]

    def size_of_picture(self, size: Size) -> Size:
        """The size of an image in the square."""
        if self.stretched:
            return Size(self.side_px, self.side_px)
        scale = self.side_px / max(size)
        return Size(max(int(size.width * scale + 0.5), 1), max(int(size.height * scale + 0.5), 1))

    def size_of_drawing(self, size: Size) -> Size:
        """The size of the image's part of enlarged logits."""
        return Size(self.mask_side, self.mask_side) if self.stretched else self.size_of_picture(size)

    def cells(self, place: float, *, length: int, drawn: int) -> slice:
        """The logits along a side that decide about a pixel.

        Args:
            place: of the pixel, along this side of the image.
            length: of the side.
            drawn: its length in enlarged logits.
        """
        centre = (place + 0.5) * drawn / length
        first, last = centre - 0.5, centre - 0.5
        if not self.stretched:  # two steps of enlarging look at two neighbours each
            scale = self.mask_side / self.side_px
            first, last = (first - 1 + 0.5) * scale - 0.5, (last + 1 + 0.5) * scale - 0.5
        return slice(max(int(np.floor(first)), 0), min(int(np.floor(last)) + 2, self.mask_side))


SAM_SQUARE: Final = Square(SIDE_PX, MASK_SIDE, stretched=False, mean=_MEAN, spread=_SPREAD)
"""Of SAM, as it was published first."""


def size_in_square(size: Size, square: Square = SAM_SQUARE) -> Size:
    """The size of an image in the square."""
    return square.size_of_picture(size)


def picture_of(image: RgbImage, square: Square = SAM_SQUARE) -> Tensor:
    """(3, side_px, side_px) float32, as the network is to see an image: normalised, and 0 beyond it.

    Pillow makes it small, as it did for SAM's training: each pixel is the mean of those that it stands for, which
    OpenCV computes in another way.
    """
    fitted = size_in_square(size_of(image), square)
    small = Image.fromarray(np.ascontiguousarray(image)).resize(fitted, Image.Resampling.BILINEAR)
    colours = torch.from_numpy(np.array(small)).permute(2, 0, 1)
    picture = torch.zeros(3, square.side_px, square.side_px)
    mean, spread = (torch.tensor(numbers).view(3, 1, 1) for numbers in (square.mean, square.spread))
    picture[:, : fitted.height, : fitted.width] = (colours - mean) / spread
    return picture


def logits_in_square(logits: Logits, size: Size, square: Square = SAM_SQUARE) -> Logits:
    """Logits over a whole image of this *size*, as the network takes them; its own stay as they are."""
    side = square.mask_side
    if logits.shape == (side, side):
        return logits
    fitted = size_in_square(size, square)
    part = Size(*(max(-(-length * side // square.side_px), 1) for length in fitted))
    drawn = np.full((side, side), _OUTSIDE, dtype=np.float32)
    drawn[: part.height, : part.width] = cv2.resize(np.nan_to_num(logits), part, interpolation=cv2.INTER_AREA)
    return drawn


def enlarged(logits: Logits, square: Square = SAM_SQUARE) -> Logits:
    """(side_px, side_px) of (mask_side, mask_side), if the image does not fill the square."""
    if square.stretched:
        return logits
    large = F.interpolate(torch.from_numpy(logits)[None, None], square.side_px, mode="bilinear", align_corners=False)
    return np.asarray(large[0, 0].numpy())


def places_in_square(places: list[tuple[float, float]], size: Size, square: Square = SAM_SQUARE) -> Tensor:
    """(n, 2), from pixels of the image to pixels of the square, as the authors' predictor does it."""
    fitted = size_in_square(size, square)
    scale = np.array([fitted.width / size.width, fitted.height / size.height])
    return torch.from_numpy((np.array(places, dtype=np.float64).reshape(-1, 2) * scale).astype(np.float32))


def mask_in_image(large: Logits, size: Size, square: Square = SAM_SQUARE) -> Mask:
    """Where enlarged logits, brought to the image's *size*, are positive.

    Only where neighbours in the square disagree are they really brought there: between four positive ones all are
    positive, and between four others none is. It is the mask one gets by computing all, pixel by pixel.
    """
    fitted = square.size_of_drawing(size)
    logits = large[: fitted.height, : fitted.width]
    inside = logits > 0
    every, some = _both_ways(inside, np.logical_and), _both_ways(inside, np.logical_or)
    mask = np.zeros((size.height, size.width), dtype=np.bool_)
    rows = _Neighbours.of(fitted.height, size.height).where(np.asarray(some.any(axis=1)))
    columns = _Neighbours.of(fitted.width, size.width).where(np.asarray(some.any(axis=0)))
    if rows is None or columns is None:
        return mask
    part = every[rows.before].take(columns.before, axis=1)
    y, x = np.nonzero((some & ~every)[rows.before].take(columns.before, axis=1))
    part[y, x] = _between(logits, rows, columns, y=y, x=x) > 0
    mask[rows.start : rows.start + len(rows.before), columns.start : columns.start + len(columns.before)] = part
    return mask


class _Neighbours(NamedTuple):
    """Along one side, from pixel *start* on: the two in the square that each lies between, and how near the second."""

    start: int
    before: _Places
    after: _Places
    share: _Shares

    @classmethod
    def of(cls, small: int, large: int) -> "_Neighbours":
        scale = np.float32(small / large)
        place = np.maximum((np.arange(large, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5), 0)
        before = np.minimum(place.astype(np.int64), small - 1)
        return cls(0, before, np.minimum(before + 1, small - 1), (place - before).astype(np.float32).clip(0, 1))

    def where(self, wanted: Mask) -> "_Neighbours | None":
        """From the first to the last one whose place is wanted; None if there are none."""
        found = np.flatnonzero(wanted[self.before])
        if not found.size:
            return None
        part = slice(found[0], found[-1] + 1)
        return _Neighbours(int(found[0]), self.before[part], self.after[part], self.share[part])


def _both_ways(mask: Mask, join: np.ufunc) -> Mask:
    """What each pixel and its neighbours to the right and below have in common, or between them."""
    joined = mask.copy()
    join(mask[:-1], mask[1:], out=joined[:-1])
    result = joined.copy()
    join(joined[:, :-1], joined[:, 1:], out=result[:, :-1])
    return result


def _between(logits: Logits, rows: _Neighbours, columns: _Neighbours, *, y: _Places, x: _Places) -> Logits:
    """The logits of some pixels of the image."""
    down, right = rows.share[y], columns.share[x]
    top, bottom, left, beside = rows.before[y], rows.after[y], columns.before[x], columns.after[x]
    upper = logits[top, left] * (1 - right) + logits[top, beside] * right
    lower = logits[bottom, left] * (1 - right) + logits[bottom, beside] * right
    return np.asarray(upper * (1 - down) + lower * down)
