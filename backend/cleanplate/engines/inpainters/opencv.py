"""Fast marching, weightless: A. Telea, "An Image Inpainting Technique Based on the Fast Marching Method", 2004."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask, RgbImage, require_image, size_of
from cleanplate.domain.mask import require_fit
from cleanplate.engines.protocols import Comfort, Inpainting
from cleanplate.errors import EngineError, EngineMemoryError

_RADIUS_PX: Final = 3
"""How far known pixels reach. Time grows with its square; between 3 and 8 the eye sees no difference."""

_NO_SOURCE_GREY: Final = 128


class OpenCvInpainter:
    """Telea's method as OpenCV has it: smooth fills that hold up for small objects on plain ground.

    An image that is masked entirely has nothing to be filled from: it becomes mid grey.
    """

    version: Final = f"opencv-telea radius={_RADIUS_PX}px"
    comfort: Final = Comfort(context=0.1, min_side_px=32)

    def inpaint(self, image: RgbImage, mask: Mask, *, avoid: Mask | None = None) -> Inpainting:
        """Return a new image of the same size with the masked pixels replaced.

        It copies nothing, so there is nothing to *avoid*: colours fade inwards from the pixels at the mask's edge.
        """
        require_image(image)
        require_fit(mask, size_of(image))
        if avoid is not None:
            require_fit(avoid, size_of(image))
        if mask.all():
            return Inpainting(np.full_like(image, _NO_SOURCE_GREY), confidence=0.0)
        try:
            return Inpainting(faded(image, mask))
        except cv2.error as error:
            raise _translated(error, image) from error


def load() -> OpenCvInpainter:
    """Make the inpainter; there is nothing to load."""
    return OpenCvInpainter()


def faded(image: RgbImage, mask: Mask) -> RgbImage:
    """Carry colours and edges a few pixels into a hole, and fade them further in.

    Args:
        image: (H, W, 3); what lies under the mask is not looked at.
        mask: (H, W), not all True.

    Raises:
        cv2.error: There is no room for an image this size.
    """
    height, width = mask.shape
    # In an image of a single row or column OpenCV reads memory that is not the image's.
    beyond = (0, int(height == 1), 0, int(width == 1), cv2.BORDER_REPLICATE)
    prefilled = cv2.copyMakeBorder(_prefilled(image, mask), *beyond)
    hole = cv2.copyMakeBorder(mask.view(np.uint8), *beyond)
    filled = cv2.inpaint(prefilled, hole, _RADIUS_PX, cv2.INPAINT_TELEA)
    return np.ascontiguousarray(filled[:height, :width])


def _prefilled(image: RgbImage, mask: Mask) -> RgbImage:
    # Where a mask meets the image's border, OpenCV lets masked pixels take part. Neither what was there nor the colour
    # it was overwritten with may show in the fill; the mean of the known pixels does no harm.
    prefilled = image.copy()
    prefilled[mask] = np.rint(image[~mask].mean(axis=0)).astype(np.uint8)
    return prefilled


def _translated(error: cv2.error, image: RgbImage) -> EngineError:
    size = size_of(image)
    if error.code == cv2.Error.StsNoMem:
        return EngineMemoryError(f"opencv has no room to fill a crop of {size.width}×{size.height}")
    return EngineError(f"opencv cannot fill a crop of {size.width}×{size.height}: {error.err}")
