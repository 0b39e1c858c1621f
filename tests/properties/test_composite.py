import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cleanplate.pipeline.composite import ERASED, composite, erase

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
