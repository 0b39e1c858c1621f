"""Finds the shadow that an object casts on the ground, if it stands out clearly enough to be proposed.

A shadow is what is darker at equal texture: along its outline the light falls by the same factor, in all colours about
alike, and the grain of the ground goes on inside. It touches the object near its foot, ends somewhere, and has a size
that goes with the object's. All of that must hold, or nothing is proposed: a wrong proposal costs the annotator more
than a missing one. It cannot see that a dark patch of the same ground which begins at the object's feet is no shadow,
and it misses shadows that run into other dark things, out of the image, or over several kinds of ground.

The image is cut at many levels of darkness, as in Matas et al., Robust wide baseline stereo from maximally stable
extremal regions, BMVC 2002. The ratio at the outline is that of Finlayson et al., On the removal of shadows from
images, IEEE TPAMI 2006, and Lalonde et al., Detecting ground shadows in outdoor consumer photographs, ECCV 2010.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, Size, size_of
from cleanplate.domain.mask import bounding_box, require_fit
from cleanplate.pipeline.growth import widened

Logs: TypeAlias = npt.NDArray[np.float32]
"""(H, W) or (H, W, 3), the logarithm of how much light there is: a shadow takes away the same everywhere."""

_OBJECT_SIDE_PX: Final = 112
"""Objects are looked at in this size: shadows are no matter of detail."""

_MIN_SIDE_PX: Final = 16
_AROUND: Final = 1.4
_ABOVE: Final = 0.2
"""How far around the object its shadow is looked for, in object sides."""

_FOOT: Final = 0.55
"""So far down the object's height its shadow may begin …"""

_TOP: Final = 0.25
"""… and only what is seen below this part of it lies on the ground: what rises higher stands there by itself."""

_RIM_PX: Final = 2
"""So close to the object pixels may show something of it: masks are not that exact."""

_CONTACT_PX: Final = 6
_MIN_CONTACT_PX: Final = 6
_MIN_CONTACT_SHARE: Final = 0.04
"""Of what lies around the object's foot, the part that its shadow must cover."""

_LEVELS: Final = 24
_MIN_AREA: Final = 0.06
_MAX_AREA: Final = 2.0
_MIN_AREA_PX: Final = 30
"""A shadow's area, in object areas and in pixels."""

_GRAIN_SIGMA_PX: Final = 1.5
_FINE_SIGMA_PX: Final = 2.0
_BAND_PX: Final = 5
_PENUMBRA_PX: Final = 2.0
_BAND_WINDOW_PX: Final = 15
_BAND_SHARE: Final = 0.03
_MIN_OUTLINE_PX: Final = 12
_VICINITY_PX: Final = 30
_GROUND_PX: Final = 12
_LEVEL_SHARE: Final = 0.2
_FROM_MEDIAN: Final = 1.4826
"""The standard deviation of normally distributed values, in median deviations."""

_GAMMA: Final = 2.2
_DARKEST: Final = 0.004
_LOG_OF_LEVEL: Final = np.log((np.arange(256) / 255) ** _GAMMA + _DARKEST).astype(np.float32)


class Shadow(NamedTuple):
    """A proposed shadow: (H, W), none of its pixels the object's; and how convincing it is, 0 … 1."""

    mask: Mask
    score: float


@dataclass(frozen=True, eq=False)
class _View:
    """The object and what is around it, at the size it is looked at.

    Attributes:
        window: the rows and columns of the image it shows.
        object: (h, w).
        near: (h, w), the object and its rim.
        ground: (h, w), where a shadow may lie.
        contact: (h, w), the ground around the object's foot.
        highest: the row at which the ground begins.
        ends_below: whether the image goes on below the view.
        colours: (h, w, 3), without the finest grain.
        light: (h, w), the mean of the colours.
        grain: (h, w), the finest grain alone.
    """

    window: tuple[slice, slice]
    object: Mask
    near: Mask
    ground: Mask
    contact: Mask
    highest: int
    ends_below: bool
    colours: Logs
    light: Logs
    grain: Logs


@dataclass(frozen=True)
class _Finding:
    """What there is to say about a dark part of the ground.

    Attributes:
        step: by how much darker it is along its outline, as a logarithm; the median.
        spread: how much that differs along the outline; the median deviation.
        support: the share of the outline where it is at least half of that.
        tint: by how much more red and blue light is missing than green.
        tint_spread: how much that differs along the outline.
        grain: of its texture, in those of the ground around it.
        unevenness: the deviation of its light inside,
        ground_unevenness: and of the ground's around it.
        thickness_px: of its thickest place, from there to its outline.
        rest: how much else around it is as dark, in its areas.
        growth: how many times as large it is at a somewhat lighter level than at a somewhat darker one.
        core: the share of it that is left at the darker one.
    """

    step: float
    spread: float
    support: float
    tint: tuple[float, float]
    tint_spread: float
    grain: float
    unevenness: float
    ground_unevenness: float
    thickness_px: float
    rest: float
    growth: float
    core: float

    @property
    def contrast(self) -> float:
        """How many times the ground's own unevenness its step is."""
        return self.step / (self.ground_unevenness + 0.01)

    @property
    def is_convincing(self) -> bool:
        """Whether all that makes a shadow holds. The bounds were found on drawn scenes, where it is known."""
        red, blue = self.tint
        return (
            0.15 < self.step < 2.2  # noqa: PLR2004  bounds that have no name but what they bound
            and self.contrast > 3.2  # noqa: PLR2004
            and self.support > 0.85  # noqa: PLR2004
            and self.spread < 0.25 * self.step + 0.02
            and self.unevenness < 0.35 * self.step + 0.06
            and -0.12 < red < 0.18  # noqa: PLR2004  the sky lights shadows blue
            and -0.25 < blue < 0.12  # noqa: PLR2004
            and self.tint_spread < 0.05  # noqa: PLR2004
            and 0.6 < self.grain < 3.0  # noqa: PLR2004
            and self.thickness_px > 3.7  # noqa: PLR2004
            and self.rest < 0.2  # noqa: PLR2004
            and self.growth < 2.6  # noqa: PLR2004
            and self.core > 0.72  # noqa: PLR2004
        )

    @property
    def strength(self) -> float:
        """The larger the better it fits, of several levels of the same shadow."""
        return self.step * self.support - self.spread - 0.05 * self.growth


def propose_shadow(image: RgbImage, mask: Mask) -> Shadow | None:
    """The shadow of an object; None unless it is convincing.

    Args:
        image: (H, W, 3); a side of 1000 pixels is enough.
        mask: (H, W), the object.

    Raises:
        SizeMismatchError: The mask does not fit the image.
    """
    require_fit(mask, size_of(image))
    view = _view(image, mask)
    if view is None:
        return None
    found = [(finding, part) for part, level in _dark_parts(view) if (finding := _judged(view, part, level))]
    convincing = [(finding, part) for finding, part in found if finding.is_convincing]
    if not convincing:
        return None
    finding, part = max(convincing, key=lambda entry: entry[0].strength)
    shadow = _in_image(view, part, size_of(mask)) & ~mask
    return Shadow(shadow, min(finding.contrast / 8, 1.0) * finding.support) if shadow.any() else None


def _view(image: RgbImage, mask: Mask) -> _View | None:
    box = bounding_box(mask)
    if box is None or max(box.width, box.height) < _MIN_SIDE_PX:
        return None
    side = max(box.width, box.height)
    around, size = _AROUND * side, size_of(mask)
    window = Box(box.left - around, box.top - _ABOVE * side, box.right + around, box.bottom + around).slices(size)
    small = size_of(mask[window]).scaled(min(1.0, _OBJECT_SIDE_PX / side))
    shown = _resized(mask[window], small)
    foot_and_head = np.flatnonzero(shown.any(axis=1))
    if foot_and_head.size == 0:
        return None
    head, height = int(foot_and_head[0]), int(foot_and_head[-1] + 1 - foot_and_head[0])
    near = widened(shown, _RIM_PX)
    highest = head + round(_TOP * height)
    ground = ~near
    ground[:highest] = False
    contact = widened(shown, _CONTACT_PX) & ground
    contact[: head + round(_FOOT * height)] = False
    logs = _LOG_OF_LEVEL[cv2.resize(image[window], small, interpolation=cv2.INTER_AREA)]
    colours = np.asarray(cv2.GaussianBlur(logs, (0, 0), _GRAIN_SIGMA_PX), dtype=np.float32)
    light = logs.mean(axis=2)
    return _View(
        window=window,
        object=shown,
        near=near,
        ground=ground,
        contact=contact,
        highest=highest,
        ends_below=window[0].stop < size.height,
        colours=colours,
        light=colours.mean(axis=2),
        grain=light - cv2.GaussianBlur(light, (0, 0), _FINE_SIGMA_PX),
    )


def _dark_parts(view: _View) -> Iterator[tuple[Mask, float]]:
    """Parts of the ground that touch the object's foot and are darker than a level, with that level."""
    if not view.contact.any():
        return
    area = int(view.object.sum())
    darkest, lightest = np.percentile(view.light[view.ground], [1, 80])
    for level in np.linspace(darkest, lightest, _LEVELS)[1:]:
        dark = cv2.morphologyEx((view.ground & (view.light < level)).view(np.uint8), cv2.MORPH_OPEN, _square(3))
        _, numbers, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
        contact_px = np.bincount(numbers[view.contact], minlength=len(stats))
        contact_px[0] = 0
        touching = np.flatnonzero(contact_px >= _MIN_CONTACT_PX)
        # Where one of them goes on to where we do not look, the ground itself is as dark as that.
        if any(_goes_on(view, *stats[number, :4]) for number in touching):
            continue
        for number in touching:
            _, top, _, _, part_area = stats[number]
            has_size = max(_MIN_AREA * area, _MIN_AREA_PX) <= part_area <= _MAX_AREA * area
            lies_flat = top > view.highest + 1
            if has_size and lies_flat and contact_px[number] >= _MIN_CONTACT_SHARE * view.contact.sum():
                part = cv2.morphologyEx((numbers == number).view(np.uint8), cv2.MORPH_CLOSE, _square(5))
                yield part.view(np.bool_) & view.ground, float(level)


def _goes_on(view: _View, left: int, top: int, width: int, height: int) -> bool:
    """Whether something with this box goes on beyond the view."""
    view_height, view_width = view.object.shape
    return left == 0 or left + width == view_width or (view.ends_below and top + height == view_height)


def _judged(view: _View, whole: Mask, level: float) -> _Finding | None:
    """What there is to say about a part; None if it is no darker than what is around it."""
    box = bounding_box(whole)
    assert box is not None, "a part has pixels"  # noqa: S101
    window = box.grown(_VICINITY_PX).slices(size_of(whole))
    part, light, ground = whole[window], view.light[window], view.ground[window]
    inside_px, outside_px = _distances(part), _distances(~part)
    steps = _steps(view.colours[window], ground, inside_px, outside_px)
    if len(steps) < _MIN_OUTLINE_PX:
        return None
    falls = steps.mean(axis=1)
    step = float(np.median(falls))
    if step <= 0:
        return None
    around = ground & (outside_px > _PENUMBRA_PX) & (outside_px <= _GROUND_PX)
    core = inside_px > min(1.5, inside_px.max() / 2)
    shade = float(np.median(light[core]))
    # What is much darker than the shadow is something else, and says nothing of what the ground looks like.
    rest = (light < level) & (light > shade - step / 2) & ground & ~part & (outside_px < _VICINITY_PX)
    darker, lighter = part & (light < level - _LEVEL_SHARE * step), ground & (light < level + _LEVEL_SHARE * step)
    darker_px = int(darker.sum())
    tints = steps[:, [0, 2]] - steps[:, 1:2]
    red, blue = np.median(tints, axis=0)
    return _Finding(
        step=step,
        spread=float(np.median(np.abs(falls - step))),
        support=float((falls > step / 2).mean()),
        tint=(float(red), float(blue)),
        tint_spread=float(np.median(np.abs(tints - (red, blue)), axis=0).max()),
        grain=_deviation(view.grain[window][core]) / max(_deviation(view.grain[window][around]), 1e-4),
        unevenness=_deviation(light[core]),
        ground_unevenness=_deviation(light[around]),
        thickness_px=float(inside_px.max()),
        rest=int(rest.sum()) / int(part.sum()),
        growth=_reached(lighter, part) / max(darker_px, 1),
        core=darker_px / int(part.sum()),
    )


def _steps(colours: Logs, ground: Mask, inside_px: Logs, outside_px: Logs) -> Logs:
    """(N, 3), how much darker each place at the outline is than the ground beside it, in each colour.

    The outline itself is left out, because light falls slowly there.
    """
    begins = min(1.5, float(inside_px.max()) / 2)
    inner = (inside_px > begins) & (inside_px <= begins + _BAND_PX)
    outer = ground & (outside_px > _PENUMBRA_PX) & (outside_px <= _PENUMBRA_PX + _BAND_PX)
    dark, dark_share = _local_mean(colours, inner)
    bright, bright_share = _local_mean(colours, outer)
    outline = ground & (outside_px > 0) & (outside_px < 1.5)  # noqa: PLR2004  the pixels next to it
    seen = outline & (dark_share > _BAND_SHARE) & (bright_share > _BAND_SHARE)
    return np.asarray((bright - dark)[seen], dtype=np.float32)


def _distances(mask: Mask) -> Logs:
    """(H, W), how far each pixel of a mask is from the nearest that is not in it; 0 outside."""
    return np.asarray(cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3), dtype=np.float32)


def _local_mean(colours: Logs, where: Mask) -> tuple[Logs, Logs]:
    """The mean of the colours *where* they count around each pixel, and the share of pixels that do."""
    weights = where.astype(np.float32)
    window = (_BAND_WINDOW_PX, _BAND_WINDOW_PX)
    sums = cv2.blur(colours * weights[..., np.newaxis], window, borderType=cv2.BORDER_CONSTANT)
    shares = cv2.blur(weights, window, borderType=cv2.BORDER_CONSTANT)
    means = sums / np.maximum(shares, np.finfo(np.float32).eps)[..., np.newaxis]
    return np.asarray(means, dtype=np.float32), np.asarray(shares, dtype=np.float32)


def _reached(where: Mask, part: Mask) -> int:
    """How many pixels can be reached from *part* without leaving *where*."""
    _, numbers = cv2.connectedComponents(where.view(np.uint8), connectivity=4)
    is_reached = np.zeros(int(numbers.max()) + 1, dtype=np.bool_)
    is_reached[numbers[part & where]] = True
    return int((is_reached[numbers] & where).sum())


def _deviation(values: Logs) -> float:
    """The standard deviation, of all but what is unlike the rest: a tyre in the shadow of its car does not count."""
    return _FROM_MEDIAN * float(np.median(np.abs(values - np.median(values)))) if values.size else 0.0


def _in_image(view: _View, part: Mask, size: Size) -> Mask:
    """A part of the view as a mask of the image, with the rim between it and the object."""
    rim = widened(part, _RIM_PX + 1) & view.near
    result = np.zeros((size.height, size.width), dtype=np.bool_)
    result[view.window] = _resized(part | rim, size_of(result[view.window]))
    return result


def _resized(mask: Mask, size: Size) -> Mask:
    """*mask* at another size: True where at least half of a pixel is."""
    method = cv2.INTER_AREA if size.width < mask.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=method) >= 0.5, dtype=np.bool_)  # noqa: PLR2004


def _square(side_px: int) -> npt.NDArray[np.uint8]:
    return np.ones((side_px, side_px), dtype=np.uint8)
