"""The samples of a TIFF: unpacked, added up and put in their places."""

import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin

from cleanplate.codecs import decoding, tiff_file
from cleanplate.codecs.picture import Samples, widened
from cleanplate.codecs.tiff_directories import Span
from cleanplate.codecs.tiff_file import Header
from cleanplate.codecs.tiff_writing import tiff_from_strips
from cleanplate.domain.image import Size
from cleanplate.errors import DamagedImageError, UnsupportedImageError

_Rows = npt.NDArray[np.uint8]

_CUT_SHORT: Final = "the TIFF is cut short or broken: a strip or tile has fewer samples than it should"


def samples_from_spans(data: bytes, head: Header, spans: Sequence[Span]) -> Samples:
    """(H, W, C), uint8 or uint16, as the file has them: not turned, and indices where it has a palette.

    Raises:
        DamagedImageError: They are cut short or not properly compressed.
    """
    pieces = len(spans) // head.planes
    planes = [_plane(data, head, spans[plane * pieces : (plane + 1) * pieces]) for plane in range(head.planes)]
    return planes[0] if head.planes == 1 else np.dstack(planes)


def colour_from_samples(data: bytes, head: Header, samples: Samples) -> tuple[Samples, Samples | None]:
    """(H, W) or (H, W, 3) of colour and (H, W) of alpha, if there is any: what the samples mean.

    Raises:
        UnsupportedImageError: The colours cannot be told from alpha.
        DamagedImageError: The palette is missing or broken.
    """
    alpha = None if head.premultiplied is None else samples[..., -1]
    if alpha is not None and head.premultiplied and not (alpha == np.iinfo(alpha.dtype).max).all():
        message = "a TIFF whose colours were multiplied by alpha cannot be handled: save it with unassociated alpha"
        raise UnsupportedImageError(message)
    if head.photometric == tiff_file.INDEXED:
        return _palette(data)[samples[..., 0]], alpha
    if head.photometric == tiff_file.RGB:
        return samples[..., :3], alpha
    return ~samples[..., 0] if head.photometric == tiff_file.WHITE_IS_ZERO else samples[..., 0], alpha


def _plane(data: bytes, head: Header, spans: Sequence[Span]) -> Samples:
    rows = _unpacked(data, head, spans)
    kind = f"{'>' if head.big_endian else '<'}u{head.bit_depth // 8}"
    values = rows.view(kind).reshape(len(rows), head.piece.width, -1)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if head.differences:
        values = np.add.accumulate(values, axis=1, dtype=values.dtype)
    if head.tiled:
        tiles = values.reshape(head.down, head.across, head.piece.height, head.piece.width, -1).swapaxes(1, 2)
        values = tiles.reshape(*reversed(head.stored_size), -1)[: head.size.height, : head.size.width]
    return values


def _unpacked(data: bytes, head: Header, spans: Sequence[Span]) -> _Rows:
    """(rows, bytes), the rows of all pieces one below the other."""
    if head.compression in {tiff_file.LZW, tiff_file.PACK_BITS}:
        return _unpacked_by_library(data, head, spans)
    sizes = [rows * head.row_bytes for rows in head.piece_rows]
    unpack = _plain if head.compression == tiff_file.PLAIN else _inflated
    content = b"".join(unpack(data[start:end], size) for (start, end), size in zip(spans, sizes, strict=True))
    return np.frombuffer(content, dtype=np.uint8).reshape(-1, head.row_bytes)


def _plain(packed: bytes, size: int) -> bytes:
    if len(packed) < size:
        raise DamagedImageError(_CUT_SHORT)
    return packed[:size]


def _inflated(packed: bytes, size: int) -> bytes:
    try:
        content = zlib.decompressobj().decompress(packed, size)
    except zlib.error as error:
        raise DamagedImageError("the TIFF's samples are not properly compressed") from error
    if len(content) < size:
        raise DamagedImageError(_CUT_SHORT)
    return content


def _unpacked_by_library(data: bytes, head: Header, spans: Sequence[Span]) -> _Rows:
    # For the library the bytes are a grey image of 8 bits: it has no say in what they mean.
    rows = head.piece_rows
    size = Size(head.row_bytes, sum(rows))
    fields = {
        tiff_file.WIDTH: (size.width,),
        tiff_file.LENGTH: (size.height,),
        tiff_file.BITS: (8,),
        tiff_file.COMPRESSION: (head.compression,),
        tiff_file.PHOTOMETRIC: (tiff_file.BLACK_IS_ZERO,),
        tiff_file.ROWS_PER_STRIP: (rows[0],),
    }
    file = tiff_from_strips(fields, [data[start:end] for start, end in spans])
    return np.asarray(decoding.decoded(TiffImagePlugin.TiffImageFile, file, size))


def _palette(data: bytes) -> Samples:
    """In 8 bits if they can say the same, in 16 otherwise."""
    colours = tiff_file.palette(data)
    eight = (colours >> 8).astype(np.uint8)
    exact = np.array_equal(widened(eight), colours) or not (colours & 0xFF).any()
    return eight if exact else colours
