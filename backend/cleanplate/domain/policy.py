"""What the project's admin decided: per label what happens to it, and what counts as approval."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple

from cleanplate.errors import PolicyError


class Action(StrEnum):
    """What happens to the regions of a label."""

    REMOVE = "remove"
    REPLACE = "replace"
    BACKGROUND = "background"
    BLUR = "blur"
    PIXELATE = "pixelate"
    FILL = "fill"
    KEEP = "keep"


STRENGTH: Final = (Action.FILL, Action.REMOVE, Action.PIXELATE, Action.BLUR)
"""What this version can do to pixels. The first leaves least of them, and wins where regions overlap.

A solid colour and an inpainted hole hold nothing of the object; but the second is invented, and may be taken for what
was there. A mosaic keeps the averages of a few cells, which may be enough to tell one of two suspects from the other. A
blur keeps the same averages, in a form that is easier to read.
"""

AVAILABLE: Final = frozenset({*STRENGTH, Action.KEEP})
"""What this version can do."""

READ_BACK: Final = "faces and text have been read back from blurs and mosaics (Hill et al. 2016; McPherson et al. 2016)"
"""Hill, Zhou, Saul, Shacham: On the (In)effectiveness of Mosaicing and Blurring as Tools for Document Redaction, PoPETs
2016(4). McPherson, Shokri, Shmatikov: Defeating Image Obfuscation with Deep Learning, arXiv 1609.00408."""


class Colour(NamedTuple):
    """A solid colour, 0 … 255 each."""

    red: int
    green: int
    blue: int

    @classmethod
    def from_text(cls, text: str) -> "Colour":
        """Read `#rrggbb`.

        Raises:
            PolicyError: It is something else.
        """
        match = _COLOUR.fullmatch(text.strip())
        if match is None:
            raise PolicyError(
                'it is no colour like "#000000": # and two hexadecimal digits each for red, green and blue'
            )
        return cls(*(int(digits, 16) for digits in match.groups()))

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"


_COLOUR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", re.ASCII)

BLACK: Final = Colour(0, 0, 0)


class Way(NamedTuple):
    """How pixels are replaced: what is equal is done alike, and what plays no part in an action has its default.

    Attributes:
        action: one of STRENGTH.
        colour: of a solid fill.
        cells: the most cells of a mosaic, or samples of a blur, along an object's longer side.
    """

    action: Action
    colour: Colour = BLACK
    cells: int = 0

    @property
    def rank(self) -> tuple[int, int, Colour]:
        """Sorts ways: what leaves less of the original comes first."""
        return STRENGTH.index(self.action), self.cells, self.colour


@dataclass(frozen=True)
class Dilation:
    """How far a mask is grown before its pixels are replaced: so many pixels, or a share of the object's size.

    An object's size is the longer side of its bounding box.
    """

    MAX_PX: ClassVar[float] = 512.0
    MAX_PCT: ClassVar[float] = 100.0

    px: float = 0.0
    pct: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.px <= self.MAX_PX and 0 <= self.pct <= self.MAX_PCT):
            raise PolicyError(f"a dilation lies between 0 and {self.MAX_PX:g}px or {self.MAX_PCT:g}%")

    def radius_px(self, object_size_px: float) -> float:
        """The radius for an object of this size, in pixels."""
        return self.px + self.pct / 100 * object_size_px


@dataclass(frozen=True)
class Closing:
    """Up to what size a hole in a region is taken for a slip of the brush and closed.

    Attributes:
        pct: the share of the object, its holes counted in, that a hole may have at most; 0 closes none.
    """

    pct: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.pct <= 100:  # noqa: PLR2004  percent
            raise PolicyError("the share of a hole lies between 0 and 100%")


@dataclass(frozen=True)
class LabelPolicy:
    """What happens to the regions of one label.

    Attributes:
        dilation: how far they are grown first.
        closing: which of their holes are closed before that.
        colour: of a solid fill.
        cells: of a mosaic or a blur, along an object's longer side.
        reversible: whether somebody accepted that a blur can be read back.
        shadow: the label under which the shadows of these objects are proposed; empty if they are not.
    """

    MAX_CELLS: ClassVar[int] = 16

    action: Action = Action.KEEP
    dilation: Dilation = Dilation()
    closing: Closing = Closing()
    colour: Colour = BLACK
    cells: int = 8
    reversible: bool = False
    shadow: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= self.MAX_CELLS:
            raise PolicyError(f"a mosaic has 1 to {self.MAX_CELLS} cells along an object's longer side")

    @property
    def objection(self) -> str:
        """Why this is not done to any pixel, in words that follow `clean="…"`; empty if it can be done."""
        if self.action not in AVAILABLE:
            return f"is not available in this version: it can do {', '.join(sorted(AVAILABLE))}"
        if self.action is Action.BLUR and not self.reversible:
            return f'can be undone: {READ_BACK}. Write "fill" or "remove", or reversible="accepted" as well'
        return ""

    @property
    def way(self) -> Way:
        """How pixels under these regions are replaced. Not for labels that are kept."""
        return Way(
            self.action,
            colour=self.colour if self.action is Action.FILL else BLACK,
            cells=self.cells if self.action in {Action.PIXELATE, Action.BLUR} else 0,
        )

    @property
    def facts(self) -> tuple[str | float, ...]:
        """All of it that a copy depends on, as plain values."""
        return (str(self.action), self.dilation.px, self.dilation.pct, self.closing.pct, str(self.colour), self.cells)


@dataclass(frozen=True)
class Approval:
    """Which annotations a copy is made from.

    `submitted`: every submitted one. `ground_truth`: those with the star. `choice`: those in which the Choices
    control *choice_control* has *choice_value*.
    """

    SUBMITTED: ClassVar[str] = "submitted"
    GROUND_TRUTH: ClassVar[str] = "ground_truth"
    CHOICE: ClassVar[str] = "choice"

    kind: str = SUBMITTED
    choice_control: str = ""
    choice_value: str = ""

    @classmethod
    def from_text(cls, text: str) -> "Approval":
        """Read `submitted`, `ground_truth` or `choice:<name>=<value>`.

        Raises:
            PolicyError: It is none of these.
        """
        text = text.strip()
        if text in {cls.SUBMITTED, cls.GROUND_TRUTH}:
            return cls(kind=text)
        control, equals, value = text.removeprefix(f"{cls.CHOICE}:").partition("=")
        if text.startswith(f"{cls.CHOICE}:") and equals and control.strip() and value.strip():
            return cls(kind=cls.CHOICE, choice_control=control.strip(), choice_value=value.strip())
        raise PolicyError(f"approval {text!r} is none of submitted, ground_truth, choice:<name>=<value>")

    def __str__(self) -> str:
        if self.kind != self.CHOICE:
            return self.kind
        return f"{self.CHOICE}:{self.choice_control}={self.choice_value}"


@dataclass(frozen=True)
class Policy:
    """A project's policy: one entry for every label name that has one; all other labels are kept."""

    labels: Mapping[str, LabelPolicy] = field(default_factory=dict)
    approval: Approval = Approval()

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))

    def of(self, label: str) -> LabelPolicy:
        """The policy of a label; `keep` if the config says nothing about it."""
        return self.labels.get(label, LabelPolicy())

    @property
    def makes_copies(self) -> bool:
        """Whether any label asks for something to be done."""
        return any(policy.action is not Action.KEEP for policy in self.labels.values())
