"""Exemplar completion, weightless: a hole is filled with pixels copied from elsewhere in the same image."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask, RgbImage, require_image, size_of
from cleanplate.domain.mask import require_fit
from cleanplate.engines.inpainters.exemplar_parts.completion import SEED, completed
from cleanplate.engines.inpainters.exemplar_parts.confidence import confidence_of
from cleanplate.engines.inpainters.exemplar_parts.familiar import familiar
from cleanplate.engines.inpainters.exemplar_parts.grain import with_grain
from cleanplate.engines.inpainters.exemplar_parts.grid import source_centres
from cleanplate.engines.inpainters.exemplar_parts.pyramid import Level, pyramid
from cleanplate.engines.inpainters.exemplar_parts.seams import blend
from cleanplate.engines.inpainters.exemplar_parts.smooth import smoothed_over, thin_parts
from cleanplate.engines.inpainters.exemplar_parts.sources import require_allowed
from cleanplate.engines.inpainters.opencv import faded
from cleanplate.engines.protocols import Comfort, Inpainting
from cleanplate.errors import EngineError, EngineMemoryError

_REVISION: Final = 3
"""Goes up with every change that changes fills."""

_NO_SOURCE_GREY: Final = 128
_FEWEST_SOURCES: Final = 60
_THIN_CONFIDENCE: Final = 0.9
_NOTHING_TO_COPY_CONFIDENCE: Final = 0.05


class ExemplarInpainter:
    """Fills from coarse to fine with what fits best, and copies it at full resolution: grain and sharpness are real.

    The way of Y. Wexler, E. Shechtman, M. Irani, "Space-Time Completion of Video", PAMI 2007, with the search of
    C. Barnes et al., "PatchMatch", SIGGRAPH 2009, a second start after K. He, J. Sun, "Statistics of Patch Offsets for
    Image Completion", ECCV 2012, and seams closed after P. Pérez et al., "Poisson Image Editing", SIGGRAPH 2003.

    Thin holes get a smooth fill; so do holes in images with too little to copy from, with a low confidence. An image
    that is masked entirely becomes mid grey. The same question has the same answer, bit by bit, on the same machine.
    """

    version: Final = f"exemplar {_REVISION}"
    comfort: Final = Comfort(context=1.0, min_side_px=96)

    def inpaint(self, image: RgbImage, mask: Mask, *, avoid: Mask | None = None) -> Inpainting:
        """Return a new image of the same size with the masked pixels replaced.

        No pixel is copied from the masked or avoided places or from so close to them that a patch would touch them.
        This is checked on what was found, by other code than found it.

        Raises:
            ImageError: The image is not (H, W, 3) uint8.
            SizeMismatchError: A mask has another size than the image.
            EngineMemoryError: There is no room for an image this size.
            EngineError: A pixel would have been copied from where none may be.
        """
        require_image(image)
        require_fit(mask, size_of(image))
        if avoid is not None:
            require_fit(avoid, size_of(image))
        if mask.all():
            return Inpainting(np.full_like(image, _NO_SOURCE_GREY), confidence=0.0)
        try:
            return _filled(image, mask, np.zeros_like(mask) if avoid is None else avoid)
        except cv2.error as error:
            raise _translated(error, image) from error
        except MemoryError as error:
            raise EngineMemoryError(_no_room(image)) from error


def load() -> ExemplarInpainter:
    """Make the inpainter; there is nothing to load."""
    return ExemplarInpainter()


def _filled(image: RgbImage, mask: Mask, avoid: Mask) -> Inpainting:
    # Before anything is looked at, what was hidden is gone.
    filled = np.asarray(cv2.bitwise_and(image, image, mask=(~mask).view(np.uint8)), dtype=np.uint8)
    thick = mask
    thin = thin_parts(mask)
    if thin.any():
        filled = with_grain(faded(filled, thin), thin, ~mask, SEED)
        thick = mask & ~thin
    if not thick.any():
        return Inpainting(filled, _THIN_CONFIDENCE)
    # A crop may have tens of millions of pixels: what is done with is let go of before the search begins.
    del thin
    usable = ~(mask | avoid)
    if np.count_nonzero(source_centres(usable)) < _FEWEST_SOURCES:
        return Inpainting(with_grain(smoothed_over(filled, thick), thick, ~mask, SEED), _NOTHING_TO_COPY_CONFIDENCE)
    completion = completed(pyramid(Level(filled, thick, familiar(filled, thick, usable))))
    del usable
    require_allowed(completion.sources, mask | avoid)
    confidence = confidence_of(completion.fit, float(mask.mean()))
    blend(filled, thick, completion.sources)
    return Inpainting(filled, confidence)


def _translated(error: cv2.error, image: RgbImage) -> EngineError:
    if error.code == cv2.Error.StsNoMem:
        return EngineMemoryError(_no_room(image))
    size = size_of(image)
    return EngineError(f"the exemplar inpainter cannot fill a crop of {size.width}×{size.height}: {error.err}")


def _no_room(image: RgbImage) -> str:
    size = size_of(image)
    return f"the exemplar inpainter has no room to fill a crop of {size.width}×{size.height}"
