"""WebP files: their chunks and header."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cleanplate.codecs import tiff
from cleanplate.codecs.parts import TRAILING, Part
from cleanplate.domain.image import Size
from cleanplate.errors import DamagedImageError, UnsupportedImageError

MACROBLOCK: Final = Size(16, 16)
"""The cells in which a lossy WebP compresses its samples."""

LOSSY: Final = "VP8 "
LOSSLESS: Final = "VP8L"
EXTENDED: Final = "VP8X"
ALPHA: Final = "ALPH"
ANIMATION: Final = frozenset({"ANIM", "ANMF"})

ESSENTIAL: Final = frozenset({ALPHA, LOSSY, LOSSLESS})
"""What a decoder needs; an extended header comes on top if there is alpha."""

ONLY_ALPHA: Final = b"\x10\0\0\0"
"""What an extended header says of a file with alpha and nothing else that is extra."""

_ANIMATION_FLAG: Final = 0x02

_FILE_HEADER: Final = struct.Struct("<4sI4s")
_CHUNK_HEADER: Final = struct.Struct("<4sI")
_EXTENDED_BYTES: Final = 10
_LOSSY_START: Final = b"\x9d\x01\x2a"
_LOSSY_HEADER_BYTES: Final = 10
_LOSSLESS_SIGNATURE: Final = 0x2F
_LOSSLESS_HEADER_BYTES: Final = 5
_SIDE_BITS: Final = 14
_SIDE_MASK: Final = (1 << _SIDE_BITS) - 1
_EXIF: Final = b"Exif\0\0"


def is_webp(data: bytes) -> bool:
    """Whether the bytes begin as a WebP file does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def walk(data: bytes) -> Iterator[Part]:
    """The chunks, one after the other, and what is behind the end.

    Raises:
        DamagedImageError: The file is shorter than it says, or a chunk reaches beyond its end.
    """
    _, size, _ = _FILE_HEADER.unpack_from(data)
    position, file_end = _FILE_HEADER.size, 8 + size
    if file_end > len(data):
        raise DamagedImageError("the WebP is cut short")
    while position < file_end:
        if position + _CHUNK_HEADER.size > file_end:
            raise DamagedImageError("the WebP is broken: a chunk has no header")
        name, length = _CHUNK_HEADER.unpack_from(data, position)
        content = position + _CHUNK_HEADER.size
        content_end = content + length
        if content_end > file_end:
            raise DamagedImageError("the WebP is cut short or broken: a chunk reaches beyond its end")
        end = min(content_end + length % 2, file_end)
        yield Part(name.decode("ascii", "backslashreplace"), data, position, content, content_end, end)
        position = end
    if file_end < len(data):
        yield Part.unnamed(TRAILING, data, file_end, len(data))


@dataclass(frozen=True)
class Header:
    """What a WebP's headers say."""

    size: Size
    lossless: bool


def header(parts: Sequence[Part]) -> Header:
    """The headers of the file and of its one image.

    Raises:
        DamagedImageError: There is no image, or what the headers say is impossible.
        UnsupportedImageError: There are several images.
    """
    extended = next((part.content for part in parts if part.kind == EXTENDED), None)
    flags = extended[0] if extended else 0
    if flags & _ANIMATION_FLAG or any(part.kind in ANIMATION for part in parts):
        raise UnsupportedImageError("an animated WebP cannot be handled: a copy would need every frame cleaned")
    images = [part for part in parts if part.kind in {LOSSY, LOSSLESS}]
    if not images:
        raise DamagedImageError("the WebP has no image")
    if len(images) > 1:
        raise UnsupportedImageError(f"a WebP of {len(images)} images cannot be handled")
    lossless = images[0].kind == LOSSLESS
    size = (_lossless_size if lossless else _lossy_size)(images[0].content)
    if extended is not None and _canvas_size(extended) != size:
        raise DamagedImageError("the WebP's headers contradict each other")
    return Header(size, lossless)


def essential(parts: Sequence[Part], head: Header) -> bytes:
    """The file again with nothing but what a decoder needs."""
    kept = [part for part in parts if part.kind in ESSENTIAL]
    body = b"".join(_chunk(part.kind, part.content) for part in kept)
    if any(part.kind == ALPHA for part in kept):
        sides = b"".join((side - 1).to_bytes(3, "little") for side in head.size)
        body = _chunk(EXTENDED, ONLY_ALPHA + sides) + body
    return _FILE_HEADER.pack(b"RIFF", 4 + len(body), b"WEBP") + body


def orientation(parts: Sequence[Part]) -> int:
    """The EXIF orientation, which some viewers apply and Chromium does not."""
    block = next((part.content for part in parts if part.kind == "EXIF"), b"")
    return tiff.orientation(block.removeprefix(_EXIF))


def profile(parts: Sequence[Part]) -> bytes | None:
    """The colour profile; None if there is none."""
    return next((part.content for part in parts if part.kind == "ICCP"), None)


def _chunk(kind: str, content: bytes) -> bytes:
    return _CHUNK_HEADER.pack(kind.encode("ascii"), len(content)) + content + b"\0" * (len(content) % 2)


def _canvas_size(content: bytes) -> Size:
    if len(content) < _EXTENDED_BYTES:
        raise DamagedImageError("the WebP's extended header is cut short")
    return Size(int.from_bytes(content[4:7], "little") + 1, int.from_bytes(content[7:10], "little") + 1)


def _lossy_size(content: bytes) -> Size:
    if len(content) < _LOSSY_HEADER_BYTES or content[0] & 1 or content[3:6] != _LOSSY_START:
        raise DamagedImageError("the WebP's image header is broken")
    width, height = struct.unpack_from("<HH", content, 6)
    if not (width & _SIDE_MASK and height & _SIDE_MASK):
        raise DamagedImageError("the WebP's image has no size")
    return Size(width & _SIDE_MASK, height & _SIDE_MASK)


def _lossless_size(content: bytes) -> Size:
    if len(content) < _LOSSLESS_HEADER_BYTES or content[0] != _LOSSLESS_SIGNATURE:
        raise DamagedImageError("the WebP's image header is broken")
    bits = int.from_bytes(content[1:5], "little")
    return Size((bits & _SIDE_MASK) + 1, (bits >> _SIDE_BITS & _SIDE_MASK) + 1)
