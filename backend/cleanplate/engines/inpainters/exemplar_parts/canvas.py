"""A level of the pyramid while its hole is being filled."""

from typing import Final

import numpy as np

from cleanplate.engines.inpainters.exemplar_parts.confidence import Fit
from cleanplate.engines.inpainters.exemplar_parts.descriptors import LOOKS, STRUCTURE, Descriptors
from cleanplate.engines.inpainters.exemplar_parts.grid import REACH_PX, Floats, Shorts, rows_and_columns
from cleanplate.engines.inpainters.exemplar_parts.pyramid import Level
from cleanplate.engines.inpainters.exemplar_parts.search import Matches, squared

FADE_PER_PX: Final = 1.15
"""Patches at the hole's edge have seen more of the truth; each pixel further in counts less by this."""

_WORST_PERCENTILE: Final = 97
_PLAIN_STRUCTURE: Final = 5.0
_DOUBT_PERCENTILE: Final = 5
_LEAST_WEIGHT: Final = 1e-20
"""Deep inside a wide hole the weights would vanish in float32."""


class Canvas:
    """Holds the image with its hole as it is filled now, and what its patches look like.

    Only what lies near the hole is ever worked out anew. Beyond the image's border all is reflected from what is there
    now: nothing stale is kept, nor anything of the hole as it was.
    """

    def __init__(self, level: Level, filled: Floats) -> None:
        """Start with a guess.

        Args:
            level: whose hole it is.
            filled: (h, w, 5), looks as the level outside its hole. From now on it is the canvas's own.
        """
        self.level = level
        self._looks = filled
        self._descriptors = Descriptors(self._looks)

    @property
    def looks(self) -> Floats:
        """(h, w, 5), filled as far as it has come."""
        return self._looks

    @property
    def descriptors(self) -> Shorts:
        """(h, w, 20), of the patches as they are now."""
        return self._descriptors.values

    def vote(self, matches: Matches) -> None:
        """Fill each pixel of the hole with the weighted mean of what the patches around it say.

        Y. Wexler, E. Shechtman, M. Irani, "Space-Time Completion of Video", PAMI 2007.

        Args:
            matches: for all patches that touch the hole.
        """
        window = self.level.window
        self._looks[window][self.level.hole[window]] = self._voted(matches)
        self._descriptors.renew(self._looks, window)

    def fit(self, matches: Matches) -> Fit:
        """How well the patches look like their sources."""
        described = self.descriptors.reshape(-1, self.descriptors.shape[-1])
        looks, sources = (described[places, :LOOKS].astype(np.float32) for places in (matches.targets, matches.sources))
        distances = np.sqrt(squared(looks - sources))
        at_the_rim = self.level.target_depths == 0
        rim, fill = (float(np.sqrt(squared(each[:, STRUCTURE])).mean()) for each in (looks[at_the_rim], sources))
        change = abs(np.log((fill + _PLAIN_STRUCTURE) / (rim + _PLAIN_STRUCTURE)))
        return Fit(float(distances.mean()), float(np.percentile(distances, _WORST_PERCENTILE)), float(change))

    def _voted(self, matches: Matches) -> Floats:
        level, width = self.level, self.level.shape[1]
        inner = level.hole[level.window]
        rows, columns = rows_and_columns(matches.targets, width)
        at = (rows - level.window[0].start, columns - level.window[1].start)
        sources = np.zeros(inner.shape, dtype=np.int32)
        sources[at] = matches.sources
        weights = np.zeros(inner.shape, dtype=np.float32)
        weights[at] = self._weights(matches)
        sums = np.zeros((*inner.shape, self._looks.shape[2]), dtype=np.float32)
        totals = np.zeros(inner.shape, dtype=np.float32)
        flat = self._looks.reshape(-1, self._looks.shape[2])
        for row in range(-REACH_PX, REACH_PX + 1):
            for column in range(-REACH_PX, REACH_PX + 1):
                to, of = _shifted(inner.shape, row, column)
                said = flat.take(sources[of] + (row * width + column), axis=0, mode="clip")
                said *= weights[of][..., np.newaxis]
                sums[to] += said
                # Not by a box filter: its running sums lose the small weights beside the large ones.
                totals[to] += weights[of]
        return np.asarray(sums[inner] / totals[inner, np.newaxis])

    def _weights(self, matches: Matches) -> Floats:
        doubt = max(1.0, float(np.percentile(matches.distances, _DOUBT_PERCENTILE)))
        inwards = self.level.target_depths * np.float32(np.log(FADE_PER_PX))
        weights = np.exp(-matches.distances / (2 * doubt) - inwards)
        return np.asarray(np.maximum(weights, _LEAST_WEIGHT), dtype=np.float32)


def _shifted(shape: tuple[int, ...], row: int, column: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    # A patch at p speaks for p + (row, column).
    height, width = shape
    return (
        (slice(max(0, row), height + min(0, row)), slice(max(0, column), width + min(0, column))),
        (slice(max(0, -row), height + min(0, -row)), slice(max(0, -column), width + min(0, -column))),
    )
