"""Result items ↔ pixels. Percent exists in this module only; from here inwards everything is pixels.

Percentages are of the upright image, also where the annotator had turned it on the screen.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from cleanplate.codecs.polygon import mask_from_ellipse, mask_from_polygon, mask_from_rotated_box, polygons_from_mask
from cleanplate.codecs.rle import mask_from_rle, rle_from_mask
from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Mask, Size, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.domain.policy import Approval
from cleanplate.domain.prompt import LeftPrompt
from cleanplate.domain.region import Region, Shape
from cleanplate.errors import (
    CleanplateError,
    MaskError,
    PolygonError,
    PromptError,
    RleError,
    SizeMismatchError,
    UnknownRegionError,
)
from cleanplate.label_studio.bitmask import bitmask_from_mask, mask_from_bitmask
from cleanplate.label_studio.config import Control, LabelConfig
from cleanplate.label_studio.drawings import ELLIPSE, KEYPOINT, RECTANGLE, VECTOR, Drawing, drawings, names_of
from cleanplate.label_studio.payloads import Annotation, ResultItem

MAX_PCT: Final = 10_000.0
"""Shapes may reach over the border; further than this is a mistake or an attack."""

MAX_SIDE_PX: Final = 100_000

_SHAPES: Final[Mapping[str, Shape]] = {
    "brush": Shape.BRUSH,
    "magicwand": Shape.BRUSH,
    "bitmask": Shape.BITMASK,
    "polygon": Shape.POLYGON,
    RECTANGLE: Shape.RECTANGLE,
    ELLIPSE: Shape.ELLIPSE,
}
_LABEL_SHOWN: Final = 80
_TOLERANCE_PX: Final = 1.0
_TOLERANCE_SHARE: Final = 1 / 2000
"""How far a suggested polygon may stray from its mask: a pixel, or this share of the longer side if that is more."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class PromptItem:
    """One thing the annotator pointed with: a click or a box, in pixels.

    Attributes:
        id: Label Studio's id of it; it stays the same as long as the prompt exists.
        size: the upright image's, as the annotator's browser saw it.
    """

    id: str
    label: str
    to_name: str
    size: Size
    point: Point | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Outline:
    """Something drawn around an object, or all over it, that a mask can be made from.

    Attributes:
        id: Label Studio's id of it.
        label: one of those it was given.
        shape: how it was drawn.
        size: of the upright image it was drawn on.
        is_upright: whether it is a rectangle that was not turned.
    """

    id: str
    label: str
    to_name: str
    shape: Shape
    size: Size
    is_upright: bool
    _item: ResultItem = field(repr=False)

    def mask(self) -> Mask:
        """(H, W), every pixel that it has a part in; empty if it lies beside the image.

        Raises:
            MaskError: It cannot be turned into a mask.
        """
        return _mask(self._item, self.shape, self.size)


@dataclass(frozen=True, eq=False)
class Regions:
    """What an annotation says about its image.

    Attributes:
        regions: everything drawn and thereby approved; an item with several labels is a region for each.
        prompts: what was only pointed at; a prompt with several labels is one for each.
        problems: what a person should know, in sentences.
    """

    regions: tuple[Region, ...]
    prompts: tuple[LeftPrompt, ...] = ()
    problems: tuple[str, ...] = ()


def is_approved(annotation: Annotation, approval: Approval) -> bool:
    """Whether a copy is to be made from this annotation. A skipped task is not approved."""
    if annotation.was_cancelled:
        return False
    if approval.kind == Approval.GROUND_TRUTH:
        return annotation.ground_truth
    if approval.kind == Approval.CHOICE:
        return approval.choice_value in _choices(annotation.result, approval.choice_control)
    return True


def prompt_items(items: Iterable[ResultItem], config: LabelConfig) -> tuple[PromptItem, ...]:
    """The clicks and boxes among *items*, in their order.

    What points at nothing – beside the image, without an area, without a label, from a control that the config does
    not have – is left out and logged.

    Raises:
        PromptError: A coordinate is missing, not a number, or beyond all bounds.
    """
    found = []
    for drawing in drawings(items):
        if drawing.shape not in {KEYPOINT, RECTANGLE}:
            continue
        why_not = _why_ignored(drawing, config)
        prompt = None if why_not else _prompt(drawing)
        if prompt is None:
            _log.info("prompt ignored", why=why_not or "beside the image, or without an area")
            continue
        found.append(prompt)
    return tuple(found)


def regions_from_results(items: Iterable[ResultItem], config: LabelConfig, size: Size) -> Regions:
    """The regions a person approved by submitting *items*, and what is only pointed at.

    Args:
        items: an annotation's result.
        config: the project's.
        size: of the upright image. All that was drawn must have been drawn on that size.

    Raises:
        SizeMismatchError: Something was drawn on an image of another size.
        MaskError: A region cannot be turned into a mask. Nothing is left out silently, since its object would stay.
        UnknownRegionError: Its label or control is none of the config's.
    """
    regions: list[Region] = []
    prompts: list[LeftPrompt] = []
    problems: list[str] = []
    for drawing in drawings(items):
        _require_known(drawing, config)
        if config.control(drawing.item.from_name) is None:
            name = drawing.item.from_name
            problems.append(f'a region was drawn with "{name}", which the labelling config no longer has')
        if drawing.is_prompt(config):
            prompts += _left_prompts(drawing, size)
        elif drawing.shape == VECTOR:
            _require_unimportant(drawing, config)
        else:
            regions += _regions(drawing, size)
            if not drawing.labels:
                problems.append("a region has no label, so it is kept as it is")
    return Regions(tuple(regions), tuple(prompts), tuple(dict.fromkeys(problems)))


def outlines(items: Iterable[ResultItem], config: LabelConfig) -> tuple[Outline, ...]:
    """What was drawn in *items* and has an area, be it approved or only a prompt, in the order it was begun.

    What has several labels is an outline for each. Left out is what no control can show a mask of.

    Raises:
        MaskError: The size of the image it was drawn on is impossible.
    """
    return tuple(
        _outline(drawing, label)
        for drawing in drawings(items)
        if drawing.shape in _SHAPES
        for label in drawing.labels
        if config.output_controls(label, drawing.item.to_name)
    )


def unknown_labels(items: Iterable[ResultItem], config: LabelConfig) -> tuple[str, ...]:
    """The labels of drawings that the config does not have where they were given, each once."""
    drawn = (item for drawing in drawings(items) for item in drawing.items)
    names = (name for item in drawn for name in names_of(item) if not config.may_have(name, item.from_name))
    return tuple(dict.fromkeys(names))


def kept_items(items: Iterable[ResultItem], region_ids: Collection[str]) -> list[dict[str, Any]]:
    """The JSON of the regions with these ids, to be carried over to a copy: geometry, labels, and nothing else."""
    kept = (drawing for drawing in drawings(items) if drawing.id in region_ids and drawing.shape != KEYPOINT)
    return [wire for drawing in kept for wire in drawing.wires()]


def result_items_from_mask(
    mask: Mask, *, score: float, region_id: str, label: str, config: LabelConfig, to_name: str
) -> list[dict[str, Any]]:
    """A suggestion in the shape of every control that can show this label on this image.

    The first item has *region_id*, so that it replaces the region of that id; the ids of the others follow from it,
    so that they replace theirs.

    Args:
        mask: (H, W), not empty.
        score: the engine's confidence, 0 … 1.
    """
    items = []
    for number, control in enumerate(config.output_controls(label, to_name)):
        base = region_id if number == 0 else f"{region_id}-{number + 1}"
        for part, value in enumerate(_values(control.shape, mask)):
            item_id = base if part == 0 else f"{base}.{part + 1}"
            items.append(
                _suggestion(control, item_id, size_of(mask), score) | {"value": value | {control.type: [label]}}
            )
    return items


# Approval


def _choices(items: Iterable[ResultItem], control: str) -> set[str]:
    chosen: set[str] = set()
    for item in items:
        values = item.value.get("choices")
        if item.type == "choices" and item.from_name == control and isinstance(values, list):
            chosen.update(value for value in values if isinstance(value, str))
    return chosen


# Prompts


def _why_ignored(drawing: Drawing, config: LabelConfig) -> str:
    if config.control(drawing.item.from_name) is None or config.image(drawing.item.to_name) is None:
        return "from a control that the labelling config does not have"
    return "" if drawing.labels else "without a label"


def _prompt(drawing: Drawing) -> PromptItem | None:
    item, label = drawing.item, drawing.labels[0]
    size = _prompt_size(item)
    if drawing.shape == KEYPOINT:
        x = _number(item, "x", PromptError) / 100 * size.width - 0.5
        y = _number(item, "y", PromptError) / 100 * size.height - 0.5
        point = Point(x, y, positive=item.is_positive is not False)
        return PromptItem(item.id, label, item.to_name, size, point=point) if point.inside(size) else None
    rotation_deg = _number(item, "rotation", PromptError, default=0.0)
    box = _box_around(_box(item, size, PromptError), rotation_deg).clipped(size)
    return PromptItem(item.id, label, item.to_name, size, box=box) if box.area > 0 else None


def _left_prompts(drawing: Drawing, size: Size) -> Iterator[LeftPrompt]:
    """A prompt for each of its labels; nowhere in particular if what it says of its place makes no sense."""
    try:
        prompt = _prompt(drawing) if drawing.labels else None
    except PromptError:
        prompt = None
    placed = prompt if prompt is not None and prompt.size == size else None
    for label in drawing.labels:
        yield LeftPrompt(label, placed.point if placed else None, placed.box if placed else None)


def _prompt_size(item: ResultItem) -> Size:
    sides = (item.original_width, item.original_height)
    width, height = (_side(side) for side in sides)
    if width is None or height is None:
        raise PromptError(f"a prompt has an impossible original size: {sides[0]}×{sides[1]}")
    return Size(width, height)


def _side(side: float | None) -> int | None:
    if side is None or not 1 <= side <= MAX_SIDE_PX or side != int(side):
        return None
    return int(side)


def _box_around(box: Box, rotation_deg: float) -> Box:
    """The upright box around one that was turned clockwise about its top-left corner."""
    cos, sin = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    xs = (0.0, box.width * cos, -box.height * sin, box.width * cos - box.height * sin)
    ys = (0.0, box.width * sin, box.height * cos, box.width * sin + box.height * cos)
    return Box(box.left + min(xs), box.top + min(ys), box.left + max(xs), box.top + max(ys))


# Masks


def _require_known(drawing: Drawing, config: LabelConfig) -> None:
    """Refuse what an admin's change of the config has cut off: taken for kept, its object would be seen again."""
    strange = unknown_labels(drawing.items, config)
    if strange:
        raise UnknownRegionError(
            f'a region has the label "{strange[0][:_LABEL_SHOWN]}", which the labelling config does not have: '
            "bring the label back, or give the region another one"
        )
    cleaned = not config.cleaned_labels.isdisjoint(drawing.labels)
    if cleaned and drawing.shape in {RECTANGLE, ELLIPSE} and config.control(drawing.item.from_name) is None:
        raise UnknownRegionError(
            f'a {drawing.shape} was drawn with "{drawing.item.from_name[:_LABEL_SHOWN]}", which the labelling config '
            "does not have: whether it is a region or a prompt cannot be told. Bring the control back, or draw it again"
        )


def _require_unimportant(drawing: Drawing, config: LabelConfig) -> None:
    if not config.cleaned_labels.isdisjoint(drawing.labels):
        raise MaskError(f"a {drawing.shape} region has a label with a policy, but is no area that could be removed")


def _regions(drawing: Drawing, size: Size) -> list[Region]:
    shape = _SHAPES[drawing.shape]
    mask = _mask(drawing.item, shape, size)
    return [Region(drawing.id, drawing.item.from_name, label, shape, mask) for label in drawing.labels or ("",)]


def _outline(drawing: Drawing, label: str) -> Outline:
    item, shape = drawing.item, _SHAPES[drawing.shape]
    width, height = _side(item.original_width), _side(item.original_height)
    if width is None or height is None:
        raise MaskError(f"a region has an impossible original size: {item.original_width}×{item.original_height}")
    is_upright = shape is Shape.RECTANGLE and _number(item, "rotation", PolygonError, default=0.0) == 0
    return Outline(drawing.id, label, item.to_name, shape, Size(width, height), is_upright, item)


def _mask(item: ResultItem, shape: Shape, size: Size) -> Mask:
    _require_same_image(item, size)
    if shape is Shape.BRUSH:
        return _brush(item, size)
    if shape is Shape.BITMASK:
        return _bitmask(item, size)
    if shape is Shape.POLYGON:
        return mask_from_polygon(_polygon(item, size), size)
    rotation_deg = _number(item, "rotation", PolygonError, default=0.0)
    if shape is Shape.RECTANGLE:
        return mask_from_rotated_box(_box(item, size, PolygonError), rotation_deg=rotation_deg, size=size)
    x, y = (_number(item, key, PolygonError) for key in ("x", "y"))
    across, down = (_number(item, key, PolygonError) for key in ("radiusX", "radiusY"))
    centre, radii = _pixels((x, y), size), _pixels((across, down), size)
    return mask_from_ellipse(centre, radii, rotation_deg=rotation_deg, size=size)


def _require_same_image(item: ResultItem, size: Size) -> None:
    if item.item_index:
        raise MaskError("a region was drawn on another image of the same task; only one image per task can be copied")
    drawn_on = (item.original_width, item.original_height)
    if drawn_on != size:
        width, height = (side if side is not None else "?" for side in drawn_on)
        raise SizeMismatchError(
            f"a region was drawn on an image of {width}×{height}, but the image is {size.width}×{size.height}"
        )


def _brush(item: ResultItem, size: Size) -> Mask:
    rle = item.value.get("rle")
    if item.value.get("format", "rle") != "rle" or not isinstance(rle, list):
        raise RleError("a brush region has no RLE")
    return mask_from_rle(rle, width=size.width, height=size.height)


def _bitmask(item: ResultItem, size: Size) -> Mask:
    url = item.value.get("imageDataURL")
    if not isinstance(url, str):
        raise MaskError("a bitmask region has no imageDataURL")
    return mask_from_bitmask(url, size)


def _polygon(item: ResultItem, size: Size) -> list[tuple[float, float]]:
    points = item.value.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):  # noqa: PLR2004  x and y
        raise PolygonError("a polygon's points must be a list of pairs")
    return [_pixels((_percent(x, "x", PolygonError), _percent(y, "y", PolygonError)), size) for x, y in points]


def _box(item: ResultItem, size: Size, error: type[CleanplateError]) -> Box:
    """A rectangle as it was before Label Studio turned it about its top-left corner."""
    x, y, width, height = (_number(item, key, error) for key in ("x", "y", "width", "height"))
    if width < 0 or height < 0:
        raise error("a rectangle has a negative side")
    return Box(*_pixels((x, y), size), *_pixels((x + width, y + height), size))


def _pixels(position_pct: tuple[float, float], size: Size) -> tuple[float, float]:
    x_pct, y_pct = position_pct
    return x_pct / 100 * size.width, y_pct / 100 * size.height


def _number(item: ResultItem, key: str, error: type[CleanplateError], *, default: float | None = None) -> float:
    return _percent(item.value.get(key, default), key, error)


def _percent(value: Any, name: str, error: type[CleanplateError]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_PCT:
        raise error(f"{name} must be a number between -{MAX_PCT:g} and {MAX_PCT:g}")
    return float(value)


# Suggestions


def _suggestion(control: Control, item_id: str, size: Size, score: float) -> dict[str, Any]:
    return {
        "id": item_id,
        "from_name": control.name,
        "to_name": control.to_name,
        "type": control.type,
        "origin": "manual",
        "original_width": size.width,
        "original_height": size.height,
        "image_rotation": 0,
        "score": float(score),
        "readonly": False,
    }


def _values(shape: str, mask: Mask) -> list[dict[str, Any]]:
    """The mask as the values of result items of this shape: one, or one for each outline of a polygon."""
    size = size_of(mask)
    if shape == "brush":
        return [{"format": "rle", "rle": rle_from_mask(mask)}]
    if shape == "bitmask":
        return [{"imageDataURL": bitmask_from_mask(mask)}]
    if shape == "polygon":
        tolerance_px = max(_TOLERANCE_PX, max(size) * _TOLERANCE_SHARE)
        rings = polygons_from_mask(mask, tolerance_px=tolerance_px)
        return [{"points": [_pct(point, size) for point in ring], "closed": True} for ring in rings]
    box = bounding_box(mask)
    if box is None:
        return []
    left, top = _pct((box.left, box.top), size)
    width, height = _pct((box.width, box.height), size)
    return [{"x": left, "y": top, "width": width, "height": height, "rotation": 0}]


def _pct(position: tuple[float, float], size: Size) -> list[float]:
    x, y = position
    return [float(x) / size.width * 100, float(y) / size.height * 100]
