from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cleanplate.errors import ImageError

RgbImage: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, 3), RGB, upright: EXIF orientation is already applied."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""(H, W), True where a pixel is to be replaced."""

Logits: TypeAlias = npt.NDArray[np.float32]
"""(H, W), a segmenter's answer before the threshold; positive is inside."""

_RGB_DIMENSIONS = 3


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """How many pixels an image of this size has."""
        return self.width * self.height

    def scaled(self, factor: float) -> "Size":
        """The size of the image made so many times as wide and high; a side has a pixel at least."""
        return Size(max(round(self.width * factor), 1), max(round(self.height * factor), 1))


def size_of(array: RgbImage | Mask | Logits) -> Size:
    """The size of an image, a mask or logits."""
    return Size(width=array.shape[1], height=array.shape[0])


def require_image(image: RgbImage) -> None:
    """Raise ImageError unless *image* is a non-empty (H, W, 3) uint8 array."""
    if image.ndim != _RGB_DIMENSIONS or image.shape[2] != _RGB_DIMENSIONS or image.dtype != np.uint8 or not image.size:
        raise ImageError(f"an image must be (H, W, 3) uint8 and not empty, this is {image.shape} {image.dtype}")
