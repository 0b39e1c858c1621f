import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cleanplate.engines.registry import load_inpainter
from cleanplate.pipeline.composite import composite, erase
from cleanplate.pipeline.fill import fill

images = arrays(np.uint8, (12, 17, 3), elements=st.integers(0, 255))
masks = arrays(np.bool_, (12, 17))


@given(original=images, hidden=images, mask=masks.filter(np.any))
def test_a_filled_image_does_not_depend_on_what_was_hidden(original, hidden, mask) -> None:
    other, nothing = composite(original, hidden, mask), np.zeros_like(mask)

    filled = [
        fill(erase(image, mask), mask, avoid=nothing, inpainter=load_inpainter("opencv")).image
        for image in (original, other)
    ]

    np.testing.assert_array_equal(filled[0], filled[1])
    np.testing.assert_array_equal(filled[0][~mask], original[~mask])
