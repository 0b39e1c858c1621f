"""PNGs of 16 bits per sample, which Pillow cannot write."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from cleanplate.codecs import png
from cleanplate.codecs.picture import DeepSamples

_COLOUR_TYPES: Final = {1: png.GREY, 2: png.GREY_ALPHA, 3: png.RGB, 4: png.RGB_ALPHA}
_BIT_DEPTH: Final = 16
_BAND_ROWS: Final = 256
_MINUS_LEFT: Final = 1
"""The number of the filter that writes by how much each byte differs from the one of the pixel before it."""


def png_from_samples(samples: DeepSamples) -> bytes:
    """A PNG with nothing but the header, the samples and the end.

    Args:
        samples: (H, W, C), one to four channels: grey or colours, then alpha.
    """
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, _BIT_DEPTH, _COLOUR_TYPES[channels], 0, 0, 0)
    # The lower halves of a photograph's samples are noise. Looking for repetitions in it takes five times as long and
    # makes the file 2 % longer (measured), and choosing among the other filters makes it 2 % shorter.
    deflater = zlib.compressobj(1, strategy=zlib.Z_RLE)
    packed = [deflater.compress(band) for band in _filtered(samples)]
    content = b"".join((*packed, deflater.flush()))
    return png.SIGNATURE + png.chunk("IHDR", header) + png.chunk("IDAT", content) + png.chunk("IEND", b"")


def _filtered(samples: DeepSamples) -> Iterator[bytes]:
    height, width, channels = samples.shape
    step = 2 * channels
    for top in range(0, height, _BAND_ROWS):
        rows = samples[top : top + _BAND_ROWS].astype(">u2").view(np.uint8).reshape(-1, width * step)
        band = np.full((len(rows), 1 + width * step), _MINUS_LEFT, dtype=np.uint8)
        band[:, 1 : 1 + step] = rows[:, :step]
        np.subtract(rows[:, step:], rows[:, :-step], out=band[:, 1 + step :])
        yield band.tobytes()
