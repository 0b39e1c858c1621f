"""What was read from an image file, and what its copy will show."""

from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.codecs.container import Format
from cleanplate.codecs.jpeg import JpegTables
from cleanplate.domain.image import Mask, RgbImage, Size, require_image, size_of
from cleanplate.domain.mask import require_fit
from cleanplate.errors import ImageError

Samples: TypeAlias = npt.NDArray[Any]
"""Of 8 or 16 bits."""

Alpha: TypeAlias = npt.NDArray[np.uint8]
"""(H, W), 0 is transparent, 255 opaque."""

DeepSamples: TypeAlias = npt.NDArray[np.uint16]
"""(H, W, C): grey or red, green and blue, and alpha behind them if there is any; up to 65,535."""

PIXEL: Final = Size(1, 1)
OPAQUE: Final = 255
DEEP_OPAQUE: Final = 65_535

_WIDENING: Final = 257
"""Takes 255 to 65,535 and, with the rounding of `narrowed`, every 8-bit sample back to itself."""

_ALPHA_CHANNEL: Final = 3


@dataclass(frozen=True)
class Container:
    """How an image was kept in its file, so that its copy can be kept alike.

    Attributes:
        format: the file's format.
        grey: whether it has one channel of colour.
        lossless: whether its format gives back every sample.
        jpeg: how its samples were compressed, turned upright with it; None if it is no JPEG.
        grid: the cells in which samples were compressed together; (1, 1) if it is lossless.
        grid_from_right: whether whole cells begin at the right border of the upright image, not at the left one.
        grid_from_bottom: whether whole cells begin at the bottom border.
        notes: what a copy will not have of the original, each in a sentence's part.
    """

    format: Format
    grey: bool = False
    lossless: bool = True
    jpeg: JpegTables | None = None
    grid: Size = PIXEL
    grid_from_right: bool = False
    grid_from_bottom: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.format is Format.JPEG) != (self.jpeg is not None):
            raise ValueError("a JPEG, and nothing else, has JPEG tables")

    @property
    def extension(self) -> str:
        """What the name of a file like this ends with, without the dot."""
        return self.format.extension


@dataclass(frozen=True, eq=False)
class Picture:
    """An image with all that is needed to write it back.

    Where a file has 16 bits per sample, *image* and *alpha* are what 8 bits can show of them, rounded, and *deep* is
    what is written. The three must agree: a picture in which only the image was exchanged would still be written with
    the samples that it had before. `with_fill` exchanges all of them.

    Attributes:
        image: (H, W, 3), sRGB, upright; black where it is fully transparent.
        alpha: (H, W), or None if the file has no transparency.
        container: how it was and will be kept.
        deep: (H, W, C), upright, all its 16-bit samples; None if the file has 8 bits or fewer.
    """

    image: RgbImage
    alpha: Alpha | None
    container: Container
    deep: DeepSamples | None = None

    def __post_init__(self) -> None:
        require_image(self.image)
        if self.alpha is not None and (self.alpha.shape != self.image.shape[:2] or self.alpha.dtype != np.uint8):
            raise ImageError(f"the alpha of an image of {self.image.shape} cannot be {self.alpha.shape}")
        if self.deep is not None:
            self._require_agreement(self.deep)

    @classmethod
    def from_deep(cls, deep: DeepSamples, container: Container) -> "Picture":
        """A picture of 16-bit samples, together with what 8 bits can show of them."""
        return cls(*_shown(deep), container, deep)

    def _require_agreement(self, deep: DeepSamples) -> None:
        colours = 1 if self.container.grey else 3
        if deep.dtype != np.uint16 or deep.shape != (*self.image.shape[:2], colours + (self.alpha is not None)):
            raise ImageError(f"the 16-bit samples of an image of {self.image.shape} cannot be {deep.shape}")
        image, alpha = _shown(deep)
        same_alpha = alpha is None or self.alpha is None or np.array_equal(self.alpha, alpha)
        if not (same_alpha and np.array_equal(self.image, image)):
            raise ImageError("an image and its 16-bit samples must show the same")


def narrowed(samples: DeepSamples) -> npt.NDArray[np.uint8]:
    """16-bit samples in 8 bits, each rounded to the nearest."""
    # Five times as fast as numpy. No sample lies half-way between two levels, so floating point cannot err.
    return np.asarray(cv2.convertScaleAbs(samples, alpha=1 / _WIDENING), dtype=np.uint8).reshape(samples.shape)


def widened(samples: npt.NDArray[np.uint8]) -> DeepSamples:
    """8-bit samples in 16 bits; `narrowed` gives them back."""
    return samples.astype(np.uint16) * np.uint16(_WIDENING)


def black_where_clear(image: Samples, alpha: Samples) -> Samples:
    """An image without the colours that its full transparency hides."""
    return np.where(alpha[..., np.newaxis] > 0, image, image.dtype.type(0))


def with_fill(picture: Picture, image: RgbImage, mask: Mask) -> Picture:
    """The picture of a copy: *image* under the mask, and every sample of *picture* outside it.

    Under the mask nothing is left of the original, neither in the samples that 8 bits of colour do not show nor in the
    transparency, which could tell the outline of what was there: the fill is opaque. In a grey picture it is grey.

    Raises:
        SizeMismatchError: The three are not of one size.
    """
    require_fit(mask, size_of(picture.image))
    require_fit(mask, size_of(image))
    filled = image[mask]
    if picture.container.grey and filled.size:
        filled = cv2.cvtColor(cv2.cvtColor(filled[np.newaxis], cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)[0]
    copied = picture.image.copy()
    copied[mask] = filled
    alpha = None if picture.alpha is None else np.where(mask, np.uint8(OPAQUE), picture.alpha)
    deep = None if picture.deep is None else _with_deep_fill(picture.deep, filled, mask)
    return replace(picture, image=copied, alpha=alpha, deep=deep)


def samples_of(picture: Picture) -> Samples:
    """(H, W, C), what a lossless file of the picture holds: grey or colours, then alpha; black where it is clear."""
    if picture.deep is not None:
        return picture.deep
    colour = picture.image[..., :1] if picture.container.grey else picture.image
    if picture.alpha is None:
        return colour
    return np.dstack([black_where_clear(colour, picture.alpha), picture.alpha])


def sample_differences(one: Picture, other: Picture) -> npt.NDArray[np.uint16]:
    """(H, W), by how much pixels of two pictures of one size differ: the largest difference of their samples.

    Alpha counts as a sample, and is opaque where a picture has none. If either picture has 16 bits, the differences
    are of 16-bit samples, so that 257 is one level of 8 bits.
    """
    deep = one.deep is not None or other.deep is not None
    largest = np.zeros(one.image.shape[:2], dtype=np.uint16)
    for channel in range(_ALPHA_CHANNEL + 1):
        differences = cv2.absdiff(_channel(one, channel, deep=deep), _channel(other, channel, deep=deep))
        np.maximum(largest, differences, out=largest)
    return largest


def _shown(deep: DeepSamples) -> tuple[RgbImage, Alpha | None]:
    """What 8 bits can show of 16-bit samples. What is not quite transparent is not shown as if it were."""
    channels = deep.shape[2]
    has_alpha = channels % 2 == 0
    seen = narrowed(deep)
    image = seen[..., :3] if channels > 2 else seen[..., :1].repeat(3, axis=2)  # noqa: PLR2004 - grey and its alpha
    if not has_alpha:
        return np.ascontiguousarray(image), None
    return np.ascontiguousarray(image), np.maximum(seen[..., -1], (deep[..., -1] > 0).view(np.uint8))


def _with_deep_fill(deep: DeepSamples, filled: RgbImage, mask: Mask) -> DeepSamples:
    colours = 1 if deep.shape[2] < 3 else 3  # noqa: PLR2004 - grey and its alpha
    copied = deep.copy()
    under = np.full((len(filled), deep.shape[2]), DEEP_OPAQUE, dtype=np.uint16)
    under[:, :colours] = widened(filled[:, :colours])
    copied[mask] = under
    return copied


def _channel(picture: Picture, channel: int, *, deep: bool) -> Samples:
    """(H, W), red, green, blue or alpha."""
    if picture.deep is not None:
        if channel == _ALPHA_CHANNEL and picture.alpha is None:
            return np.full(picture.image.shape[:2], DEEP_OPAQUE, dtype=np.uint16)
        place = -1 if channel == _ALPHA_CHANNEL else 0 if picture.container.grey else channel
        return picture.deep[..., place]
    if channel < _ALPHA_CHANNEL:
        samples = picture.image[..., channel]
    elif picture.alpha is not None:
        samples = picture.alpha
    else:
        samples = np.full(picture.image.shape[:2], OPAQUE, dtype=np.uint8)
    return widened(samples) if deep else samples
