"""Merge trees: superpixels joined step by step, so that every node is a region that may be an object."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cleanplate.engines.segmenters.graphcut_parts.superpixels import Indices, Numbers, Superpixels


class Region(NamedTuple):
    """What the cost of a merge may look at."""

    size: float
    colour: tuple[float, float, float]


class Border(NamedTuple):
    """What lies between two regions: its length in pixel edges, and the sum of the image's edge strength along it."""

    length: float
    strength: float


Cost: TypeAlias = Callable[[Region, Region, Border], float]
Regions: TypeAlias = npt.NDArray[np.bool_]
"""(k, n), each row is a set of superpixels."""


@dataclass(frozen=True, eq=False)
class MergeTree:
    """A binary tree over n superpixels: nodes 0 … n-1 are the superpixels, each later one is joined from two earlier.

    Attributes:
        parents: (2n-1,), the node each was joined into; -1 for the last.
        heights: (2n-1,), the highest cost paid so far when it was joined; 0 for superpixels.
        order: (n,), the superpixels in such an order that every node is a run of it …
        starts, stops: (2n-1,), … from here to there.
    """

    parents: Indices
    heights: Numbers
    order: Indices
    starts: Indices
    stops: Indices

    def ancestors(self, superpixel: int) -> Indices:
        """The node of a superpixel and every node above it, smallest first."""
        chain = [superpixel]
        while (parent := int(self.parents[chain[-1]])) >= 0:
            chain.append(parent)
        return np.array(chain, dtype=np.int64)

    def regions(self, nodes: Indices) -> Regions:
        """The superpixels of each of *nodes*, one row each."""
        rows = np.zeros((len(nodes), len(self.order)), dtype=np.bool_)
        for row, node in zip(rows, nodes, strict=True):
            row[self.order[self.starts[node] : self.stops[node]]] = True
        return rows

    def persistence(self, nodes: Indices) -> Numbers:
        """How far the cost rises before each node is joined with something else, 0 … 3: objects persist."""
        parents = self.parents[nodes]
        above = self.heights[np.where(parents < 0, nodes, parents)]
        rise = np.log(above / (self.heights[nodes] + 1e-3) + 1e-3)
        return np.where(nodes < len(self.order), 0, np.clip(rise, 0, 3)).astype(np.float32)


def merge_tree_of(superpixels: Superpixels, cost: Cost) -> MergeTree:
    """Join the cheapest pair of neighbours until one region is left."""
    count = superpixels.count
    regions = _leaves_of(superpixels)
    borders = _borders_of(superpixels)
    queue = [
        (cost(regions[one], regions[other], border), one, other)
        for one, neighbours in borders.items()
        for other, border in neighbours.items()
        if one < other
    ]
    heapq.heapify(queue)
    children: list[tuple[int, int]] = []
    heights = [0.0] * count
    while queue:
        price, one, other = heapq.heappop(queue)
        if one not in regions or other not in regions:
            continue
        made = count + len(children)
        children.append((one, other))
        heights.append(max(heights[-1], price))
        regions[made] = _joined(regions.pop(one), regions.pop(other))
        borders[made] = _joined_borders(borders, one, other)
        for neighbour, border in borders[made].items():
            borders[neighbour][made] = border
            heapq.heappush(queue, (cost(regions[neighbour], regions[made], border), neighbour, made))
    return _laid_out(count, children, heights)


def _leaves_of(superpixels: Superpixels) -> dict[int, Region]:
    rows = zip(superpixels.sizes.tolist(), superpixels.colours.tolist(), strict=True)
    return {index: Region(size, (colour[0], colour[1], colour[2])) for index, (size, colour) in enumerate(rows)}


def _borders_of(superpixels: Superpixels) -> dict[int, dict[int, Border]]:
    borders: dict[int, dict[int, Border]] = {index: {} for index in range(superpixels.count)}
    strengths = superpixels.borders * superpixels.contrasts
    rows = zip(superpixels.pairs.tolist(), superpixels.borders.tolist(), strengths.tolist(), strict=True)
    for (one, other), length, strength in rows:
        borders[one][other] = borders[other][one] = Border(length, strength)
    return borders


def _joined(one: Region, other: Region) -> Region:
    size = one.size + other.size
    share = one.size / size
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(one.colour, other.colour, strict=True))
    return Region(size, (red, green, blue))


def _joined_borders(borders: dict[int, dict[int, Border]], one: int, other: int) -> dict[int, Border]:
    """Take both out of *borders* and return those of their union."""
    joined = borders.pop(one)
    for neighbour, border in borders.pop(other).items():
        shared = joined.get(neighbour)
        joined[neighbour] = border if shared is None else Border(shared[0] + border[0], shared[1] + border[1])
    del joined[one], joined[other]
    for neighbour in joined:
        borders[neighbour].pop(one, None)
        borders[neighbour].pop(other, None)
    return joined


def _laid_out(count: int, children: list[tuple[int, int]], heights: list[float]) -> MergeTree:
    total = count + len(children)
    parents = np.full(total, -1, dtype=np.int64)
    lengths = np.ones(total, dtype=np.int64)
    for node, (one, other) in enumerate(children, start=count):
        parents[one] = parents[other] = node
        lengths[node] = lengths[one] + lengths[other]
    starts = np.zeros(total, dtype=np.int64)
    for node, (one, other) in reversed(tuple(enumerate(children, start=count))):
        starts[one], starts[other] = starts[node], starts[node] + lengths[one]
    order = np.empty(count, dtype=np.int64)
    order[starts[:count]] = np.arange(count)
    return MergeTree(parents, np.array(heights, dtype=np.float32), order, starts, starts + lengths)


def _distance(one: Region, other: Region) -> float:
    (l1, a1, b1), (l2, a2, b2) = one.colour, other.colour
    return float(((l1 - l2) ** 2 + (a1 - a2) ** 2 + (b1 - b2) ** 2) ** 0.5)


def _step(one: Region, other: Region, border: Border) -> float:
    return border.strength / border.length + _distance(one, other) / 4


def smooth_outline(one: Region, other: Region, border: Border) -> float:
    """The step between both; small regions and long common borders first, so that outlines stay short."""
    return _step(one, other, border) * float((min(one.size, other.size) / border.length) ** 0.5)


def even_size(one: Region, other: Region, border: Border) -> float:
    """The step between both, small regions first (in the manner of Arbeláez et al., PAMI 2011)."""
    return _step(one, other, border) * float(min(one.size, other.size) ** 0.5)


def one_hue(one: Region, other: Region, border: Border) -> float:
    """How much worse one mean colour describes both regions per length of the border that vanishes.

    The scale at which the merge pays off in the functional of Mumford and Shah (Koepfler, Lopez, Morel 1994), with
    lightness counting little, so that shading does not cut an object.
    """
    (l1, a1, b1), (l2, a2, b2) = one.colour, other.colour
    squares = (l1 - l2) ** 2 / 4 + 2 * (a1 - a2) ** 2 + 2 * (b1 - b2) ** 2
    return one.size * other.size / (one.size + other.size) * squares / border.length


def round_shape(one: Region, other: Region, border: Border) -> float:
    """The step between both, where the smaller is not yet enclosed by the other less."""
    small = min(one.size, other.size)
    step = border.strength / border.length + _distance(one, other)
    return step * float(small**0.7) / border.length


COSTS: Final[tuple[Cost, ...]] = (smooth_outline, even_size, one_hue, round_shape)
"""No single order of merging builds every object; together their trees hold a good region for most."""
