"""What was drawn on an image, told from the result items that describe it.

One drawing may be several items. Label Studio's frontend keeps a result for every control whose label is given to a
region: under the region's id and with its geometry, but with that control's name and type. So a click may come as a
rectangle without a height too, and a brush stroke that was relabelled as keypoint labels. Geometry is what counts.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from cleanplate.label_studio.config import Control, LabelConfig
from cleanplate.label_studio.payloads import ResultItem

LABELS: Final = "labels"
KEYPOINT: Final = "keypoint"
RECTANGLE: Final = "rectangle"
ELLIPSE: Final = "ellipse"
VECTOR: Final = "vector"

_BY_GEOMETRY: Final = (
    ("rle", "brush"),
    ("imageDataURL", "bitmask"),
    ("points", "polygon"),
    ("vertices", VECTOR),
    ("radiusX", ELLIPSE),
    ("height", RECTANGLE),
    ("x", KEYPOINT),
)
"""The field of a value that only one shape has; the first that is there tells."""

_TYPES: Final = frozenset({shape for _, shape in _BY_GEOMETRY} | {"magicwand"})

_GEOMETRY: Final = frozenset(
    {"format", "rle", "imageDataURL", "points", "closed", "vertices"}
    | {"x", "y", "width", "height", "rotation", "radiusX", "radiusY"}
)


@dataclass(frozen=True)
class Drawing:
    """Something drawn on an image.

    Attributes:
        id: Label Studio's, or one made from it where two drawings have the same or one has none.
        shape: brush, bitmask, polygon, vector, ellipse, rectangle or keypoint.
        items: all that describe it, the one with the type it was drawn as first.
        labels: all names it was given, each once.
    """

    id: str
    shape: str
    items: tuple[ResultItem, ...]
    labels: tuple[str, ...]

    @property
    def item(self) -> ResultItem:
        """The item of the control it was drawn with."""
        return self.items[0]

    def is_prompt(self, config: LabelConfig) -> bool:
        """Whether it only points at something. What could be a region as well is taken for one."""
        if self.shape == KEYPOINT:
            return True
        if self.shape not in {RECTANGLE, ELLIPSE}:
            return False
        return not any(control.is_region for control in self._controls(config))

    def _controls(self, config: LabelConfig) -> list[Control]:
        """The controls it may have been drawn with."""
        known = [control for control in (config.control(item.from_name) for item in self.items) if control]
        if not known or any(control.shape == self.shape for control in known):
            return [control for control in known if control.shape == self.shape]
        # Relabelled with another kind of control, it no longer says which one drew it.
        on_image = (control for control in config.image_controls if control.to_name == self.item.to_name)
        return [control for control in on_image if control.shape == self.shape]

    def wires(self) -> list[dict[str, Any]]:
        """Its JSON with geometry and labels and nothing else: no notes, no scores, no authors."""
        return [_wire(item, self.id) for item in self.items]


def drawings(items: Iterable[ResultItem]) -> tuple[Drawing, ...]:
    """Everything drawn on an image, in the order it was begun. Choices, texts and relations are left out."""
    items = [item for item in items if _is_drawn(item)]
    loose = [item for item in items if not _shape(item)]
    groups: dict[str, list[ResultItem]] = {}
    for number, item in enumerate(items):
        if _shape(item):
            groups.setdefault(_likeness(item) if item.id else str(number), []).append(item)
    taken: set[str] = set()
    found = []
    for number, group in enumerate(groups.values()):
        shape = _shape(group[0])
        own_id = group[0].id
        group += [item for item in loose if own_id and item.id == own_id]
        group.sort(key=lambda item: item.type.removesuffix(LABELS) != shape)
        drawing_id = own_id if own_id and own_id not in taken else f"{own_id}#{number}"
        taken.add(drawing_id)
        labels = dict.fromkeys(name for item in group for name in names_of(item))
        found.append(Drawing(drawing_id, shape, tuple(group), tuple(labels)))
    return tuple(found)


def _is_drawn(item: ResultItem) -> bool:
    return item.type == LABELS or item.type.removesuffix(LABELS) in _TYPES


def _shape(item: ResultItem) -> str:
    """What it was drawn as; empty for labels that come without the geometry of their region."""
    by_geometry = next((shape for key, shape in _BY_GEOMETRY if key in item.value), "")
    return by_geometry or ("" if item.type == LABELS else item.type.removesuffix(LABELS))


def _likeness(item: ResultItem) -> str:
    geometry = {key: part for key, part in item.value.items() if key in _GEOMETRY}
    return json.dumps([item.id, geometry], sort_keys=True)


def names_of(item: ResultItem) -> Iterator[str]:
    """The labels an item gives to its region."""
    for key in (item.type, LABELS):
        names = item.value.get(key)
        if isinstance(names, list):
            yield from (name for name in names if isinstance(name, str))


def _wire(item: ResultItem, drawing_id: str) -> dict[str, Any]:
    allowed = _GEOMETRY | {item.type, LABELS}
    value = {key: part for key, part in item.value.items() if key in allowed}
    fields = {"from_name", "to_name", "type", "original_width", "original_height", "image_rotation"}
    return {"id": drawing_id} | item.model_dump(include=fields, exclude_none=True) | {"value": value}
