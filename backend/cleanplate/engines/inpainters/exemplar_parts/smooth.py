"""Fills that copy nothing: for holes too thin for patches, and for images with too little to copy from."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.inpainters.exemplar_parts.grid import PATCH_PX, depths, reached, window_of
from cleanplate.engines.inpainters.exemplar_parts.membrane import membrane

THIN_RADIUS_PX: Final = 3.0
"""In holes with no larger circle, smooth fills beat copied ones."""

_MOST_MEMBRANE_PIXELS: Final = 1_500_000


def thin_parts(hole: Mask) -> Mask:
    """The islands of the hole that are thin everywhere and lie apart from those that are not.

    Args:
        hole: (H, W), neither all True nor all False.
    """
    window = window_of(hole, PATCH_PX)
    inner = np.ascontiguousarray(hole[window])
    count, islands = cv2.connectedComponents(reached(inner).view(np.uint8), connectivity=8)
    thick = np.zeros(count, dtype=np.bool_)
    thick[islands[depths(inner) > THIN_RADIUS_PX]] = True
    thin = hole.copy()
    thin[window] &= ~thick[islands]
    return thin


def smoothed_over(image: RgbImage, hole: Mask) -> RgbImage:
    """Fade all colours at the hole's edge into it.

    Args:
        image: (H, W, 3), black in the hole.
        hole: (H, W), not all True.
    """
    known = (~hole).astype(np.float32)
    size = hole.shape[1], hole.shape[0]
    shrink = max(1.0, float(np.sqrt(hole.size / _MOST_MEMBRANE_PIXELS)))
    small_size = max(1, round(size[0] / shrink)), max(1, round(size[1] / shrink))
    weight = cv2.resize(known, small_size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA).astype(np.float32)
    colours = np.asarray(small / np.maximum(weight, 1e-6)[..., np.newaxis], dtype=np.float32)
    coarse = np.clip(np.rint(membrane(colours, weight == 0)), 0, 255).astype(np.uint8)
    filled = coarse if small_size == size else cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    return np.where(hole[..., np.newaxis], filled, image)
