"""What an annotator never means: specks beside an object and pinholes in it."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.geometry import Point
from cleanplate.domain.image import size_of
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers

SMALL_SHARE: Final = 0.02
"""A part smaller than this share of the object is a speck or a pinhole."""

SMALL_PX: Final = 12

_PARENT: Final = 3
"""Where OpenCV keeps it in a row of its contour tree; only holes have one."""


def tidied(soft: Numbers, points: tuple[Point, ...]) -> Numbers:
    """Turn specks and pinholes over, except where someone clicked on one.

    Outlines are far fewer than pixels, so this follows those. What lies between the object and the image's border has
    no outline of its own and stays.
    """
    mask = (soft > 1 / 2).astype(np.uint8)
    outlines, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return soft
    areas = np.array([cv2.contourArea(outline) + len(outline) / 2 for outline in outlines])
    is_hole = tree[0, :, _PARENT] >= 0
    small = areas < max(SMALL_SHARE * float(mask.sum()), SMALL_PX)
    small[int(np.argmax(np.where(is_hole, 0, areas)))] = False
    tidy = mask.copy()
    for index in sorted(np.flatnonzero(small).tolist(), key=is_hole.tolist().__getitem__):
        wanted = [point for point in points if point.positive != is_hole[index]]
        if not any(_holds(outlines[index], point.pixel(size_of(soft))) for point in wanted):
            cv2.drawContours(tidy, outlines, index, int(is_hole[index]), thickness=cv2.FILLED)
    return np.where(tidy == mask, soft, 1 - soft)


def _holds(outline: cv2.typing.MatLike, pixel: tuple[int, int]) -> bool:
    return cv2.pointPolygonTest(outline, pixel, measureDist=False) >= 0
