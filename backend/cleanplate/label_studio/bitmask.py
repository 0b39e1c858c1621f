"""Bitmask regions: a PNG in a data URL whose alpha is the mask.

Label Studio paints whatever is not transparent and writes black where the mask is, so colour says nothing.
"""

import base64
import binascii
import io
from typing import Final

import numpy as np
from PIL import Image

from cleanplate.domain.image import Mask, Size
from cleanplate.errors import MaskError, SizeMismatchError

_PREFIX: Final = "data:image/png;base64,"
_MAX_CHARACTERS: Final = 64 * 1024 * 1024


def bitmask_from_mask(mask: Mask) -> str:
    """The data URL of a mask, as Label Studio's own bitmask tool writes it."""
    pixels = np.zeros((*mask.shape, 2), dtype=np.uint8)
    pixels[..., 1] = np.where(mask, 255, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGBA").save(file, format="PNG")
    return _PREFIX + base64.b64encode(file.getvalue()).decode("ascii")


def mask_from_bitmask(url: str, size: Size) -> Mask:
    """Every pixel that Label Studio shows as painted, however faintly.

    Raises:
        MaskError: It is no PNG in a data URL, is damaged, or has no transparency.
        SizeMismatchError: It was painted on an image of another size; nothing was decoded.
    """
    if not url.startswith(_PREFIX) or len(url) > _MAX_CHARACTERS:
        raise MaskError(f"a bitmask must begin with {_PREFIX} and be at most {_MAX_CHARACTERS} characters long")
    try:
        file = io.BytesIO(base64.b64decode(url.removeprefix(_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        raise MaskError("a bitmask's base64 is broken") from None
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            return _painted(picture, size)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MaskError("a bitmask is not a PNG that can be read") from error


def _painted(picture: Image.Image, size: Size) -> Mask:
    if picture.size != size:
        width, height = picture.size
        raise SizeMismatchError(f"a bitmask of {width}×{height} does not fit an image of {size.width}×{size.height}")
    if getattr(picture, "is_animated", False):
        raise MaskError("a bitmask has several frames")
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        raise MaskError("a bitmask has no transparency, so Label Studio shows all of it as painted")
    return np.asarray(picture.convert("RGBA").getchannel("A")) > 0
