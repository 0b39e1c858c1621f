"""How good a proposal looks: small learned functions of its measures.

The numbers in `rankers.npz` are our own, fitted by `scripts/benchmarks/fit_rankers.py`.
"""

from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from typing import Final, Protocol

import numpy as np

from cleanplate.engines.segmenters.graphcut_parts.proposals import Proposals
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Indices, Numbers

NUMBERS: Final = "rankers.npz"


class Ranker(Protocol):
    """Tells how good each proposal is."""

    def __call__(self, proposals: Proposals) -> Numbers:
        """(k,), the expected overlap with the object (first click), or the gain in it (later ones)."""
        ...


@dataclass(frozen=True, eq=False)
class Rankers:
    """One for each kind of click.

    Attributes:
        first: for the first click.
        adding: for a later positive click.
        removing: for a negative click.
    """

    first: Ranker
    adding: Ranker
    removing: Ranker


@dataclass(frozen=True, eq=False)
class Weighted:
    """A weighted sum of the measures.

    Attributes:
        start: (), what is added to it.
        slopes: (f,), the weights.
    """

    start: Numbers
    slopes: Numbers

    def __call__(self, proposals: Proposals) -> Numbers:
        """(k,), the sum for each proposal."""
        return np.asarray(proposals.measures @ self.slopes + self.start, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """Regression trees whose answers are added (Friedman, Annals of Statistics 2001).

    Attributes:
        start: (), the answer before any tree.
        features: (t, n), which measure a node asks about.
        thresholds: (t, n), go left if the measure is at most this.
        lefts: (t, n), the next node; a leaf leads to itself.
        rights: (t, n), the next node otherwise.
        values: (t, n), what a leaf adds.
        depth: (), the longest way to a leaf.
    """

    start: Numbers
    features: Indices
    thresholds: Numbers
    lefts: Indices
    rights: Indices
    values: Numbers
    depth: int

    def __call__(self, proposals: Proposals) -> Numbers:
        """(k,), the answer for each proposal."""
        measures = proposals.measures
        count, width = self.features.shape
        roots = np.arange(count) * width
        features, thresholds = self.features.ravel(), self.thresholds.ravel()
        ways = np.stack([self.rights.ravel(), self.lefts.ravel()], axis=1).ravel()
        rows = np.arange(len(measures))[:, np.newaxis] * measures.shape[1]
        nodes = np.tile(roots, (len(measures), 1))
        for _ in range(self.depth):
            is_left = measures.take(rows + features.take(nodes)) <= thresholds.take(nodes)
            nodes = roots + ways.take(2 * nodes + is_left)
        return np.asarray(self.start + self.values.take(nodes).sum(axis=1), dtype=np.float32)


def numbers_bytes() -> bytes:
    """The file with the learned numbers, for a digest."""
    return (files(__package__ or "") / NUMBERS).read_bytes()


def load_rankers() -> Rankers:
    """Read the learned numbers."""
    with np.load(BytesIO(numbers_bytes()), allow_pickle=False) as arrays:
        first = Weighted(start=arrays["first_start"], slopes=arrays["first_slopes"])
        return Rankers(first, _boosted_trees(arrays, "adding"), _boosted_trees(arrays, "removing"))


def _boosted_trees(arrays: np.lib.npyio.NpzFile, kind: str) -> BoostedTrees:
    return BoostedTrees(
        start=arrays[f"{kind}_start"].astype(np.float32),
        features=arrays[f"{kind}_features"].astype(np.int64),
        thresholds=arrays[f"{kind}_thresholds"].astype(np.float32),
        lefts=arrays[f"{kind}_lefts"].astype(np.int64),
        rights=arrays[f"{kind}_rights"].astype(np.int64),
        values=arrays[f"{kind}_values"].astype(np.float32),
        depth=int(arrays[f"{kind}_depth"]),
    )
