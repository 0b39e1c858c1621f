"""A mask for the whole image from logits of a smaller one."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Logits, Mask, RgbImage, size_of
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers

SHARPNESS: Final = 0.05
"""Colours this far apart, from 0 to 1, count little for each other."""


def mask_from_logits(logits: Logits, small: RgbImage, image: RgbImage) -> Mask:
    """Enlarge *logits*, which belong to *small*, to the mask of *image*, the same picture.

    Joint bilateral upsampling (Kopf, Cohen, Lischinski, Uyttendaele, SIGGRAPH 2007), worked out only where the answer
    is open. All weights are positive and depend on the image alone: logits that are nowhere higher give a mask that is
    nowhere larger. Clicks rely on that.
    """
    size = size_of(image)
    if size_of(logits) == size:
        return logits > 0
    # A pixel whose neighbours all agree cannot come out otherwise.
    cross = np.ones((3, 3), dtype=np.uint8)
    highest, lowest = cv2.dilate(logits, cross), cv2.erode(logits, cross)
    state = np.where(lowest > 0, 2, np.where(highest > 0, 1, 0)).astype(np.uint8)
    enlarged = cv2.resize(state, size, interpolation=cv2.INTER_NEAREST)
    mask = np.asarray(enlarged == 2)  # noqa: PLR2004
    rows, columns = np.nonzero(enlarged == 1)
    mask[rows, columns] = _weighted(logits, small, image, rows, columns) > 0
    return mask


def _weighted(logits: Logits, small: RgbImage, image: RgbImage, rows: np.ndarray, columns: np.ndarray) -> Numbers:
    height, width = logits.shape
    step_y, step_x = height / image.shape[0], width / image.shape[1]
    places_y, places_x = (rows + 0.5) * step_y - 0.5, (columns + 0.5) * step_x - 0.5
    own_y, own_x = np.rint(places_y).astype(np.int64), np.rint(places_x).astype(np.int64)
    colours = image[rows, columns].astype(np.float32)
    total = np.zeros(len(rows), dtype=np.float32)
    for offset_y in (-1, 0, 1):
        for offset_x in (-1, 0, 1):
            y, x = np.clip(own_y + offset_y, 0, height - 1), np.clip(own_x + offset_x, 0, width - 1)
            squares = ((small[y, x] - colours) ** 2).sum(axis=1) / np.float32((255 * SHARPNESS) ** 2)
            away = (own_y + offset_y - places_y) ** 2 + (own_x + offset_x - places_x) ** 2
            total += np.exp(-away.astype(np.float32) - squares / 2) * logits[y, x]
    return total
