"""The fine noise of a photograph, for fills that are too smooth to be true."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.inpainters.exemplar_parts.grid import Floats

_SIGMA_PX: Final = 1.0
_RING_PX: Final = 12
_FEWEST: Final = 30
_NORMAL_MAD: Final = 1.4826


def with_grain(image: RgbImage, hole: Mask, known: Mask, seed: int) -> RgbImage:
    """Roughen the hole as much as what surrounds it is rough.

    Args:
        image: (H, W, 3), filled.
        hole: (H, W), where to.
        known: (H, W), what may be measured.
        seed: for the grain.
    """
    ring = _ring(hole) & known
    if np.count_nonzero(ring) < _FEWEST:
        return image.copy()
    smooth = cv2.GaussianBlur(image, (0, 0), _SIGMA_PX)
    rough = image[ring].astype(np.float32) - smooth[ring]
    # The middle of the sizes: edges in the ring do not count.
    amount = _NORMAL_MAD * np.median(np.abs(rough), axis=0)
    result = image.copy()
    noise = _noise(int(np.count_nonzero(hole)), seed) * amount
    result[hole] = np.clip(np.rint(image[hole] + noise), 0, 255).astype(np.uint8)
    return result


def _ring(hole: Mask) -> Mask:
    reach = np.ones((2 * _RING_PX + 1,) * 2, dtype=np.uint8)
    return np.asarray(cv2.dilate(hole.view(np.uint8), reach), dtype=np.bool_) & ~hole


def _noise(count: int, seed: int) -> Floats:
    # Light and dark more than colour: one number for all channels.
    return np.random.default_rng(seed).standard_normal((count, 1), dtype=np.float32)
