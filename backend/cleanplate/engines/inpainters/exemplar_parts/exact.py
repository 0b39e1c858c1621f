"""Finding for every patch that touches the hole the one that it looks most like."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from cleanplate.engines.inpainters.exemplar_parts.grid import Floats, Places, Shorts
from cleanplate.engines.inpainters.exemplar_parts.search import Matches, squared

TILE_WANTED: Final = 16
TILE_OFFERED: Final = 256
_BLOCK_PAIRS: Final = 200_000
"""Scores of so many pairs at once do not leave a processor's own cache."""

_BEYOND_ALL: Final = 1e9
_TELLING: Final = 8
"""So many of a descriptor's numbers tell nearly as well as all of them that a bunch is too far away."""

_SAMPLES: Final = 200
"""So many rows tell how widely all are spread."""

Numbers = npt.NDArray[np.intp]


class Scores:
    """Tells for rows how near each of the offered rows is: the greater the score, the nearer.

    A score is a product less half the square of the offered row. They are made by matrix products in tiles too small
    for a BLAS to split among its threads: those wait for each other, for long if the machine is busy.
    """

    def __init__(self, offered: Floats) -> None:
        columns = -(-len(offered) // TILE_OFFERED)
        right = np.zeros((columns * TILE_OFFERED, offered.shape[1] + 1), dtype=np.float32)
        right[: len(offered), :-1] = offered
        right[:, -1] = -_BEYOND_ALL
        right[: len(offered), -1] = -0.5 * squared(offered)
        self._right = right.reshape(columns, TILE_OFFERED, -1).transpose(0, 2, 1).copy()

    def of(self, wanted: Floats, column: int | None = None) -> Iterator[tuple[int, Floats]]:
        """Block by block, the number of its first row and the scores.

        Args:
            wanted: the rows to compare.
            column: compare them with this tile of offered rows only.

        Yields:
            (tiles of wanted, tiles of offered, TILE_WANTED, TILE_OFFERED); the last tiles are filled up.
        """
        right = self._right if column is None else self._right[column]
        at_once = max(1, _BLOCK_PAIRS // (right.size // right.shape[-2] * TILE_WANTED)) * TILE_WANTED
        for start in range(0, len(wanted), at_once):
            block = wanted[start : start + at_once]
            tiles = -(-len(block) // TILE_WANTED)
            left = np.ones((tiles * TILE_WANTED, wanted.shape[1] + 1), dtype=np.float32)
            left[: len(block), :-1] = block
            yield start, left.reshape(tiles, 1, TILE_WANTED, -1) @ right


class ExactSearch:
    """Knows the nearest source of each target, as if every one had been compared with every other.

    Sources are bunched with their like, and a bunch is passed over if its bounds are further away than what is known;
    J. Bentley, "Multidimensional Binary Search Trees Used for Associative Searching", 1975, but for its tree. Asked
    again, it asks only for targets that look otherwise than the last time. Sources hold nothing of the hole: they look
    the same however it is filled.
    """

    def __init__(self, targets: Places, sources: Places, descriptors: Shorts) -> None:
        """Prepare a search.

        Args:
            targets: the patches that look for sources.
            sources: the patches offered.
            descriptors: (h, w, n). They are not copied: each search sees the targets as they are then.
        """
        self._described = descriptors.reshape(-1, descriptors.shape[-1])
        self._targets = targets
        self._sources = sources
        self._offered = self._described[sources].astype(np.float32)
        self._order = np.concatenate(_bunches(self._offered, np.arange(len(sources))))
        bunched = self._offered[self._order]
        self._scores = Scores(bunched)
        self._starts = range(0, len(bunched), TILE_OFFERED)
        self._telling = np.argsort(-_spread(self._offered, self._order), kind="stable")[:_TELLING]
        told = bunched.T[self._telling]
        # One of each for every telling number and bunch.
        self._least, self._most = (
            bound.reduceat(told, self._starts, axis=1)[..., np.newaxis] for bound in (np.minimum, np.maximum)
        )
        self._wanted: Shorts | None = None
        self._found = Matches(targets, targets, np.zeros(targets.size, dtype=np.float32))

    def improved(self, matches: Matches) -> Matches:
        """The nearest source of each target, of equals the first.

        Args:
            matches: any sources; the better they are, the faster the search.

        Returns:
            The very same object as the last time if no target looks otherwise.
        """
        wanted = self._described[self._targets]
        new = np.arange(len(wanted)) if self._wanted is None else np.flatnonzero((wanted != self._wanted).any(axis=1))
        self._wanted = wanted
        if new.size:
            now = self._described[matches.sources[new]]
            chosen, distances = self._nearest(wanted[new].astype(np.float32), now.astype(np.float32))
            sources, all_distances = self._found.sources.copy(), self._found.distances.copy()
            sources[new], all_distances[new] = self._sources[chosen], distances
            self._found = Matches(self._targets, sources, all_distances)
        return self._found

    def _nearest(self, wanted: Floats, now: Floats) -> tuple[Numbers, Floats]:
        limits = squared(wanted - now)
        squares = squared(wanted)
        chosen = np.full(len(wanted), len(self._sources))
        scores = np.full(len(wanted), -np.inf, dtype=np.float32)
        for number, (start, away) in enumerate(zip(self._starts, self._away(wanted), strict=True)):
            bunch = self._order[start : start + TILE_OFFERED]
            near = np.flatnonzero(away <= limits)
            for first, products in self._scores.of(wanted[near], number):
                table = products.reshape(-1, TILE_OFFERED)
                rows = near[first : first + len(table)]
                best = np.argmax(table[: len(rows)], axis=1)
                score, source = table[np.arange(len(rows)), best], bunch[best]
                better = (score > scores[rows]) | ((score == scores[rows]) & (source < chosen[rows]))
                rows, score = rows[better], score[better]
                chosen[rows], scores[rows] = source[better], score
                limits[rows] = np.minimum(limits[rows], squares[rows] - 2 * score)
        return chosen, squared(wanted - self._offered[chosen])

    def _away(self, wanted: Floats) -> Floats:
        # (bunches, wanted), the least squared distance that one of the bunch can have.
        away = np.zeros((len(self._starts), len(wanted)), dtype=np.float32)
        for at, least, most in zip(self._telling, self._least, self._most, strict=True):
            own = np.ascontiguousarray(wanted[:, at])
            beyond = own - np.clip(own, least, most)
            beyond *= beyond
            away += beyond
        return away


def _bunches(offered: Floats, numbers: Numbers) -> list[Numbers]:
    if len(numbers) <= TILE_OFFERED:
        return [np.sort(numbers)]
    along = int(np.argmax(_spread(offered, numbers)))
    # All bunches but the last are full.
    half = -(-len(numbers) // TILE_OFFERED) // 2 * TILE_OFFERED
    order = np.argpartition(offered[numbers, along], half)
    return _bunches(offered, numbers[order[:half]]) + _bunches(offered, numbers[order[half:]])


def _spread(offered: Floats, numbers: Numbers) -> Floats:
    return np.asarray(offered[numbers[:: -(-len(numbers) // _SAMPLES)]].var(axis=0))
