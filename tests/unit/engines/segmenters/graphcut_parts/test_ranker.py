import numpy as np
import pytest

from cleanplate.engines.segmenters.graphcut_parts.overview import overview_of
from cleanplate.engines.segmenters.graphcut_parts.proposals import (
    Click,
    Proposals,
    first_proposals,
    later_proposals,
)
from cleanplate.engines.segmenters.graphcut_parts.ranker import BoostedTrees, Weighted, load_rankers


def proposals_with(*measures: tuple[float, ...]) -> Proposals:
    count = len(measures)
    regions = np.ones((count, 1), dtype=np.bool_)
    return Proposals(regions, regions[:, 0], np.array(measures, dtype=np.float32))


def test_trees_are_walked_to_their_leaves_and_added_up() -> None:
    ranker = BoostedTrees(
        start=np.float32(10),
        features=np.array([[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]),
        thresholds=np.array([[0.5, 2, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=np.float32),
        lefts=np.array([[1, 3, 2, 3, 4], [1, 1, 2, 0, 0]]),
        rights=np.array([[2, 4, 2, 3, 4], [2, 1, 2, 0, 0]]),
        values=np.array([[0, 0, 1, 2, 4], [0, 0.25, 0.5, 0, 0]], dtype=np.float32),
        depth=2,
    )

    ranks = ranker(proposals_with((0.5, 2), (0.5, 3), (1, 9), (0, 0)))

    np.testing.assert_allclose(ranks, [12.5, 14.5, 11.5, 12.25])


def test_weights_are_summed() -> None:
    ranker = Weighted(start=np.float32(1), slopes=np.array([2, -1], dtype=np.float32))

    np.testing.assert_allclose(ranker(proposals_with((1, 1), (0, 3))), [2, -2])


def test_the_learned_numbers_fit_the_measures_and_prefer_what_stands_out() -> None:
    image = np.full((100, 100, 3), 90, dtype=np.uint8)
    image[30:70, 30:70] = (220, 60, 40)
    overview, rankers = overview_of(image), load_rankers()
    clicks = (Click(0.5, 0.5, positive=True), Click(0.1, 0.1, positive=False))
    everything = np.ones(overview.superpixels.count, dtype=np.float32)

    first = first_proposals(overview, clicks[0])
    later = later_proposals(overview, everything, clicks)

    best = first.regions[np.argmax(rankers.first(first))][overview.superpixels.labels]
    assert best.sum() == pytest.approx(1600, rel=0.1)
    assert best[30:70, 30:70].mean() > 0.95
    assert later is not None
    for ranker in (rankers.adding, rankers.removing):
        assert ranker(later).shape == (len(later.regions),)
        assert ranker.features.max() < later.measures.shape[1]
