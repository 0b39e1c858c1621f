"""A level of the pyramid while its hole is being filled."""

from typing import Final

import numpy as np
import numpy.typing as npt

from cleanplate.engines.inpainters.exemplar_parts.confidence import Fit
from cleanplate.engines.inpainters.exemplar_parts.descriptors import LOOKS, STRUCTURE, Descriptors
from cleanplate.engines.inpainters.exemplar_parts.grid import PATCH_PX, REACH_PX, Floats, Shorts, rows_and_columns
from cleanplate.engines.inpainters.exemplar_parts.pyramid import Level
from cleanplate.engines.inpainters.exemplar_parts.search import Matches, squared

FADE_PER_PX: Final = 1.15
"""Patches at the hole's edge have seen more of the truth; each pixel further in counts less by this."""

_WORST_PERCENTILE: Final = 97
_PLAIN_STRUCTURE: Final = 5.0
_DOUBT_PERCENTILE: Final = 5
_LEAST_WEIGHT: Final = 1e-20
"""Deep inside a wide hole the weights would vanish in float32."""

_LOOKS: Final = 5
_ROW: Final = 8
"""A pixel's looks, a one that adds up the weights, and room: 32 bytes are gathered several times faster than 20."""

_VOTED_AT_ONCE: Final = 4096
"""As many pixels as a processor's own cache holds with all that is said of them."""


class Canvas:
    """Holds the image with its hole as it is filled now, and what its patches look like.

    Only what lies near the hole is ever worked out anew. Beyond the image's border all is reflected from what is there
    now: nothing stale is kept, nor anything of the hole as it was.
    """

    def __init__(self, level: Level, filled: Floats) -> None:
        """Start with a guess.

        Args:
            level: whose hole it is.
            filled: (h, w, 5), looks as the level outside its hole.
        """
        self.level = level
        self._looks: Floats = np.zeros((*level.shape, _ROW), dtype=np.float32)
        self._looks[..., :_LOOKS] = filled
        self._looks[..., _LOOKS] = 1
        self._descriptors = Descriptors(self._looks)

    @property
    def looks(self) -> Floats:
        """(h, w, 5), filled as far as it has come."""
        return self._looks[..., :_LOOKS]

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
        # In rows with some room at their ends, a patch at p speaks for p + a fixed number: nothing is cut or copied.
        width, (rows, columns) = self.level.shape[1], self.level.window
        inner = self.level.hole[rows, columns]
        row_length = inner.shape[1] + REACH_PX
        slots = (inner.shape[0] + PATCH_PX) * row_length
        target_rows, target_columns = rows_and_columns(matches.targets, width)
        at = (target_rows - rows.start + REACH_PX) * row_length + target_columns - columns.start + REACH_PX
        # The number of a patch's first pixel; where no target is, any patch will do: it has no weight.
        corners = np.zeros(slots, dtype=np.intp)
        corners[at] = matches.sources - REACH_PX * (width + 1)
        weights = np.zeros((slots, _ROW), dtype=np.float32)
        weights[at] = self._weights(matches)[:, np.newaxis]
        said = np.zeros((inner.shape[0] * row_length, _ROW), dtype=np.float32)
        for start in range(0, len(said), _VOTED_AT_ONCE):
            part = said[start : start + _VOTED_AT_ONCE]
            self._add_votes(part, corners, weights, start + REACH_PX * (row_length + 1), row_length)
        said = said.reshape(inner.shape[0], row_length, _ROW)[:, : inner.shape[1]][inner]
        return np.asarray(said / said[:, _LOOKS, np.newaxis])

    def _add_votes(
        self, sums: Floats, corners: npt.NDArray[np.intp], weights: Floats, start: int, row_length: int
    ) -> None:
        flat, width = self._looks.reshape(-1, _ROW), self.level.shape[1]
        said = np.empty_like(sums)
        for row in range(PATCH_PX):
            for column in range(PATCH_PX):
                first = start - (row - REACH_PX) * row_length - (column - REACH_PX)
                here = slice(first, first + len(sums))
                flat[row * width + column :].take(corners[here], axis=0, mode="clip", out=said)
                said *= weights[here]
                # Not by a box filter: its running sums lose the small weights beside the large ones.
                sums += said

    def _weights(self, matches: Matches) -> Floats:
        doubt = max(1.0, float(np.percentile(matches.distances, _DOUBT_PERCENTILE)))
        inwards = self.level.target_depths * np.float32(np.log(FADE_PER_PX))
        weights = np.exp(-matches.distances / (2 * doubt) - inwards)
        return np.asarray(np.maximum(weights, _LEAST_WEIGHT), dtype=np.float32)
