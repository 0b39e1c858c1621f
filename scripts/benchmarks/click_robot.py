"""An annotator without judgement: clicks the middle of the object, then the middle of the largest mistake."""

import cv2
import numpy as np

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Mask, size_of
from cleanplate.domain.mask import bounding_box


def next_click(truth: Mask, answer: Mask | None) -> Point | None:
    """The click that follows *answer*; the first one if there is none yet, None if nothing is wrong."""
    if answer is None:
        return _deepest(truth, positive=True)
    missed, added = truth & ~answer, answer & ~truth
    missed_part, added_part = _largest_part(missed), _largest_part(added)
    if not (missed_part.any() or added_part.any()):
        return None
    if missed_part.sum() >= added_part.sum():
        return _deepest(missed_part, positive=True)
    return _deepest(added_part, positive=False)


def box_around(truth: Mask, *, margin_px: float) -> Box:
    """The tight box of the object with a margin, cut at the image's border."""
    box = bounding_box(truth)
    if box is None:
        raise ValueError("an object without pixels has no box")
    return box.grown(margin_px).clipped(size_of(truth))


def _deepest(part: Mask, *, positive: bool) -> Point:
    depth = cv2.distanceTransform(np.pad(part, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return Point(float(x - 1), float(y - 1), positive)


def _largest_part(mask: Mask) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count == 1:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))
