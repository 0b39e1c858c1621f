import cv2
import numpy as np
import pytest

from cleanplate.engines.segmenters.graphcut_parts.merge_tree import COSTS, merge_tree_of, smooth_outline
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Superpixels, superpixels_of


def disc() -> tuple[np.ndarray, Superpixels]:
    """The truth, and the superpixels of a disc on a noisy ground."""
    truth = cv2.circle(np.zeros((80, 100), dtype=np.uint8), (55, 40), 22, 1, thickness=-1) > 0
    image = np.where(truth[..., np.newaxis], (190, 120, 60), (60, 80, 110))
    noise = np.random.default_rng(2).normal(0, 8, image.shape)
    return truth, superpixels_of((image + noise).clip(0, 255).astype(np.uint8), 120)


@pytest.mark.parametrize("cost", COSTS)
def test_an_object_that_stands_out_is_a_node(cost) -> None:
    truth, pixels = disc()
    tree = merge_tree_of(pixels, cost)

    regions = tree.regions(tree.ancestors(int(pixels.labels[40, 55])))[:, pixels.labels]

    overlaps = (regions & truth).sum(axis=(1, 2)) / (regions | truth).sum(axis=(1, 2))
    assert overlaps.max() > 0.93


@pytest.mark.parametrize("cost", COSTS)
def test_ancestors_grow_from_the_superpixel_to_the_whole_image_and_stay_connected(cost) -> None:
    _, pixels = disc()
    tree = merge_tree_of(pixels, cost)

    for start in (0, pixels.count // 2, pixels.count - 1):
        regions = tree.regions(tree.ancestors(start))
        assert np.flatnonzero(regions[0]).tolist() == [start]
        assert regions[-1].all()
        assert not (regions[:-1] & ~regions[1:]).any()
        for region in regions[:, pixels.labels]:
            assert cv2.connectedComponents(region.astype(np.uint8), connectivity=8)[0] == 2


def test_the_object_persists_longer_than_its_parts() -> None:
    truth, pixels = disc()
    tree = merge_tree_of(pixels, smooth_outline)
    nodes = tree.ancestors(int(pixels.labels[40, 55]))

    regions = tree.regions(nodes)[:, pixels.labels]
    persistence = tree.persistence(nodes)

    overlaps = (regions & truth).sum(axis=(1, 2)) / (regions | truth).sum(axis=(1, 2))
    assert np.argmax(persistence) == np.argmax(overlaps)


def test_a_single_superpixel_is_a_tree_of_one() -> None:
    pixels = superpixels_of(np.full((1, 1, 3), 9, dtype=np.uint8))

    tree = merge_tree_of(pixels, COSTS[0])

    assert tree.ancestors(0).tolist() == [0]
    assert tree.regions(tree.ancestors(0)).tolist() == [[True]]
    assert tree.persistence(tree.ancestors(0)).tolist() == [0]
