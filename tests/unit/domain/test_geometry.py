import pytest

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Size

SIZE = Size(width=10, height=6)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (Point(0, 0), True),
        (Point(-0.5, -0.5), True),
        (Point(-0.6, 0), False),
        (Point(9.4, 5.4), True),
        (Point(9.5, 0), False),
        (Point(0, 5.5), False),
    ],
)
def test_a_point_is_inside_when_it_hits_a_pixel(point, expected) -> None:
    assert point.inside(SIZE) is expected


@pytest.mark.parametrize(
    ("point", "pixel"),
    [(Point(3.4, 2.6), (3, 3)), (Point(2.5, 0), (3, 0)), (Point(-40, 3), (0, 3)), (Point(99, 99), (9, 5))],
)
def test_the_pixel_of_a_point_is_the_nearest_one_on_the_image(point, pixel) -> None:
    assert point.pixel(SIZE) == pixel


def test_a_box_ends_before_its_right_and_bottom() -> None:
    box = Box(2, 1, 4, 3)

    assert (box.width, box.height, box.area) == (2, 2, 4)
    assert box.contains(Point(2, 1))
    assert box.contains(Point(3.4, 2.4))
    assert not box.contains(Point(3.5, 2))
    assert not box.contains(Point(1.4, 2))


def test_a_box_turned_inside_out_has_no_area() -> None:
    assert Box(4, 4, 2, 8).area == 0


def test_a_grown_box_is_clipped_to_the_image() -> None:
    assert Box(2, 1, 4, 3).grown(1.5) == Box(0.5, -0.5, 5.5, 4.5)
    assert Box(2, 1, 4, 3).grown(100).clipped(SIZE) == Box(0, 0, 10, 6)


def test_a_box_beside_the_image_is_clipped_to_nothing() -> None:
    assert Box(20, 20, 30, 30).clipped(SIZE).area == 0
    assert Box(-9, -9, -1, -1).clipped(SIZE).area == 0


def test_slices_hold_every_pixel_a_box_touches() -> None:
    assert Box(1.2, 0.9, 3.1, 2.0).slices(SIZE) == (slice(0, 2), slice(1, 4))
