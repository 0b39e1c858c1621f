import cv2
import numpy as np

from cleanplate.engines.segmenters.graphcut_parts.overview import LONGEST_PX, overview_of


def ring() -> tuple[np.ndarray, np.ndarray]:
    """The picture of a ring, and where the ring is."""
    drawn = cv2.circle(np.zeros((150, 200), dtype=np.uint8), (90, 70), 40, 1, thickness=16) > 0
    return np.where(drawn[..., np.newaxis], 220, 30).repeat(3, axis=2).astype(np.uint8), drawn


def test_the_hole_of_a_ring_is_filled_and_the_ground_around_it_is_not() -> None:
    image, drawn = ring()
    overview = overview_of(image)
    region = overview.shares(drawn) > 0.5

    (filled,) = overview.filled(region[np.newaxis])

    labels = overview.superpixels.labels
    assert not region[labels][70, 90]
    assert filled[labels][70, 90]
    assert filled[labels].sum() < 1.05 * cv2.circle(np.zeros((150, 200)), (90, 70), 48, 1, thickness=-1).sum()


def test_depths_grow_towards_the_middle_and_each_region_has_its_own() -> None:
    overview = overview_of(ring()[0])
    everything = np.ones(overview.superpixels.count, dtype=np.bool_)

    depths = overview.depths(np.stack([everything, ~everything]))

    height, width = overview.coarse.shape
    assert depths.shape == (2, height, width)
    assert depths[0, height // 2, width // 2] == depths[0].max() > height / 2 - 2
    assert depths[0, 0].max() <= 1
    assert not depths[1].any()


def test_shares_tell_how_much_of_each_superpixel_is_covered() -> None:
    overview = overview_of(ring()[0])
    left = np.zeros((300, 400), dtype=np.bool_)
    left[:, :200] = True

    shares = overview.shares(left)

    x = overview.superpixels.centres[:, 0]
    assert shares[x < 80].min() > 0.99
    assert shares[x > 120].max() < 0.01


def test_a_large_image_is_looked_at_small() -> None:
    overview = overview_of(np.zeros((900, 1500, 3), dtype=np.uint8))

    assert overview.superpixels.labels.shape == (round(900 * LONGEST_PX / 1500), LONGEST_PX)
    assert overview.superpixel_at(0, 0) == overview.superpixels.labels[0, 0]
    assert overview.superpixel_at(1, 1) == overview.superpixels.labels[-1, -1]
    assert 0 < overview.size_bytes < 2_000_000
