"""Inpainters of other packages, to stand beside those of cleanplate."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from skimage.restoration import inpaint_biharmonic

from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.protocols import Comfort, Inpainter, Inpainting


class NavierStokes:
    """cv2.inpaint's other method: M. Bertalmio et al., "Navier-Stokes, Fluid Dynamics, and Image Inpainting", 2001."""

    version: Final = f"opencv-ns {cv2.__version__}"
    comfort: Final = Comfort(context=0.1, min_side_px=32)
    RADIUS_PX: Final = 3

    def inpaint(self, image: RgbImage, mask: Mask, *, avoid: Mask | None = None) -> Inpainting:  # noqa: ARG002
        """Fill; nothing is copied, so there is nothing to avoid."""
        # At the image's border OpenCV lets masked pixels take part, so they get a colour that does no harm.
        image = np.where(mask[..., np.newaxis], image[~mask].mean(axis=0).round().astype(np.uint8), image)
        return Inpainting(np.asarray(cv2.inpaint(image, mask.view(np.uint8), self.RADIUS_PX, cv2.INPAINT_NS)))


class Biharmonic:
    """scikit-image's smoothest surface; its time grows so fast with the hole that it is for small ones only."""

    version: Final = "skimage-biharmonic"
    comfort: Final = Comfort(context=0.1, min_side_px=32)

    def inpaint(self, image: RgbImage, mask: Mask, *, avoid: Mask | None = None) -> Inpainting:  # noqa: ARG002
        """Fill; nothing is copied, so there is nothing to avoid."""
        smooth = inpaint_biharmonic(image, mask, split_into_regions=True, channel_axis=-1)
        return Inpainting(np.clip(smooth * 255, 0, 255).round().astype(np.uint8))


PEERS: Final[Mapping[str, Callable[[], Inpainter]]] = MappingProxyType(
    {"Navier-Stokes": NavierStokes, "biharmonic": Biharmonic}
)
SMALL_ONLY: Final = frozenset({"biharmonic"})
