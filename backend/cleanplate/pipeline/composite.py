"""Erase, fill, composite: the three steps in which pixels change."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import require_fit
from cleanplate.engines.protocols import Inpainter
from cleanplate.errors import EngineError

ERASED: Final = 127
"""What every masked sample is overwritten with before an engine sees the image."""


def erase(image: RgbImage, mask: Mask) -> RgbImage:
    """Overwrite the masked pixels, so that nothing made from the result can depend on what they showed."""
    require_fit(mask, size_of(image))
    erased = image.copy()
    erased[mask] = ERASED
    return erased


def fill(erased: RgbImage, mask: Mask, *, crops: Sequence[Box], inpainter: Inpainter) -> RgbImage:
    """Let the inpainter fill the masked part of each crop.

    Raises:
        EngineError: The inpainter gave back something that is not an image of the crop's size.
    """
    filled = erased.copy()
    for crop in crops:
        window = crop.slices(size_of(erased))
        filled[window] = composite(erased[window], _inpainted(erased[window], mask[window], inpainter), mask[window])
    return filled


def composite(original: RgbImage, inpainted: RgbImage, mask: Mask) -> RgbImage:
    """Take masked pixels from *inpainted* and all others from *original*.

    A model's output differs a little everywhere. Without this an anonymized copy would no longer be the annotated
    image outside the mask.
    """
    return np.where(mask[..., np.newaxis], inpainted, original)


def _inpainted(image: RgbImage, mask: Mask, inpainter: Inpainter) -> RgbImage:
    # The engine gets arrays of its own: one that works in place spoils only those.
    inpainted = inpainter.inpaint(image.copy(), mask.copy())
    if inpainted.shape != image.shape or inpainted.dtype != image.dtype:
        raise EngineError(
            f"{inpainter.version} was given a crop of {image.shape} {image.dtype} "
            f"and returned {inpainted.shape} {inpainted.dtype}"
        )
    return inpainted
