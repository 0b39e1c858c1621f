"""The smoothest guess: colours fade into the hole from its edge."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask
from cleanplate.engines.inpainters.exemplar_parts.grid import Floats, halved

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
    small_weight = halved(weight)
    small = halved(weighted)
    # A coarse pixel of which anything is known is known: its colour reaches no further than its neighbours.
    trust = np.minimum(4 * small_weight, np.float32(1))
    scale = (trust / np.maximum(small_weight, _EPSILON))[..., np.newaxis]
    coarse = _filled(np.asarray(small * scale, dtype=np.float32), trust)
    twice = (2 * coarse.shape[1], 2 * coarse.shape[0])
    smooth = cv2.resize(coarse, twice, interpolation=cv2.INTER_LINEAR)[:height, :width]
    share = np.minimum(weight, 1)[..., np.newaxis]
    return np.asarray(share * solid + (1 - share) * smooth.reshape(weighted.shape), dtype=np.float32)
