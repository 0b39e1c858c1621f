"""The samples of a PNG: decoded, palettes looked up, transparent colours found."""

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from PIL import PngImagePlugin

from cleanplate.codecs import decoding, png
from cleanplate.codecs.parts import Part
from cleanplate.codecs.picture import OPAQUE, Samples
from cleanplate.errors import DamagedImageError

_DEEP: Final = 16
_COLOUR_DIMENSIONS: Final = 3
_PALETTE_ENTRIES: Final = 256


def samples_from_parts(parts: Sequence[Part], header: png.Header) -> tuple[Samples, Samples | None]:
    """(H, W) or (H, W, 3) of colour and (H, W) of alpha, if there is any; palettes and transparent colours applied.

    Both are of 8 bits, or of 16 if the file is; but a transparent colour always gives an alpha of 8.

    Raises:
        DamagedImageError: They are cut short or broken.
    """
    file = png.SIGNATURE + b"".join(part.whole for part in parts if part.kind in png.ESSENTIAL)
    samples: Samples = np.asarray(decoding.decoded(PngImagePlugin.PngImageFile, file, header.size))
    # The decoder leaves missing rows black and says nothing; only where that may have happened they are counted.
    if (header.interlaced or not samples[-1].any()) and png.surplus_bytes(parts) < 0:
        raise DamagedImageError("the PNG is cut short: it has fewer rows than its header says")
    if header.bit_depth == _DEEP:
        samples = _deep_samples(file)
    if samples.dtype == np.bool_:
        samples = np.where(samples, np.uint8(OPAQUE), np.uint8(0))
    transparency = png.transparency(parts)
    if header.colour_type == png.PALETTE:
        return _looked_up(samples, png.palette(parts), transparency)
    if header.colour_type == png.GREY_ALPHA:
        return samples[..., 0], samples[..., -1]
    if header.colour_type == png.RGB_ALPHA:
        return samples[..., :3], samples[..., 3]
    return samples, _alpha_by_colour(samples, transparency, header.bit_depth)


def _deep_samples(file: bytes) -> Samples:
    # Pillow gives only the upper half of samples of 16 bits. It has found the file sound, so OpenCV may read it.
    decoded = cv2.imdecode(np.frombuffer(file, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise DamagedImageError("the PNG cannot be decoded")
    if decoded.ndim != _COLOUR_DIMENSIONS:
        return decoded
    return decoded[..., [2, 1, 0, 3][: decoded.shape[2]]]


def _looked_up(indices: Samples, palette: bytes, transparency: bytes) -> tuple[Samples, Samples | None]:
    """Entries that the palette lacks are black, as in browsers."""
    colours = np.zeros((_PALETTE_ENTRIES, 3), dtype=np.uint8)
    entries = np.frombuffer(palette, dtype=np.uint8).reshape(-1, 3)[:_PALETTE_ENTRIES]
    colours[: len(entries)] = entries
    if not transparency:
        return colours[indices], None
    alphas = np.full(_PALETTE_ENTRIES, OPAQUE, dtype=np.uint8)
    given = np.frombuffer(transparency, dtype=np.uint8)[:_PALETTE_ENTRIES]
    alphas[: len(given)] = given
    return colours[indices], alphas[indices]


def _alpha_by_colour(samples: Samples, transparency: bytes, bit_depth: int) -> Samples | None:
    """The alpha of an image in which one colour, given in samples of its own depth, is transparent."""
    channels = samples.shape[2] if samples.ndim == _COLOUR_DIMENSIONS else 1
    if len(transparency) != 2 * channels:
        return None
    highest = (1 << bit_depth) - 1
    colour = (np.frombuffer(transparency, dtype=">u2") & highest).astype(samples.dtype)
    opaque = samples.reshape(*samples.shape[:2], channels) != colour * max(OPAQUE // highest, 1)
    return np.where(opaque.any(axis=2), np.uint8(OPAQUE), np.uint8(0))
