import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cleanplate.domain.image import Size
from cleanplate.domain.policy import Action, Dilation, LabelPolicy, Policy
from cleanplate.domain.region import Region, Shape
from cleanplate.pipeline.growth import grown_by
from cleanplate.pipeline.plan import Grid, plan_from_mask, plan_removal, touched

SIZE = Size(width=40, height=30)
LABELS = ("Face", "Plate", "Tree")
POLICY = Policy(
    labels={
        "Face": LabelPolicy(action=Action.REMOVE, dilation=Dilation(px=1, pct=10)),
        "Plate": LabelPolicy(action=Action.REMOVE),
    }
)

masks = arrays(np.bool_, (SIZE.height, SIZE.width), elements=st.booleans(), fill=st.just(value=False))
some_masks = masks.filter(np.any)
grids = st.builds(
    Grid,
    st.sampled_from([Size(1, 1), Size(8, 8), Size(16, 8), Size(16, 16)]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
)
drawings = st.lists(st.tuples(st.sampled_from(LABELS), some_masks), max_size=4)


@given(mask=some_masks, drawn=drawings, grid=grids, data=st.data())
def test_a_plan_does_not_depend_on_the_order_of_its_regions(mask, drawn, grid, data) -> None:
    regions = [
        Region(f"r{number}", "brush", label, Shape.BRUSH, drawn_mask)
        for number, (label, drawn_mask) in enumerate([("Plate", mask), *drawn])
    ]
    shuffled = data.draw(st.permutations(regions))

    made = [
        plan_removal(order, prompts=(), policy=POLICY, size=SIZE, grid=grid) for order in (regions, regions, shuffled)
    ]

    assert made[0].digest == made[1].digest == made[2].digest
    np.testing.assert_array_equal(made[0].mask, made[2].mask)
    np.testing.assert_array_equal(made[0].avoid, made[2].avoid)


@given(mask=some_masks, grid=grids)
def test_a_plan_covers_all_that_was_approved_and_whole_cells(mask, grid) -> None:
    planned = plan_from_mask(mask, grid=grid).mask

    assert planned[mask].all()
    np.testing.assert_array_equal(planned, touched(mask, grid))
    if grid == Grid():
        np.testing.assert_array_equal(planned, mask)


@given(mask=masks, radius_px=st.integers(0, 50))
def test_growing_takes_every_pixel_within_the_radius_and_no_other(mask, radius_px) -> None:
    ys, xs = np.mgrid[: SIZE.height, : SIZE.width]
    expected = np.zeros_like(mask)
    for y, x in np.argwhere(mask)[:20]:
        expected |= (xs - x) ** 2 + (ys - y) ** 2 <= radius_px**2
    few = np.zeros_like(mask)
    few[tuple(np.argwhere(mask)[:20].T)] = True

    np.testing.assert_array_equal(grown_by(few, radius_px), expected)


@given(mask=masks, grid=grids)
def test_whole_cells_hold_the_mask_and_rounding_out_twice_adds_nothing(mask, grid) -> None:
    once = touched(mask, grid._replace(reach_px=0))

    assert once[mask].all()
    np.testing.assert_array_equal(touched(once, grid._replace(reach_px=0)), once)
