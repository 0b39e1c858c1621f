"""From what masks are to be made that nobody clicked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from cleanplate.domain.region import Shape
from cleanplate.errors import PolicyError
from cleanplate.label_studio.config import LabelConfig

BOXES: Final = frozenset({Shape.RECTANGLE})
OUTLINES: Final = frozenset(Shape) - BOXES

_WORDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "face": frozenset({"face", "faces", "head", "heads"}),
        "plate": frozenset({"plate", "plates", "numberplate", "numberplates"}),
        "body": frozenset({"body", "bodies", "person", "persons", "people", "pedestrian", "pedestrians", "passer-by"}),
    }
)
"""Of what words a label's name has to have one to be that of what a detector calls so."""


class Kind(NamedTuple):
    """What a detector is to look for, and the label it gets: empty if the labelling config tells."""

    name: str
    label: str = ""


@dataclass(frozen=True)
class Wishes:
    """From what masks are to be made.

    Attributes:
        shapes: of what was drawn; none if nothing drawn counts.
        kinds: to be looked for by the detector.
        as_drawn: whether what was drawn is taken for the mask itself.
        everything: the label for all objects that the segmenter sees, empty if the labelling config has only one;
            None if nobody wants them.
    """

    shapes: frozenset[Shape] = frozenset()
    kinds: tuple[Kind, ...] = ()
    as_drawn: bool = False
    everything: str | None = None


def kinds_from_text(text: str) -> tuple[Kind, ...]:
    """Read what a detector is to look for: `face,plate=Number plate`.

    Raises:
        PolicyError: A part is empty or given twice.
    """
    parts = [part.partition("=") for part in text.split(",")] if text.strip() else []
    kinds = tuple(Kind(name.strip(), label.strip()) for name, _, label in parts)
    if any(not kind.name or (sign and not kind.label) for kind, (_, sign, _) in zip(kinds, parts, strict=True)):
        raise PolicyError(f"{text!r} does not say what to look for: write it as face,plate=LABEL")
    if len({kind.name for kind in kinds}) != len(kinds):
        raise PolicyError(f"{text!r} names something twice")
    return kinds


def labels_shown(config: LabelConfig, to_name: str) -> tuple[str, ...]:
    """The labels of which a control can show a mask on an image."""
    labels = dict.fromkeys(label for control in config.image_controls for label in control.labels)
    return tuple(label for label in labels if config.output_controls(label, to_name))


def label_for_everything(name: str, config: LabelConfig, to_name: str) -> str | None:
    """The named label, or the only one if the name is empty; None if no mask of it can be shown on an image."""
    shown = labels_shown(config, to_name)
    if name:
        return name if name in shown else None
    return shown[0] if len(shown) == 1 else None


def label_for(kind: Kind, config: LabelConfig, to_name: str) -> str | None:
    """The label for what a detector finds on an image; None if the config has none that can be shown."""
    shown = labels_shown(config, to_name)
    if kind.label:
        return kind.label if kind.label in shown else None
    words = _WORDS.get(kind.name, frozenset({kind.name}))
    return next((label for label in shown if not words.isdisjoint(re.findall(r"[\w-]+", label.lower()))), None)
