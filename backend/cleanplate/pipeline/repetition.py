"""Whether what is seen in one place of an image is seen in another, too: then it tells nothing of what was there."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, size_of
from cleanplate.domain.mask import bounding_box

_AROUND: Final = 1.5
_LEAST_AROUND_PX: Final = 64
"""How far around a place is looked: a share of its longer side, and never less than this."""

_MOST_PX: Final = 1024
"""The longest side of a place that is looked for: larger ones take minutes, and repeat nothing."""

_ALIKE_SHARE: Final = 0.99


def is_found_elsewhere(image: npt.NDArray[np.uint8], place: Mask, *, mask: Mask, levels: int) -> bool:
    """Whether the pixels of a place occur, in the same arrangement, once more nearby where nothing is masked.

    Args:
        image: (H, W, C).
        place: (H, W).
        mask: (H, W), where no other occurrence counts.
        levels: by how much pixels that are alike may differ.
    """
    box = bounding_box(place)
    if box is None or max(box.width, box.height) > _MOST_PX:
        return False
    rows, columns = box.slices(size_of(place))
    template, shape = np.ascontiguousarray(image[rows, columns]), place[rows, columns]
    around = box.grown(max(_AROUND * max(box.width, box.height), _LEAST_AROUND_PX)).slices(size_of(place))
    ground, taken = np.ascontiguousarray(image[around]), mask[around]
    pixels = shape.astype(np.float32)
    misfit = cv2.matchTemplate(
        ground.astype(np.float32), template.astype(np.float32), cv2.TM_SQDIFF, mask=_for_each(pixels, image.shape[2])
    )
    overlap = cv2.matchTemplate(taken.astype(np.float32), pixels, cv2.TM_CCORR)
    free = overlap < 0.5  # noqa: PLR2004 - none, but for what the transform rounds
    if not free.any():
        return False
    top, left = np.unravel_index(np.where(free, misfit, np.inf).argmin(), misfit.shape)
    height, width = shape.shape
    found = ground[top : top + height, left : left + width]
    alike = cv2.absdiff(found, template).reshape(height, width, -1).max(axis=2) <= levels
    return bool(alike[shape].mean() >= _ALIKE_SHARE)


def _for_each(plane: npt.NDArray[np.float32], channels: int) -> npt.NDArray[np.float32]:
    return np.repeat(plane[..., np.newaxis], channels, axis=2)
