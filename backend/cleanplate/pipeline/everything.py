"""From all that a segmenter sees in an image to regions that do not overlap."""

from collections.abc import Iterable, Iterator
from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask
from cleanplate.engines.protocols import Segmentation

MAX_REGIONS: Final = 64
"""Label Studio becomes slow with many masks on one image."""

LEAST_SHARE: Final = 1 / 5000
"""No region and no piece of one is smaller than this share of the image."""

MOST_SHARE: Final = 0.5
"""What covers more of the image than this is its ground."""

_LEAST_LEFT: Final = 0.5
"""What others leave less of than this share is a part of them, or they are parts of it."""


def apart(found: Iterable[Segmentation], taken: Mask) -> Iterator[tuple[Mask, float]]:
    """Masks that do not overlap, and their scores, the most certain first.

    Args:
        found: the most certain first; each gets what those before it leave.
        taken: (H, W), where there is something already.
    """
    free, least_px, count = ~taken, LEAST_SHARE * taken.size, 0
    for each in found:
        area = int(np.count_nonzero(each.mask))
        mask = _large_pieces(each.mask & free, least_px)
        left = int(np.count_nonzero(mask))
        if not left or area > MOST_SHARE * taken.size or left < _LEAST_LEFT * area:
            continue
        free &= ~mask
        yield mask, each.score
        count += 1
        if count == MAX_REGIONS:
            return


def _large_pieces(mask: Mask, least_px: float) -> Mask:
    _, numbers, facts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    large = facts[:, cv2.CC_STAT_AREA] >= least_px
    large[0] = False
    return np.asarray(large[numbers])
