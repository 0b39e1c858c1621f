import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cleanplate.domain.geometry import Point
from cleanplate.pipeline.conversation import PackedLogits, PackedMask

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=30))


@given(mask=masks)
def test_a_packed_mask_unpacks_to_what_it_was(mask) -> None:
    packed = PackedMask(mask)

    np.testing.assert_array_equal(packed.mask(), mask)
    assert packed.area == mask.sum()
    assert packed.size_bytes <= mask.size // 8 + 1


@given(mask=masks)
def test_a_packed_mask_covers_the_centres_of_its_pixels_and_no_others(mask) -> None:
    packed = PackedMask(mask)

    covered = [[packed.covers(Point(x, y)) for x in range(mask.shape[1])] for y in range(mask.shape[0])]

    assert covered == mask.tolist()


@given(
    mask=masks,
    x=st.floats(-5, 35),
    y=st.floats(-5, 35),
    reach_px=st.floats(0, 6),
)
def test_what_touches_a_packed_mask_is_within_reach_of_one_of_its_pixels(mask, x, y, reach_px) -> None:
    rows, columns = np.nonzero(mask)
    # From the pixel that holds the far end of the reach on one side to that on the other.
    in_columns = (columns >= np.floor(x + 0.5 - reach_px)) & (columns <= np.floor(x + 0.5 + reach_px))
    in_rows = (rows >= np.floor(y + 0.5 - reach_px)) & (rows <= np.floor(y + 0.5 + reach_px))

    touches = PackedMask(mask).touches(Point(x, y), reach_px=reach_px)

    if touches:
        assert (in_rows & in_columns).any()
    inner_columns = np.abs(columns - x) <= reach_px
    inner_rows = np.abs(rows - y) <= reach_px
    if (inner_rows & inner_columns).any():
        assert touches


@given(
    margin=st.floats(width=32),
    logits=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=8)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
)
def test_packed_logits_unpack_to_what_they_were(margin, logits, pads) -> None:
    top, bottom, left, right = pads
    padded = np.pad(logits, ((top, bottom), (left, right)), constant_values=np.float32(margin))

    packed = PackedLogits(padded)

    np.testing.assert_array_equal(packed.logits(), padded)
    if min(pads) > 0 and not np.isnan(margin):
        assert packed.size_bytes <= logits.nbytes
