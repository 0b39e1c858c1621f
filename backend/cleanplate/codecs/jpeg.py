"""JPEG files: their segments, and how they were quantised and subsampled."""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cleanplate.codecs import tiff
from cleanplate.codecs.parts import STRAY, TRAILING, Part
from cleanplate.domain.image import Size
from cleanplate.errors import DamagedImageError, UnsupportedImageError

SIGNATURE: Final = b"\xff\xd8\xff"
MAX_SIDE: Final = 65_500
"""libjpeg reads and writes no longer sides."""

MAX_SCANS: Final = 64
"""A progressive JPEG has about ten; thousands would keep a decoder busy for hours."""

BLOCK: Final = 8
"""Samples of a component are transformed in squares of so many."""

SCAN: Final = "scan"
"""The compressed samples that follow an SOS segment."""

ESSENTIAL: Final = frozenset({"SOI", "DQT", "DHT", "DRI", "SOF0", "SOF1", "SOF2", "SOS", SCAN, "EOI"})
"""What a decoder needs. JFIF and Adobe segments come on top: they say which colours the samples mean."""

_MARKER: Final = re.compile(rb"\xff[\x01-\xfe]")
_MARKER_AFTER_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_FILL: Final = b"\xff"

_SOI, _EOI, _SOS, _DQT, _APP14, _TEM = 0xD8, 0xD9, 0xDA, 0xDB, 0xEE, 0x01
_RST: Final = range(0xD0, 0xD8)
_APP: Final = range(0xE0, 0xF0)
_NOT_SOF: Final = {0xC4: "DHT", 0xC8: "JPG", 0xCC: "DAC"}
_SOF: Final = range(0xC0, 0xD0)
_NAMES: Final = {
    **_NOT_SOF,
    _TEM: "TEM",
    _SOI: "SOI",
    _EOI: "EOI",
    _SOS: "SOS",
    _DQT: "DQT",
    0xDC: "DNL",
    0xDD: "DRI",
    0xDE: "DHP",
    0xDF: "EXP",
    0xFE: "COM",
}

_FRAME_HEADER: Final = struct.Struct(">BHHB")
_SUPPORTED_FRAMES: Final = {"SOF0", "SOF1", "SOF2"}
_SAMPLE_BITS: Final = 8
_FACTORS: Final = range(1, 5)
_GREY, _COLOUR, _INK = 1, 3, 4

_TABLE_SIZE: Final = BLOCK * BLOCK
# Tables are stored along diagonals; here stands where to find each step, row by row.
_ZIGZAG: Final = np.argsort(
    [
        place
        for _, place in sorted(
            ((row + column, row if (row + column) % 2 else column), row * BLOCK + column)
            for row in range(BLOCK)
            for column in range(BLOCK)
        )
    ]
)
_STEPS: Final = (1, 255)

_PROGRESSION: Final = 3
_BITS_LEFT: Final = 0xF

_JFIF: Final = b"JFIF\0"
_EXIF: Final = b"Exif\0"
_EXIF_HEADER_BYTES: Final = 6
_ICC: Final = b"ICC_PROFILE\0"
_ADOBE: Final = b"Adobe"
ADOBE_BYTES: Final = 12
"""An Adobe segment of more holds something else as well."""

_PLAIN_JFIF: Final = _JFIF + bytes([1, 1, 0, 0, 1, 0, 1, 0, 0])
"""Version 1.1, square pixels, no thumbnail."""

_ADOBE_RGB: Final = _ADOBE + bytes([0, 100, 0, 0, 0, 0, 0])
"""The colours are not transformed: red, green and blue."""

_MPF: Final = b"MPF\0"
_MPF_IMAGES: Final = 0xB002
_MPF_ENTRY: Final = 16
_MPF_KIND_SHIFT: Final = 16
_MPF_KIND_MASK: Final = 0xFF
_GAIN_MAP_MARKS: Final = (b"hdrgm:", b"hdrgainmap", b"urn:iso:std:iso:ts:21496:-1")


def walk(data: bytes) -> Iterator[Part]:
    """The segments, one after the other; what is between them and behind the end.

    Raises:
        DamagedImageError: The file ends before its end marker, or a segment's length is impossible.
    """
    yield Part("SOI", data, 0, 2, 2, 2)
    position, marker = 2, _MARKER
    while True:
        found = marker.search(data, position)
        if found is None:
            raise DamagedImageError("the JPEG is cut short: it has no end marker")
        start, content, code = found.start(), found.end(), data[found.end() - 1]
        if marker is _MARKER_AFTER_SCAN:
            yield Part.unnamed(SCAN, data, position, start)
        elif data[position:start].strip(_FILL):
            yield Part.unnamed(STRAY, data, position, start)
        marker = _MARKER_AFTER_SCAN if code == _SOS else _MARKER
        end = content if code in _RST or code in {_SOI, _EOI, _TEM} else content + _length(data, content)
        yield Part(_name(code), data, start, min(content + 2, end), end, end)
        position = end
        if code == _EOI:
            break
    if position < len(data):
        yield Part.unnamed(TRAILING, data, position, len(data))


class Component(NamedTuple):
    """One of the planes of a JPEG: its number, sampling factors and quantisation table."""

    number: int
    across: int
    down: int
    table: int


@dataclass(frozen=True)
class Frame:
    """What a JPEG's frame header says.

    Attributes:
        size: as stored, not turned upright.
        components: one (grey), three or four.
    """

    size: Size
    components: tuple[Component, ...]

    @property
    def grids(self) -> tuple[Size, ...]:
        """How many blocks of 8×8 samples each component has across and down."""
        across, down = max(c.across for c in self.components), max(c.down for c in self.components)
        return tuple(
            Size(-(-self.size.width * c.across // (across * BLOCK)), -(-self.size.height * c.down // (down * BLOCK)))
            for c in self.components
        )

    @property
    def blocks(self) -> int:
        """How many blocks of 8×8 samples there are."""
        return sum(grid.pixels for grid in self.grids)


@dataclass(frozen=True)
class JpegTables:
    """How a JPEG's samples were subsampled and quantised, so that a copy can be compressed alike.

    Attributes:
        factors: (across, down) of each component: how many blocks of it a cell has.
        quantisation: the table of each component, 64 steps row by row.
        rgb: whether the components are red, green and blue, not luma and two of chroma.
    """

    factors: tuple[tuple[int, int], ...]
    quantisation: tuple[tuple[int, ...], ...]
    rgb: bool = False

    @property
    def mcu(self) -> Size:
        """The cells in which samples were compressed together: what is hidden in a cell shows in all its pixels."""
        if len(self.factors) == _GREY:
            return Size(BLOCK, BLOCK)
        return Size(BLOCK * max(across for across, _ in self.factors), BLOCK * max(down for _, down in self.factors))

    @property
    def subsampling(self) -> tuple[int, int]:
        """How many pixels share a sample of chroma, across and down: (2, 2) is called 4:2:0.

        If the components differ in an unusual way, the smaller number that loses nothing.
        """
        (across, down), *chroma = self.factors
        if not chroma:
            return 1, 1
        finest_across, finest_down = max(a for a, _ in chroma), max(d for _, d in chroma)
        return max(across // finest_across, 1), max(down // finest_down, 1)

    def transposed(self) -> "JpegTables":
        """The same for the image with rows and columns exchanged."""
        tables = (np.array(table).reshape(BLOCK, BLOCK).T.reshape(-1) for table in self.quantisation)
        return replace(
            self,
            factors=tuple((down, across) for across, down in self.factors),
            quantisation=tuple(tuple(table.tolist()) for table in tables),
        )


def frame(parts: Sequence[Part]) -> Frame:
    """The frame header.

    Raises:
        DamagedImageError: There is none, or what it says is impossible.
        UnsupportedImageError: It is lossless, arithmetic-coded, hierarchical, of 12 bits, has an unusual number of
            components or no height.
    """
    headers = [part for part in parts if part.kind.startswith("SOF")]
    if not headers or len(headers[0].content) < _FRAME_HEADER.size:
        raise DamagedImageError("the JPEG has no frame header")
    kind, content = headers[0].kind, headers[0].content
    if kind not in _SUPPORTED_FRAMES or len(headers) > 1:
        raise UnsupportedImageError(f"a lossless, arithmetic-coded or hierarchical JPEG ({kind}) cannot be handled")
    bits, height, width, count = _FRAME_HEADER.unpack_from(content)
    if bits != _SAMPLE_BITS or count not in {_GREY, _COLOUR, _INK}:
        raise UnsupportedImageError(f"a JPEG of {count} components of {bits} bits cannot be handled")
    if height == 0:
        raise UnsupportedImageError("a JPEG that does not say its height cannot be handled")
    described = content[_FRAME_HEADER.size :]
    if width == 0 or len(described) != 3 * count:
        raise DamagedImageError("the JPEG's frame header is broken")
    components = tuple(
        Component(number, factors >> 4, factors & 0xF, table)
        for number, factors, table in struct.iter_unpack("BBB", described)
    )
    if any(c.across not in _FACTORS or c.down not in _FACTORS for c in components):
        raise DamagedImageError("the JPEG's sampling factors are impossible")
    return Frame(Size(width, height), components)


def require_decodable(parts: Sequence[Part], header: Frame) -> None:
    """Check what would make a decoder work long or allocate much for nothing.

    Raises:
        DamagedImageError: There are fewer bits of samples than the frame has blocks, or none of the needed tables.
        UnsupportedImageError: There are more than `MAX_SCANS` scans.
    """
    scans = [part for part in parts if part.kind == SCAN]
    if len(scans) > MAX_SCANS:
        raise UnsupportedImageError(f"a JPEG of {len(scans)} scans is beyond the limit of {MAX_SCANS}")
    # The shortest code has one bit, and every block has a code at least once.
    if sum(part.content_bytes for part in scans) * 8 < header.blocks:
        raise DamagedImageError("the JPEG is cut short: it has less data than its size needs")
    if not any(part.kind == "DHT" for part in parts):
        raise DamagedImageError("the JPEG has no Huffman tables")


def tables(parts: Sequence[Part], header: Frame) -> JpegTables:
    """How the JPEG was subsampled and quantised.

    Raises:
        DamagedImageError: A quantisation table is missing or broken.
    """
    defined: dict[int, tuple[int, ...]] = {}
    for part in parts:
        if part.kind == "SOS":
            break
        if part.kind == "DQT":
            defined |= _defined_tables(part.content)
    missing = [c.table for c in header.components if c.table not in defined]
    if missing:
        raise DamagedImageError(f"the JPEG lacks quantisation table {missing[0]}")
    return JpegTables(
        factors=tuple((c.across, c.down) for c in header.components),
        quantisation=tuple(defined[c.table] for c in header.components),
        rgb=_is_rgb(parts, header),
    )


def has_exact_tables(parts: Sequence[Part]) -> bool:
    """Whether `tables` tells every quantisation step of the file: all fit in a byte, and none changes between scans."""
    kinds = [part.kind for part in parts]
    stored = (steps for part in parts if part.kind == "DQT" for _, steps in _stored_tables(part.content))
    in_bytes = all(((steps >= _STEPS[0]) & (steps <= _STEPS[1])).all() for steps in stored)
    return in_bytes and "DQT" not in kinds[kinds.index("SOS") :]


def is_complete(parts: Sequence[Part], header: Frame) -> bool:
    """Whether the scans give every coefficient to its last bit; decoders smooth what a progressive JPEG leaves out."""
    if not any(part.kind == "SOF2" for part in parts):
        return True
    missing = {(component.number, place) for component in header.components for place in range(_TABLE_SIZE)}
    for part in parts:
        if part.kind == "SOS":
            count, content = part.content[0], part.content
            first, last, bits = content[-_PROGRESSION:]
            numbers = content[1 : 1 + 2 * count : 2]
            if not bits & _BITS_LEFT:
                missing -= {(number, place) for number in numbers for place in range(first, last + 1)}
    return not missing


def essential(parts: Sequence[Part]) -> bytes:
    """The file with only what a decoder needs to get at the samples, not even what colours they mean."""
    return b"".join(part.whole for part in parts if part.kind in ESSENTIAL)


def file_of(size: Size, tables: JpegTables, scan: bytes) -> bytes:
    """A JPEG of compressed samples: nothing is in it but what is needed to show them.

    Args:
        size: the image's.
        tables: how the samples were compressed.
        scan: the Huffman tables, the scan's header and the compressed samples of the components 1, 2 and 3.
    """
    numbers = {table: number for number, table in enumerate(dict.fromkeys(tables.quantisation))}
    steps = b"".join(_segment(_DQT, bytes([number, *_along_diagonals(table)])) for table, number in numbers.items())
    described = b"".join(
        bytes([number, across << 4 | down, numbers[table]])
        for number, ((across, down), table) in enumerate(zip(tables.factors, tables.quantisation, strict=True), start=1)
    )
    header = _FRAME_HEADER.pack(_SAMPLE_BITS, size.height, size.width, len(tables.factors)) + described
    colours = _segment(_APP14, _ADOBE_RGB) if tables.rgb else _segment(_APP.start, _PLAIN_JFIF)
    return b"".join((bytes([0xFF, _SOI]), colours, steps, _segment(_SOF.start, header), scan, bytes([0xFF, _EOI])))


def is_jfif(part: Part) -> bool:
    """Whether it is the segment that says what the samples mean; it may hold a thumbnail."""
    return part.kind == "APP0" and part.content.startswith(_JFIF)


def is_adobe(part: Part) -> bool:
    """Whether it is the segment in which Adobe's software says which colours the samples are."""
    return part.kind == "APP14" and part.content.startswith(_ADOBE) and part.content_bytes >= ADOBE_BYTES


def orientation(parts: Sequence[Part]) -> int:
    """The EXIF orientation that browsers apply: that of the first EXIF segment before the first scan."""
    for part in parts:
        if part.kind == "SOS":
            break
        if part.kind == "APP1" and part.content.startswith(_EXIF):
            return tiff.orientation(part.content[_EXIF_HEADER_BYTES:])
    return tiff.UPRIGHT


def profile(parts: Sequence[Part]) -> bytes | None:
    """The colour profile, put together from its segments; empty if some are missing, None if there is none."""
    pieces = [part.content[len(_ICC) :] for part in parts if part.kind == "APP2" and part.content.startswith(_ICC)]
    if not pieces:
        return None
    numbered = {piece[0]: piece[2:] for piece in pieces if len(piece) > 2}  # noqa: PLR2004 - number and count
    complete = sorted(numbered) == list(range(1, len(pieces) + 1)) and all(piece[1] == len(pieces) for piece in pieces)
    return b"".join(numbered[number] for number in sorted(numbered)) if complete else b""


# Several images in one file


class ImageKind(IntEnum):
    """What another image in a JPEG is for, as the multi-picture index says."""

    UNKNOWN = 0
    THUMBNAIL = 1
    VIEW = 2
    PRIMARY = 3


def other_images(parts: Sequence[Part]) -> tuple[ImageKind, ...]:
    """The images besides the first one that the multi-picture index lists; none if it is missing or broken."""
    for part in parts:
        if part.kind == "APP2" and part.content.startswith(_MPF):
            return _listed_images(part.content[len(_MPF) :])[1:]
    return ()


def has_gain_map(parts: Sequence[Part]) -> bool:
    """Whether metadata calls a further image a gain map, which only makes the first one brighter on some screens."""
    described = [part.content for part in parts if part.kind in {"APP1", "APP2", TRAILING}]
    return any(mark in content for content in described for mark in _GAIN_MAP_MARKS)


def _listed_images(index: bytes) -> tuple[ImageKind, ...]:
    order = tiff.byte_order(index)
    listing = next((entry for entry in tiff.entries(index) if entry.tag == _MPF_IMAGES), None)
    if order is None or listing is None:
        return ()
    images = index[listing.long : listing.long + listing.values]
    attributes = (
        struct.unpack_from(order + "I", images, at)[0]
        for at in range(0, len(images) // _MPF_ENTRY * _MPF_ENTRY, _MPF_ENTRY)
    )
    kinds = [attribute >> _MPF_KIND_SHIFT & _MPF_KIND_MASK for attribute in attributes]
    return tuple(ImageKind(kind) if kind in set(ImageKind) else ImageKind.UNKNOWN for kind in kinds)


# Reading


def _name(code: int) -> str:
    if code in _APP:
        return f"APP{code - _APP.start}"
    if code in _RST:
        return "RST"
    if code in _SOF and code not in _NOT_SOF:
        return f"SOF{code - _SOF.start}"
    return _NAMES.get(code, f"0xFF{code:02X}")


def _length(data: bytes, position: int) -> int:
    length = int.from_bytes(data[position : position + 2], "big")
    if length < 2 or position + length > len(data):  # noqa: PLR2004 - the two bytes of the length count
        raise DamagedImageError("the JPEG is cut short or broken: a segment reaches beyond its end")
    return length


def _defined_tables(content: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    for number, steps in _stored_tables(content):
        # A table of a baseline JPEG has no larger steps; smaller ones only keep more.
        yield number, tuple(np.clip(steps[_ZIGZAG], *_STEPS).tolist())


def _stored_tables(content: bytes) -> Iterator[tuple[int, npt.NDArray[np.uint16]]]:
    """The number of each table and its 64 steps along the diagonals."""
    position = 0
    while position < len(content):
        number, wide = content[position] & 0xF, content[position] >> 4
        end = position + 1 + _TABLE_SIZE * (2 if wide else 1)
        if end > len(content):
            raise DamagedImageError("a quantisation table of the JPEG is cut short")
        yield number, np.frombuffer(content[position + 1 : end], dtype=">u2" if wide else np.uint8).astype(np.uint16)
        position = end


def _along_diagonals(steps: tuple[int, ...]) -> bytes:
    stored = np.empty(_TABLE_SIZE, dtype=np.uint8)
    stored[_ZIGZAG] = steps
    return stored.tobytes()


def _segment(code: int, content: bytes) -> bytes:
    return bytes([0xFF, code]) + (len(content) + 2).to_bytes(2, "big") + content


def _is_rgb(parts: Sequence[Part], header: Frame) -> bool:
    """As libjpeg decides: JFIF is always luma and chroma, then Adobe's word counts, then the components' letters."""
    if len(header.components) != _COLOUR or any(is_jfif(part) for part in parts):
        return False
    adobe = [part.content[ADOBE_BYTES - 1] for part in parts if is_adobe(part)]
    if adobe:
        return adobe[0] == 0
    return bytes(component.number for component in header.components) == b"RGB"
