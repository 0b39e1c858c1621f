"""Pillow's decoders, given one file of one format each."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import TypeAlias

from PIL import Image, ImageFile

from cleanplate.domain.image import Size
from cleanplate.errors import DamagedImageError, ImageTooLargeError

Plugin: TypeAlias = Callable[[io.BytesIO], ImageFile.ImageFile]


def decoded(plugin: Plugin, file: bytes, size: Size) -> Image.Image:
    """Decode with one of Pillow's plugins, chosen by us: none of the others is ever asked.

    Raises:
        DamagedImageError: It cannot be decoded, or has another *size*.
        ImageTooLargeError: It is beyond Pillow's own limit.
    """
    try:
        picture = plugin(io.BytesIO(file))
        picture.load()
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(
            f"the image of {size.width}×{size.height} is beyond the decoder's own limit"
        ) from error
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error, zlib.error) as error:
        raise DamagedImageError("the image's samples are cut short or broken") from error
    if picture.size != size:
        raise DamagedImageError("the image's headers contradict each other")
    return picture
