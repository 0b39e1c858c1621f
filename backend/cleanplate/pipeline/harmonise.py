"""Seams: how far an inpainter is off beside a hole tells how far it is off in it."""

from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.pipeline.growth import widened

Floats: TypeAlias = npt.NDArray[np.float32]

_BAND_PX: Final = 3
"""How wide the strip beside the hole is in which answer and truth are compared: one row alone is mostly grain."""

_LIMIT_LEVELS: Final = 32
"""A larger difference is something the inpainter did not draw again, such as an edge; it must not smear inwards."""

_ROUNDS: Final = 2
"""How often each level of the membrane is smoothed: without it one sees the squares it was made of."""


def harmonised(image: RgbImage, answer: RgbImage, *, mask: Mask, hole: Mask, reach_px: float | None = None) -> RgbImage:
    """Take what is visible of a seam out of an inpainter's answer.

    A network gives known pixels back slightly off: a little darker, a little greener. Just outside the hole this
    difference is known. It is continued into the hole as a membrane, the smoothest surface between its edges, and
    added to the fill. An answer that has known pixels as they are stays as it is.

    P. Pérez, M. Gangnet, A. Blake, "Poisson Image Editing", 2003, section 2: to clone seamlessly is to add a membrane.

    Args:
        image: (h, w, 3). What lies under the mask is not looked at.
        answer: (h, w, 3), the inpainter's, outside the mask too.
        mask: (h, w), True where the truth is not known.
        hole: (h, w), the part of the mask that is to be corrected.
        reach_px: so deep in the hole, a third of the correction is left; None if it is not to fade.

    Returns:
        (h, w, 3): *answer*, with other values in the hole only; itself if nothing is off.
    """
    box = bounding_box(hole)
    if box is None:
        return answer
    window = box.grown(_BAND_PX).slices(size_of(hole))
    band = widened(hole[window], _BAND_PX) & ~mask[window]
    off = image[window][band].astype(np.float32) - answer[window][band]
    if not off.any():
        return answer
    difference = np.zeros((*band.shape, 3), dtype=np.float32)
    difference[band] = np.clip(off, -_LIMIT_LEVELS, _LIMIT_LEVELS)
    correction = membrane(difference, band.astype(np.float32))
    if reach_px is not None:
        correction *= _fading(hole[window], reach_px)[..., np.newaxis]
    correction += answer[window]
    inside = hole[window]
    corrected = answer.copy()
    corrected[window][inside] = np.clip(np.rint(correction[inside]), 0, 255).astype(np.uint8)
    return corrected


def _fading(hole: Mask, reach_px: float) -> Floats:
    depths = cv2.distanceTransform(hole.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    return np.asarray(np.exp(-depths / np.float32(reach_px)))


def membrane(values: Floats, weights: Floats) -> Floats:
    """Fill what has no weight from what has, by pulling values up a pyramid and pushing them down again.

    S. Gortler et al., "The Lumigraph", 1996, section 3.4.1.

    Args:
        values: (h, w, 3); 0 where the weight is 0.
        weights: (h, w), 0 … 1, not all 0.
    """
    height, width = weights.shape
    if max(height, width) == 1 or weights.all():
        return values
    half_weights, half_values = _halved(weights), _halved(values * weights[..., np.newaxis])
    half_values /= np.maximum(half_weights, np.finfo(np.float32).tiny)[..., np.newaxis]
    coarse = membrane(half_values, np.minimum(4 * half_weights, 1))
    smooth = cv2.resize(coarse, (2 * coarse.shape[1], 2 * coarse.shape[0]), interpolation=cv2.INTER_LINEAR)
    smooth = smooth[:height, :width]
    share = weights[..., np.newaxis]
    result = smooth + share * (values - smooth)
    for _ in range(_ROUNDS):
        blurred = cv2.blur(result, (3, 3), borderType=cv2.BORDER_REPLICATE)
        result = blurred + share * (values - blurred)
    return np.asarray(result)


def _halved(array: Floats) -> Floats:
    height, width = array.shape[:2]
    padded = cv2.copyMakeBorder(array, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return np.asarray(cv2.resize(padded, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA))
