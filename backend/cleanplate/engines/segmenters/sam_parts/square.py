"""Between an image and the square that the network looks at: the image fills it from the upper left corner."""

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


def size_in_square(size: Size) -> Size:
    """The size of an image when its longer side is the square's."""
    scale = SIDE_PX / max(size)
    return Size(max(int(size.width * scale + 0.5), 1), max(int(size.height * scale + 0.5), 1))


def picture_of(image: RgbImage) -> Tensor:
    """(3, SIDE_PX, SIDE_PX) float32, as the network is to see an image: normalised, and 0 beyond it.

    Pillow makes it small, as it did for SAM's training: each pixel is the mean of those that it stands for, which
    OpenCV computes in another way.
    """
    fitted = size_in_square(size_of(image))
    small = Image.fromarray(np.ascontiguousarray(image)).resize(fitted, Image.Resampling.BILINEAR)
    colours = torch.from_numpy(np.array(small)).permute(2, 0, 1)
    picture = torch.zeros(3, SIDE_PX, SIDE_PX)
    mean, spread = (torch.tensor(numbers).view(3, 1, 1) for numbers in (_MEAN, _SPREAD))
    picture[:, : fitted.height, : fitted.width] = (colours - mean) / spread
    return picture


def logits_in_square(logits: Logits, size: Size) -> Logits:
    """Logits over a whole image of this *size*, as the network takes them; its own stay as they are."""
    if logits.shape == (MASK_SIDE, MASK_SIDE):
        return logits
    fitted = size_in_square(size)
    part = Size(*(max(-(-side * MASK_SIDE // SIDE_PX), 1) for side in fitted))
    square = np.full((MASK_SIDE, MASK_SIDE), _OUTSIDE, dtype=np.float32)
    square[: part.height, : part.width] = cv2.resize(np.nan_to_num(logits), part, interpolation=cv2.INTER_AREA)
    return square


def enlarged(logits: Logits) -> Logits:
    """(SIDE_PX, SIDE_PX) of (MASK_SIDE, MASK_SIDE)."""
    large = F.interpolate(torch.from_numpy(logits)[None, None], SIDE_PX, mode="bilinear", align_corners=False)
    return np.asarray(large[0, 0].numpy())


def mask_in_image(large: Logits, size: Size) -> Mask:
    """Where the logits of the square, brought to the image's *size*, are positive.

    Only where neighbours in the square disagree are they really brought there: between four positive ones all are
    positive, and between four others none is. It is the mask one gets by computing all, pixel by pixel.
    """
    fitted = size_in_square(size)
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
