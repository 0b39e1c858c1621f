import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cleanplate.domain.policy import Action, Way
from cleanplate.pipeline.plan import Treatment
from cleanplate.pipeline.traditional import treat

SHAPE = (30, 41)
images = arrays(np.uint8, (*SHAPE, 3))
masks = arrays(np.bool_, SHAPE, elements=st.booleans(), fill=st.just(value=False)).filter(np.any)
reducing = st.sampled_from([Action.PIXELATE, Action.BLUR])
cells = st.integers(1, 16)


@given(image=images, mask=masks, action=reducing, cells=cells)
def test_nothing_outside_changes_and_the_bits_have_a_bound(image, mask, action, cells) -> None:
    treated = treat(image, image, [Treatment(Way(action, cells=cells), mask)])

    np.testing.assert_array_equal(treated.image[~mask], image[~mask])
    left = treated.reduction
    assert left.pixels == mask.sum()
    assert 0 < left.bits <= left.objects * cells * cells * 3 * 4


@given(image=images, other=images, mask=masks, action=reducing, cells=cells)
def test_no_pixel_outside_the_object_shows_in_it(image, other, mask, action, cells) -> None:
    changed = np.where(mask[..., np.newaxis], image, other)
    one, two = (treat(each, each, [Treatment(Way(action, cells=cells), mask)]).image for each in (image, changed))

    np.testing.assert_array_equal(one[mask], two[mask])


@given(image=images, other=images, mask=masks, cells=cells)
def test_what_is_treated_more_strongly_shows_nowhere(image, other, mask, cells) -> None:
    hidden = np.zeros(SHAPE, dtype=np.bool_)
    hidden[:, :20] = True
    beside = mask & ~hidden
    treatments = [Treatment(Way(Action.FILL), hidden), Treatment(Way(Action.PIXELATE, cells=cells), beside)]
    changed = np.where(hidden[..., np.newaxis], other, image)

    one, two = (treat(each, each, treatments).image for each in (image, changed))

    np.testing.assert_array_equal(one, two)


@given(image=images, mask=masks, action=reducing, cells=cells)
def test_an_object_of_few_cells_has_few_colours(image, mask, action, cells) -> None:
    treated = treat(image, image, [Treatment(Way(action, cells=cells), mask)])

    if action is Action.PIXELATE:
        assert len(np.unique(treated.image[mask], axis=0)) * 12 <= treated.reduction.bits
        assert (treated.image[mask] % 16 == 8).all()
