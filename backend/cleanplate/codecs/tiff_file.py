"""TIFF files: their pieces, and how the samples of the first image lie in them."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from cleanplate.codecs.parts import STRAY, TRAILING, Part
from cleanplate.codecs.tiff_directories import HEADER_BYTES, MAX_FIELDS, Directory, Span, Tags, directories, first_of
from cleanplate.domain.image import Size
from cleanplate.errors import DamagedImageError, UnsupportedImageError

SIGNATURES: Final = (b"II*\0", b"MM\0*")

HEADER: Final = "header"
DIRECTORY: Final = "directory"
SAMPLES: Final = "samples"
"""Kinds of parts; the values that do not fit into a directory are called after their tag's number."""

WIDTH: Final = 256
LENGTH: Final = 257
BITS: Final = 258
COMPRESSION: Final = 259
PHOTOMETRIC: Final = 262
STRIP_OFFSETS: Final = 273
CHANNELS: Final = 277
ROWS_PER_STRIP: Final = 278
STRIP_BYTES: Final = 279
PLANES: Final = 284
PREDICTOR: Final = 317
EXTRA_CHANNELS: Final = 338

_REDUCED: Final = 254
_SMALLER: Final = 1
_PURPOSES: Final = 7
_FILL_ORDER: Final = 266
_TRANSFER: Final = 301
_WHITE_POINT: Final = 318
_PRIMARIES: Final = 319
_PALETTE: Final = 320
_TILE_WIDTH: Final = 322
_TILE_LENGTH: Final = 323
_TILE_OFFSETS: Final = 324
_TILE_BYTES: Final = 325
_SAMPLE_FORMAT: Final = 339
_PROFILE: Final = 34675
_RAW: Final = 50706

NEEDED: Final = frozenset(
    {
        WIDTH,
        LENGTH,
        BITS,
        COMPRESSION,
        PHOTOMETRIC,
        STRIP_OFFSETS,
        CHANNELS,
        ROWS_PER_STRIP,
        STRIP_BYTES,
        PLANES,
        PREDICTOR,
        EXTRA_CHANNELS,
    }
)
"""The tags that are needed to show an image of strips. The padding of tiles and unused colours of a palette hide."""

PLAIN: Final = 1
LZW: Final = 5
DEFLATE: Final = 8
OLD_DEFLATE: Final = 32946
PACK_BITS: Final = 32773

_MAX_RATIOS: Final = MappingProxyType({PLAIN: 1, LZW: 4096, DEFLATE: 1032, OLD_DEFLATE: 1032, PACK_BITS: 64})
"""No stream of these kinds grows by more when it is unpacked."""

_OTHER_COMPRESSIONS: Final = MappingProxyType(
    {
        2: "fax (CCITT)",
        3: "fax (CCITT)",
        4: "fax (CCITT)",
        6: "JPEG",
        7: "JPEG",
        34712: "JPEG 2000",
        34925: "LZMA",
        50000: "Zstandard",
        50001: "WebP",
        50002: "JPEG XL",
    }
)

WHITE_IS_ZERO: Final = 0
BLACK_IS_ZERO: Final = 1
RGB: Final = 2
INDEXED: Final = 3

_COLOURS: Final = MappingProxyType({WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, INDEXED: 1})
_OTHER_COLOURS: Final = MappingProxyType(
    {
        4: "a mask",
        5: "inks (CMYK)",
        6: "luma and chroma (YCbCr)",
        8: "CIE L*a*b*",
        32803: "raw samples",
        34892: "raw samples",
    }
)

_DEPTHS: Final = (8, 16)
_UNSIGNED: Final = 1
_HORIZONTAL: Final = 2
_SEPARATE: Final = 2
_ASSOCIATED: Final = 1
_UNASSOCIATED: Final = 2
_ENTRIES: Final = 256
_MAX_SHORT: Final = 65_535

_INFLATE_STEP: Final = 1 << 14


def walk(data: bytes) -> Iterator[Part]:
    """Header, directories, values and samples as they lie in the file, and what is between and behind them.

    Raises:
        DamagedImageError: Something lies outside the file, or there are too many pieces.
    """
    pieces: list[tuple[int, int, str]] = [(0, HEADER_BYTES, HEADER)]
    for directory in directories(data):
        pieces.append((directory.start, directory.end, DIRECTORY))
        pieces += [(field.start, field.end, str(field.tag)) for field in directory.fields if not field.inline]
        pieces += [(start, end, SAMPLES) for start, end in _spans(data, directory)]
        if len(pieces) > MAX_FIELDS:
            raise DamagedImageError(f"the TIFF is made of more than {MAX_FIELDS} pieces")
    position = 0
    for start, end, kind in sorted(pieces):
        if start > position:
            yield Part.unnamed(STRAY, data, position, start)
        yield Part.unnamed(kind, data, start, end)
        position = max(position, end)
    if position < len(data):
        yield Part.unnamed(TRAILING, data, position, len(data))


@dataclass(frozen=True, eq=False)
class Header:
    """How the samples of an image are kept.

    Attributes:
        size: as stored, not turned upright.
        bit_depth: 8 or 16.
        photometric: what the samples mean: `WHITE_IS_ZERO`, `BLACK_IS_ZERO`, `RGB` or `INDEXED`.
        channels: how many samples a pixel has, alpha among them.
        premultiplied: whether the colours were multiplied by alpha; None if there is no alpha.
        compression: `PLAIN`, `LZW`, `DEFLATE`, `OLD_DEFLATE` or `PACK_BITS`.
        differences: whether each sample is stored as its difference from the one before it in its row.
        planes: 1, or one for each channel.
        piece: the size of a strip or tile; the last strip may be lower.
        tiled: whether the pieces are tiles.
        big_endian: whether the larger half of 16 bits comes first.
    """

    size: Size
    bit_depth: int
    photometric: int
    channels: int
    premultiplied: bool | None
    compression: int
    differences: bool
    planes: int
    piece: Size
    tiled: bool
    big_endian: bool

    @property
    def across(self) -> int:
        """How many pieces lie side by side."""
        return -(-self.size.width // self.piece.width)

    @property
    def down(self) -> int:
        """How many pieces lie one below the other."""
        return -(-self.size.height // self.piece.height)

    @property
    def stored_size(self) -> Size:
        """With what tiles have beyond the borders."""
        rows = self.down * self.piece.height if self.tiled else self.size.height
        return Size(self.across * self.piece.width, rows)

    @property
    def row_bytes(self) -> int:
        """The bytes of a row of a piece of one plane."""
        return self.piece.width * self.channels // self.planes * self.bit_depth // 8

    @property
    def piece_rows(self) -> tuple[int, ...]:
        """How many rows each piece of a plane has."""
        if self.tiled:
            return (self.piece.height,) * (self.across * self.down)
        tops = range(0, self.size.height, self.piece.height)
        return tuple(min(self.piece.height, self.size.height - top) for top in tops)


def header(data: bytes) -> Header:
    """How the samples of the first image are kept. Where they lie is not looked at.

    Raises:
        DamagedImageError: There is no image, or what the file says is impossible.
        UnsupportedImageError: It is one that cannot be handled faithfully; the message says why.
    """
    tags = Tags(data, first_of(data))
    size = Size(tags.number(WIDTH), tags.number(LENGTH))
    if not all(size):
        raise DamagedImageError("the TIFF's image has no size")
    if tags.number(_REDUCED, 0) & _SMALLER or tags.has(_RAW):
        raise UnsupportedImageError("a camera's raw file (TIFF) cannot be handled: develop it to TIFF or PNG first")
    photometric = _photometric(tags)
    channels = tags.number(CHANNELS, 1)
    tiled = _tiled(tags)
    compression = _compression(tags)
    return Header(
        size=size,
        bit_depth=_bit_depth(tags),
        photometric=photometric,
        channels=channels,
        premultiplied=_premultiplied(tags, channels - _COLOURS[photometric]),
        compression=compression,
        differences=_differences(tags, compression),
        planes=channels if _separate(tags) else 1,
        piece=_piece(tags, size, tiled=tiled),
        tiled=tiled,
        big_endian=tags.order == ">",
    )


def spans(data: bytes, head: Header) -> tuple[Span, ...]:
    """Where the strips or tiles of the first image lie, plane after plane.

    Raises:
        DamagedImageError: There are fewer or more than an image of this size has, or they hold less than it needs.
    """
    found = _spans(data, first_of(data))
    if len(found) != head.across * head.down * head.planes:
        raise DamagedImageError("the TIFF is broken: it has another number of strips or tiles than its size needs")
    packed = sum(end - start for start, end in found)
    if packed > len(data):
        raise DamagedImageError("the TIFF is broken: its strips or tiles lie on top of each other")
    if packed * _MAX_RATIOS[head.compression] < head.row_bytes * sum(head.piece_rows) * head.planes:
        raise DamagedImageError("the TIFF is cut short: it has less data than its size needs")
    return found


def hidden_behind_samples(data: bytes) -> Iterator[str]:
    """What strips hold, or could hold, besides the samples of the first image. Nobody looks behind those of tiles.

    Raises:
        DamagedImageError: They are not properly compressed, or are no image's.
        UnsupportedImageError: They are of an image that cannot be handled.
    """
    head = header(data)
    if head.tiled:
        return
    if head.compression not in {PLAIN, DEFLATE, OLD_DEFLATE}:
        yield "samples that are packed in a way in which more could hide"
        return
    surplus = _has_surplus if head.compression == PLAIN else _has_surplus_when_inflated
    found = spans(data, head)
    sizes = [rows * head.row_bytes for rows in head.piece_rows] * head.planes
    if any(surplus(data[start:end], size) for (start, end), size in zip(found, sizes, strict=True)):
        yield "bytes behind the samples"


def palette(data: bytes) -> npt.NDArray[np.uint16]:
    """(256, 3), red, green and blue of each entry in 16 bits.

    Raises:
        DamagedImageError: There is none, or it has another length.
    """
    values = Tags(data, first_of(data)).numbers(_PALETTE)
    if len(values) != 3 * _ENTRIES or max(values) > _MAX_SHORT:
        raise DamagedImageError("the TIFF's palette is broken")
    colours = np.array(values, dtype=np.uint16).reshape(3, _ENTRIES).T
    # Old programs wrote bytes, as the other readers know.
    return colours if colours.max() >= _ENTRIES else colours * np.uint16(257)


def other_images(data: bytes) -> tuple[bool, ...]:
    """For each image behind the first whether it is only a smaller version of it."""
    others = islice(directories(data), 1, None)
    return tuple(Tags(data, directory).number(_REDUCED, 0) & _PURPOSES == _SMALLER for directory in others)


def profile(data: bytes) -> bytes | None:
    """The colour profile; None if there is none."""
    field = Tags(data, first_of(data)).field(_PROFILE)
    return None if field is None else data[field.start : field.end]


def has_other_colours(data: bytes) -> bool:
    """Whether fields other than a profile say what the colours mean."""
    tags = Tags(data, first_of(data))
    return not tags.has(_PROFILE) and any(tags.has(tag) for tag in (_TRANSFER, _WHITE_POINT, _PRIMARIES))


# Reading


def _spans(data: bytes, directory: Directory) -> tuple[Span, ...]:
    tags = Tags(data, directory)
    tiled = tags.has(_TILE_OFFSETS)
    starts = tags.numbers(_TILE_OFFSETS if tiled else STRIP_OFFSETS, ())
    sizes = tags.numbers(_TILE_BYTES if tiled else STRIP_BYTES, ())
    if len(starts) != len(sizes):
        raise DamagedImageError("the TIFF is broken: some of its strips or tiles have no place or no size")
    if any(start + size > len(data) for start, size in zip(starts, sizes, strict=True)):
        raise DamagedImageError("the TIFF is cut short or broken: its samples lie outside the file")
    return tuple((start, start + size) for start, size in zip(starts, sizes, strict=True))


def _has_surplus(strip: bytes, size: int) -> bool:
    return len(strip) > size


def _has_surplus_when_inflated(strip: bytes, size: int) -> bool:
    left = size
    inflater = zlib.decompressobj()
    try:
        for start in range(0, len(strip), _INFLATE_STEP):
            pending = strip[start : start + _INFLATE_STEP]
            if inflater.eof:
                return True
            while pending and left >= 0:
                left -= len(inflater.decompress(pending, _INFLATE_STEP))
                pending = inflater.unconsumed_tail
    except zlib.error:
        raise DamagedImageError("the TIFF's samples are not properly compressed") from None
    return left < 0 or not inflater.eof or bool(inflater.unused_data)


def _compression(tags: Tags) -> int:
    compression = tags.number(COMPRESSION, PLAIN)
    if compression not in _MAX_RATIOS:
        raise _unsupported(f"compressed by {_OTHER_COMPRESSIONS.get(compression, f'method {compression}')}")
    if tags.number(_FILL_ORDER, 1) != 1:
        raise _unsupported("with reversed bits")
    return compression


def _photometric(tags: Tags) -> int:
    photometric = tags.number(PHOTOMETRIC)
    if photometric not in _COLOURS:
        raise _unsupported(f"of {_OTHER_COLOURS.get(photometric, f'colours of kind {photometric}')}")
    return photometric


def _bit_depth(tags: Tags) -> int:
    if set(tags.numbers(_SAMPLE_FORMAT, (_UNSIGNED,))) != {_UNSIGNED}:
        raise _unsupported("of signed or floating-point numbers")
    depths = sorted(set(tags.numbers(BITS, (1,))))
    if len(depths) > 1 or depths[0] not in _DEPTHS:
        raise _unsupported(f"of {' and '.join(str(depth) for depth in depths)} bits per sample")
    if tags.number(PHOTOMETRIC) == INDEXED and depths[0] != _DEPTHS[0]:
        raise _unsupported(f"of {depths[0]} bits per index of its palette")
    return depths[0]


def _premultiplied(tags: Tags, extra: int) -> bool | None:
    if extra < 0:
        raise DamagedImageError("the TIFF has fewer channels than its colours need")
    if extra == 0:
        if tags.has(EXTRA_CHANNELS):
            raise DamagedImageError("the TIFF has no channels besides its colours, but says what they mean")
        return None
    meanings = tags.numbers(EXTRA_CHANNELS, (0,))
    if meanings not in {(_ASSOCIATED,), (_UNASSOCIATED,)} or extra > 1:
        raise _unsupported("with channels besides colour and alpha")
    return meanings == (_ASSOCIATED,)


def _differences(tags: Tags, compression: int) -> bool:
    predictor = tags.number(PREDICTOR, 1)
    if predictor not in {1, _HORIZONTAL}:
        raise _unsupported(f"with predictor {predictor}")
    if predictor == _HORIZONTAL and compression in {PLAIN, PACK_BITS}:
        # Some programs add them up and others show them as they are.
        raise _unsupported("of differences that neither LZW nor deflate compressed")
    return predictor == _HORIZONTAL


def _separate(tags: Tags) -> bool:
    arrangement = tags.number(PLANES, 1)
    if arrangement not in {1, _SEPARATE}:
        raise _unsupported(f"with planar configuration {arrangement}")
    return arrangement == _SEPARATE


def _tiled(tags: Tags) -> bool:
    of_tiles, of_strips = (
        [tags.has(tag) for tag in kinds]
        for kinds in ((_TILE_OFFSETS, _TILE_BYTES, _TILE_WIDTH, _TILE_LENGTH), (STRIP_OFFSETS, STRIP_BYTES))
    )
    if any(of_tiles) and any(of_strips):
        raise DamagedImageError("the TIFF is broken: it says that it has strips, and that it has tiles")
    return any(of_tiles)


def _piece(tags: Tags, size: Size, *, tiled: bool) -> Size:
    if tiled:
        piece = Size(tags.number(_TILE_WIDTH), tags.number(_TILE_LENGTH))
    else:
        piece = Size(size.width, min(tags.number(ROWS_PER_STRIP, size.height), size.height))
    if not all(piece):
        raise DamagedImageError("the TIFF's strips or tiles have no size")
    return piece


def _unsupported(what: str) -> UnsupportedImageError:
    return UnsupportedImageError(f"a TIFF {what} cannot be handled: convert it to PNG first")
