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
        features: (t, n), which measure a node asks about; -1 where a node is a leaf.
        thresholds: (t, n), go left if the measure is at most this.
        lefts: (t, n), the next node.
        rights: (t, n), the next node otherwise.
        values: (t, n), what a leaf adds.
    """

    start: Numbers
    features: Indices
    thresholds: Numbers
    lefts: Indices
    rights: Indices
    values: Numbers

    def __call__(self, proposals: Proposals) -> Numbers:
        """(k,), the answer for each proposal."""
        measures = proposals.measures
        rows, trees = np.arange(len(measures))[:, np.newaxis], np.arange(len(self.features))
        nodes = np.zeros((len(measures), len(trees)), dtype=np.int64)
        while ((asked := self.features[trees, nodes]) >= 0).any():
            is_left = measures[rows, asked] <= self.thresholds[trees, nodes]
            following = np.where(is_left, self.lefts[trees, nodes], self.rights[trees, nodes])
            nodes = np.where(asked >= 0, following, nodes)
        return np.asarray(self.start + self.values[trees, nodes].sum(axis=1), dtype=np.float32)


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
    )
