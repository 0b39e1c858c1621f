"""Finding for every patch that touches the hole the patch it looks most like."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from cleanplate.domain.image import Mask
from cleanplate.engines.inpainters.exemplar_parts.grid import Floats, Places, Shorts, rows_and_columns

EXACT_PAIRS: Final = 60_000_000
"""Up to so many comparisons all are made; beyond, good ones spread to their neighbours."""

_BLOCK_PAIRS: Final = 1_000_000
TILE_WANTED: Final = 16
TILE_OFFERED: Final = 768
BEYOND_ALL: Final = 1e9
_JUMPS: Final = (4, 1)
_RANDOM_SHRINK: Final = 0.4
_RANDOM_TRIES: Final = 5


@dataclass(frozen=True, eq=False)
class Matches:
    """Which source each target is to look like.

    Attributes:
        targets: (n,) patch centres, by number, ascending.
        sources: (n,) patch centres, by number.
        distances: (n,) squared distances of their descriptors.
    """

    targets: Places
    sources: Places
    distances: Floats


def nearest(targets: Places, sources: Places, descriptors: Shorts) -> Matches:
    """Compare every target with every source."""
    flat = descriptors.reshape(-1, descriptors.shape[-1])
    chosen, distances = exact_nearest(flat[targets].astype(np.float32), flat[sources].astype(np.float32))
    return Matches(targets, sources[chosen], distances)


def exact_nearest(wanted: Floats, offered: Floats) -> tuple[Places, Floats]:
    """For each wanted row the number of the nearest offered row, and the squared distance.

    Of equals the first wins.
    """
    scores = Scores(offered)
    chosen = np.empty(len(wanted), dtype=np.int32)
    for start, products in scores.of(wanted):
        best = np.argmax(products, axis=3)
        greatest = np.take_along_axis(products, best[..., np.newaxis], axis=3)[..., 0]
        tile = np.argmax(greatest, axis=1)
        inside = np.take_along_axis(best, tile[:, np.newaxis], axis=1)[:, 0]
        found = (tile * TILE_OFFERED + inside).reshape(-1)
        chosen[start : start + len(found)] = found[: len(wanted) - start]
    return chosen, squared(wanted - offered[chosen])


class Scores:
    """Tells for rows how near each of the offered rows is: the greater the score, the nearer.

    A score is a product less half the square of the offered row. They are made by matrix products in tiles too small
    for a BLAS to split among its threads: those wait for each other, for long if the machine is busy.
    """

    def __init__(self, offered: Floats) -> None:
        columns = -(-len(offered) // TILE_OFFERED)
        right = np.zeros((columns * TILE_OFFERED, offered.shape[1] + 1), dtype=np.float32)
        right[: len(offered), :-1] = offered
        right[:, -1] = -BEYOND_ALL
        right[: len(offered), -1] = -0.5 * squared(offered)
        self._right = right.reshape(columns, TILE_OFFERED, -1).transpose(0, 2, 1).copy()
        self._rows = max(1, _BLOCK_PAIRS // (columns * TILE_OFFERED * TILE_WANTED)) * TILE_WANTED

    def of(self, wanted: Floats) -> Iterator[tuple[int, Floats]]:
        """Block by block, the number of its first row and the scores.

        Yields:
            (tiles of wanted, tiles of offered, TILE_WANTED, TILE_OFFERED); the last tiles are filled up.
        """
        for start in range(0, len(wanted), self._rows):
            block = wanted[start : start + self._rows]
            tiles = -(-len(block) // TILE_WANTED)
            left = np.ones((tiles * TILE_WANTED, wanted.shape[1] + 1), dtype=np.float32)
            left[: len(block), :-1] = block
            yield start, left.reshape(tiles, 1, TILE_WANTED, -1) @ self._right


def squared(differences: Floats) -> Floats:
    """The squared length of each row."""
    return np.asarray(np.einsum("nd,nd->n", differences, differences))


class PatchMatch:
    """The randomised search: good matches spread to neighbours, and each looks around in shrinking circles.

    C. Barnes et al., "PatchMatch: A Randomized Correspondence Algorithm for Structural Image Editing", SIGGRAPH 2009;
    here all patches take their step at once, and leaps of four pixels make up for the lost order.
    """

    def __init__(self, targets: Places, centres: Mask, descriptors: Shorts, seed: int) -> None:
        """Prepare a search.

        Args:
            targets: the patches that look for sources.
            centres: (h, w), where sources may have their centres.
            descriptors: (h, w, n). They are not copied: each search sees them as they are then.
            seed: for the looking around.
        """
        self._height, self._width = centres.shape
        self._centres = centres
        self._described = descriptors.reshape(-1, descriptors.shape[-1])
        self._targets = targets
        self._random = np.random.default_rng(seed)
        slots = np.full(self._height * self._width, -1, dtype=np.int32)
        slots[targets] = np.arange(targets.size, dtype=np.int32)
        self._neighbours = tuple(self._neighbours_at(slots, *step) for step in _steps())

    def improved(self, matches: Matches, rounds: int) -> Matches:
        """Better sources for the same targets.

        Args:
            matches: the sources so far; their distances are not looked at.
            rounds: how often every match spreads and looks around.
        """
        wanted = self._described[self._targets].astype(np.float32)
        sources = matches.sources.copy()
        distances = squared(wanted - self._described[sources])
        for _ in range(rounds):
            for (row, column), (takers, givers) in zip(_steps(), self._neighbours, strict=True):
                rows, columns = rows_and_columns(sources[givers], self._width)
                self._try(sources, distances, wanted, takers, (rows - row, columns - column))
            self._look_around(sources, distances, wanted)
        return Matches(self._targets, sources, distances)

    def _neighbours_at(self, slots: Places, row: int, column: int) -> tuple[Places, Places]:
        rows, columns = rows_and_columns(self._targets, self._width)
        rows, columns = rows + row, columns + column
        inside = (rows >= 0) & (rows < self._height) & (columns >= 0) & (columns < self._width)
        givers = np.where(inside, slots[np.where(inside, rows * self._width + columns, 0)], -1)
        takers = np.flatnonzero(givers >= 0).astype(np.int32)
        return takers, givers[takers]

    def _look_around(self, sources: Places, distances: Floats, wanted: Floats) -> None:
        everyone = np.arange(sources.size, dtype=np.int32)
        radius = max(self._height, self._width) / 2
        for _ in range(_RANDOM_TRIES):
            rows, columns = rows_and_columns(sources, self._width)
            shifts = np.rint(self._random.uniform(-radius, radius, (2, sources.size))).astype(np.int32)
            self._try(sources, distances, wanted, everyone, (rows + shifts[0], columns + shifts[1]))
            radius *= _RANDOM_SHRINK

    def _try(
        self, sources: Places, distances: Floats, wanted: Floats, takers: Places, tries: tuple[Places, Places]
    ) -> None:
        rows, columns = tries
        inside = (rows >= 0) & (rows < self._height) & (columns >= 0) & (columns < self._width)
        takers, tried = takers[inside], rows[inside] * self._width + columns[inside]
        new = self._centres.reshape(-1)[tried] & (tried != sources[takers])
        takers, tried = takers[new], tried[new]
        found = squared(wanted[takers] - self._described[tried])
        better = found < distances[takers]
        sources[takers[better]] = tried[better]
        distances[takers[better]] = found[better]


def _steps() -> tuple[tuple[int, int], ...]:
    return tuple(step for jump in _JUMPS for step in ((0, -jump), (0, jump), (-jump, 0), (jump, 0)))
