import math

import numpy as np
import pytest

from cleanplate.codecs.polygon import (
    MAX_POINTS,
    MAX_RINGS,
    mask_from_ellipse,
    mask_from_polygon,
    mask_from_rotated_box,
    polygons_from_mask,
)
from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Size
from cleanplate.errors import PolygonError

SIZE = Size(8, 6)


def picture(mask):
    """The mask as rows of text."""
    return ["".join("#" if value else "." for value in row) for row in mask]


def mask_of(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def square(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


# From polygons


def test_a_polygon_along_pixel_edges_covers_exactly_the_pixels_within():
    assert picture(mask_from_polygon(square(1, 2, 4, 4), SIZE)) == [
        "........",
        "........",
        ".###....",
        ".###....",
        "........",
        "........",
    ]


def test_a_pixel_with_the_smallest_part_in_the_polygon_is_covered():
    assert picture(mask_from_polygon(square(0.999, 2, 4.001, 4.9), SIZE)) == [
        "........",
        "........",
        "#####...",
        "#####...",
        "#####...",
        "........",
    ]


def test_a_thin_sliver_between_pixel_centres_covers_every_pixel_it_runs_through():
    assert picture(mask_from_polygon([(0.1, 0.1), (7.9, 3.1), (7.9, 3.2)], SIZE)) == [
        "###.....",
        "..####..",
        "....####",
        ".......#",
        "........",
        "........",
    ]


def test_the_noise_of_a_conversion_from_percent_claims_no_pixel():
    percent = [[x / 640 * 100 for x in (290.0, 311.0)], [y / 480 * 100 for y in (7.0, 29.0)]]
    left, right = (x / 100 * 640 for x in percent[0])
    top, bottom = (y / 100 * 480 for y in percent[1])
    assert (left, top, right, bottom) != (290, 7, 311, 29)

    mask = mask_from_polygon(square(left, top, right, bottom), Size(640, 480))

    assert mask.sum() == 21 * 22


def test_both_windings_mean_the_same():
    corners = [(0.5, 0.2), (7.1, 1.4), (3.3, 5.8)]

    np.testing.assert_array_equal(mask_from_polygon(corners, SIZE), mask_from_polygon(corners[::-1], SIZE))


def test_the_part_outside_the_image_is_cut_off():
    assert picture(mask_from_polygon(square(-50, -1e8, 2, 1e8), SIZE)) == ["##......"] * 6
    assert mask_from_polygon(square(-50, -50, 50, 50), SIZE).all()
    assert not mask_from_polygon(square(8, 0, 20, 6), SIZE).any()
    assert not mask_from_polygon(square(0, -9, 8, 0), SIZE).any()


def test_a_bow_tie_covers_both_its_halves():
    assert picture(mask_from_polygon([(0, 0), (8, 6), (8, 0), (0, 6)], SIZE)) == [
        "##....##",
        "###..###",
        "########",
        "########",
        "###..###",
        "##....##",
    ]


def test_what_an_outline_winds_around_twice_is_covered_as_it_is_on_the_screen():
    star = [(4 + 4 * math.sin(i * 4 * math.pi / 5), 3 - 3 * math.cos(i * 4 * math.pi / 5)) for i in range(5)]

    assert mask_from_polygon(star, SIZE)[3, 4]


def test_a_hole_that_a_ring_reaches_by_a_line_without_width_stays_open():
    ring = [(0, 0), (6, 0), (6, 6), (0, 6), (0, 2), (2, 2), (2, 4), (4, 4), (4, 2), (0, 2)]

    assert picture(mask_from_polygon(ring, SIZE)) == [
        "######..",
        "######..",
        "##..##..",
        "##..##..",
        "######..",
        "######..",
    ]


def test_a_line_drawn_out_and_back_covers_the_pixels_it_runs_through():
    assert picture(mask_from_polygon([(0.5, 2.5), (5.5, 2.5), (3.0, 2.5)], SIZE))[2] == "######.."


@pytest.mark.parametrize(
    "points",
    [[], [(1, 1)], [(1, 1), (5, 5)], [(1, 1), (5, 5), (1, 1)], [(1, 1)] * 9, [(1, 1), (5, 5), (5, 5 + 1e-9)]],
)
def test_fewer_than_three_different_points_are_no_polygon(points):
    with pytest.raises(PolygonError, match="at least three different points"):
        mask_from_polygon(points, SIZE)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e10, -1e300])
def test_a_coordinate_that_is_no_number_or_beyond_reason_is_refused(bad):
    with pytest.raises(PolygonError, match="not numbers up to 1e"):
        mask_from_polygon([(0, 0), (5, 5), (bad, 2)], SIZE)


@pytest.mark.parametrize("bad", [True, None, "3", [3]])
def test_a_coordinate_of_another_type_is_refused(bad):
    with pytest.raises(PolygonError, match="must be numbers"):
        mask_from_polygon([(0, 0), (5, 5), (bad, 2)], SIZE)


def test_a_point_that_is_no_pair_is_refused():
    with pytest.raises(PolygonError, match="not a pair"):
        mask_from_polygon([(0, 0), (5, 5), (1, 2, 3)], SIZE)


def test_a_polygon_of_a_million_points_is_drawn():
    angles = np.linspace(0, 2 * np.pi, MAX_POINTS, endpoint=False)
    circle = np.stack([50 + 40 * np.cos(angles), 50 + 40 * np.sin(angles)], axis=1).tolist()

    mask = mask_from_polygon(circle, Size(100, 100))

    assert mask[50, 11:89].all()
    assert math.pi * 40**2 < mask.sum() < math.pi * 41.5**2


def test_more_points_or_a_longer_outline_than_any_drawing_is_refused():
    with pytest.raises(PolygonError, match="1000001 points"):
        mask_from_polygon([(0, 0)] * (MAX_POINTS + 1), SIZE)
    scribble = [(0, 0), (1, 3000)] * 1000 + [(2, 0)]
    with pytest.raises(PolygonError, match="crosses 6000000 rows"):
        mask_from_polygon(scribble, Size(4000, 3000))


# From boxes and ellipses


def test_a_box_turned_by_a_quarter_lies_left_of_its_corner():
    mask = mask_from_rotated_box(Box(5, 1, 8, 3), rotation_deg=90, size=SIZE)

    assert picture(mask) == ["........", "...##...", "...##...", "...##...", "........", "........"]


def test_a_box_that_is_not_turned_covers_exactly_itself():
    mask = mask_from_rotated_box(Box(1, 2, 4, 4), rotation_deg=0, size=SIZE)

    np.testing.assert_array_equal(mask, mask_from_polygon(square(1, 2, 4, 4), SIZE))


def test_a_box_turns_clockwise_on_the_screen():
    mask = mask_from_rotated_box(Box(10, 10, 30, 11), rotation_deg=30, size=Size(40, 40))

    rows, columns = np.nonzero(mask)
    assert rows[columns.argmax()] > 18
    assert mask[10, 10]


def test_an_ellipse_covers_every_pixel_it_has_a_part_in():
    size = Size(60, 50)

    mask = mask_from_ellipse((30.2, 24.7), (20.0, 9.0), rotation_deg=0, size=size)

    y, x = np.mgrid[:50, :60]
    nearest_x, nearest_y = np.clip(30.2, x, x + 1), np.clip(24.7, y, y + 1)
    overlaps = ((nearest_x - 30.2) / 20) ** 2 + ((nearest_y - 24.7) / 9) ** 2 < 1
    assert not (overlaps & ~mask).any()
    assert (mask & ~overlaps).sum() <= 2


def test_an_ellipse_turns_clockwise_about_its_centre():
    mask = mask_from_ellipse((20, 20), (15, 3), rotation_deg=45, size=Size(40, 40))

    np.testing.assert_array_equal(mask, mask[::-1, ::-1])
    assert mask[28, 28]
    assert not mask[28, 12]


@pytest.mark.parametrize("radii", [(0, 5), (5, -1), (math.nan, 5), (5, math.nan), (math.inf, 1), (1e9, 1)])
def test_an_ellipse_without_real_radii_is_refused(radii):
    with pytest.raises(PolygonError, match="ellipse"):
        mask_from_ellipse((5, 5), radii, rotation_deg=0, size=SIZE)


def test_a_box_without_area_or_a_turn_that_is_no_number_is_refused():
    with pytest.raises(PolygonError, match="no area"):
        mask_from_rotated_box(Box(5, 5, 5, 9), rotation_deg=0, size=SIZE)
    with pytest.raises(PolygonError, match="no area"):
        mask_from_rotated_box(Box(math.nan, 5, 8, 9), rotation_deg=0, size=SIZE)
    with pytest.raises(PolygonError, match="rotation"):
        mask_from_rotated_box(Box(1, 1, 5, 9), rotation_deg=math.inf, size=SIZE)
    with pytest.raises(PolygonError, match="not numbers"):
        mask_from_ellipse((math.nan, 5), (2, 2), rotation_deg=0, size=SIZE)


# From masks


def test_a_rectangle_becomes_its_four_corners_clockwise():
    mask = mask_of("........", "..###...", "..###...", "........")

    assert polygons_from_mask(mask, tolerance_px=0) == (((2, 1), (5, 1), (5, 3), (2, 3)),)


def test_an_empty_mask_has_no_polygons():
    assert polygons_from_mask(np.zeros((4, 4), dtype=bool), tolerance_px=1) == ()


def test_each_island_becomes_a_polygon_and_pixels_that_touch_at_a_corner_are_one():
    mask = mask_of("##....#.", "##...#..", "....#...", "##......")

    polygons = polygons_from_mask(mask, tolerance_px=0)

    assert len(polygons) == 3
    assert [mask_from_polygon(polygon, Size(8, 4)).sum() for polygon in polygons] == [4, 3, 2]


def test_islands_inside_holes_are_polygons_of_their_own_and_all_holes_stay_open():
    mask = mask_of("########", "#......#", "#.####.#", "#.#..#.#", "#.####.#", "#......#", "########")

    polygons = polygons_from_mask(mask, tolerance_px=0)

    assert len(polygons) == 2
    outer, inner = (mask_from_polygon(polygon, Size(8, 7)) for polygon in polygons)
    np.testing.assert_array_equal(outer | inner, mask)
    assert inner.sum() == 10


def test_holes_side_by_side_in_one_piece_all_stay_open():
    mask = mask_of("##########", "#.#.##..##", "##.###..##", "#.#..#####", "##########")

    (polygon,) = polygons_from_mask(mask, tolerance_px=0)

    np.testing.assert_array_equal(mask_from_polygon(polygon, Size(10, 5)), mask)


def test_a_tolerance_drops_points_but_moves_no_edge_further_than_it_says():
    y, x = np.mgrid[:200, :300]
    ring = (np.hypot(x - 150, y - 100) < 90) & (np.hypot(x - 140, y - 100) > 40)
    exact, simple = (polygons_from_mask(ring, tolerance_px=tolerance) for tolerance in (0, 2))

    mask = mask_from_polygon(simple[0], Size(300, 200))

    assert len(simple[0]) < len(exact[0]) / 5
    distance = np.minimum(abs(np.hypot(x - 150, y - 100) - 90), abs(np.hypot(x - 140, y - 100) - 40))
    assert distance[mask != ring].max() < 2 + 1.5


def test_no_island_and_no_hole_is_too_small_for_a_large_tolerance():
    mask = np.ones((20, 20), dtype=bool)
    mask[4:16, 4:16] = False
    mask[10, 10] = True
    mask[2, 2] = False

    polygons = polygons_from_mask(mask, tolerance_px=5)

    outer, island = (mask_from_polygon(polygon, Size(20, 20)) for polygon in polygons)
    assert island.sum() == 1
    assert not outer[2, 2]
    assert not outer[10, 10]


def test_a_mask_too_ragged_for_polygons_is_refused_in_words():
    dots = np.zeros((100, 100), dtype=bool)
    dots[::2, ::2] = True
    with pytest.raises(PolygonError, match=f"over {MAX_RINGS} pieces and holes: too ragged"):
        polygons_from_mask(dots, tolerance_px=1)


@pytest.mark.parametrize("tolerance_px", [-1, math.nan, math.inf])
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance_px):
    with pytest.raises(PolygonError, match="tolerance"):
        polygons_from_mask(np.ones((4, 4), dtype=bool), tolerance_px=tolerance_px)
