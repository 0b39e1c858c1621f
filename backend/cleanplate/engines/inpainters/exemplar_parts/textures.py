"""How rough an image is around each pixel, told so that it survives being made small."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask
from cleanplate.engines.inpainters.exemplar_parts.grid import Floats
from cleanplate.engines.inpainters.exemplar_parts.membrane import membrane

AROUND_PX: Final = 15
_EPSILON: Final = 1e-3


def roughness(light: Floats, hole: Mask) -> Floats:
    """The mean step between neighbours, across and down, in the surroundings of each pixel.

    A. Newson et al., "Video Inpainting of Complex Scenes", SIAM J. Imaging Sciences 2014: without it, fills drift
    towards whatever is smooth, for a smooth patch is never far from any other.

    Args:
        light: (h, w), L of CIE Lab; what lies in the hole is not looked at.
        hole: (h, w). Deep inside, the roughness is guessed from around the hole.

    Returns:
        (h, w, 2).
    """
    known = (~hole).astype(np.float32)
    told = np.empty((*light.shape, 2), dtype=np.float32)
    unsure = np.zeros(light.shape, dtype=np.bool_)
    for channel, axis in enumerate((1, 0)):
        told[..., channel], is_told = _mean_step(light, known, axis)
        unsure |= ~is_told
    del known
    return membrane(told, unsure) if unsure.any() and not unsure.all() else told


def _mean_step(light: Floats, known: Floats, axis: int) -> tuple[Floats, Mask]:
    steps = np.zeros_like(light)
    pairs = np.zeros_like(light)
    here, after = [slice(None)] * 2, [slice(None)] * 2
    here[axis], after[axis] = slice(None, -1), slice(1, None)
    one, other = tuple(here), tuple(after)
    pairs[one] = known[one] * known[other]
    steps[one] = np.abs(light[other] - light[one]) * pairs[one]
    weight = _boxed(pairs)
    mean = np.asarray(_boxed(steps) / np.maximum(weight, _EPSILON), dtype=np.float32)
    return mean, weight > 1 / AROUND_PX


def _boxed(plane: Floats) -> Floats:
    return np.asarray(cv2.blur(plane, (AROUND_PX, AROUND_PX), borderType=cv2.BORDER_REFLECT_101))
