"""The smoothest guess: colours fade into the hole from its edge."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask
from cleanplate.engines.inpainters.exemplar_parts.grid import Floats

_EPSILON: Final = np.float32(1e-6)


def membrane(image: Floats, hole: Mask) -> Floats:
    """Fill the hole by pulling known colours up a pyramid and pushing them down again.

    S. Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4.1.

    Args:
        image: (h, w, channels); what lies in the hole is not looked at.
        hole: (h, w), not all True.
    """
    known = (~hole).astype(np.float32)
    filled = _filled(np.asarray(image * known[..., np.newaxis], dtype=np.float32), known)
    return np.where(hole[..., np.newaxis], filled, image)


def _filled(weighted: Floats, weight: Floats) -> Floats:
    height, width = weight.shape
    solid = np.asarray(weighted / np.maximum(weight, _EPSILON)[..., np.newaxis], dtype=np.float32)
    if weight.min() >= 1 or (height, width) == (1, 1):
        return solid
    even = (height + height % 2, width + width % 2)
    small_weight = _shrunk(weight, even)
    small = _shrunk(weighted, even)
    # A coarse pixel of which anything is known is known: its colour reaches no further than its neighbours.
    trust = np.minimum(4 * small_weight, np.float32(1))
    scale = (trust / np.maximum(small_weight, _EPSILON))[..., np.newaxis]
    coarse = _filled(np.asarray(small * scale, dtype=np.float32), trust)
    smooth = cv2.resize(coarse, (even[1], even[0]), interpolation=cv2.INTER_LINEAR)[:height, :width]
    share = np.minimum(weight, 1)[..., np.newaxis]
    return np.asarray(share * solid + (1 - share) * smooth.reshape(weighted.shape), dtype=np.float32)


def _shrunk(array: Floats, even: tuple[int, int]) -> Floats:
    height, width = array.shape[:2]
    padded = cv2.copyMakeBorder(array, 0, even[0] - height, 0, even[1] - width, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(cv2.resize(padded, (even[1] // 2, even[0] // 2), interpolation=cv2.INTER_AREA))
