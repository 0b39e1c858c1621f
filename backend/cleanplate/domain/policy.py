"""What the project's admin decided: per label what happens to it, and what counts as approval."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final

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


AVAILABLE: Final = frozenset({Action.REMOVE, Action.KEEP})
"""What this version can do."""


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
class LabelPolicy:
    """What happens to the regions of one label."""

    action: Action = Action.KEEP
    dilation: Dilation = Dilation()


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
