"""Which pixels of an image will be replaced, and why: worked out before anything is touched."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final, NamedTuple

import cv2
import numpy as np

from cleanplate.codecs.container import Format
from cleanplate.codecs.images import Container
from cleanplate.domain.image import Mask, Size, size_of
from cleanplate.domain.mask import bounding_box, require_fit, rounded_out, union
from cleanplate.domain.policy import Action, Dilation, Policy, Way
from cleanplate.domain.prompt import LeftPrompt
from cleanplate.domain.region import Region
from cleanplate.errors import NothingToRemoveError, PolicyError, UnacceptedPromptsError
from cleanplate.pipeline.growth import grown_by, widened
from cleanplate.pipeline.holes import closed

_REACH_PX: Final = MappingProxyType({Format.JPEG: 1, Format.WEBP: 8})
"""JPEG: chroma is stretched over the edge of its cell when it is read. WebP: the loop filter, which reaches three
samples into the next cell, and chroma is stretched by two on top."""

_KEPT_SHARE: Final = 0.5
"""A kept region of which more than this is removed no longer describes the copy."""

_ANSWERED_SHARE: Final = 0.05
"""Even a thin thing across its box covers so much of it; a neighbour that reaches in seldom does."""

_LABEL_SHOWN: Final = 80

_INPAINTED: Final = Way(Action.REMOVE)

_ROUNDING: Final = 1e-6
"""4 % of 150 px is 6 px, not 7, whatever floating point makes of it."""


class Grid(NamedTuple):
    """The cells in which a file's codec worked: what is hidden in a cell shows in all its pixels.

    Attributes:
        cell: (1, 1) if the codec is lossless.
        from_right: whether whole cells begin at the right border, as in a photograph that was turned upright.
        from_bottom: the same for the bottom border.
        reach_px: how far beyond its cell something shows.
    """

    cell: Size = Size(1, 1)
    from_right: bool = False
    from_bottom: bool = False
    reach_px: int = 0


@dataclass(frozen=True)
class Removed:
    """A region the plan removes.

    Attributes:
        radius_px: by how many pixels it is grown at most.
        closed_px: how many pixels of small holes in it are removed as well.
        action: in which way it is removed.
    """

    region_id: str
    label: str
    radius_px: int
    closed_px: int = 0
    action: Action = Action.REMOVE


@dataclass(frozen=True, eq=False)
class Treatment:
    """Pixels that are replaced in one way. (H, W), at least one."""

    way: Way
    mask: Mask


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be done to one image.

    Attributes:
        mask: (H, W), the effective mask: approved regions, completed, grown, rounded out to the grid.
        avoid: (H, W), what else was drawn on the image: no fill may be copied from there.
        grid: what the mask was rounded out to.
        treatments: each pixel of the mask once, where several ways were asked for under the strongest.
        removed: the regions that made the mask, sorted by id.
        kept: ids of the regions that go along with the copy, sorted.
        dropped: ids of regions that were to be kept but are mostly removed, sorted.
    """

    mask: Mask
    avoid: Mask
    grid: Grid
    treatments: tuple[Treatment, ...]
    removed: tuple[Removed, ...] = ()
    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Equal for plans that do the same."""
        ways = [treatment.way for treatment in self.treatments]
        facts = (size_of(self.mask), self.grid, ways, self.removed, self.kept, self.dropped)
        masks = (self.avoid, *(treatment.mask for treatment in self.treatments))
        return sha256(repr(facts).encode() + b"".join(np.packbits(mask).tobytes() for mask in masks)).hexdigest()

    @property
    def invents(self) -> bool:
        """Whether any pixel is to be inpainted."""
        return any(treatment.way.action is Action.REMOVE for treatment in self.treatments)


def plan_removal(
    regions: Sequence[Region], *, prompts: Collection[LeftPrompt], policy: Policy, size: Size, grid: Grid
) -> Plan:
    """Plan the copy of an image from what was approved on it.

    Args:
        regions: everything drawn on the image, in any order.
        prompts: what is left of them in the annotation.
        policy: what its label asks to happen to each region.
        size: the upright image's.
        grid: the source file's.

    Raises:
        PolicyError: A label that was used asks for something this version cannot do.
        UnacceptedPromptsError: Something was pointed at, but no accepted mask covers it.
        NothingToRemoveError: No pixel is to be removed.
        SizeMismatchError: A region does not fit the image.
    """
    for region in regions:
        require_fit(region.mask, size)
    _require_available({region.label for region in regions} | {prompt.label for prompt in prompts}, policy)
    approved = [region for region in regions if policy.of(region.label).action is not Action.KEEP and region.mask.any()]
    masked = {region.label for region in approved}
    _require_accepted({prompt.label for prompt in prompts if prompt.label not in masked}, policy)
    if not approved:
        raise NothingToRemoveError("no approved region covers a pixel that is to be removed")
    claims: dict[Way, Mask] = {}
    removed = []
    for region in approved:
        wish = policy.of(region.label)
        whole = closed(region.mask, wish.closing)
        grown, radius_px = dilated(whole, wish.dilation)
        claims[wish.way] = claims[wish.way] | grown if wish.way in claims else grown
        closed_px = int(np.count_nonzero(whole)) - int(np.count_nonzero(region.mask))
        removed.append(Removed(region.region_id, region.label, radius_px, closed_px, wish.action))
    approved_mask = union(tuple(claims.values()), size)
    _require_accepted({prompt.label for prompt in prompts if not _is_answered(prompt, approved_mask)}, policy)
    treatments = _treatments(claims, grid)
    mask = union(tuple(treatment.mask for treatment in treatments), size)
    kept = [region for region in regions if policy.of(region.label).action is Action.KEEP]
    dropped = {region.region_id for region in kept if _removed_share(region, mask) > _KEPT_SHARE}
    return Plan(
        mask=mask,
        avoid=union(tuple(region.mask for region in regions), size) & ~mask,
        grid=grid,
        treatments=treatments,
        removed=tuple(sorted(removed, key=lambda region: (region.region_id, region.label))),
        kept=tuple(sorted({region.region_id for region in kept} - dropped)),
        dropped=tuple(sorted(dropped)),
    )


def plan_from_mask(mask: Mask, *, grid: Grid, way: Way = _INPAINTED) -> Plan:
    """Plan the removal of exactly this mask, rounded out to the grid.

    Raises:
        NothingToRemoveError: The mask is empty.
    """
    if not mask.any():
        raise NothingToRemoveError("the mask is empty: there is nothing to remove")
    effective = touched(mask, grid)
    return Plan(mask=effective, avoid=np.zeros_like(effective), grid=grid, treatments=(Treatment(way, effective),))


def grid_of(container: Container) -> Grid:
    """The grid of a file."""
    if container.lossless:
        return Grid()
    reach_px = _REACH_PX[container.format]
    return Grid(container.grid, container.grid_from_right, container.grid_from_bottom, reach_px)


def touched(mask: Mask, grid: Grid) -> Mask:
    """Every pixel in which something under the *mask* may show: whole cells of the *grid*, and its reach beyond."""
    step = (slice(None, None, -1 if grid.from_bottom else 1), slice(None, None, -1 if grid.from_right else 1))
    cells = np.ascontiguousarray(rounded_out(mask[step], grid.cell)[step])
    return widened(cells, grid.reach_px)


def _require_available(labels: set[str], policy: Policy) -> None:
    for label in sorted(labels):
        wish = policy.of(label)
        if wish.objection:
            raise PolicyError(f'label {_named([label])} asks for clean="{wish.action}", which {wish.objection}')


def _require_accepted(labels: set[str], policy: Policy) -> None:
    pending = sorted(label for label in labels if policy.of(label).action is not Action.KEEP)
    if pending:
        raise UnacceptedPromptsError(
            f"the annotation has prompts for {_named(pending)} but no accepted mask where they point: "
            "accept the suggestion or delete the prompt, then update the annotation"
        )


def _is_answered(prompt: LeftPrompt, mask: Mask) -> bool:
    """Whether what a prompt points at is masked. A negative click points at what may stay."""
    if prompt.point is not None and prompt.point.positive:
        x, y = prompt.point.pixel(size_of(mask))
        return bool(mask[y, x])
    if prompt.box is not None:
        return bool(mask[prompt.box.slices(size_of(mask))].mean() >= _ANSWERED_SHARE)
    return True


def _named(labels: Sequence[str]) -> str:
    return ", ".join(repr(label[:_LABEL_SHOWN]) for label in labels)


def dilated(mask: Mask, dilation: Dilation) -> tuple[Mask, int]:
    """A region's mask after its dilation, and by how many pixels it was grown at most. Each island by its own size."""
    box = bounding_box(mask)
    if box is None or dilation == Dilation():
        return mask, 0
    window = box.slices(size_of(mask))
    _, islands, stats, _ = cv2.connectedComponentsWithStats(mask[window].view(np.uint8), connectivity=8)
    sides_px = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    # A brush may hold several objects, so each island is grown by its own size; islands of one radius grow together.
    radii_px = np.array([_whole(dilation.radius_px(float(side_px))) for side_px in sides_px])
    radii_px[0] = 0  # what lies between the islands
    grown = mask.copy()
    for radius_px in np.unique(radii_px[1:]):
        alike = np.zeros_like(mask)
        alike[window] = (radii_px == radius_px)[islands] & mask[window]
        grown |= grown_by(alike, int(radius_px))
    return grown, int(radii_px.max())


def _treatments(claims: Mapping[Way, Mask], grid: Grid) -> tuple[Treatment, ...]:
    """Who gets which pixels. What shows something of two objects is treated in the stronger of their ways."""
    treatments: list[Treatment] = []
    for way in sorted(claims, key=lambda way: way.rank):
        mask = touched(claims[way], grid)
        for stronger in treatments:
            mask &= ~stronger.mask
        if mask.any():
            treatments.append(Treatment(way, mask))
    return tuple(treatments)


def _whole(radius_px: float) -> int:
    return math.ceil(radius_px - _ROUNDING)


def _removed_share(region: Region, mask: Mask) -> float:
    drawn = int(region.mask.sum())
    return int((region.mask & mask).sum()) / drawn if drawn else 0.0
