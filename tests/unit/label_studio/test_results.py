from itertools import permutations

import numpy as np
import pytest

from cleanplate.codecs.rle import rle_from_mask
from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Size
from cleanplate.domain.policy import Approval
from cleanplate.domain.prompt import LeftPrompt
from cleanplate.domain.region import Shape
from cleanplate.errors import (
    MaskError,
    PayloadError,
    PolygonError,
    PromptError,
    RleError,
    SizeMismatchError,
    UnknownRegionError,
)
from cleanplate.label_studio.bitmask import bitmask_from_mask
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import Annotation, ResultItem
from cleanplate.label_studio.results import (
    is_approved,
    kept_items,
    outlines,
    prompt_items,
    regions_from_results,
    result_items_from_mask,
)

SIZE = Size(width=20, height=10)

CONFIG = LabelConfig.from_xml(
    """<View>
      <Image name="image" value="$image"/>
      <KeyPointLabels name="kp" toName="image"><Label value="Face"/></KeyPointLabels>
      <RectangleLabels name="box" toName="image" smart="true"><Label value="Face"/></RectangleLabels>
      <RectangleLabels name="area" toName="image" smart="false"><Label value="Plate"/></RectangleLabels>
      <EllipseLabels name="oval" toName="image"><Label value="Face"/></EllipseLabels>
      <BrushLabels name="brush" toName="image" smart="false">
        <Label value="Face" clean="remove"/><Label value="Tree"/>
      </BrushLabels>
      <PolygonLabels name="poly" toName="image">
        <Label value="Tree"/><Label value="Plate" clean="remove"/>
      </PolygonLabels>
      <BitmaskLabels name="bits" toName="image" smart="false"><Label value="Sky"/></BitmaskLabels>
      <VectorLabels name="line" toName="image"><Label value="Lane"/><Label value="Face"/></VectorLabels>
      <Labels name="names" toName="image"><Label value="Car" clean="remove"/></Labels>
      <Brush name="bare" toName="image" smart="false"/>
    </View>"""
)


def item(kind: str, control: str, value: dict, **fields: object) -> ResultItem:
    defaults = {
        "id": "r1",
        "from_name": control,
        "to_name": "image",
        "type": kind,
        "original_width": SIZE.width,
        "original_height": SIZE.height,
        "image_rotation": 0,
        "value": value,
    }
    return ResultItem.parse({name: part for name, part in {**defaults, **fields}.items() if part is not ...})


def keypoint(x: object = 50.0, y: object = 50.0, **fields: object) -> ResultItem:
    return item("keypointlabels", "kp", {"x": x, "y": y, "width": 0.2, "keypointlabels": ["Face"]}, **fields)


def rectangle(*, control: str = "box", label: str = "Face", rotation: float = 0, **sides: object) -> ResultItem:
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": rotation, "rectanglelabels": [label]}
    return item("rectanglelabels", control, value | sides)


def brush(mask: np.ndarray, *labels: str, **fields: object) -> ResultItem:
    value = {"format": "rle", "rle": rle_from_mask(mask), "brushlabels": list(labels)}
    return item("brushlabels", "brush", value, **fields)


def polygon(points: object, label: str = "Tree", **fields: object) -> ResultItem:
    return item("polygonlabels", "poly", {"points": points, "closed": True, "polygonlabels": [label]}, **fields)


def mask_of(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((SIZE.height, SIZE.width), dtype=np.bool_)
    mask[rows, columns] = True
    return mask


SPOT = mask_of(slice(2, 5), slice(3, 9))
OTHER_SPOT = mask_of(slice(6, 9), slice(1, 4))


# Prompts


def test_a_keypoint_in_the_middle_of_a_pixel_is_that_pixels_centre() -> None:
    (prompt,) = prompt_items([keypoint(x=100 * 3.5 / 20, y=100 * 2.5 / 10, is_positive=True)], CONFIG)

    assert prompt.point == pytest.approx(Point(3.0, 2.0, positive=True))
    assert (prompt.id, prompt.label, prompt.to_name, prompt.size, prompt.box) == ("r1", "Face", "image", SIZE, None)


def test_a_keypoint_is_negative_only_if_it_says_so() -> None:
    clicks = [keypoint(id="a", is_positive=False), keypoint(id="b", is_positive=True), keypoint(id="c")]

    prompts = prompt_items(clicks, CONFIG)

    assert [prompt.point.positive for prompt in prompts] == [False, True, True]


def test_a_rectangle_is_a_box_in_pixel_edges() -> None:
    (prompt,) = prompt_items([rectangle()], CONFIG)

    assert prompt.box == pytest.approx(Box(2, 2, 8, 6))
    assert prompt.point is None


@pytest.mark.parametrize(
    ("rotation", "box"),
    [
        (90, Box(4, 2, 8, 8)),
        (180, Box(2, 0, 8, 2)),
        (270, Box(8, 0, 12, 2)),
        (-90, Box(8, 0, 12, 2)),
        (45, Box(8 - 4 / np.sqrt(2), 2, 8 + 6 / np.sqrt(2), 2 + 10 / np.sqrt(2))),
    ],
)
def test_a_turned_rectangle_becomes_the_box_around_it(rotation, box) -> None:
    # Label Studio turns clockwise about the top-left corner; here 6 × 4 pixels from (8, 2), cut off at the border.
    (prompt,) = prompt_items([rectangle(x=40, rotation=rotation)], CONFIG)

    assert prompt.box == pytest.approx(box)


def test_boxes_are_cut_off_at_the_border() -> None:
    (prompt,) = prompt_items([rectangle(x=-10, y=-10, width=50, height=300)], CONFIG)

    assert prompt.box == pytest.approx(Box(0, 0, 8, 10))


@pytest.mark.parametrize(
    "pointless",
    [
        keypoint(x=100.0),
        keypoint(x=-0.1),
        keypoint(y=250),
        rectangle(width=0),
        rectangle(x=120),
        keypoint(from_name="gone"),
        keypoint(to_name="gone"),
        item("keypointlabels", "kp", {"x": 1, "y": 1, "keypointlabels": []}),
        item("textarea", "note", {"text": ["plate"]}, original_width=..., original_height=...),
        brush(SPOT, "Face"),
    ],
)
def test_what_points_at_nothing_is_left_out(pointless) -> None:
    prompts = prompt_items([keypoint(id="a"), pointless, keypoint(id="b")], CONFIG)

    assert [prompt.id for prompt in prompts] == ["a", "b"]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e9, -1e9, 10**19, "5", None, True, [1]])
def test_an_impossible_coordinate_is_refused(wrong) -> None:
    with pytest.raises(PromptError, match="x must be a number"):
        prompt_items([keypoint(x=wrong)], CONFIG)
    with pytest.raises(PromptError, match="width must be a number"):
        prompt_items([rectangle(width=wrong)], CONFIG)


def test_a_rectangle_with_a_negative_side_is_refused() -> None:
    with pytest.raises(PromptError, match="negative"):
        prompt_items([rectangle(height=-1)], CONFIG)


@pytest.mark.parametrize("width", [0, -1, 1e9, 0.5, float("nan"), float("inf"), ...])
def test_a_prompt_on_an_impossible_image_is_refused(width) -> None:
    with pytest.raises(PromptError, match="impossible original size"):
        prompt_items([keypoint(original_width=width)], CONFIG)


def test_the_label_may_stand_under_labels() -> None:
    (prompt,) = prompt_items([item("keypointlabels", "kp", {"x": 1, "y": 1, "labels": ["Face"]})], CONFIG)

    assert prompt.label == "Face"


# Regions


def test_every_shape_becomes_its_mask() -> None:
    found = regions_from_results(
        [
            brush(SPOT, "Face", id="b"),
            item("bitmasklabels", "bits", {"imageDataURL": bitmask_from_mask(SPOT), "bitmasklabels": ["Sky"]}, id="m"),
            polygon([[15, 20], [45, 20], [45, 50], [15, 50]], id="p"),
            rectangle(control="area", label="Plate", x=15, y=20, width=30, height=30),
            item(
                "ellipselabels",
                "oval",
                {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0, "ellipselabels": ["Face"]},
                id="e",
            ),
        ],
        CONFIG,
        SIZE,
    )

    shapes = [(region.region_id, region.control, region.label, region.shape) for region in found.regions]
    assert shapes == [
        ("b", "brush", "Face", Shape.BRUSH),
        ("m", "bits", "Sky", Shape.BITMASK),
        ("p", "poly", "Tree", Shape.POLYGON),
        ("r1", "area", "Plate", Shape.RECTANGLE),
        ("e", "oval", "Face", Shape.ELLIPSE),
    ]
    for region in found.regions[:4]:
        np.testing.assert_array_equal(region.mask, SPOT)
    assert found.regions[4].mask[3:7, 9:11].all()
    assert not found.regions[4].mask[:, :7].any()
    assert found.problems == ()
    assert found.prompts == ()


def test_a_turned_rectangle_covers_what_it_covers_on_the_screen() -> None:
    turned = rectangle(control="area", label="Plate", x=50, y=20, width=10, height=60, rotation=90)

    (region,) = regions_from_results([turned], CONFIG, SIZE).regions

    np.testing.assert_array_equal(region.mask, mask_of(slice(2, 4), slice(4, 10)))


def test_turning_the_image_on_the_screen_moves_nothing() -> None:
    (upright,) = regions_from_results([brush(SPOT, "Face")], CONFIG, SIZE).regions
    (turned,) = regions_from_results([brush(SPOT, "Face", image_rotation=90)], CONFIG, SIZE).regions

    np.testing.assert_array_equal(turned.mask, upright.mask)


def test_a_region_with_several_labels_is_a_region_for_each() -> None:
    found = regions_from_results([brush(SPOT, "Face", "Tree", "Face")], CONFIG, SIZE)

    assert [(region.region_id, region.label) for region in found.regions] == [("r1", "Face"), ("r1", "Tree")]


def test_keypoints_and_smart_rectangles_are_prompts_and_never_regions() -> None:
    found = regions_from_results([keypoint(), rectangle()], CONFIG, SIZE)

    assert found.regions == ()
    assert [prompt.label for prompt in found.prompts] == ["Face", "Face"]
    assert found.prompts[0].point is not None
    assert found.prompts[1].box is not None


def test_prompts_do_not_have_to_fit_the_image() -> None:
    found = regions_from_results([keypoint(original_width=5, x=1000), keypoint(x="left")], CONFIG, SIZE)

    assert found.prompts == (LeftPrompt("Face"), LeftPrompt("Face"))


@pytest.mark.parametrize("prompted", [False, True])
def test_a_label_that_the_config_does_not_have_is_never_taken_for_kept(prompted) -> None:
    point = {"x": 50, "y": 50, "width": 0.2, "keypointlabels": ["Old"]}
    stranger = item("keypointlabels", "kp", point) if prompted else brush(SPOT, "Old")

    with pytest.raises(UnknownRegionError, match='label "Old"'):
        regions_from_results([stranger, brush(OTHER_SPOT, "Face")], CONFIG, SIZE)


def test_a_config_that_takes_labels_from_its_tasks_may_have_any() -> None:
    config = LabelConfig.from_xml(
        '<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image" value="$names">'
        '<Label value="Face" clean="remove"/></BrushLabels></View>'
    )

    assert [region.label for region in regions_from_results([brush(SPOT, "Old")], config, SIZE).regions] == ["Old"]


def test_a_rectangle_of_an_unknown_control_may_have_been_a_region() -> None:
    with pytest.raises(UnknownRegionError, match='drawn with "gone"'):
        regions_from_results([rectangle(control="gone"), brush(SPOT, "Face")], CONFIG, SIZE)


def test_a_brush_stroke_of_an_unknown_control_is_a_region_and_told_of() -> None:
    found = regions_from_results([brush(SPOT, "Face", from_name="gone")], CONFIG, SIZE)

    assert [region.shape for region in found.regions] == [Shape.BRUSH]
    assert found.problems == ('a region was drawn with "gone", which the labelling config no longer has',)


def test_choices_texts_and_relations_are_no_regions() -> None:
    found = regions_from_results(
        [
            item("choices", "ok", {"choices": ["yes"]}, original_width=...),
            item("textarea", "note", {"text": ["x"]}),
            ResultItem.parse({"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}),
        ],
        CONFIG,
        SIZE,
    )

    assert (found.regions, found.prompts, found.problems) == ((), (), ())


def test_labels_beside_a_bare_brush_are_joined_by_the_regions_id() -> None:
    bare = {"format": "rle", "rle": rle_from_mask(SPOT)}
    found = regions_from_results(
        [item("brush", "bare", bare), item("labels", "names", bare | {"labels": ["Car"]})], CONFIG, SIZE
    )

    assert [(region.region_id, region.label) for region in found.regions] == [("r1", "Car")]


def test_a_region_without_a_label_is_kept_and_told_of() -> None:
    found = regions_from_results([brush(SPOT)], CONFIG, SIZE)

    assert [region.label for region in found.regions] == [""]
    assert found.problems == ("a region has no label, so it is kept as it is",)


def test_regions_of_one_id_can_be_told_apart() -> None:
    items = [brush(SPOT, "Face"), brush(OTHER_SPOT, "Tree"), brush(SPOT, "Tree", id=""), brush(SPOT, "Tree", id="")]

    found = regions_from_results(items, CONFIG, SIZE)

    assert [region.region_id for region in found.regions] == ["r1", "r1#1", "#2", "#3"]


# One drawing, several items: what Label Studio's frontend makes of labels of several controls.


def twin_of(original: ResultItem, kind: str, control: str, label: str) -> ResultItem:
    """The result of another control whose label was given to the same region."""
    value = {name: part for name, part in original.value.items() if not name.endswith("labels")}
    return original.model_copy(update={"type": kind, "from_name": control, "value": value | {kind: [label]}})


def test_a_click_that_also_has_a_rectangles_label_is_one_click() -> None:
    click = keypoint(is_positive=False)

    for items in permutations([click, twin_of(click, "rectanglelabels", "box", "Face")]):
        (prompt,) = prompt_items(items, CONFIG)
        assert prompt.point == pytest.approx(Point(9.5, 4.5, positive=False))


def test_a_box_that_also_has_a_keypoints_label_is_one_box() -> None:
    for items in permutations([rectangle(), twin_of(rectangle(), "keypointlabels", "kp", "Face")]):
        (prompt,) = prompt_items(items, CONFIG)
        assert prompt.box == pytest.approx(Box(2, 2, 8, 6))


def test_a_click_that_also_has_a_brushs_label_is_no_broken_brush_stroke() -> None:
    click = keypoint()

    found = regions_from_results([click, twin_of(click, "brushlabels", "brush", "Tree")], CONFIG, SIZE)

    assert found.regions == ()
    assert {prompt.label for prompt in found.prompts} == {"Face", "Tree"}


def test_a_brush_stroke_that_was_given_another_controls_label_too_has_both() -> None:
    stroke = brush(SPOT, "Tree")

    for items in permutations([stroke, twin_of(stroke, "keypointlabels", "kp", "Face")]):
        found = regions_from_results(items, CONFIG, SIZE)
        assert {region.label for region in found.regions} == {"Tree", "Face"}
        assert {(region.region_id, region.control, region.shape) for region in found.regions} == {
            ("r1", "brush", Shape.BRUSH)
        }
        assert found.prompts == ()


def test_a_brush_stroke_that_only_has_another_controls_label_is_still_a_region() -> None:
    relabelled = twin_of(brush(SPOT, "Tree"), "keypointlabels", "kp", "Face")

    (region,) = regions_from_results([relabelled], CONFIG, SIZE).regions

    assert (region.label, region.shape) == ("Face", Shape.BRUSH)
    np.testing.assert_array_equal(region.mask, SPOT)


def test_a_rectangle_that_may_have_been_drawn_as_a_region_is_one() -> None:
    smart = rectangle()
    both = [smart, twin_of(smart, "rectanglelabels", "area", "Plate")]
    relabelled = twin_of(smart, "brushlabels", "brush", "Face")

    assert {region.label for region in regions_from_results(both, CONFIG, SIZE).regions} == {"Face", "Plate"}
    assert {region.label for region in regions_from_results([relabelled], CONFIG, SIZE).regions} == {"Face"}


def test_labels_of_several_controls_are_carried_over_together() -> None:
    stroke = brush(SPOT, "Tree")
    items = [stroke, twin_of(stroke, "bitmasklabels", "bits", "Sky")]

    again = [ResultItem.parse(carried) for carried in kept_items(items, {"r1"})]

    assert [(one.id, one.from_name) for one in again] == [("r1", "brush"), ("r1", "bits")]
    assert {region.label for region in regions_from_results(again, CONFIG, SIZE).regions} == {"Tree", "Sky"}


def test_texts_and_choices_about_one_region_are_never_carried_over() -> None:
    stroke = brush(SPOT, "Tree")
    note = stroke.model_copy(update={"type": "textarea", "value": stroke.value | {"text": ["AB 123"]}})

    assert [carried["type"] for carried in kept_items([stroke, note], {"r1"})] == ["brushlabels"]


@pytest.mark.parametrize("width", [0, -20, 1e9, 19, 21, 20.5, float("nan"), float("inf"), ...])
def test_a_region_of_another_size_than_the_image_is_refused(width) -> None:
    with pytest.raises(SizeMismatchError, match="20×10"):
        regions_from_results([brush(SPOT, "Face", original_width=width)], CONFIG, SIZE)
    with pytest.raises(SizeMismatchError, match="20×10"):
        regions_from_results([polygon([[0, 0], [9, 0], [9, 9]], original_width=width)], CONFIG, SIZE)


def test_a_region_drawn_on_the_image_before_it_was_turned_upright_is_refused() -> None:
    with pytest.raises(SizeMismatchError, match="10×20"):
        regions_from_results([brush(SPOT, "Face", original_width=10, original_height=20)], CONFIG, SIZE)


def test_a_region_on_another_picture_of_the_task_is_refused() -> None:
    assert regions_from_results([brush(SPOT, "Face", item_index=0)], CONFIG, SIZE).regions
    with pytest.raises(MaskError, match="another image"):
        regions_from_results([brush(SPOT, "Face", item_index=1)], CONFIG, SIZE)


@pytest.mark.parametrize(
    "rle", [[], [0], [-1], [0.5], [300], ["0"], "0,1", {}, None, [0, 18, 192, 0], rle_from_mask(SPOT)[:-4]]
)
def test_a_broken_rle_is_refused(rle) -> None:
    with pytest.raises(RleError):
        regions_from_results([item("brushlabels", "brush", {"rle": rle, "brushlabels": ["Face"]})], CONFIG, SIZE)


def test_a_brush_in_another_format_is_refused() -> None:
    value = {"format": "png", "rle": rle_from_mask(SPOT), "brushlabels": ["Face"]}

    with pytest.raises(RleError, match="no RLE"):
        regions_from_results([item("brushlabels", "brush", value)], CONFIG, SIZE)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [[1, 1], [2, 2]],
        [[1, 1], [1, 1], [1, 1]],
        [[1, 1], [2, 2], [3]],
        [[1, 1], [2, 2], [3, 3, 3]],
        [[1, 1], [2, 2], ["3", 3]],
        [[1, 1], [2, 2], [float("nan"), 3]],
        [[1, 1], [2, 2], [1e9, 3]],
        [[1, 1], [2, 2], 3],
        None,
        "1,1 2,2 3,3",
        {"0": [1, 1]},
    ],
)
def test_an_impossible_polygon_is_refused(points) -> None:
    with pytest.raises(PolygonError):
        regions_from_results([polygon(points)], CONFIG, SIZE)


def test_a_polygon_that_crosses_itself_is_covered_on_both_sides() -> None:
    (region,) = regions_from_results([polygon([[0, 0], [50, 0], [0, 100], [50, 100]])], CONFIG, SIZE).regions

    assert region.mask[1, 5]
    assert region.mask[8, 5]
    assert not region.mask[5, 1]


@pytest.mark.parametrize("sides", [{"width": 0}, {"width": -5}, {"x": None}, {"rotation": float("inf")}])
def test_an_impossible_rectangle_is_refused(sides) -> None:
    with pytest.raises(PolygonError):
        regions_from_results([rectangle(control="area", label="Plate", **sides)], CONFIG, SIZE)


@pytest.mark.parametrize("part", [{"radiusX": 0}, {"radiusY": -1}, {"radiusX": 1e12}, {"x": "5"}])
def test_an_impossible_ellipse_is_refused(part) -> None:
    value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0, "ellipselabels": ["Face"]} | part

    with pytest.raises(PolygonError):
        regions_from_results([item("ellipselabels", "oval", value)], CONFIG, SIZE)


def test_a_shape_beside_the_image_covers_nothing() -> None:
    (region,) = regions_from_results([polygon([[110, 0], [120, 0], [120, 50]])], CONFIG, SIZE).regions

    assert not region.mask.any()


def test_a_line_is_refused_if_its_label_is_to_be_removed_and_ignored_if_not() -> None:
    lane = item("vectorlabels", "line", {"vertices": [], "vectorlabels": ["Lane"]})
    face = item("vectorlabels", "line", {"vertices": [], "vectorlabels": ["Face"]})

    assert regions_from_results([lane], CONFIG, SIZE).regions == ()
    with pytest.raises(MaskError, match="no area that could be removed"):
        regions_from_results([face], CONFIG, SIZE)


def test_a_region_whose_value_is_no_object_does_not_get_this_far() -> None:
    with pytest.raises(PayloadError):
        ResultItem.parse({"type": "brushlabels", "value": "rle"})


# What is carried over


def test_a_kept_region_is_carried_over_as_it_was_without_anything_else() -> None:
    tree = brush(SPOT, "Tree", id="tree", origin="prediction")
    noted = ResultItem.parse(
        {
            **tree.model_dump(),
            "meta": {"text": ["belongs to N. N."]},
            "score": 0.5,
            "value": {**tree.value, "text": ["AB 123"], "touches": [1]},
        }
    )

    assert kept_items([keypoint(), noted, brush(SPOT, "Face", id="face")], {"tree"}) == [
        {
            "id": "tree",
            "from_name": "brush",
            "to_name": "image",
            "type": "brushlabels",
            "original_width": 20,
            "original_height": 10,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": rle_from_mask(SPOT), "brushlabels": ["Tree"]},
        }
    ]


def test_only_the_region_that_was_kept_is_carried_over_where_two_have_one_id() -> None:
    face, tree = brush(SPOT, "Face"), brush(OTHER_SPOT, "Tree")

    (carried,) = kept_items([face, tree], {"r1#1"})

    assert (carried["id"], carried["value"]["brushlabels"]) == ("r1#1", ["Tree"])


def test_a_bare_region_is_carried_over_with_the_item_that_names_it() -> None:
    bare = {"format": "rle", "rle": rle_from_mask(SPOT)}
    items = [item("brush", "bare", bare), item("labels", "names", bare | {"labels": ["Car"]})]

    assert [(carried["id"], carried["type"]) for carried in kept_items(items, {"r1"})] == [
        ("r1", "brush"),
        ("r1", "labels"),
    ]


def test_what_is_carried_over_is_read_as_the_same_region_again() -> None:
    items = [polygon([[15, 20], [45, 20], [45, 50], [15, 50]], id="p"), brush(SPOT, "Tree", id="b")]
    again = [ResultItem.parse(carried) for carried in kept_items(items, {"p", "b"})]

    before, after = (regions_from_results(some, CONFIG, SIZE).regions for some in (items, again))
    assert [region.region_id for region in after] == [region.region_id for region in before]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new.mask, old.mask)


# Suggestions


def suggest(mask: np.ndarray, label: str, config: LabelConfig = CONFIG) -> list[dict]:
    return result_items_from_mask(mask, score=0.9, region_id="s", label=label, config=config, to_name="image")


def test_a_brush_suggestion_is_what_label_studio_stores() -> None:
    assert suggest(SPOT, "Face") == [
        {
            "id": "s",
            "from_name": "brush",
            "to_name": "image",
            "type": "brushlabels",
            "origin": "manual",
            "original_width": 20,
            "original_height": 10,
            "image_rotation": 0,
            "score": 0.9,
            "readonly": False,
            "value": {"format": "rle", "rle": rle_from_mask(SPOT), "brushlabels": ["Face"]},
        }
    ]


def test_a_suggestion_comes_in_every_shape_the_label_has_each_with_its_own_id() -> None:
    assert [(made["id"], made["from_name"], made["type"]) for made in suggest(SPOT, "Plate")] == [
        ("s", "area", "rectanglelabels"),
        ("s-2", "poly", "polygonlabels"),
    ]


def test_a_box_suggestion_is_the_box_around_the_mask() -> None:
    assert suggest(SPOT, "Plate")[0]["value"] == {
        "x": 15,
        "y": 20,
        "width": 30,
        "height": 30,
        "rotation": 0,
        "rectanglelabels": ["Plate"],
    }


def test_a_mask_in_two_pieces_becomes_two_polygons() -> None:
    pieces = SPOT | mask_of(slice(7, 9), slice(12, 18))

    made = [one for one in suggest(pieces, "Tree") if one["type"] == "polygonlabels"]

    assert [one["id"] for one in made] == ["s-2", "s-2.2"]
    assert all(one["value"]["closed"] for one in made)


def test_a_bitmask_suggestion_is_read_back_as_it_was() -> None:
    (made,) = suggest(SPOT, "Sky")

    (region,) = regions_from_results([ResultItem.parse(made)], CONFIG, SIZE).regions
    np.testing.assert_array_equal(region.mask, SPOT)


@pytest.mark.parametrize("label", ["Lane", "Car", "nothing", ""])
def test_there_is_no_suggestion_for_a_label_that_no_control_can_show(label) -> None:
    assert suggest(SPOT, label) == []


# Approval


def annotation(*items: ResultItem, **fields: object) -> Annotation:
    return Annotation.parse({"id": 1, **fields}).model_copy(update={"result": items})


def test_what_was_submitted_is_approved_and_what_was_skipped_is_not() -> None:
    assert is_approved(annotation(), Approval())
    assert not is_approved(annotation(was_cancelled=True), Approval())


def test_the_star_is_what_counts_where_it_was_asked_for() -> None:
    star = Approval.from_text("ground_truth")

    assert is_approved(annotation(ground_truth=True), star)
    assert not is_approved(annotation(), star)
    assert not is_approved(annotation(ground_truth=True, was_cancelled=True), star)


def test_the_choice_is_what_counts_where_it_was_asked_for() -> None:
    approval = Approval.from_text("choice:ok=yes")

    def chosen(control: str, *values: object) -> Annotation:
        return annotation(item("choices", control, {"choices": list(values)}))

    assert is_approved(chosen("ok", "maybe", "yes"), approval)
    assert not is_approved(chosen("ok", "no"), approval)
    assert not is_approved(chosen("other", "yes"), approval)
    assert not is_approved(chosen("ok", ["yes"], 1), approval)
    assert not is_approved(annotation(), approval)
    assert not is_approved(annotation(item("textarea", "ok", {"choices": ["yes"]})), approval)


# Outlines


def test_all_that_has_an_area_is_an_outline_be_it_a_prompt_or_a_region() -> None:
    oval = item("ellipselabels", "oval", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["Face"]})
    stroke = brush(SPOT, "Tree", id="r3")
    shape = polygon([[0, 0], [50, 0], [50, 50]], "Plate", id="r4")

    found = outlines([rectangle(), keypoint(id="r0"), oval.model_copy(update={"id": "r2"}), stroke, shape], CONFIG)

    assert [(outline.id, outline.label, outline.shape, outline.is_upright) for outline in found] == [
        ("r1", "Face", Shape.RECTANGLE, True),
        ("r2", "Face", Shape.ELLIPSE, False),
        ("r3", "Tree", Shape.BRUSH, False),
        ("r4", "Plate", Shape.POLYGON, False),
    ]
    assert {outline.size for outline in found} == {SIZE}
    np.testing.assert_array_equal(found[0].mask(), mask_of(slice(2, 6), slice(2, 8)))
    np.testing.assert_array_equal(found[2].mask(), SPOT)


def test_a_turned_rectangle_is_an_outline_that_is_not_upright() -> None:
    (outline,) = outlines([rectangle(rotation=45)], CONFIG)

    assert not outline.is_upright
    assert 0 < outline.mask().sum() < SIZE.pixels


def test_an_outline_of_a_label_that_no_control_can_show_is_left_out() -> None:
    line = item("vectorlabels", "line", {"vertices": [], "vectorlabels": ["Face"]})
    unknown = rectangle(label="Nobody")

    assert outlines([unknown, line], CONFIG) == ()


@pytest.mark.parametrize("width", [None, 0, 1.5, 1_000_000])
def test_an_outline_on_an_impossible_image_is_refused(width: object) -> None:
    with pytest.raises(MaskError, match="impossible"):
        outlines([rectangle().model_copy(update={"original_width": width})], CONFIG)
