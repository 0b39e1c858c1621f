"""The directories of a TIFF: strictly walked, so that nothing in the file is met twice or lies outside of it."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from cleanplate.codecs import tiff
from cleanplate.errors import DamagedImageError

MAX_FIELDS: Final = 100_000
"""A file of more fields or pieces of samples is an attack: a page has dozens, a large image a few thousand."""

HEADER_BYTES: Final = 8
_FIELD_BYTES: Final = 12
_INLINE_BYTES: Final = 4
_KIND_BYTES: Final = MappingProxyType(
    {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
)
_NUMBERS: Final = MappingProxyType({1: "u1", 3: "u2", 4: "u4"})

Span: TypeAlias = tuple[int, int]
"""Where something begins and ends in a file."""


class Field(NamedTuple):
    """One field of a directory.

    Attributes:
        tag: what it says something about.
        kind: the type of its values.
        values: how many values it has.
        start: where they begin in the file.
        end: where they end.
        inline: whether they lie in the directory itself.
    """

    tag: int
    kind: int
    values: int
    start: int
    end: int
    inline: bool

    @property
    def unused(self) -> Span:
        """The bytes behind its values that belong to the field and say nothing."""
        return (self.end, self.start + _INLINE_BYTES) if self.inline else (self.end, self.end)


@dataclass(frozen=True)
class Directory:
    """What a file says of one image.

    Attributes:
        start: where it begins in the file.
        end: where it ends.
        fields: in their order; of fields with the same tag the first counts.
    """

    start: int
    end: int
    fields: tuple[Field, ...]


def directories(data: bytes) -> Iterator[Directory]:
    """The directories of the images that follow each other.

    Raises:
        DamagedImageError: One lies outside the file or is met twice, a value lies outside, or there are more than
            `MAX_FIELDS` fields.
    """
    order = order_of(data)
    (position,) = struct.unpack_from(order + "I", data, _INLINE_BYTES)
    seen: set[int] = set()
    fields_left = MAX_FIELDS
    while position:
        if position in seen:
            raise DamagedImageError("the TIFF is broken: its directories form a loop")
        seen.add(position)
        if position < HEADER_BYTES or position + 2 > len(data):
            raise DamagedImageError("the TIFF is cut short or broken: a directory lies outside the file")
        (count,) = struct.unpack_from(order + "H", data, position)
        fields_left -= count + 1
        if fields_left < 0:
            raise DamagedImageError(f"the TIFF has more than {MAX_FIELDS} fields")
        end = position + 2 + count * _FIELD_BYTES + _INLINE_BYTES
        if end > len(data):
            raise DamagedImageError("the TIFF is cut short or broken: a directory reaches beyond the file")
        starts = range(position + 2, end - _INLINE_BYTES, _FIELD_BYTES)
        yield Directory(position, end, tuple(_field(data, order, start) for start in starts))
        (position,) = struct.unpack_from(order + "I", data, end - _INLINE_BYTES)


class Tags:
    """The fields of one directory by their tags.

    A number that is missing and has no default, is none, or is several where one belongs is a DamagedImageError.
    """

    def __init__(self, data: bytes, directory: Directory) -> None:
        self.order: Final = order_of(data)
        self._data: Final = data
        self._fields: Final[Mapping[int, Field]] = {field.tag: field for field in reversed(directory.fields)}

    def has(self, tag: int) -> bool:
        return tag in self._fields

    def field(self, tag: int) -> Field | None:
        return self._fields.get(tag)

    def numbers(self, tag: int, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        field = self._fields.get(tag)
        if field is None and default is not None:
            return default
        if field is None or not field.values:
            raise DamagedImageError(f"the TIFF lacks its field {tag}")
        if field.kind not in _NUMBERS or field.values > MAX_FIELDS:
            raise DamagedImageError(f"the TIFF's field {tag} is no number, or too many")
        values = np.frombuffer(self._data, self.order + _NUMBERS[field.kind], field.values, field.start)
        return tuple(values.tolist())

    def number(self, tag: int, default: int | None = None) -> int:
        values = self.numbers(tag, None if default is None else (default,))
        if len(values) > 1:
            raise DamagedImageError(f"the TIFF's field {tag} has {len(values)} values instead of one")
        return values[0]


def order_of(data: bytes) -> str:
    """`<` or `>`.

    Raises:
        DamagedImageError: It has no TIFF's header.
    """
    order = tiff.byte_order(data)
    if order is None:
        raise DamagedImageError("the TIFF is cut short")
    return order


def first_of(data: bytes) -> Directory:
    """The directory of the first image.

    Raises:
        DamagedImageError: There is none.
    """
    found = next(directories(data), None)
    if found is None:
        raise DamagedImageError("the TIFF has no image")
    return found


def _field(data: bytes, order: str, start: int) -> Field:
    tag, kind, count, offset = struct.unpack_from(order + "HHII", data, start)
    size = count * _KIND_BYTES.get(kind, 0)
    inline = size <= _INLINE_BYTES
    first = start + _FIELD_BYTES - _INLINE_BYTES if inline else offset
    if first + size > len(data):
        raise DamagedImageError(f"the TIFF is cut short or broken: the value of its field {tag} lies outside the file")
    return Field(tag, kind, count, first, first + size, inline)
