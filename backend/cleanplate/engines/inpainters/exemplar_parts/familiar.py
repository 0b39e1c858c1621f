"""A hole within one thing is filled with that thing: what has no like at its rim would be a new object in it."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.inpainters.exemplar_parts.grid import source_centres, window_of

_RIM_PX: Final = 3

_BIN_BITS: Final = 3
_BINS: Final = 256 >> _BIN_BITS
_REACH_BINS: Final = (5, 2, 2)
"""Colours so near in Lab count as alike: 16 steps of lightness out of 100, 16 of either colour axis."""

_NEIGHBOURHOOD_PX: Final = 5
_STRANGE_SHARE: Final = 0.4
"""A pixel is strange if so many around it are: noise is not."""

_WITHIN_ONE_THING: Final = 0.3
"""If this share of the image is strange to the rim, the hole lies within one thing. A rim of many colours, such as a
person's before a street, finds hardly anything strange, and does not tell what belongs there."""

_LEAST_LEFT: Final = 0.1


def familiar(image: RgbImage, hole: Mask, usable: Mask) -> Mask:
    """The usable pixels without those that would be strange in the hole.

    The same as *usable* where the rim does not tell, or where too little would be left to copy from.

    Args:
        image: (h, w, 3) RGB; what lies in the hole is not looked at.
        hole: (h, w), at least one pixel True.
        usable: (h, w), pixels that may be copied, none of them in the hole.
    """
    strange = _strange(_bins(image), _rim(hole) & usable)
    strange &= usable
    usable_count = np.count_nonzero(usable)
    if np.count_nonzero(strange) < _WITHIN_ONE_THING * usable_count:
        return usable
    rest = usable & ~strange
    before, left = (np.count_nonzero(source_centres(pixels)) for pixels in (usable, rest))
    return rest if left >= max(_LEAST_LEFT * before, np.count_nonzero(hole)) else usable


def _bins(image: RgbImage) -> npt.NDArray[np.uint16]:
    lab = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2Lab), dtype=np.uint8)
    lab >>= _BIN_BITS
    lightness, green_red, blue_yellow = (lab[..., channel] for channel in range(3))
    numbers = lightness.astype(np.uint16)
    for plane in (green_red, blue_yellow):
        numbers *= np.uint16(_BINS)
        numbers += plane
    return numbers


def _rim(hole: Mask) -> Mask:
    rim = np.zeros_like(hole)
    window = window_of(hole, _RIM_PX)
    side = 2 * _RIM_PX + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    rim[window] = cv2.dilate(hole[window].astype(np.uint8), disc).view(np.bool_) & ~hole[window]
    return rim


def _strange(bins: npt.NDArray[np.uint16], rim: Mask) -> Mask:
    alike = np.zeros((_BINS, _BINS, _BINS), dtype=np.bool_)
    alike.reshape(-1)[bins[rim]] = True
    for axis, reach in enumerate(_REACH_BINS):
        seen = np.moveaxis(alike.copy(), axis, 0)
        grown = np.moveaxis(alike, axis, 0)
        for step in range(1, reach + 1):
            grown[step:] |= seen[:-step]
            grown[:-step] |= seen[step:]
    unlike = (~alike).reshape(-1).view(np.uint8) * np.uint8(255)
    side = (_NEIGHBOURHOOD_PX, _NEIGHBOURHOOD_PX)
    return np.asarray(cv2.boxFilter(unlike.take(bins), -1, side)) > _STRANGE_SHARE * 255
