"""The part of an image in which an answer is worked out, small enough for a minimum cut."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, Size

LONGEST_PX: Final = 160
SMOOTHING_PX: Final = 0.7


@dataclass(frozen=True)
class Window:
    """A box of whole pixels of an image, seen at a lower resolution.

    Attributes:
        left, top, right, bottom: in pixels of the image, right and bottom exclusive.
        size: what it is shrunk to.
    """

    left: int
    top: int
    right: int
    bottom: int
    size: Size

    @property
    def scale(self) -> float:
        """Window pixels per image pixel."""
        return self.size.width / (self.right - self.left)

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, columns) in the image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def shrunk(self, image: RgbImage) -> RgbImage:
        """The part of an image, at the window's size."""
        return np.asarray(cv2.resize(image[self.slices], self.size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def shrunk_mask(self, mask: Mask) -> Mask:
        """The part of a mask of the image's size, at the window's size."""
        part = mask[self.slices].astype(np.float32)
        return np.asarray(cv2.resize(part, self.size, interpolation=cv2.INTER_AREA) > 1 / 2)

    def fitted_mask(self, mask: Mask, of: Box) -> Mask:
        """The same from a mask of any resolution that shows the part *of* of the image; around it is nothing."""
        height, width = mask.shape
        per_pixel_x, per_pixel_y = width / of.width, height / of.height
        # One more pixel than there is, because the part's border may be the image's own.
        start_x = (self.left + 0.5 / self.scale - of.left) * per_pixel_x + 0.5
        start_y = (self.top + 0.5 / self.scale - of.top) * per_pixel_y + 0.5
        matrix = np.array([[per_pixel_x / self.scale, 0, start_x], [0, per_pixel_y / self.scale, start_y]])
        smooth = np.pad(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SMOOTHING_PX), 1, mode="edge")
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(smooth, matrix, self.size, flags=flags) > 1 / 2)

    def place(self, x: float, y: float) -> tuple[int, int]:
        """(column, row) in the window of a place in the image; it may lie outside."""
        return math.floor((x - self.left) * self.scale), math.floor((y - self.top) * self.scale)

    def enlarged_mask(self, mask: Mask) -> Mask:
        """A mask of the window's size, at the image's resolution."""
        size = Size(self.right - self.left, self.bottom - self.top)
        return np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)

    def box(self, box: Box) -> Box:
        """A box of the image, in pixel edges of the window."""
        left, top = (box.left - self.left) * self.scale, (box.top - self.top) * self.scale
        return Box(left, top, left + box.width * self.scale, top + box.height * self.scale)


def window_around(box: Box, of: Size, *, margin: float, margin_px: float) -> Window:
    """The window with a margin around a box of an image of size *of*.

    Args:
        box: touches the image.
        of: the image's size.
        margin: as a share of the box's longer side …
        margin_px: … and so much more.
    """
    rows, columns = box.grown(margin * max(box.width, box.height) + margin_px).slices(of)
    shown = Size(columns.stop - columns.start, rows.stop - rows.start)
    size = shown.scaled(min(LONGEST_PX / max(shown), 1))
    return Window(columns.start, rows.start, columns.stop, rows.stop, size)
