"""What an annotator never means: specks beside an object and pinholes in it."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.geometry import Point
from cleanplate.domain.image import Mask, size_of
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers

SMALL_SHARE: Final = 0.02
"""A part smaller than this share of the object is a speck or a pinhole."""

SMALL_PX: Final = 12


def tidied(soft: Numbers, clicks: tuple[Point, ...]) -> Numbers:
    """Turn specks and pinholes over, except where someone clicked on one."""
    mask = soft > 1 / 2
    limit = max(SMALL_SHARE * float(mask.sum()), SMALL_PX)
    specks = _small_parts(mask, limit, tuple(click for click in clicks if click.positive), keep_largest=True)
    holes = _small_parts(~mask, limit, tuple(click for click in clicks if not click.positive), keep_rim=True)
    return np.where(specks | holes, 1 - soft, soft)


def _small_parts(
    mask: Mask, limit: float, clicks: tuple[Point, ...], *, keep_largest: bool = False, keep_rim: bool = False
) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count == 1:
        return np.zeros_like(mask)
    areas = stats[:, cv2.CC_STAT_AREA]
    small = areas < limit
    small[0] = False
    small[[labels[y, x] for x, y in (click.pixel(size_of(mask)) for click in clicks)]] = False
    if keep_largest:
        small[1 + int(np.argmax(areas[1:]))] = False
    if keep_rim:
        small[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    return np.asarray(small[labels])
