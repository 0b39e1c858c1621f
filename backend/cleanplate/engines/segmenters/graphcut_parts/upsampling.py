"""A mask for the whole image from logits of a smaller one."""

from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Logits, Mask, RgbImage, size_of
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers

SHARPNESS: Final = 16.0
"""Colours this far apart, of 255, count little for each other."""

Places: TypeAlias = npt.NDArray[np.int64]


def mask_from_logits(logits: Logits, small: RgbImage, image: RgbImage) -> Mask:
    """Enlarge *logits*, which belong to *small*, to the mask of *image*, the same picture.

    Joint bilateral upsampling (Kopf, Cohen, Lischinski, Uyttendaele, SIGGRAPH 2007) from the four nearest logits,
    worked out only along edges. All weights are positive and depend on the images alone: logits that are nowhere
    higher give a mask that is nowhere larger. Negative clicks rely on that.
    """
    size = size_of(image)
    if size_of(logits) == size:
        return np.asarray(logits > 0)
    inside = (logits > 0).astype(np.uint8)
    around = np.ones((3, 3), dtype=np.uint8)
    lowest, highest = cv2.erode(inside, around), cv2.dilate(inside, around)
    rows, columns = _blocks(logits.shape[0], size.height), _blocks(logits.shape[1], size.width)
    mask = np.asarray(lowest > 0).repeat(np.diff(columns), axis=1).repeat(np.diff(rows), axis=0)
    y, x = _spread(np.argwhere(lowest != highest), rows, columns)
    mask[y, x] = _weighted(logits, small, image, y, x) > 0
    return mask


def _blocks(small: int, large: int) -> Places:
    """(small + 1,), where the block of full pixels begins that each small pixel stands for."""
    return np.ceil(np.arange(small + 1) * large / small - 1 / 2).astype(np.int64).clip(0, large)


def _spread(cells: Places, rows: Places, columns: Places) -> tuple[Places, Places]:
    """The full pixels of some small ones, given as (k, 2) rows and columns."""
    offsets_y, offsets_x = np.mgrid[: np.diff(rows).max(), : np.diff(columns).max()].reshape(2, 1, -1)
    small_y, small_x = cells[:, :1], cells[:, 1:]
    y, x = rows[small_y] + offsets_y, columns[small_x] + offsets_x
    valid = (y < rows[small_y + 1]) & (x < columns[small_x + 1])
    return y[valid], x[valid]


def _weighted(logits: Logits, small: RgbImage, image: RgbImage, rows: Places, columns: Places) -> Numbers:
    """The sums of the four logits around each full pixel, near ones and ones of its colour counting more."""
    height, width = logits.shape
    places_y = ((rows + 0.5) * (height / image.shape[0]) - 0.5).astype(np.float32)
    places_x = ((columns + 0.5) * (width / image.shape[1]) - 0.5).astype(np.float32)
    first_y, first_x = np.floor(places_y).astype(np.int64), np.floor(places_x).astype(np.int64)
    colours = image[rows, columns].astype(np.float32)
    flat, total = small.reshape(-1, 3), np.zeros(len(rows), dtype=np.float32)
    for y, near_y in ((first_y, 1 - (places_y - first_y)), (first_y + 1, places_y - first_y)):
        for x, near_x in ((first_x, 1 - (places_x - first_x)), (first_x + 1, places_x - first_x)):
            index = y.clip(0, height - 1) * width + x.clip(0, width - 1)
            away = flat.take(index, axis=0) - colours
            alike = np.exp(np.einsum("nc,nc->n", away, away) / np.float32(-2 * SHARPNESS**2))
            total += (alike + np.float32(1e-3)) * (near_y * near_x).astype(np.float32) * logits.take(index)
    return total
