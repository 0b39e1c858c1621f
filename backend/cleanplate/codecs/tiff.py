"""The little of TIFF that EXIF and the multi-picture index are made of. Broken blocks have no entries, not errors."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

_HEADER_BYTES: Final = 8
_ENTRY_BYTES: Final = 12
_MAGIC: Final = 42

_SHORT: Final = 3
_ORIENTATION: Final = 0x0112
UPRIGHT: Final = 1
_ORIENTATIONS: Final = range(1, 9)


class Entry(NamedTuple):
    """One entry of a directory.

    Attributes:
        tag: what it says something about.
        kind: the type of its value.
        values: how many values it has.
        short: its four bytes of value, read as a 16-bit number.
        long: the same, as a 32-bit number; the offset of longer values.
    """

    tag: int
    kind: int
    values: int
    short: int
    long: int


def byte_order(block: bytes) -> str | None:
    """`<` or `>`; None if the block is no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < _HEADER_BYTES or struct.unpack_from(order + "H", block, 2)[0] != _MAGIC:
        return None
    return order


def entries(block: bytes) -> Iterator[Entry]:
    """The entries of the first directory, as far as there are any."""
    order = byte_order(block)
    if order is None:
        return
    (start,) = struct.unpack_from(order + "I", block, 4)
    if start < _HEADER_BYTES or start + 2 > len(block):
        return
    (count,) = struct.unpack_from(order + "H", block, start)
    first = start + 2
    for position in range(first, min(first + count * _ENTRY_BYTES, len(block) - _ENTRY_BYTES + 1), _ENTRY_BYTES):
        tag, kind, values, long = struct.unpack_from(order + "HHII", block, position)
        (short,) = struct.unpack_from(order + "H", block, position + 8)
        yield Entry(tag, kind, values, short, long)


def orientation(block: bytes) -> int:
    """The orientation (1 … 8) in an EXIF block, read as Chromium reads it; 1, upright, if it says nothing valid."""
    for entry in entries(block):
        if entry[:3] == (_ORIENTATION, _SHORT, 1) and entry.short in _ORIENTATIONS:
            return entry.short
    return UPRIGHT
