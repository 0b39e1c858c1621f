"""Samples → TIFF: one directory of the fields that are needed, and strips; not a byte between them."""

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

import numpy as np

from cleanplate.codecs import tiff_file
from cleanplate.codecs.picture import Samples
from cleanplate.errors import UnsupportedImageError

_LONGS: Final = frozenset(
    {
        tiff_file.WIDTH,
        tiff_file.LENGTH,
        tiff_file.STRIP_OFFSETS,
        tiff_file.ROWS_PER_STRIP,
        tiff_file.STRIP_BYTES,
    }
)
_SHORT: Final = 3
_LONG: Final = 4
_HEADER: Final = struct.Struct("<4sI")
_FIELD: Final = struct.Struct("<HHI4s")
_INLINE_BYTES: Final = 4
_MAX_BYTES: Final = (1 << 32) - 1

_STRIP_BYTES: Final = 1 << 18
_LEVEL: Final = 4
_COLOURS: Final = 3
_DIFFERENCES: Final = 2
_UNASSOCIATED: Final = 2


def tiff_from_samples(samples: Samples) -> bytes:
    """A TIFF of deflated strips with nothing but the samples and what is needed to show them.

    Args:
        samples: (H, W, C), uint8 or uint16, one to four channels: grey or colours, then alpha.

    Raises:
        UnsupportedImageError: It would be longer than a TIFF can be.
    """
    height, width, channels = samples.shape
    rows = max(_STRIP_BYTES // (width * channels * samples.itemsize), 1)
    fields = {
        tiff_file.WIDTH: (width,),
        tiff_file.LENGTH: (height,),
        tiff_file.BITS: (samples.itemsize * 8,) * channels,
        tiff_file.COMPRESSION: (tiff_file.DEFLATE,),
        tiff_file.PHOTOMETRIC: (tiff_file.RGB if channels >= _COLOURS else tiff_file.BLACK_IS_ZERO,),
        tiff_file.CHANNELS: (channels,),
        tiff_file.ROWS_PER_STRIP: (min(rows, height),),
        tiff_file.PLANES: (1,),
        tiff_file.PREDICTOR: (_DIFFERENCES,),
    }
    if channels in {2, 4}:
        fields[tiff_file.EXTRA_CHANNELS] = (_UNASSOCIATED,)
    return tiff_from_strips(fields, list(_strips(samples, rows)))


def tiff_from_strips(fields: Mapping[int, tuple[int, ...]], strips: Sequence[bytes]) -> bytes:
    """A TIFF of strips that are compressed already.

    Args:
        fields: numbers by tag, but where the strips are and how long they are.
        strips: in their order.

    Raises:
        UnsupportedImageError: It would be longer than a TIFF can be.
    """
    sizes = tuple(len(strip) for strip in strips)
    every = {**fields, tiff_file.STRIP_OFFSETS: sizes, tiff_file.STRIP_BYTES: sizes}
    values_start = _HEADER.size + 2 + _FIELD.size * len(every) + _INLINE_BYTES
    strips_start = values_start + sum(len(_packed(tag, numbers, outside=True)) for tag, numbers in every.items())
    if strips_start + sum(sizes) > _MAX_BYTES:
        raise UnsupportedImageError("a TIFF cannot be longer than 4 GiB")
    every[tiff_file.STRIP_OFFSETS] = tuple(accumulate(sizes[:-1], initial=strips_start))
    directory, values = [struct.pack("<H", len(every))], b""
    for tag, numbers in sorted(every.items()):
        outside = _packed(tag, numbers, outside=True)
        inside = struct.pack("<I", values_start + len(values)) if outside else _packed(tag, numbers, outside=False)
        directory.append(_FIELD.pack(tag, _LONG if tag in _LONGS else _SHORT, len(numbers), inside))
        values += outside
    return b"".join((_HEADER.pack(b"II*\0", _HEADER.size), *directory, bytes(_INLINE_BYTES), values, *strips))


def _packed(tag: int, numbers: tuple[int, ...], *, outside: bool) -> bytes:
    """The numbers of a field, if this is where they belong: outside of the directory or inside."""
    packed = struct.pack(f"<{len(numbers)}{'I' if tag in _LONGS else 'H'}", *numbers)
    return packed if (len(packed) > _INLINE_BYTES) == outside else b""


def _strips(samples: Samples, rows: int) -> Iterator[bytes]:
    # As in a PNG of 16 bits: no repetitions are worth being looked for in the noise of the lower halves.
    level, strategy = (_LEVEL, zlib.Z_DEFAULT_STRATEGY) if samples.itemsize == 1 else (1, zlib.Z_RLE)
    for top in range(0, len(samples), rows):
        strip = samples[top : top + rows]
        differences = np.diff(strip, axis=1, prepend=samples.dtype.type(0))
        deflater = zlib.compressobj(level, strategy=strategy)
        content = differences.astype(differences.dtype.newbyteorder("<"), copy=False).tobytes()
        yield deflater.compress(content) + deflater.flush()
