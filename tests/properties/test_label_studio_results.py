"""Percent and pixels, for every size and every place."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Size
from cleanplate.domain.mask import bounding_box
from cleanplate.errors import CleanplateError
from cleanplate.label_studio.bitmask import bitmask_from_mask, mask_from_bitmask
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import ResultItem
from cleanplate.label_studio.results import (
    kept_items,
    prompt_items,
    regions_from_results,
    result_items_from_mask,
)

CONFIG = LabelConfig.from_xml(
    """<View><Image name="image" value="$image"/>
      <KeyPointLabels name="kp" toName="image"><Label value="Face"/></KeyPointLabels>
      <RectangleLabels name="box" toName="image" smart="true"><Label value="Face"/></RectangleLabels>
      <BrushLabels name="brush" toName="image" smart="false"><Label value="Face" clean="remove"/></BrushLabels>
      <BitmaskLabels name="bits" toName="image" smart="false"><Label value="Face"/></BitmaskLabels>
      <RectangleLabels name="area" toName="image" smart="false"><Label value="Face"/></RectangleLabels>
      <PolygonLabels name="poly" toName="image"><Label value="Face"/></PolygonLabels>
    </View>"""
)

SIZES = st.builds(Size, st.integers(1, 9000), st.integers(1, 9000))
MASKS = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda shape: arrays(np.bool_, shape))


def item(kind: str, control: str, value: dict[str, object], size: Size) -> ResultItem:
    fields = {"id": "a", "from_name": control, "to_name": "image", "type": kind, "value": value}
    return ResultItem.parse({**fields, "original_width": size.width, "original_height": size.height})


@given(size=SIZES, share=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)))
def test_a_click_on_a_pixel_is_that_pixel(size: Size, share: tuple[float, float]) -> None:
    column, row = int(share[0] * size.width), int(share[1] * size.height)
    value = {"x": (column + 0.5) / size.width * 100, "y": (row + 0.5) / size.height * 100, "labels": ["Face"]}

    (prompt,) = prompt_items([item("keypointlabels", "kp", value, size)], CONFIG)

    assert prompt.point is not None
    assert prompt.point.pixel(size) == (column, row)
    assert (prompt.point.x, prompt.point.y) == pytest.approx((column, row), abs=1e-6)


@given(
    size=SIZES,
    corner=st.tuples(st.floats(0, 90), st.floats(0, 90)),
    sides=st.tuples(st.floats(1, 100), st.floats(1, 100)),
    rotation=st.floats(-720, 720),
)
def test_the_box_of_a_prompt_lies_on_the_image_and_holds_the_corner_it_was_turned_about(
    size: Size, corner: tuple[float, float], sides: tuple[float, float], rotation: float
) -> None:
    value = {"x": corner[0], "y": corner[1], "width": sides[0], "height": sides[1], "rotation": rotation}

    prompts = prompt_items([item("rectanglelabels", "box", {**value, "labels": ["Face"]}, size)], CONFIG)

    for prompt in prompts:
        assert prompt.box is not None
        assert prompt.box == prompt.box.clipped(size)
        x, y = corner[0] / 100 * size.width, corner[1] / 100 * size.height
        assert prompt.box.left - 1e-6 <= x <= prompt.box.right + 1e-6
        assert prompt.box.top - 1e-6 <= y <= prompt.box.bottom + 1e-6


@given(mask=MASKS)
def test_a_suggestion_is_read_back_as_the_mask_it_came_from(mask: npt.NDArray[np.bool_]) -> None:
    size = Size(mask.shape[1], mask.shape[0])
    if not mask.any():
        return
    made = result_items_from_mask(mask, score=0.5, region_id="s", label="Face", config=CONFIG, to_name="image")
    by_type = {one["type"]: ResultItem.parse(one) for one in made}

    for kind in ("brushlabels", "bitmasklabels"):
        (region,) = regions_from_results([by_type[kind]], CONFIG, size).regions
        np.testing.assert_array_equal(region.mask, mask)
    (region,) = regions_from_results([by_type["rectanglelabels"]], CONFIG, size).regions
    assert bounding_box(region.mask) == bounding_box(mask)
    box = bounding_box(mask)
    assert box is not None
    assert region.mask.sum() == Box(*box).area


@given(mask=MASKS)
def test_the_ids_of_a_suggestion_are_all_different_and_always_the_same(mask: npt.NDArray[np.bool_]) -> None:
    if not mask.any():
        return
    first, second = (
        result_items_from_mask(mask, score=score, region_id="s", label="Face", config=CONFIG, to_name="image")
        for score in (0.1, 0.9)
    )
    ids = [one["id"] for one in first]

    assert ids[0] == "s"
    assert len(set(ids)) == len(ids)
    assert [one["id"] for one in second] == ids


@given(mask=MASKS)
def test_a_bitmask_comes_back_as_it_was(mask: npt.NDArray[np.bool_]) -> None:
    size = Size(mask.shape[1], mask.shape[0])

    np.testing.assert_array_equal(mask_from_bitmask(bitmask_from_mask(mask), size), mask)


WILD = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=3)
)


@given(
    kind=st.sampled_from(
        ["brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "bitmasklabels", "brush"]
    ),
    control=st.sampled_from(["brush", "poly", "area", "bits", "box", "gone"]),
    value=st.dictionaries(
        st.sampled_from(
            ["x", "y", "width", "height", "rotation", "radiusX", "radiusY", "points", "rle", "imageDataURL"]
        ),
        WILD | st.lists(st.lists(st.floats(0, 100), min_size=2, max_size=2), max_size=5),
    ),
)
def test_any_region_is_a_mask_of_the_right_size_or_an_error(kind: str, control: str, value: dict[str, object]) -> None:
    size = Size(16, 12)
    wild = item(kind, control, {**value, kind: ["Face"]}, size)
    try:
        found = regions_from_results([wild], CONFIG, size)
    except CleanplateError:
        return
    for region in found.regions:
        assert region.mask.shape == (12, 16)
        assert region.mask.dtype == np.bool_
    carried = kept_items([wild], {region.region_id for region in found.regions})
    assert len(carried) == len(found.regions)
