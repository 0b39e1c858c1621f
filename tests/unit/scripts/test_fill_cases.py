import numpy as np
import pytest
from fill_cases import LARGEST_SHARE, Case, cases, placed, rectangle
from fill_scenes import SCENES, scene


@pytest.fixture(scope="module")
def every_case() -> tuple[Case, ...]:
    return cases()


def test_there_are_at_least_36_large_holes_in_photographs_and_drawings(every_case) -> None:
    groups = [case.group for case in every_case]

    assert groups.count("photograph") + groups.count("drawn") >= 36
    assert min(groups.count(group) for group in ("photograph", "drawn", "small")) >= 12


def test_every_name_is_its_own(every_case) -> None:
    names = [(case.group, case.name) for case in every_case]

    assert len(set(names)) == len(names)


def test_no_hole_is_made_in_what_stands_there(every_case) -> None:
    assert [case.name for case in every_case if (case.hole & case.objects).any()] == []


def test_objects_are_known_in_every_photograph_but_those_of_one_texture(every_case) -> None:
    without = {
        case.name.partition(":")[0] for case in every_case if case.group == "photograph" and not case.objects.any()
    }

    assert without == {"brick", "grass", "gravel", "ihc"}


def test_large_holes_cover_about_1_to_9_percent(every_case) -> None:
    shares = [case.hole.mean() for case in every_case if case.group != "small"]

    assert min(shares) > 0.008
    assert max(shares) < LARGEST_SHARE * 1.1


def test_small_holes_are_thin_or_tiny(every_case) -> None:
    assert max(case.hole.mean() for case in every_case if case.group == "small") < 0.01


def test_a_hole_fits_its_image(every_case) -> None:
    assert all(case.hole.shape == case.image.shape[:2] for case in every_case)


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_is_always_drawn_alike(name) -> None:
    np.testing.assert_array_equal(scene(name), scene(name))


def test_a_shape_without_room_is_placed_nowhere() -> None:
    random = np.random.default_rng(1)
    everywhere = np.ones((50, 60), dtype=np.bool_)

    assert placed(rectangle(random), 0.05, everywhere, random) is None


def test_a_shape_finds_the_only_room_there_is() -> None:
    random = np.random.default_rng(1)
    objects = np.ones((60, 60), dtype=np.bool_)
    objects[20:45, 10:40] = False

    hole = placed(np.ones((10, 10), dtype=np.bool_), 0.1, objects, random)

    assert hole is not None
    assert hole.mean() == pytest.approx(0.1, abs=0.02)
    assert not (hole & objects).any()
