"""Growing masks, and the boxes of their islands."""

import cv2
import numpy as np

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, size_of
from cleanplate.domain.mask import bounding_box


def grown_by(mask: Mask, radius_px: int) -> Mask:
    """*mask* and every pixel at most *radius_px* from it; a circle grows around each pixel."""
    box = bounding_box(mask)
    if box is None or radius_px == 0:
        return mask.copy()
    window = box.grown(radius_px).slices(size_of(mask))
    # By distance, not by kernel: the time does not depend on the radius.
    distances = cv2.distanceTransform((~mask[window]).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown = np.zeros_like(mask)
    grown[window] = distances <= radius_px
    return grown


def widened(mask: Mask, reach_px: int) -> Mask:
    """*mask* and every pixel at most so many rows and columns from it."""
    square = np.ones((2 * reach_px + 1,) * 2, dtype=np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), square), dtype=np.bool_)


def island_boxes(mask: Mask) -> list[Box]:
    """The tight box of each connected part."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return [
        Box(float(left), float(top), float(left + width), float(top + height))
        for left, top, width, height, _ in stats[1:]
    ]
