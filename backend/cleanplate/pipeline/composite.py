"""Erase and composite: what was there goes, and all else stays."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import require_fit

ERASED: Final = 127
"""What every masked sample is overwritten with before an engine sees the image."""


def erase(image: RgbImage, mask: Mask) -> RgbImage:
    """Overwrite the masked pixels, so that nothing made from the result can depend on what they showed."""
    require_fit(mask, size_of(image))
    erased = image.copy()
    erased[mask] = ERASED
    return erased


def composite(original: RgbImage, inpainted: RgbImage, mask: Mask) -> RgbImage:
    """Take masked pixels from *inpainted* and all others from *original*.

    A model's output differs a little everywhere. Without this an anonymized copy would no longer be the annotated
    image outside the mask.
    """
    return np.asarray(cv2.copyTo(inpainted, mask.view(np.uint8), original.copy()), dtype=np.uint8)
