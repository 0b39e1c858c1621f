"""A small copy of an image that stays beside its embedding, for what a click needs to see."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask, RgbImage, Size, size_of
from cleanplate.engines.protocols import Embedding
from cleanplate.pipeline.shadow import Shadow, propose_shadow

MAX_SIDE_PX: Final = 1024


@dataclass(frozen=True, eq=False)
class Overview:
    """An image, at most MAX_SIDE_PX wide and high.

    Attributes:
        image: (h, w, 3).
        size: of the image it was made from.
    """

    image: RgbImage
    size: Size

    @classmethod
    def of(cls, image: RgbImage) -> "Overview":
        """The overview of an image."""
        size = size_of(image)
        small = size.scaled(min(1.0, MAX_SIDE_PX / max(size)))
        if small == size:
            return cls(image.copy(), size)
        return cls(np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), dtype=np.uint8), size)

    @property
    def size_bytes(self) -> int:
        """How much memory it holds."""
        return self.image.nbytes

    def shadow_of(self, mask: Mask) -> Shadow | None:
        """The shadow of an object of the whole image, at that image's size; None if none is convincing."""
        small = size_of(self.image)
        if small == self.size:
            return propose_shadow(self.image, mask)
        found = propose_shadow(self.image, _resized(mask, small))
        shadow = _resized(found.mask, self.size) & ~mask if found else None
        return Shadow(shadow, found.score) if found and shadow is not None and shadow.any() else None


@dataclass(frozen=True, eq=False)
class Overlooked:
    """An embedding and the overview of the same image.

    They are kept apart: an embedding may be stored on a disk, an overview is the image itself and never is.
    """

    embedding: Embedding
    overview: Overview

    @property
    def size(self) -> Size:
        """The image's."""
        return self.embedding.size

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds."""
        return self.embedding.size_bytes + self.overview.size_bytes


def _resized(mask: Mask, size: Size) -> Mask:
    method = cv2.INTER_AREA if size.width < mask.shape[1] else cv2.INTER_LINEAR
    levels = cv2.resize(mask.view(np.uint8) * np.uint8(255), size, interpolation=method)
    return np.asarray(levels > 127, dtype=np.bool_)  # noqa: PLR2004  at least half of a pixel
