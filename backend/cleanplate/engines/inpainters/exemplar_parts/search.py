"""Finding for every patch that touches the hole a patch that it looks like."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cleanplate.domain.image import Mask
from cleanplate.engines.inpainters.exemplar_parts.grid import Floats, Places, Shorts, rows_and_columns

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
        wanted = self._described.take(self._targets, axis=0, mode="clip")
        sources = matches.sources.copy()
        distances = _apart(wanted, self._described.take(sources, axis=0, mode="clip"))
        for _ in range(rounds):
            for (row, column), (takers, givers) in zip(_steps(), self._neighbours, strict=True):
                # From centres, that keep off the border, so short a step leads to no centre on the other side of it.
                tried = sources.take(givers, mode="clip") - (row * self._width + column)
                self._try(sources, distances, wanted, takers, tried)
            self._look_around(sources, distances, wanted)
        return Matches(self._targets, sources, distances)

    def _neighbours_at(self, slots: Places, row: int, column: int) -> tuple[Places, Places]:
        rows, columns = rows_and_columns(self._targets, self._width)
        rows, columns = rows + row, columns + column
        inside = (rows >= 0) & (rows < self._height) & (columns >= 0) & (columns < self._width)
        givers = np.where(inside, slots[np.where(inside, rows * self._width + columns, 0)], -1)
        takers = np.flatnonzero(givers >= 0).astype(np.int32)
        return takers, givers[takers]

    def _look_around(self, sources: Places, distances: Floats, wanted: Shorts) -> None:
        radius = max(self._height, self._width) / 2
        for _ in range(_RANDOM_TRIES):
            rows, columns = rows_and_columns(sources, self._width)
            shifts = np.rint(self._random.uniform(-radius, radius, (2, sources.size))).astype(np.int32)
            rows += shifts[0]
            columns += shifts[1]
            takers = np.flatnonzero((columns >= 0) & (columns < self._width))
            tried = (rows * self._width + columns).take(takers, mode="clip")
            self._try(sources, distances, wanted, takers.astype(np.int32), tried)
            radius *= _RANDOM_SHRINK

    def _try(self, sources: Places, distances: Floats, wanted: Shorts, takers: Places, tried: Places) -> None:
        # Above and below the image is no centre, as there is none in its first and last row.
        new = self._centres.take(tried, mode="clip")
        new &= tried != sources.take(takers, mode="clip")
        takers, tried = takers[new], tried[new]
        found = _apart(wanted.take(takers, axis=0, mode="clip"), self._described.take(tried, axis=0, mode="clip"))
        better = np.flatnonzero(found < distances.take(takers, mode="clip"))
        takers = takers.take(better, mode="clip")
        sources[takers] = tried.take(better, mode="clip")
        distances[takers] = found.take(better, mode="clip")


def _apart(wanted: Shorts, offered: Shorts) -> Floats:
    # Sums of squares below 2**24 leave two bytes room for differences.
    return squared(np.subtract(wanted, offered).astype(np.float32))


def _steps() -> tuple[tuple[int, int], ...]:
    return tuple(step for jump in _JUMPS for step in ((0, -jump), (0, jump), (-jump, 0), (jump, 0)))
