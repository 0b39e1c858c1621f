import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cleanplate.domain.image import size_of
from cleanplate.engines.protocols import Comfort
from cleanplate.pipeline.crops import crops_of


@st.composite
def comforts(draw) -> Comfort:
    least, multiple = draw(st.integers(1, 100)), draw(st.sampled_from([1, 8, 24]))
    most = draw(st.none() | st.integers(0, 60).map(lambda more: max(least, multiple) + more))
    return Comfort(
        context=draw(st.floats(0, 3)),
        min_side_px=least,
        max_side_px=most,
        coarse_side_px=None if most is None else draw(st.none() | st.integers(multiple, most)),
        multiple=multiple,
    )


@st.composite
def masks(draw) -> np.ndarray:
    mask = np.zeros((draw(st.integers(1, 150)), draw(st.integers(1, 200))), dtype=np.bool_)
    height, width = mask.shape
    for _ in range(draw(st.integers(1, 8))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[top : top + draw(st.integers(1, 90)), left : left + draw(st.integers(1, 90))] = True
    return mask


@given(mask=masks(), comfort=comforts())
def test_every_masked_pixel_is_the_business_of_exactly_one_crop(mask, comfort) -> None:
    count = np.zeros(mask.shape, dtype=int)
    for crop in crops_of(mask, comfort):
        assert crop.hole.any()
        count[crop.box.slices(size_of(mask))] += crop.hole

    np.testing.assert_array_equal(count, mask)


@given(mask=masks(), comfort=comforts())
def test_every_crop_is_comfortable(mask, comfort) -> None:
    size = size_of(mask)
    for crop in crops_of(mask, comfort):
        sides = (crop.box.width, crop.box.height)
        step = comfort.multiple * crop.factor
        assert min(crop.box) >= 0
        for start, side, whole in zip(crop.box[:2], sides, size, strict=True):
            assert side % step == 0
            assert side >= min(comfort.min_side_px, whole)
            assert start == 0 or start + side <= whole
            assert start + side < whole + step
        if comfort.max_side_px is None:
            assert crop.factor == 1
        elif crop.factor == 1:
            assert max(sides) <= comfort.max_side_px
        else:
            assert max(sides) <= crop.factor * comfort.largest_small_px


@given(mask=masks(), comfort=comforts())
def test_crops_are_sorted_and_the_same_each_time(mask, comfort) -> None:
    crops, again = crops_of(mask, comfort), crops_of(mask.copy(), comfort)

    assert [crop.box for crop in crops] == sorted(crop.box for crop in crops)
    assert [(crop.box, crop.factor) for crop in crops] == [(crop.box, crop.factor) for crop in again]
    for crop, same in zip(crops, again, strict=True):
        np.testing.assert_array_equal(crop.hole, same.hole)
