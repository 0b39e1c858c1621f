import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cleanplate.codecs.polygon import mask_from_polygon, polygons_from_mask
from cleanplate.domain.image import Size

SIZE = Size(12, 10)
FINE = 16

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=16))
coordinates = st.integers(-3000, 15_000).map(lambda thousandth: thousandth / 1000)
polygons = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9, unique=True)


def drawn(rings, size):
    mask = np.zeros((size.height, size.width), dtype=bool)
    for ring in rings:
        mask |= mask_from_polygon(ring, size)
    return mask


@settings(deadline=None)
@given(mask=masks)
def test_without_tolerance_a_mask_survives_the_way_there_and_back(mask):
    rings = polygons_from_mask(mask, tolerance_px=0)

    np.testing.assert_array_equal(drawn(rings, Size(mask.shape[1], mask.shape[0])), mask)


@settings(deadline=None)
@given(mask=masks)
def test_there_is_one_polygon_per_piece(mask):
    pieces, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)

    assert len(polygons_from_mask(mask, tolerance_px=0)) == pieces - 1


@settings(deadline=None)
@given(mask=masks, tolerance_px=st.floats(0.1, 4))
def test_with_tolerance_no_pixel_changes_that_is_further_from_the_outline(mask, tolerance_px):
    rings = polygons_from_mask(mask, tolerance_px=tolerance_px)

    result = drawn(rings, Size(mask.shape[1], mask.shape[0]))

    padded = np.pad(mask, 1).astype(np.uint8)
    depth = sum(cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (padded, 1 - padded))
    # A pixel's centre is half a pixel from its own edge, and a part of it is at most its diagonal away from that.
    assert (depth[1:-1, 1:-1][result != mask] <= tolerance_px + 0.5 + np.sqrt(2)).all()


@settings(deadline=None)
@given(points=polygons)
def test_every_pixel_with_a_part_in_the_polygon_is_covered(points):
    mask = mask_from_polygon(points, SIZE)

    x, y = np.meshgrid((np.arange(12 * FINE) + 0.5) / FINE, (np.arange(10 * FINE) + 0.5) / FINE)
    winding = np.zeros_like(x, dtype=int)
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        left_of = (x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)
        winding += ((y0 <= y) & (y < y1) & (left_of < -1e-4)).astype(int)
        winding -= ((y1 <= y) & (y < y0) & (left_of > 1e-4)).astype(int)
    inside = (winding != 0).reshape(10, FINE, 12, FINE)
    assert mask[inside.any(axis=(1, 3))].all()
