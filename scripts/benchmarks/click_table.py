"""The table of the benchmark `click`: what each side took, and how many times less cleanplate does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

UNITS: Final[Mapping[str, tuple[float, str]]] = {
    "s": (1, "{:.2f} s"),
    "ms": (1000, "{:.0f} ms"),
    "MB": (1 / 1024**2, "{:,.0f} MB"),
    "clicks/s": (1, "{:.3f} clicks/s"),
    "": (1, "{:.0f}"),
}
"""What the figures in seconds, bytes and clicks a second are shown in."""


@dataclass(frozen=True)
class Cell:
    """A figure of one side.

    Attributes:
        value: in seconds, bytes, clicks a second, or just a number.
        cpu_s: the processor time that it took, if that was looked at.
        note: what a reader must know about it.
    """

    value: float
    cpu_s: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A figure of all sides, by their names."""

    title: str
    unit: str
    cells: Mapping[str, Cell]
    more_is_better: bool = False
    has_ratio: bool = True

    def gain(self, own: str, other: str) -> float | None:
        """How many times better *own* is than *other*; None if one of them has no figure, or there is no ratio."""
        if not self.has_ratio or own not in self.cells or other not in self.cells:
            return None
        ours, theirs = self.cells[own].value, self.cells[other].value
        more, less = (ours, theirs) if self.more_is_better else (theirs, ours)
        return more / less if less else None


@dataclass
class Table:
    """All figures.

    Attributes:
        peer: the side that the others are compared with.
        variants: the others.
    """

    peer: str
    variants: Sequence[str]
    rows: list[Row] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """As Markdown."""
        heads = ["figure", self.peer]
        for name in self.variants:
            heads += [name, "better by"]
        yield "| " + " | ".join(heads) + " |"
        yield "|---" * len(heads) + "|"
        yield from map(self.line, self.rows)

    def line(self, row: Row) -> str:
        """One of them."""
        cells = [row.title, _shown(row, self.peer)]
        for name in self.variants:
            gain = row.gain(name, self.peer)
            cells += [_shown(row, name), "" if gain is None else f"{gain:.3g}×"]
        return "| " + " | ".join(cells) + " |"

    def values(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [
            asdict(row) | {"gains": {name: row.gain(name, self.peer) for name in self.variants}} for row in self.rows
        ]


def _shown(row: Row, side: str) -> str:
    cell = row.cells.get(side)
    if cell is None:
        return ""
    scale, pattern = UNITS[row.unit]
    text = pattern.format(cell.value * scale)
    if cell.cpu_s is not None:
        text += f", CPU {pattern.format(cell.cpu_s * scale)}"
    return f"{text} ({cell.note})" if cell.note else text
