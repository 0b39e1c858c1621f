import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cleanplate.engines.registry import load_inpainter
from cleanplate.pipeline.composite import ERASED, composite, erase, fill
from cleanplate.pipeline.plan import Grid, plan_from_mask

images = arrays(np.uint8, (12, 17, 3), elements=st.integers(0, 255))
masks = arrays(np.bool_, (12, 17))


@given(original=images, inpainted=images, mask=masks)
def test_composite_changes_no_pixel_outside_the_mask(original, inpainted, mask) -> None:
    result = composite(original, inpainted, mask)

    np.testing.assert_array_equal(result[~mask], original[~mask])
    np.testing.assert_array_equal(result[mask], inpainted[mask])


@given(original=images, mask=masks)
def test_erasing_overwrites_all_under_the_mask_and_nothing_else(original, mask) -> None:
    before = original.copy()

    erased = erase(original, mask)

    assert (erased[mask] == ERASED).all()
    np.testing.assert_array_equal(erased[~mask], original[~mask])
    np.testing.assert_array_equal(original, before)


@given(original=images, hidden=images, mask=masks.filter(np.any))
def test_a_filled_image_does_not_depend_on_what_was_hidden(original, hidden, mask) -> None:
    plan = plan_from_mask(mask, grid=Grid())
    other = composite(original, hidden, mask)

    filled = [
        fill(erase(image, plan.mask), plan.mask, crops=plan.crops, inpainter=load_inpainter("opencv"))
        for image in (original, other)
    ]

    np.testing.assert_array_equal(filled[0], filled[1])
    np.testing.assert_array_equal(filled[0][~mask], original[~mask])
