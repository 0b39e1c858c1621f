"""Regions that may be what the annotator means, and the measures by which to tell."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cleanplate.engines.segmenters.graphcut_parts.merge_tree import Regions
from cleanplate.engines.segmenters.graphcut_parts.overview import Overview
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers

LARGEST_SHARE: Final = 0.93
"""An object leaves at least some of the image."""

FAINT: Final = 0.6
"""An edge weaker than this share of the image's mean edge is no outline."""

DISC_RADII: Final = (0.02, 0.035, 0.06, 0.09, 0.14, 0.2)
"""For corrections where no edge helps, in square roots of the image's area."""


class Click(NamedTuple):
    """A place, both coordinates as shares of the width and height from 0 to 1."""

    x: float
    y: float
    positive: bool


@dataclass(frozen=True, eq=False)
class Proposals:
    """Candidates for an answer.

    Attributes:
        regions: (k, n), the superpixels of each.
        replaces: (k,), True where the whole answer is new rather than the last one with a change.
        measures: (k, f), what a ranker looks at.
    """

    regions: Regions
    replaces: npt.NDArray[np.bool_]
    measures: Numbers


def first_proposals(overview: Overview, click: Click) -> Proposals:
    """What a single positive click may mean."""
    regions, persistence = _grown(overview, overview.superpixel_at(click.x, click.y))
    small = regions @ overview.superpixels.sizes <= LARGEST_SHARE * overview.area
    if small.any():
        regions, persistence = regions[small], persistence[small]
    outline = _Outline(overview, regions)
    reach = _Reach(overview, regions, click)
    extra = (outline.area_log**2, persistence, outline.ring, outline.ring_ratio, *reach.measures)
    measures = np.stack([*outline.measures, *extra], axis=1).astype(np.float32)
    return Proposals(regions, np.ones(len(regions), dtype=np.bool_), measures)


def later_proposals(overview: Overview, answer: Numbers, clicks: tuple[Click, ...]) -> Proposals | None:
    """What the last of several clicks may mean for the *answer* so far.

    Args:
        overview: of the image.
        answer: (n,), which share of each superpixel belongs to it.
        clicks: in the order they were made.

    Returns:
        None if no change of whole superpixels is possible.
    """
    base = answer > 1 / 2
    regions, kinds = _changed(overview, base, clicks)
    areas = regions @ overview.superpixels.sizes
    usable = (areas > 0) & (areas <= LARGEST_SHARE * overview.area) & (regions != base).any(axis=1)
    regions, kinds = regions[usable], kinds[usable]
    if not len(regions) or not base.any():
        return None
    new, old = _Outline(overview, regions), _Outline(overview, base[np.newaxis])
    change = _change_measures(overview, base, answer, regions, clicks[-1])
    gains = [measure - before for measure, before in zip(new.measures, old.measures, strict=True)]
    told = kinds == _REPLACED, kinds == _CUT_OUT
    measures = np.stack([*new.measures, *gains, *change, *told], axis=1).astype(np.float32)
    return Proposals(regions, kinds != _EDITED, measures)


_EDITED, _CUT_OUT, _REPLACED = 0, 1, 2


def _grown(overview: Overview, superpixel: int) -> tuple[Regions, Numbers]:
    """Every region of every tree that holds the superpixel, with and without its holes, and its persistence."""
    chains = [(tree, tree.ancestors(superpixel)) for tree in overview.trees]
    regions = np.concatenate([tree.regions(nodes) for tree, nodes in chains])
    persistence = np.concatenate([tree.persistence(nodes) for tree, nodes in chains])
    filled = overview.filled(regions)
    regions = np.concatenate([regions, filled])
    persistence = np.concatenate([persistence, persistence])
    return regions[kept := _distinct(regions)], persistence[kept]


def _distinct(regions: Regions) -> npt.NDArray[np.int64]:
    _, first = np.unique(np.packbits(regions, axis=1), axis=0, return_index=True)
    return np.sort(first)


def _changed(
    overview: Overview, base: npt.NDArray[np.bool_], clicks: tuple[Click, ...]
) -> tuple[Regions, npt.NDArray[np.int64]]:
    last = clicks[-1]
    here = overview.superpixel_at(last.x, last.y)
    inside = [overview.superpixel_at(click.x, click.y) for click in clicks if click.positive]
    outside = [overview.superpixel_at(click.x, click.y) for click in clicks if not click.positive]
    grown, _ = _grown(overview, here)
    parts = np.concatenate([grown, _discs(overview, last, here)])
    if last.positive:
        edited, whole = base | parts, grown
        edited[:, outside] = False
    else:
        edited = base & ~parts
        edited[:, inside] = True
        roots = [_grown(overview, superpixel)[0] for superpixel in dict.fromkeys(inside)]
        whole = np.concatenate([*roots, np.zeros((0, len(base)), dtype=np.bool_)])
    edited[:, here] = last.positive
    whole = whole[whole[:, inside].all(axis=1) & ~whole[:, outside].any(axis=1)]
    regions = np.concatenate([edited, whole & base, whole] if not last.positive else [edited, whole])
    kinds = np.full(len(regions), _REPLACED)
    kinds[: len(edited)] = _EDITED
    if not last.positive:
        kinds[len(edited) : len(edited) + len(whole)] = _CUT_OUT
    return regions[kept := _distinct(regions)], kinds[kept]


def _discs(overview: Overview, click: Click, superpixel: int) -> Regions:
    height, width = overview.superpixels.labels.shape
    x, y = overview.superpixels.centres.T
    away = np.hypot(x - click.x * width, y - click.y * height)
    discs = np.asarray(away < np.array(DISC_RADII)[:, np.newaxis] * overview.area**0.5)
    discs[:, superpixel] = True
    return discs


class _Outline:
    """What can be seen of regions without knowing where the click was."""

    def __init__(self, overview: Overview, regions: Regions) -> None:
        pixels = overview.superpixels
        members = regions.astype(np.float32)
        self.members = members
        self.areas = members @ pixels.sizes + np.float32(1e-3)
        one, other = pixels.pairs.T
        self.crossed = np.abs(members[:, one] - members[:, other])
        lengths = self.crossed @ pixels.borders + np.float32(1e-3)
        rims = members @ pixels.rims
        contrast = self.crossed @ (pixels.borders * pixels.contrasts) / lengths
        distance = self.crossed @ (pixels.borders * pixels.distances) / lengths
        faint = self.crossed @ (pixels.borders * (pixels.contrasts < FAINT * overview.contrast)) / lengths
        self.colours = (members * pixels.sizes) @ pixels.colours / self.areas[:, np.newaxis]
        squares = members @ (pixels.spreads + pixels.sizes * (pixels.colours**2).sum(axis=1)) / self.areas
        deviation = np.sqrt(np.maximum(squares - (self.colours**2).sum(axis=1), 0))
        from_one = self.crossed * pixels.borders * members[:, other]
        from_other = self.crossed * pixels.borders * members[:, one]
        around = (from_one @ pixels.colours[one] + from_other @ pixels.colours[other]) / lengths[:, np.newaxis]
        away = np.linalg.norm(around - self.colours, axis=1)
        self.area_log = np.log(self.areas / overview.area)
        self.ring = away / overview.spread
        self.ring_ratio = np.log(away / (deviation + 2) + 0.05)
        self.measures = (
            self.area_log,
            rims / (lengths + rims),
            np.log((lengths + rims) / np.sqrt(self.areas)),
            np.log(contrast / overview.contrast + 0.05),
            np.log(distance / overview.distance + 0.05),
            faint,
            deviation / overview.spread,
            np.minimum(self.areas / _box_areas(overview, regions), 1),
        )


class _Reach:
    """How a click lies in regions: people click near the middle of what they mean."""

    def __init__(self, overview: Overview, regions: Regions, click: Click) -> None:
        depths = overview.depths(regions)
        row, column = _coarse_place(overview, click)
        self.here = depths[:, row, column]
        self.deepest = depths.reshape(len(regions), -1).max(axis=1)
        pixels = overview.superpixels
        sizes = regions * pixels.sizes
        areas = sizes.sum(axis=1) + np.float32(1e-3)
        middles = sizes @ pixels.centres / areas[:, np.newaxis]
        height, width = pixels.labels.shape
        away = np.hypot(middles[:, 0] - click.x * width, middles[:, 1] - click.y * height)
        self.measures = (
            np.minimum(self.here / (self.deepest + np.float32(0.5)), 1),
            away / np.sqrt(areas),
            np.log((self.deepest + np.float32(0.5)) * overview.stride / np.sqrt(areas)),
            np.log((self.here * overview.stride + 2) / np.sqrt(areas)),
        )


def _change_measures(
    overview: Overview, base: npt.NDArray[np.bool_], answer: Numbers, regions: Regions, click: Click
) -> tuple[Numbers, ...]:
    """What a change is like: its size, its old and new borders, its colour, and how the click lies in it."""
    pixels = overview.superpixels
    changes = regions != base
    change, before = _Outline(overview, changes), _Outline(overview, base[np.newaxis])
    after_borders = change.crossed * (1 - before.crossed)
    before_borders = change.crossed * before.crossed
    made = after_borders @ pixels.borders + np.float32(1e-3)
    gone = before_borders @ pixels.borders + np.float32(1e-3)
    steps = [
        np.log((borders @ (pixels.borders * strengths) + 0.3 * mean) / (lengths + 0.3) / mean + 0.05)
        for strengths, mean in ((pixels.contrasts, overview.contrast), (pixels.distances, overview.distance))
        for borders, lengths in ((before_borders, gone), (after_borders, made))
    ]
    faint = after_borders @ (pixels.borders * (pixels.contrasts < FAINT * overview.contrast)) / made
    others = ~base * pixels.sizes
    ground = others @ pixels.colours / (others.sum() + np.float32(1e-3))
    to_object = np.linalg.norm(change.colours - before.colours[0], axis=1) / overview.spread
    to_ground = np.linalg.norm(change.colours - ground, axis=1) / overview.spread
    reach = _Reach(overview, changes, click)
    row, column = _coarse_place(overview, click)
    side = base if not click.positive else ~base
    room = overview.depths(side[np.newaxis])[0, row, column] + np.float32(0.5)
    size = np.log(change.areas / before.areas[0])
    doubt = change.members @ (pixels.sizes * np.where(base, answer, 1 - answer)) / change.areas
    return (
        size,
        size**2,
        change.area_log,
        change.area_log**2,
        *steps,
        faint,
        made / (made + gone),
        to_object,
        to_ground,
        to_object - to_ground,
        *reach.measures,
        np.log((reach.here + np.float32(0.7)) / room),
        np.log((reach.deepest + np.float32(0.7)) / room),
        doubt,
    )


def _coarse_place(overview: Overview, click: Click) -> tuple[int, int]:
    height, width = overview.coarse.shape
    return min(max(int(click.y * height), 0), height - 1), min(max(int(click.x * width), 0), width - 1)


def _box_areas(overview: Overview, regions: Regions) -> Numbers:
    """About the area of the upright box around each region, in square pixels."""
    pixels = overview.superpixels
    margin = np.float32((overview.area / pixels.count) ** 0.5)
    sides = []
    for places in pixels.centres.T:
        highest = np.where(regions, places, -np.inf).max(axis=1)
        lowest = np.where(regions, places, np.inf).min(axis=1)
        sides.append(np.where(np.isfinite(highest), highest - lowest, 0) + margin)
    return (sides[0] * sides[1]).astype(np.float32)
