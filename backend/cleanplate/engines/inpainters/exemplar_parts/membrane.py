"""The smoothest guess: colours fade into the hole from its edge."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

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
    # Plane by plane: numpy is slow where the last axis is short.
    planes = [np.asarray(cv2.extractChannel(image, channel)) for channel in range(image.shape[2])]
    filled = _filled([_floats(plane * known) for plane in planes], known)
    for plane, fill in zip(planes, filled, strict=True):
        np.copyto(plane, fill, where=hole)
    return _floats(cv2.merge(planes)).reshape(image.shape)


def _filled(weighted: list[Floats], weight: Floats) -> list[Floats]:
    height, width = weight.shape
    divisor = np.maximum(weight, _EPSILON)
    solid = [_floats(plane / divisor) for plane in weighted]
    if weight.min() >= 1 or (height, width) == (1, 1):
        return solid
    small_weight = halved(weight)
    # A coarse pixel of which anything is known is known: its colour reaches no further than its neighbours.
    trust = np.minimum(4 * small_weight, np.float32(1))
    scale = trust / np.maximum(small_weight, _EPSILON)
    coarse = _filled([_floats(halved(plane) * scale) for plane in weighted], trust)
    twice = (2 * trust.shape[1], 2 * trust.shape[0])
    share = np.minimum(weight, 1)
    rest = 1 - share
    smooth = [cv2.resize(small, twice, interpolation=cv2.INTER_LINEAR)[:height, :width] for small in coarse]
    return [_floats(share * plane + rest * small) for plane, small in zip(solid, smooth, strict=True)]


def _floats(array: npt.ArrayLike) -> Floats:
    return np.asarray(array, dtype=np.float32)
