"""What a patch looks like, in few numbers."""

from typing import Final

import cv2
import numpy as np

from cleanplate.engines.inpainters.exemplar_parts.grid import PATCH_PX, Floats, Shorts

HEIGHT_PRIOR: Final = 300.0
SIDE_PRIOR: Final = 60.0
"""What it costs to copy from the other end of the image, down and across: sky is copied from sky, road from road."""

LOOKS: Final = 18
"""How many of a descriptor's numbers tell looks; the rest tell the place."""

LIGHT_ORDER: Final = 3
COLOUR_ORDER: Final = 1
STRUCTURE: Final = slice(1, 10)
"""Those that tell light and dark within a patch."""

_MARGIN_PX: Final = PATCH_PX

ROUGHNESS_WEIGHT: Final = 4.0
_WAVES: Final = (
    tuple((0, u, v) for u in range(4) for v in range(4) if u + v <= LIGHT_ORDER)
    + tuple((channel, u, v) for channel in (1, 2) for u in range(2) for v in range(2) if u + v <= COLOUR_ORDER)
    + ((3, 0, 0), (4, 0, 0))
)


def _cosine(order: int) -> Floats:
    at = np.arange(PATCH_PX, dtype=np.float64)
    wave = np.cos(np.pi * (2 * at + 1) * order / (2 * PATCH_PX))
    return np.asarray(wave / np.linalg.norm(wave), dtype=np.float32)


_COSINES: Final = tuple(_cosine(order) for order in range(LIGHT_ORDER + 1))


class Descriptors:
    """The descriptors of the patches around all pixels.

    The low frequencies of a patch's discrete cosine transform say nearly all of how alike two patches look, in a
    tenth of the numbers, and they come as plain separable filters. All are whole numbers small enough that sums of
    their products are exact in float32: whatever the order of adding, with any number of threads, the nearest patch
    is the same one. They are kept in two bytes each: they are most of the memory that a search takes.

    Attributes:
        values: (h, w, 18 + 2), looks and place.
    """

    def __init__(self, looks: Floats) -> None:
        """Describe an image.

        Args:
            looks: (h, w, 3 + 2 or more) CIE Lab and texture; what follows is not looked at. Beyond its border it is
                reflected.
        """
        height, width = looks.shape[:2]
        self.values: Shorts = np.empty((height, width, LOOKS + 2), dtype=np.int16)
        _describe(self.values, looks, (slice(None), slice(None)))
        longer = max(height, width)
        rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
        self.values[..., LOOKS] = np.rint(rows * np.float32(HEIGHT_PRIOR / longer))[:, np.newaxis]
        self.values[..., LOOKS + 1] = np.rint(columns * np.float32(SIDE_PRIOR / longer))

    def renew(self, looks: Floats, window: tuple[slice, slice]) -> None:
        """Describe what changed.

        Args:
            looks: the whole image as it is now.
            window: holds the centres of all patches that changed.
        """
        rows, columns = window
        top, left = max(0, rows.start - _MARGIN_PX), max(0, columns.start - _MARGIN_PX)
        # Close to the border the window grows up to it: only there may the filters reflect.
        around = looks[top : rows.stop + _MARGIN_PX, left : columns.stop + _MARGIN_PX]
        inner = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        _describe(self.values[window], around, inner)


def _describe(values: Shorts, looks: Floats, inner: tuple[slice, slice]) -> None:
    planes = [np.asarray(cv2.extractChannel(looks, channel)) for channel in range(5)]
    for channel in (3, 4):
        planes[channel] = planes[channel] * np.float32(ROUGHNESS_WEIGHT)
    for at, (channel, across, down) in enumerate(_WAVES):
        wave = cv2.sepFilter2D(planes[channel], -1, _COSINES[across], _COSINES[down], borderType=cv2.BORDER_REFLECT_101)
        values[..., at] = np.rint(wave, out=wave)[inner]
