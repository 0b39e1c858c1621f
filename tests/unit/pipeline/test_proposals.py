from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest

from cleanplate.codecs.rle import mask_from_rle, rle_from_mask
from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.embeddings import ImageIdentity
from cleanplate.engines.protocols import Detection, Embedding, Segmentation
from cleanplate.errors import (
    EngineError,
    EngineMissingError,
    MaskError,
    PayloadError,
    PolicyError,
    SizeMismatchError,
)
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import Task
from cleanplate.pipeline.everything import MAX_REGIONS
from cleanplate.pipeline.proposals import OutOfTimeError, Proposal, Proposer
from cleanplate.pipeline.wishes import BOXES, OUTLINES, Kind, Wishes
from fakes.segmenters import SCORE, BrightThings

WIDTH, HEIGHT = 100, 80
CONFIG = LabelConfig.from_xml("""<View><Image name="image" value="$image"/>
<RectangleLabels name="rect" toName="image" smart="true"><Label value="Face"/><Label value="Mute"/></RectangleLabels>
<EllipseLabels name="oval" toName="image"><Label value="Face"/></EllipseLabels>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/><Label value="Plate"/></BrushLabels>
</View>""")
POLYGONS = LabelConfig.from_xml("""<View><Image name="image" value="$image"/>
<PolygonLabels name="poly" toName="image"><Label value="Face"/></PolygonLabels></View>""")
BRIGHT = (slice(20, 40), slice(30, 60))
OTHER = (slice(60, 70), slice(5, 15))
FROM_BOXES = Wishes(shapes=BOXES)
FROM_OUTLINES = Wishes(shapes=OUTLINES)


def scene() -> RgbImage:
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[BRIGHT] = image[OTHER] = 255
    return image


def drawn(region_id: str, kind: str, control: str, value: dict[str, Any], label: str = "Face") -> dict[str, Any]:
    return {
        "id": region_id,
        "from_name": control,
        "to_name": "image",
        "type": kind,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "value": value | {kind: [label]},
    }


def rectangle(
    left: float,
    top: float,
    right: float,
    bottom: float,
    *,
    region_id: str = "r",
    label: str = "Face",
    turned: float = 0,
) -> dict[str, Any]:
    value = {"x": left, "y": top / HEIGHT * 100, "width": right - left, "height": (bottom - top) / HEIGHT * 100}
    return drawn(region_id, "rectanglelabels", "rect", value | {"rotation": turned}, label)


def polygon(*points: tuple[float, float]) -> dict[str, Any]:
    return drawn("p", "polygonlabels", "poly", {"points": [[x, y / HEIGHT * 100] for x, y in points], "closed": True})


def task(*items: dict[str, Any], **more: Any) -> Task:
    annotations = [{"id": 1, "result": list(items)}] if items else []
    return Task.parse({"id": 5, "data": {"image": "/data/a.png"}, "annotations": annotations, **more})


def masks(proposal: Proposal | None) -> list[Mask]:
    assert proposal is not None
    return [mask_from_rle(item["value"]["rle"], width=WIDTH, height=HEIGHT) for item in proposal.result]


def mask_of(place: tuple[slice, slice]) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[place] = True
    return mask


class Finder:
    """Finds what it is told to."""

    version = "finder-1"
    kinds = ("face", "plate")

    def __init__(self, *found: Detection) -> None:
        self.found = found

    def detect(self, image: RgbImage, *, kinds: Collection[str] | None = None) -> tuple[Detection, ...]:  # noqa: ARG002
        return tuple(one for one in self.found if kinds is None or one.kind in kinds)


class Bench:
    """A proposer on stand-ins."""

    def __init__(
        self,
        *,
        segmenter: BrightThings | None = None,
        detector: Finder | None = None,
        image: RgbImage | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.segmenter = segmenter or BrightThings()
        self.asked_for: list[ImageIdentity] = []
        self.image = scene() if image is None else image
        self.proposer = Proposer(
            segmenter=self.segmenter,
            detector=lambda: detector,
            embedding=lambda identity: self.segmenter.embed(self.fetched(identity)),
            image=self.fetched,
            label_studio_url="http://ls",
            max_pixels=1_000_000,
            clock=clock,
        )

    def fetched(self, identity: ImageIdentity) -> RgbImage:
        self.asked_for.append(identity)
        return self.image

    def propose(
        self, of: Task, wishes: Wishes, config: LabelConfig = CONFIG, *, until: float | None = None
    ) -> Proposal | None:
        return self.proposer.propose(of, project_id=3, config=config, wishes=wishes, until=until)


# From boxes


def test_a_box_becomes_the_mask_of_what_is_in_it() -> None:
    proposal = Bench().propose(task(rectangle(28, 18, 63, 43)), FROM_BOXES)

    (mask,) = masks(proposal)
    np.testing.assert_array_equal(mask, mask_of(BRIGHT))
    assert [(item["from_name"], item["value"]["brushlabels"]) for item in proposal.result] == [("brush", ["Face"])]


def test_an_object_may_reach_a_little_out_of_an_upright_box() -> None:
    (mask,) = masks(Bench().propose(task(rectangle(32, 22, 58, 38)), FROM_BOXES))

    np.testing.assert_array_equal(mask, mask_of((slice(20, 40), slice(30, 60))))


def test_a_turned_box_holds_its_mask() -> None:
    bench = Bench(image=np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8))

    (mask,) = masks(bench.propose(task(rectangle(50, 10, 80, 40, turned=45)), FROM_BOXES))

    assert mask[30, 50]
    assert not mask[12, 30]
    assert not mask[50, 70]
    box = bench.segmenter.prompts[0].box
    assert box is not None
    assert (round(box.left), round(box.top), round(box.right)) == (28, 10, 72)


def test_several_boxes_are_several_masks_with_ids_of_their_own() -> None:
    of = task(rectangle(28, 18, 63, 43, region_id="a"), rectangle(3, 58, 18, 73, region_id="b"))

    first, second = Bench().propose(of, FROM_BOXES), Bench().propose(of, FROM_BOXES)

    assert first is not None
    assert second is not None
    assert first.regions == 2
    assert len({item["id"] for item in first.result}) == 2
    assert [item["id"] for item in first.result] == [item["id"] for item in second.result]


def test_a_label_that_no_control_can_show_gets_no_mask() -> None:
    bench = Bench()

    assert bench.propose(task(rectangle(28, 18, 63, 43, label="Mute")), FROM_BOXES) is None
    assert bench.asked_for == []


def test_a_box_beside_the_image_is_passed_over() -> None:
    assert Bench().propose(task(rectangle(-40, 18, -20, 43)), FROM_BOXES) is None


def test_what_was_not_wished_for_is_left_alone() -> None:
    assert Bench().propose(task(rectangle(28, 18, 63, 43)), FROM_OUTLINES) is None


# From outlines


def test_a_polygon_holds_its_mask() -> None:
    of = task(polygon((20, 10), (45, 10), (45, 50), (20, 50)))

    proposal = Bench().propose(of, FROM_OUTLINES, POLYGONS)

    assert proposal is not None
    (item,) = proposal.result
    right = max(x for x, _ in item["value"]["points"])
    assert item["type"] == "polygonlabels"
    assert right == pytest.approx(47, abs=1.1)


def test_a_segmenter_that_takes_sketches_is_asked_with_a_box_points_and_the_polygon_itself() -> None:
    class Sketcher(BrightThings):
        takes_sketches = True

    bench = Bench(segmenter=Sketcher())

    bench.propose(task(polygon((20, 10), (60, 10), (20, 50))), FROM_OUTLINES, POLYGONS)

    prompt = bench.segmenter.prompts[0]
    assert prompt.box == Box(20, 10, 60, 50)
    assert {point.positive for point in prompt.points} == {True, False}
    assert prompt.previous is not None


def test_another_segmenter_is_asked_with_the_box_alone() -> None:
    bench = Bench()

    bench.propose(task(polygon((20, 10), (60, 10), (20, 50))), FROM_OUTLINES, POLYGONS)

    prompt = bench.segmenter.prompts[0]
    assert (prompt.box, prompt.points, prompt.previous) == (Box(20, 10, 60, 50), (), None)


def test_ellipses_and_brush_strokes_are_outlines_too() -> None:
    oval = drawn("o", "ellipselabels", "oval", {"x": 45, "y": 37.5, "radiusX": 25, "radiusY": 25, "rotation": 0})
    stroke = drawn("s", "brushlabels", "brush", {"format": "rle", "rle": rle_from_mask(mask_of(OTHER))}, "Plate")

    proposal = Bench().propose(task(oval, stroke), FROM_OUTLINES)

    first, second = masks(proposal)
    np.testing.assert_array_equal(first, mask_of(BRIGHT))
    np.testing.assert_array_equal(second, mask_of(OTHER))


def test_an_outline_can_be_taken_for_the_mask_without_a_look_at_the_image() -> None:
    bench = Bench()
    stroke = drawn("s", "brushlabels", "brush", {"format": "rle", "rle": rle_from_mask(mask_of(OTHER))})

    proposal = bench.propose(task(stroke), Wishes(shapes=OUTLINES, as_drawn=True))

    np.testing.assert_array_equal(masks(proposal)[0], mask_of(OTHER))
    assert proposal.score == 1
    assert bench.asked_for == []


def test_an_object_that_the_segmenter_does_not_see_keeps_its_outline_and_is_least_certain() -> None:
    class Elsewhere(BrightThings):
        def segment(self, embedding, prompt):
            answer = super().segment(embedding, prompt)
            return type(answer)(mask=mask_of(OTHER), score=0.9, logits=answer.logits)

    bench = Bench(segmenter=Elsewhere())
    stroke = drawn("s", "brushlabels", "brush", {"format": "rle", "rle": rle_from_mask(mask_of(BRIGHT))})

    proposal = bench.propose(task(stroke), FROM_OUTLINES)

    np.testing.assert_array_equal(masks(proposal)[0], mask_of(BRIGHT))
    assert proposal.score == 0


# Scores


def test_a_steady_answer_keeps_the_segmenters_score() -> None:
    proposal = Bench().propose(task(rectangle(28, 18, 63, 43)), FROM_BOXES)

    assert proposal is not None
    assert proposal.score == pytest.approx(SCORE)


def test_an_answer_that_changes_with_the_prompt_is_less_certain_and_the_least_certain_counts() -> None:
    of = task(rectangle(28, 18, 63, 43, region_id="a"), rectangle(70, 50, 95, 75, region_id="nothing there"))

    proposal = Bench().propose(of, FROM_BOXES)

    assert proposal is not None
    scores = [item["score"] for item in proposal.result]
    assert scores[0] == pytest.approx(SCORE)
    assert scores[1] < 0.9 * SCORE
    assert proposal.score == scores[1]


def test_without_a_look_at_its_steadiness_an_object_is_asked_for_once() -> None:
    bench = Bench()

    proposal = bench.proposer.propose(
        task(rectangle(70, 50, 95, 75)), project_id=3, config=CONFIG, wishes=FROM_BOXES, steadiness=False
    )

    assert proposal is not None
    assert (len(bench.segmenter.prompts), proposal.score) == (1, SCORE)


# What a detector finds


def test_what_is_detected_becomes_a_mask_of_the_label_that_speaks_of_it() -> None:
    found = Detection("plate", Box(6, 61, 14, 69), 0.5)

    proposal = Bench(detector=Finder(found)).propose(task(), Wishes(kinds=(Kind("plates"),)))

    np.testing.assert_array_equal(masks(proposal)[0], mask_of(OTHER))
    assert proposal.result[0]["value"]["brushlabels"] == ["Plate"]
    assert proposal.score == pytest.approx(0.5 * SCORE)


def test_what_the_detector_is_not_sure_of_is_not_proposed() -> None:
    found = Detection("face", Box(30, 20, 60, 40), 0.4)

    assert Bench(detector=Finder(found)).propose(task(), Wishes(kinds=(Kind("face"),))) is None


def test_what_was_drawn_is_not_proposed_a_second_time() -> None:
    found = Detection("face", Box(31, 21, 59, 39), 0.9)
    wishes = Wishes(shapes=BOXES, kinds=(Kind("face"),))

    proposal = Bench(detector=Finder(found)).propose(task(rectangle(28, 18, 63, 43)), wishes)

    assert proposal is not None
    assert proposal.regions == 1


def test_a_detector_that_is_missing_or_cannot_find_it_is_told_before_anything_is_done() -> None:
    with pytest.raises(EngineMissingError, match="CLEANPLATE_DETECTOR"):
        Bench().proposer.require(Wishes(kinds=(Kind("face"),)), CONFIG)
    with pytest.raises(EngineError, match="cannot find 'dog'"):
        Bench(detector=Finder()).proposer.require(Wishes(kinds=(Kind("dog"),)), CONFIG)


def test_a_label_or_a_control_that_is_missing_is_told_before_anything_is_done() -> None:
    proposer = Bench(detector=Finder()).proposer
    mute = LabelConfig.from_xml("<View><Image name='image' value='$image'/></View>")

    with pytest.raises(PolicyError, match="plate=LABEL"):
        proposer.require(Wishes(kinds=(Kind("plate"),)), POLYGONS)
    with pytest.raises(PolicyError, match='"Nobody"'):
        proposer.require(Wishes(kinds=(Kind("face", "Nobody"),)), POLYGONS)
    with pytest.raises(PolicyError, match="no control that could show a mask"):
        proposer.require(FROM_BOXES, mute)
    proposer.require(Wishes(kinds=(Kind("face"),)), POLYGONS)


# Whose work counts


def test_one_persons_work_counts_so_that_no_object_counts_twice() -> None:
    one, two, three = (rectangle(28, 18, 63, 43, region_id=name) for name in "abc")
    annotations = [
        {"id": 1, "result": [one], "updated_at": "2026-11-20T10:00:00Z"},
        {"id": 2, "result": [two], "updated_at": "2026-11-20T12:00:00Z"},
        {"id": 3, "result": [one, three], "updated_at": "2026-11-20T13:00:00Z", "was_cancelled": True},
    ]

    def ids(*of: dict[str, Any], drafts: tuple[dict[str, Any], ...] = ()) -> list[str]:
        bench = Bench()
        given = task(annotations=list(of), drafts=list(drafts))
        proposal = bench.propose(given, FROM_BOXES)
        return [] if proposal is None else [item["id"] for item in proposal.result]

    only_one, only_two = ids(annotations[0]), ids(annotations[1])
    assert ids(*annotations) == only_two
    assert ids(annotations[0] | {"ground_truth": True}, annotations[1]) == only_one
    assert ids(annotations[2]) == []
    assert ids(drafts=({"id": 9, "result": [two]},)) == only_two
    assert ids(annotations[0], drafts=({"id": 9, "result": [two]},)) == only_one


# What goes wrong


def test_a_box_drawn_on_an_image_of_another_size_is_refused() -> None:
    wrong = rectangle(28, 18, 63, 43, turned=10) | {"original_width": 50}

    with pytest.raises(SizeMismatchError, match="50×80"):
        Bench().propose(task(wrong), FROM_BOXES)


def test_an_upright_box_drawn_on_an_image_of_another_size_is_refused_as_well() -> None:
    with pytest.raises(SizeMismatchError, match="50×80"):
        Bench().propose(task(rectangle(28, 18, 63, 43) | {"original_width": 50}), FROM_BOXES)


def test_a_drawing_that_claims_a_huge_image_makes_no_mask() -> None:
    wrong = rectangle(28, 18, 63, 43) | {"original_width": 90_000, "original_height": 90_000}

    with pytest.raises(MaskError, match="90000×90000"):
        Bench().propose(task(wrong), FROM_BOXES)


def test_a_task_without_an_image_is_refused() -> None:
    with pytest.raises(PayloadError, match='<Image name="image">'):
        Bench().propose(task(rectangle(28, 18, 63, 43), data={}), FROM_BOXES)


def test_after_its_time_nothing_of_a_task_is_kept() -> None:
    times = iter((0.0, 2.0))
    of = task(rectangle(28, 18, 63, 43, region_id="a"), rectangle(3, 58, 18, 73, region_id="b"))

    with pytest.raises(OutOfTimeError):
        Bench(clock=lambda: next(times)).propose(of, FROM_BOXES, until=1.0)


# Everything


class SeesAll(BrightThings):
    """Sees these things by itself."""

    def __init__(self, *things: tuple[Mask, float]) -> None:
        super().__init__()
        self.things = things

    def survey(self, embedding: Embedding) -> tuple[Segmentation, ...]:  # noqa: ARG002  the real one's signature
        return tuple(Segmentation(mask, score, np.where(mask, 8, -8).astype(np.float32)) for mask, score in self.things)


def part(left: int, top: int, right: int, bottom: int) -> Mask:
    return mask_of((slice(top, bottom), slice(left, right)))


EVERYTHING = Wishes(everything="Face")


def test_everything_that_the_segmenter_sees_becomes_regions_of_the_label() -> None:
    things = ((part(10, 10, 30, 30), 0.9), (part(50, 10, 70, 30), 0.6))

    proposal = Bench(segmenter=SeesAll(*things)).propose(task(), EVERYTHING)

    assert proposal is not None
    assert [mask.tobytes() for mask in masks(proposal)] == [mask.tobytes() for mask, _ in things]
    assert [item["score"] for item in proposal.result] == [0.9, 0.6]
    assert (proposal.regions, proposal.score) == (2, 0.6)
    assert len({item["id"] for item in proposal.result}) == 2
    assert {label for item in proposal.result for label in item["value"]["brushlabels"]} == {"Face"}


def test_its_regions_do_not_overlap_and_a_part_of_one_is_none() -> None:
    things = (part(10, 10, 30, 30), part(25, 10, 45, 30), part(12, 12, 20, 28))

    bench = Bench(segmenter=SeesAll(*((mask, 0.9) for mask in things)))
    first, second = masks(bench.propose(task(), EVERYTHING))

    np.testing.assert_array_equal(first, things[0])
    np.testing.assert_array_equal(second, part(30, 10, 45, 30))


def test_specks_and_the_ground_are_not_among_everything() -> None:
    ground, speck = part(0, 0, 100, 41), part(5, 50, 6, 51)
    thing = part(10, 10, 30, 30) | speck

    bench = Bench(segmenter=SeesAll((ground, 0.9), (speck, 0.8), (thing, 0.7)))
    (found,) = masks(bench.propose(task(), EVERYTHING))

    np.testing.assert_array_equal(found, part(10, 10, 30, 30))


def test_of_very_much_the_most_certain_is_proposed() -> None:
    things = [(part(x, y, x + 4, y + 4), 0.9) for y in range(0, 80, 5) for x in range(0, 100, 5)]

    proposal = Bench(segmenter=SeesAll(*things)).propose(task(), EVERYTHING)

    assert proposal is not None
    assert proposal.regions == MAX_REGIONS < len(things)


def test_what_was_masked_from_a_drawing_is_not_proposed_again() -> None:
    things = ((mask_of(BRIGHT), 0.9), (mask_of(OTHER), 0.8))
    wishes = Wishes(shapes=BOXES, everything="Face")

    proposal = Bench(segmenter=SeesAll(*things)).propose(task(rectangle(28, 18, 63, 43)), wishes)

    drawn, seen = masks(proposal)
    np.testing.assert_array_equal(drawn, mask_of(BRIGHT))
    np.testing.assert_array_equal(seen, mask_of(OTHER))


@pytest.mark.parametrize(
    ("segmenter", "label", "error", "message"),
    [
        (SeesAll(), "", PolicyError, "one of Face, Plate"),
        (SeesAll(), "Mute", PolicyError, '"Mute": the labels with masks are Face, Plate'),
        (BrightThings(), "Face", EngineError, "by itself"),
    ],
)
def test_everything_needs_a_label_and_a_segmenter_that_looks_by_itself(segmenter, label, error, message) -> None:
    with pytest.raises(error, match=message):
        Bench(segmenter=segmenter).proposer.require(Wishes(everything=label), CONFIG)


def test_the_only_label_that_masks_are_shown_of_need_not_be_named() -> None:
    bench = Bench(segmenter=SeesAll((part(10, 10, 30, 30), 0.9)))
    wishes = Wishes(everything="")

    bench.proposer.require(wishes, POLYGONS)
    proposal = bench.propose(task(), wishes, POLYGONS)

    assert proposal is not None
    assert proposal.result[0]["value"]["polygonlabels"] == ["Face"]
