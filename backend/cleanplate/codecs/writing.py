"""Pictures → image files: their samples and nothing else."""

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image

from cleanplate.codecs.container import Format
from cleanplate.codecs.picture import OPAQUE, Container, Picture, black_where_clear, samples_of
from cleanplate.codecs.png_writing import png_from_samples
from cleanplate.codecs.tiff_writing import tiff_from_samples
from cleanplate.domain.image import Mask, size_of
from cleanplate.errors import UnsupportedImageError

_WEBP_QUALITY: Final = 90
_WEBP_METHOD: Final = 2
_WEBP_EFFORT: Final = 30
_SUBSAMPLINGS: Final[Mapping[tuple[int, int], int]] = MappingProxyType({(1, 1): 0, (2, 1): 1, (2, 2): 2})


def bytes_from_picture(picture: Picture) -> bytes:
    """The picture as a file of its container's format: its samples and nothing else.

    The same picture always gives the same bytes. What is fully transparent is black.

    Raises:
        UnsupportedImageError: The format cannot keep a picture of this size, or JPEG its transparency.
    """
    file = io.BytesIO()
    try:
        _WRITERS[picture.container.format](picture, file)
    except (OSError, ValueError) as error:
        width, height = size_of(picture.image)
        message = f"a picture of {width}×{height} cannot be written as {picture.container.format}"
        raise UnsupportedImageError(message) from error
    return file.getvalue()


def png_from_mask(mask: Mask) -> bytes:
    """A grey PNG that is white where the mask is True and black elsewhere."""
    file = io.BytesIO()
    Image.fromarray(np.where(mask, np.uint8(OPAQUE), np.uint8(0))).save(file, format="PNG")
    return file.getvalue()


# Writing


def encoding_notes(container: Container) -> tuple[str, ...]:
    """What a copy of a JPEG will not have in common with it because the encoder cannot do it."""
    tables = container.jpeg
    if tables is None or tables.rgb or tables.subsampling in _SUBSAMPLINGS:
        return ()
    return ("chroma is kept at full resolution",)


def _write_jpeg(picture: Picture, file: io.BytesIO) -> None:
    tables = picture.container.jpeg
    if picture.alpha is not None or tables is None:
        raise UnsupportedImageError("a JPEG needs tables and keeps no transparency")
    steps = [list(table) for table in tables.quantisation[:3]]
    while len(steps) > 1 and steps[-1] == steps[-2]:
        # A component without a table of its own takes the last one.
        steps.pop()
    image = Image.fromarray(picture.image)
    if picture.container.grey:
        image.convert("L").save(file, format="JPEG", qtables=steps[:1])
    elif tables.rgb:
        image.save(file, format="JPEG", qtables=steps, subsampling=0, keep_rgb=True)
    else:
        image.save(file, format="JPEG", qtables=steps, subsampling=_SUBSAMPLINGS.get(tables.subsampling, 0))


def _write_png(picture: Picture, file: io.BytesIO) -> None:
    file.write(png_from_samples(samples_of(picture)))


def _write_tiff(picture: Picture, file: io.BytesIO) -> None:
    file.write(tiff_from_samples(samples_of(picture)))


def _write_webp(picture: Picture, file: io.BytesIO) -> None:
    if picture.container.lossless:
        _visible(picture).save(
            file, format="WEBP", lossless=True, exact=True, method=_WEBP_METHOD, quality=_WEBP_EFFORT
        )
    else:
        _visible(picture).save(file, format="WEBP", quality=_WEBP_QUALITY)


def _visible(picture: Picture) -> Image.Image:
    """The picture for Pillow: grey or in colour, with alpha or without, and black where it is fully transparent."""
    image, alpha = picture.image, picture.alpha
    if alpha is not None:
        image = black_where_clear(image, alpha)
    colour = Image.fromarray(image)
    if picture.container.grey:
        colour = colour.convert("L")
    if alpha is not None:
        colour.putalpha(Image.fromarray(alpha))
    return colour


_WRITERS: Final[Mapping[Format, Callable[[Picture, io.BytesIO], None]]] = MappingProxyType(
    {Format.JPEG: _write_jpeg, Format.PNG: _write_png, Format.WEBP: _write_webp, Format.TIFF: _write_tiff}
)
