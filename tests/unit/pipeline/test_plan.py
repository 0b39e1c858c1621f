import numpy as np
import pytest

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Size
from cleanplate.domain.policy import Action, Dilation, LabelPolicy, Policy
from cleanplate.domain.prompt import LeftPrompt
from cleanplate.domain.region import Region, Shape
from cleanplate.errors import NothingToRemoveError, PolicyError, SizeMismatchError, UnacceptedPromptsError
from cleanplate.pipeline.growth import grown_by
from cleanplate.pipeline.plan import Grid, Removed, plan_from_mask, plan_removal, touched

SIZE = Size(width=60, height=40)
LOSSLESS = Grid()
REMOVE_FACES = Policy(labels={"Face": LabelPolicy(action=Action.REMOVE)})


def block(left: int, top: int, right: int, bottom: int, size: Size = SIZE) -> np.ndarray:
    mask = np.zeros((size.height, size.width), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def region(mask: np.ndarray, label: str = "Face", region_id: str = "r1") -> Region:
    return Region(region_id=region_id, control="brush", label=label, shape=Shape.BRUSH, mask=mask)


def plan(*regions: Region, policy: Policy = REMOVE_FACES, prompts: tuple[LeftPrompt, ...] = (), grid: Grid = LOSSLESS):
    return plan_removal(regions, prompts=prompts, policy=policy, size=SIZE, grid=grid)


def growing(**dilation: float) -> Policy:
    return Policy(labels={"Face": LabelPolicy(action=Action.REMOVE, dilation=Dilation(**dilation))})


def test_without_dilation_exactly_the_approved_pixels_are_removed() -> None:
    made = plan(region(block(10, 10, 20, 15)))

    np.testing.assert_array_equal(made.mask, block(10, 10, 20, 15))
    assert made.removed == (Removed("r1", "Face", radius_px=0),)


def test_only_regions_whose_label_says_remove_are_removed_and_the_plan_says_so() -> None:
    face, tree = region(block(0, 0, 5, 5), region_id="face"), region(block(30, 0, 50, 20), "Tree", "tree")

    made = plan(face, tree)

    np.testing.assert_array_equal(made.mask, face.mask)
    assert [removed.region_id for removed in made.removed] == ["face"]
    assert made.kept == ("tree",)


def test_a_kept_region_that_is_mostly_removed_does_not_go_along() -> None:
    half, most = region(block(0, 0, 20, 4), "Tree", "half"), region(block(0, 0, 19, 4), "Tree", "most")

    made = plan(region(block(0, 0, 10, 40)), half, most)

    assert made.kept == ("half",)
    assert made.dropped == ("most",)


def test_a_mask_grows_in_a_circle() -> None:
    made = plan(region(block(30, 20, 31, 21)), policy=growing(px=5))

    ys, xs = np.nonzero(made.mask)
    assert np.hypot(xs - 30, ys - 20).max() == 5
    assert made.mask.sum() == 81  # the whole-numbered points of a circle of radius 5
    assert made.removed[0].radius_px == 5


def test_a_share_is_of_the_objects_longer_side() -> None:
    assert plan(region(block(10, 10, 35, 15)), policy=growing(pct=4)).removed[0].radius_px == 1
    assert plan(region(block(10, 10, 36, 15)), policy=growing(pct=4)).removed[0].radius_px == 2


def test_each_island_of_a_region_grows_by_its_own_size() -> None:
    small, large = block(5, 5, 7, 7), block(20, 10, 50, 30)

    made = plan(region(small | large), policy=growing(pct=10))

    np.testing.assert_array_equal(made.mask, grown_by(small, 1) | grown_by(large, 3))
    assert made.removed[0].radius_px == 3


def test_growing_stops_at_the_border_of_the_image() -> None:
    made = plan(region(block(0, 0, 60, 1)), policy=growing(px=3))

    np.testing.assert_array_equal(made.mask, block(0, 0, 60, 4))


def test_in_a_jpeg_the_mask_is_rounded_out_to_the_grid_and_one_pixel_more() -> None:
    made = plan(region(block(20, 20, 21, 21)), grid=Grid(Size(16, 8), reach_px=1))

    np.testing.assert_array_equal(made.mask, block(15, 15, 33, 25))


@pytest.mark.parametrize(
    ("grid", "expected"),
    [
        (Grid(Size(16, 16)), (16, 16, 32, 32)),
        (Grid(Size(16, 16), from_right=True), (12, 16, 28, 32)),
        (Grid(Size(16, 16), from_bottom=True), (16, 8, 32, 24)),
        (Grid(Size(16, 16), from_right=True, from_bottom=True), (12, 8, 28, 24)),
    ],
)
def test_the_grid_of_a_turned_photograph_starts_at_another_border(grid, expected) -> None:
    np.testing.assert_array_equal(touched(block(20, 20, 21, 21), grid), block(*expected))


def test_prompts_without_an_accepted_mask_need_a_person() -> None:
    with pytest.raises(UnacceptedPromptsError, match="prompts for 'Face'"):
        plan(prompts=(LeftPrompt("Face"),))


def test_an_accepted_mask_of_another_label_does_not_answer_a_prompt() -> None:
    policy = Policy(labels={name: LabelPolicy(action=Action.REMOVE) for name in ("Face", "Plate")})

    with pytest.raises(UnacceptedPromptsError, match="'Plate'"):
        plan(region(block(0, 0, 5, 5)), policy=policy, prompts=(LeftPrompt("Plate"), LeftPrompt("Face")))


def test_an_accepted_mask_without_a_pixel_does_not_answer_a_prompt() -> None:
    with pytest.raises(UnacceptedPromptsError):
        plan(region(block(0, 0, 0, 0)), prompts=(LeftPrompt("Face"),))


def test_prompts_beside_an_accepted_mask_of_their_label_are_fine() -> None:
    assert plan(region(block(0, 0, 5, 5)), prompts=(LeftPrompt("Face"),)).mask.sum() == 25


@pytest.mark.parametrize(
    "left",
    [
        LeftPrompt("Face", point=Point(2, 2)),
        LeftPrompt("Face", point=Point(50, 30, positive=False)),
        LeftPrompt("Face", box=Box(0, 0, 10, 10)),
    ],
)
def test_a_prompt_whose_object_is_masked_is_fine(left) -> None:
    assert plan(region(block(0, 0, 5, 5)), prompts=(left,)).mask.sum() == 25


@pytest.mark.parametrize(
    "left",
    [
        LeftPrompt("Face", point=Point(50, 30)),
        LeftPrompt("Face", box=Box(40, 20, 50, 30)),
        LeftPrompt("Face", box=Box(4, 4, 34, 34)),
    ],
)
def test_a_prompt_that_points_beside_the_accepted_masks_needs_a_person(left) -> None:
    with pytest.raises(UnacceptedPromptsError, match="no accepted mask where they point"):
        plan(region(block(0, 0, 5, 5)), prompts=(left,))


def test_what_is_removed_under_another_label_answers_a_prompt_too() -> None:
    policy = Policy(labels={name: LabelPolicy(action=Action.REMOVE) for name in ("Face", "Person")})
    regions = (region(block(0, 0, 5, 5), "Face", "f"), region(block(20, 0, 40, 40), "Person", "p"))

    assert plan(*regions, policy=policy, prompts=(LeftPrompt("Face", point=Point(30, 5)),)).mask.any()


def test_prompts_of_a_kept_label_are_fine() -> None:
    assert plan(region(block(0, 0, 5, 5)), prompts=(LeftPrompt("Tree", point=Point(50, 30)),)).mask.sum() == 25


@pytest.mark.parametrize("regions", [(), (region(block(0, 0, 0, 0)),), (region(block(0, 0, 5, 5), "Tree"),)])
def test_when_nothing_is_to_be_removed_there_is_no_plan(regions) -> None:
    with pytest.raises(NothingToRemoveError):
        plan(*regions)


def test_an_action_this_version_cannot_do_is_refused_by_name() -> None:
    policy = Policy(labels={"Face": LabelPolicy(action=Action.REPLACE)})

    with pytest.raises(PolicyError, match=r"'Face' asks for clean=\"replace\".* it can do blur, fill, keep"):
        plan(region(block(0, 0, 5, 5)), policy=policy)


def test_an_unused_label_may_ask_for_what_this_version_cannot_do() -> None:
    policy = Policy(labels={"Face": LabelPolicy(action=Action.REMOVE), "Sign": LabelPolicy(action=Action.REPLACE)})

    assert plan(region(block(0, 0, 5, 5)), policy=policy).mask.any()


def test_a_blur_that_nobody_accepted_is_refused() -> None:
    policy = Policy(labels={"Face": LabelPolicy(action=Action.BLUR)})

    with pytest.raises(PolicyError, match="can be undone"):
        plan(region(block(0, 0, 5, 5)), policy=policy)


def test_a_label_of_ten_kilobytes_does_not_flood_the_message() -> None:
    label = "F" * 10_000
    policy = Policy(labels={label: LabelPolicy(action=Action.BLUR)})

    with pytest.raises(PolicyError) as caught:
        plan(region(block(0, 0, 5, 5), label), policy=policy)

    assert len(str(caught.value)) < 300


MIXED = Policy(
    labels={
        "Text": LabelPolicy(Action.FILL),
        "Person": LabelPolicy(Action.REMOVE),
        "Face": LabelPolicy(Action.PIXELATE),
        "Sky": LabelPolicy(Action.BLUR, reversible=True),
    }
)


def test_each_pixel_is_treated_once_in_the_strongest_way_that_was_asked_for() -> None:
    regions = [
        region(block(left, 5, left + 20, 15), label, label)
        for label, left in (("Sky", 30), ("Face", 20), ("Person", 10), ("Text", 0))
    ]

    made = plan(*regions, policy=MIXED)

    expected = {
        Action.FILL: block(0, 5, 20, 15),
        Action.REMOVE: block(20, 5, 30, 15),
        Action.PIXELATE: block(30, 5, 40, 15),
        Action.BLUR: block(40, 5, 50, 15),
    }
    assert [treatment.way.action for treatment in made.treatments] == list(expected)
    for treatment in made.treatments:
        np.testing.assert_array_equal(treatment.mask, expected[treatment.way.action])
    np.testing.assert_array_equal(made.mask, block(0, 5, 50, 15))


def test_the_halo_of_a_removed_object_is_not_averaged_into_a_mosaic() -> None:
    regions = (region(block(17, 17, 20, 20), "Person", "p"), region(block(20, 17, 40, 30), "Face", "f"))

    removed, mosaic = plan(*regions, policy=MIXED, grid=Grid(Size(16, 16), reach_px=1)).treatments

    np.testing.assert_array_equal(removed.mask, block(15, 15, 33, 33))
    np.testing.assert_array_equal(mosaic.mask, block(33, 15, 49, 33))


def test_a_region_that_others_cover_entirely_is_treated_as_they_are() -> None:
    regions = (region(block(0, 0, 9, 9), "Text", "t"), region(block(2, 2, 5, 5), "Face", "f"))

    made = plan(*regions, policy=MIXED)

    assert [treatment.way.action for treatment in made.treatments] == [Action.FILL]
    assert {(removed.region_id, removed.action) for removed in made.removed} == {
        ("t", Action.FILL),
        ("f", Action.PIXELATE),
    }


def test_only_a_plan_that_removes_something_invents_pixels() -> None:
    assert plan(region(block(0, 0, 5, 5), "Person"), policy=MIXED).invents
    assert not plan(region(block(0, 0, 5, 5), "Text"), region(block(9, 9, 12, 12)), policy=MIXED).invents


def test_plans_that_treat_the_same_pixels_otherwise_have_different_digests() -> None:
    ways = (LabelPolicy(Action.REMOVE), LabelPolicy(Action.PIXELATE), LabelPolicy(Action.PIXELATE, cells=4))
    made = [plan(region(block(0, 0, 5, 5)), policy=Policy(labels={"Face": way})) for way in ways]

    assert len({each.digest for each in made}) == 3


def test_a_small_hole_is_closed_before_the_region_grows_and_the_plan_says_so() -> None:
    ring = block(10, 10, 30, 30)
    ring[20, 18:21] = False

    made = plan(region(ring), policy=growing(px=1))

    assert made.mask[20, 19]
    assert made.removed == (Removed("r1", "Face", radius_px=1, closed_px=3),)


def test_a_large_hole_stays() -> None:
    ring = block(10, 10, 30, 30) & ~block(13, 13, 27, 27)

    made = plan(region(ring))

    np.testing.assert_array_equal(made.mask, ring)
    assert made.removed[0].closed_px == 0


def test_a_region_of_another_size_is_refused() -> None:
    with pytest.raises(SizeMismatchError):
        plan(region(block(0, 0, 5, 5, Size(40, 60))))


def test_an_empty_mask_makes_no_plan() -> None:
    with pytest.raises(NothingToRemoveError, match="mask is empty"):
        plan_from_mask(block(0, 0, 0, 0), grid=LOSSLESS)


def test_a_mask_sprinkled_with_thousands_of_specks_is_planned() -> None:
    mask = np.zeros((1000, 1000), dtype=np.bool_)
    mask[::7, ::5] = True

    made = plan_removal([region(mask)], prompts=(), policy=growing(pct=100), size=Size(1000, 1000), grid=LOSSLESS)

    assert made.mask[::7, ::5].all()
    assert made.removed[0].radius_px == 1


def test_plans_that_differ_in_one_pixel_have_different_digests() -> None:
    assert plan(region(block(0, 0, 5, 5))).digest != plan(region(block(0, 0, 5, 6))).digest
    assert plan(region(block(0, 0, 5, 5))).digest == plan(region(block(0, 0, 5, 5))).digest
