from dataclasses import dataclass, field
from typing import Final

STRAY: Final = "stray"
TRAILING: Final = "trailing"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One piece of an image file: a JPEG's segment, a PNG's or WebP's chunk, or what lies between and behind them.

    Attributes:
        kind: what it calls itself ("APP1", "tEXt", "VP8X"), or `STRAY` and `TRAILING` for bytes that are in no piece.
        file: the bytes of the whole file.
        start: where it begins in the file.
        content_start: where its content begins: behind its name, its length and the like.
        content_end: where its content ends: before its checksum or padding.
        end: where it ends.
    """

    kind: str
    file: bytes = field(repr=False)
    start: int
    content_start: int
    content_end: int
    end: int

    @classmethod
    def unnamed(cls, kind: str, file: bytes, start: int, end: int) -> "Part":
        """Bytes that have neither name nor length: all of it is content."""
        return cls(kind, file, start, start, end, end)

    @property
    def content(self) -> bytes:
        return self.file[self.content_start : self.content_end]

    @property
    def content_bytes(self) -> int:
        """How long its content is."""
        return self.content_end - self.content_start

    @property
    def whole(self) -> bytes:
        """It as it lies in the file."""
        return self.file[self.start : self.end]
