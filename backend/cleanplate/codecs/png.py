"""PNG files: their chunks and header."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cleanplate.codecs import tiff
from cleanplate.codecs.parts import TRAILING, Part
from cleanplate.domain.image import Size
from cleanplate.errors import DamagedImageError, UnsupportedImageError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
ESSENTIAL: Final = frozenset({"IHDR", "PLTE", "IDAT", "IEND"})
"""What a decoder needs to get at the samples; tRNS comes on top, it says which of them are transparent."""

DAMAGED: Final = "damaged "
"""Stands before the kind of an ancillary chunk whose checksum is wrong: decoders ignore it."""

GREY: Final = 0
RGB: Final = 2
PALETTE: Final = 3
GREY_ALPHA: Final = 4
RGB_ALPHA: Final = 6

_CHANNELS: Final = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
_BIT_DEPTHS: Final = {
    GREY: {1, 2, 4, 8, 16},
    RGB: {8, 16},
    PALETTE: {1, 2, 4, 8},
    GREY_ALPHA: {8, 16},
    RGB_ALPHA: {8, 16},
}

_CHUNK_HEADER: Final = struct.Struct(">I4s")
_CRC: Final = struct.Struct(">I")
_HEADER: Final = struct.Struct(">IIBBBBB")
_ANCILLARY_BIT: Final = 0x20
_KNOWN_CRITICAL: Final = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}

_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_MAX_RATIO: Final = 1032
"""No deflate stream grows by more when it is inflated."""

# What the chunks for gamma, primaries and coded spaces hold if the samples are sRGB; the numbers are 1/100,000.
_SRGB_GAMMA: Final = (45455,)
_SRGB_PRIMARIES: Final = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_TOLERANCE: Final = 1000
_SRGB_SPACE: Final = bytes([1, 13, 0, 1])

_INFLATE_STEP: Final = 1 << 14


def walk(data: bytes) -> Iterator[Part]:
    """The signature's chunks, one after the other, and what is behind the end.

    Raises:
        DamagedImageError: The file ends before its end chunk, or a chunk that decoders need is broken.
        UnsupportedImageError: It has a chunk without which it cannot be shown and that nobody standardised.
    """
    position = len(SIGNATURE)
    while True:
        if position + _CHUNK_HEADER.size > len(data):
            raise DamagedImageError("the PNG is cut short: it has no end chunk")
        length, name = _CHUNK_HEADER.unpack_from(data, position)
        content = position + _CHUNK_HEADER.size
        end = content + length + _CRC.size
        if end > len(data):
            raise DamagedImageError("the PNG is cut short or broken: a chunk reaches beyond its end")
        if not (name.isascii() and name.isalpha()):
            raise DamagedImageError("the PNG is broken: a chunk has no proper name")
        intact = zlib.crc32(data[position + 4 : end - _CRC.size]) == _CRC.unpack_from(data, end - _CRC.size)[0]
        kind = name.decode("ascii")
        if not name[0] & _ANCILLARY_BIT:
            if name not in _KNOWN_CRITICAL:
                raise UnsupportedImageError(f"a PNG with the critical chunk {kind} cannot be handled")
            if not intact:
                raise DamagedImageError(f"the PNG is damaged: the checksum of {kind} is wrong")
        yield Part(kind if intact else DAMAGED + kind, data, position, content, content + length, end)
        position = end
        if name == b"IEND":
            break
    if position < len(data):
        yield Part.unnamed(TRAILING, data, position, len(data))


@dataclass(frozen=True)
class Header:
    """What a PNG's header says.

    Attributes:
        size: as stored, not turned upright.
        bit_depth: bits per sample, or per index into the palette.
        colour_type: `GREY`, `RGB`, `PALETTE`, `GREY_ALPHA` or `RGB_ALPHA`.
        interlaced: whether the pixels come in seven passes.
    """

    size: Size
    bit_depth: int
    colour_type: int
    interlaced: bool

    @property
    def inflated_bytes(self) -> int:
        """How many bytes the samples take when they are inflated, with one more per row for its filter."""
        width, height = self.size
        bits = self.bit_depth * _CHANNELS[self.colour_type]
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        sides = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes)
        return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sides if columns > 0 and rows > 0)


def header(parts: Sequence[Part]) -> Header:
    """The header chunk.

    Raises:
        DamagedImageError: It is missing, or what it says is impossible.
    """
    if parts[0].kind != "IHDR" or len(parts[0].content) != _HEADER.size:
        raise DamagedImageError("the PNG does not begin with its header")
    width, height, bit_depth, colour_type, compression, filters, interlacing = _HEADER.unpack(parts[0].content)
    known = bit_depth in _BIT_DEPTHS.get(colour_type, ()) and (compression, filters) == (0, 0) and interlacing in {0, 1}
    if not (width and height and known):
        raise DamagedImageError("the PNG's header is broken")
    return Header(Size(width, height), bit_depth, colour_type, interlaced=bool(interlacing))


def require_decodable(parts: Sequence[Part], head: Header) -> None:
    """Check what would make a decoder allocate much for nothing.

    Raises:
        DamagedImageError: There is less data than an image of this size needs, no palette, or a second header.
    """
    kinds = [part.kind for part in parts]
    compressed = sum(part.content_bytes for part in parts if part.kind == "IDAT")
    if compressed * _MAX_RATIO < head.inflated_bytes:
        raise DamagedImageError("the PNG is cut short: it has less data than its size needs")
    palettes = [part.content_bytes for part in parts if part.kind == "PLTE"]
    if len(palettes) > 1 or any(size % 3 for size in palettes) or kinds.count("IHDR") > 1:
        raise DamagedImageError("the PNG has a second header or a broken palette")
    if head.colour_type == PALETTE and not palettes:
        raise DamagedImageError("the PNG has no palette")


def surplus_bytes(parts: Sequence[Part]) -> int:
    """By how many bytes the samples are more than the pixels need: some if anything is hidden behind them.

    A negative number says how many are missing. The exact number of a surplus is not found out.

    Raises:
        DamagedImageError: They are not properly compressed.
    """
    surplus = -header(parts).inflated_bytes
    inflater = zlib.decompressobj()
    compressed = memoryview(b"".join(part.content for part in parts if part.kind == "IDAT"))
    try:
        for start in range(0, len(compressed), _INFLATE_STEP):
            pending = bytes(compressed[start : start + _INFLATE_STEP])
            if inflater.eof:
                return surplus + len(pending)
            while pending and surplus <= 0:
                surplus += len(inflater.decompress(pending, _INFLATE_STEP))
                pending = inflater.unconsumed_tail
    except zlib.error:
        raise DamagedImageError("the PNG's samples are not properly compressed") from None
    return surplus + len(inflater.unused_data)


def chunk(kind: str, content: bytes) -> bytes:
    """A chunk as it lies in a file."""
    name = kind.encode("ascii")
    return _CHUNK_HEADER.pack(len(content), name) + content + _CRC.pack(zlib.crc32(name + content))


def palette(parts: Sequence[Part]) -> bytes:
    """Red, green and blue of each entry; empty if there is no palette."""
    return _first(parts, "PLTE") or b""


def transparency(parts: Sequence[Part]) -> bytes:
    """The content of the chunk that makes samples transparent; empty if there is none."""
    return _first(parts, "tRNS") or b""


def orientation(parts: Sequence[Part]) -> tuple[int, bool]:
    """The EXIF orientation, and whether browsers apply it: they read no EXIF behind the samples."""
    kinds = [part.kind for part in parts]
    if "eXIf" not in kinds:
        return tiff.UPRIGHT, True
    return tiff.orientation(_first(parts, "eXIf") or b""), kinds.index("eXIf") < kinds.index("IDAT")


def profile(parts: Sequence[Part], *, max_bytes: int) -> bytes | None:
    """The inflated colour profile; empty if it is broken or longer than *max_bytes*, None if there is none."""
    content = _first(parts, "iCCP")
    if content is None:
        return None
    _, _, compressed = content.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(compressed[1:], max_bytes)
    except zlib.error:
        return b""
    return inflated if compressed[:1] == b"\0" and inflater.eof else b""


def has_other_colours(parts: Sequence[Part]) -> bool:
    """Whether chunks other than a profile say that the samples are not sRGB."""
    spaces = _first(parts, "cICP")
    if spaces is not None:
        return spaces != _SRGB_SPACE
    if _first(parts, "iCCP") is not None or _first(parts, "sRGB") is not None:
        return False
    gamma, primaries = _first(parts, "gAMA"), _first(parts, "cHRM")
    return not (_is_about(gamma, _SRGB_GAMMA) and _is_about(primaries, _SRGB_PRIMARIES))


def _is_about(content: bytes | None, expected: tuple[int, ...]) -> bool:
    if content is None:
        return True
    numbers = struct.iter_unpack(">I", content[: len(content) // 4 * 4])
    return all(abs(number - right) <= _TOLERANCE for (number,), right in zip(numbers, expected, strict=False))


def _first(parts: Sequence[Part], kind: str) -> bytes | None:
    return next((part.content for part in parts if part.kind == kind), None)
