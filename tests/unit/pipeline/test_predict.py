import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import structlog

from cleanplate.codecs.rle import mask_from_rle, rle_from_mask
from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Mask, RgbImage, Size, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.embeddings import EmbeddingCache
from cleanplate.engines.protocols import Embedding, Segmentation
from cleanplate.errors import (
    EngineMemoryError,
    LabelStudioUnreachableError,
    MediaUnavailableError,
    PayloadError,
    PolicyError,
    PromptError,
    SizeMismatchError,
)
from cleanplate.label_studio.payloads import PredictRequest, Task
from cleanplate.pipeline.predict import AHEAD, MAX_PROMPTS, Event, Predictor
from cleanplate.pipeline.turns import Conversations

WAIT_S = 10
WIDTH, HEIGHT = 200, 150
CONFIG = """
<View><Image name="image" value="$image"/>
<KeyPointLabels name="kp" toName="image" smart="true"><Label value="Face"/><Label value="Plate"/></KeyPointLabels>
<RectangleLabels name="rect" toName="image" smart="true"><Label value="Face"/><Label value="Plate"/></RectangleLabels>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/></BrushLabels>
<TextArea name="prompt" toName="image"/></View>
"""
ALL_SHAPES = CONFIG.replace(
    "<TextArea",
    '<PolygonLabels name="poly" toName="image"><Label value="Face"/></PolygonLabels>'
    '<RectangleLabels name="box" toName="image" smart="false"><Label value="Face"/></RectangleLabels><TextArea',
)


# What Label Studio sends


def item(prompt_id: str, value: dict[str, Any], *, kind: str, control: str, **more: object) -> dict[str, Any]:
    frame = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    names = {"id": prompt_id, "from_name": control, "to_name": "image", "type": kind, "origin": "manual"}
    return frame | names | {"value": value} | more


def click(
    prompt_id: str, x: float, y: float, *, label: str = "Face", positive: bool = True, **more: object
) -> dict[str, Any]:
    """A click on the pixel (x, y)."""
    value = {"x": (x + 0.5) / WIDTH * 100, "y": (y + 0.5) / HEIGHT * 100, "width": 0.23, "keypointlabels": [label]}
    return item(prompt_id, value, kind="keypointlabels", control="kp", is_positive=positive, **more)


def box(prompt_id: str, left: float, top: float, right: float, bottom: float, *, label: str = "Face") -> dict[str, Any]:
    value = {
        "x": left / WIDTH * 100,
        "y": top / HEIGHT * 100,
        "width": (right - left) / WIDTH * 100,
        "height": (bottom - top) / HEIGHT * 100,
        "rotation": 0,
        "rectanglelabels": [label],
    }
    return item(prompt_id, value, kind="rectanglelabels", control="rect")


def brush(region_id: str, mask: Mask, *, label: str = "Face") -> dict[str, Any]:
    value = {"format": "rle", "rle": rle_from_mask(mask), "brushlabels": [label]}
    return item(region_id, value, kind="brushlabels", control="brush")


def request(
    *items: dict[str, Any],
    task_id: int = 7,
    url: str = "/data/upload/1/a.png",
    config: str = CONFIG,
    data: dict[str, Any] | None = None,
    **task: object,
) -> PredictRequest:
    return PredictRequest.parse(
        {
            "tasks": [{"id": task_id, "project": 1, "data": data or {"image": url}, **task}],
            "project": "1.1795175793",
            "label_config": config,
            "params": {"login": None, "password": None, "context": {"result": list(items)}},
        }
    )


def opened(*task_ids: int, config: str = CONFIG) -> PredictRequest:
    tasks = [{"id": task_id, "project": 1, "data": {"image": f"/data/{task_id}.png"}} for task_id in task_ids]
    return PredictRequest.parse({"tasks": tasks, "project": "1.1", "label_config": config, "params": {"context": None}})


# What stands behind the predictor


@dataclass(frozen=True)
class Prepared:
    image: RgbImage
    size_bytes: int = 100

    @property
    def size(self) -> Size:
        return size_of(self.image)


class CountingSegmenter:
    """Starts from the earlier mask or the box, adds 21×21 pixels per positive click, cuts 5×5 out per negative."""

    version = "fake-1"

    def __init__(self) -> None:
        self.embedded = 0
        self.prompts: list[Prompt] = []
        self.score = 0.9
        self.before_answer: Callable[[], None] = lambda: None

    def embed(self, image: RgbImage) -> Prepared:
        self.embedded += 1
        return Prepared(image)

    def segment(self, embedding: Embedding, prompt: Prompt) -> Segmentation:
        self.prompts.append(prompt)
        self.before_answer()
        size = embedding.size
        mask = np.zeros((size.height, size.width), dtype=np.bool_)
        if prompt.previous is not None:
            mask |= prompt.previous > 0
        elif prompt.box is not None:
            mask[prompt.box.slices(size)] = True
        for point in prompt.points:
            (x, y), reach = point.pixel(size), 10 if point.positive else 2
            around = Box(x - reach, y - reach, x + reach + 1, y + reach + 1)
            mask[around.slices(size)] = point.positive
        return Segmentation(mask=mask, score=self.score, logits=np.where(mask, 8, -8).astype(np.float32))


class ChoosingSegmenter(CountingSegmenter):
    """The same, and a click may also mean a smaller or a larger square around it."""

    def candidates(self, embedding: Embedding, clicks: tuple[Point, ...]) -> tuple[Segmentation, ...]:
        size = embedding.size
        found = []
        for reach in (10, 4, 30):
            mask = np.zeros((size.height, size.width), dtype=np.bool_)
            x, y = clicks[0].pixel(size)
            mask[Box(x - reach, y - reach, x + reach + 1, y + reach + 1).slices(size)] = True
            found.append(Segmentation(mask, 1 / reach, np.where(mask, 8, -8).astype(np.float32)))
        return tuple(found)


class CountingMedia:
    """Serves an image whose size its address may name."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.error: Exception | None = None
        self.before_answer: Callable[[], None] = lambda: None

    def fetch(self, url: str, *, project_id: int, task_id: int) -> bytes:  # noqa: ARG002  the real one's signature
        self.fetched.append(url)
        self.before_answer()
        if self.error is not None:
            raise self.error
        return url.encode()


def image_of(data: bytes) -> RgbImage:
    """An image that differs with the bytes it is read from."""
    return np.full((HEIGHT, WIDTH, 3), sum(data) % 256, dtype=np.uint8)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


class Service:
    """A predictor on stand-ins."""

    def __init__(
        self,
        *,
        segmenter: CountingSegmenter | None = None,
        warms: bool = False,
        following: Callable[[int, int], Iterable[Task]] | None = None,
    ) -> None:
        self.segmenter = segmenter or CountingSegmenter()
        self.media = CountingMedia()
        self.embeddings = EmbeddingCache(10_000)
        self.conversations = Conversations()
        self.predictor = Predictor(
            segmenter=self.segmenter,
            media=self.media,
            read_image=image_of,
            embeddings=self.embeddings,
            conversations=self.conversations,
            label_studio_url="http://ls",
            warms=warms,
            following=following or (lambda _project_id, _task_id: ()),
            clock=Clock(),
        )

    def ask(self, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
        (prediction,) = self.predictor.predict(request(*items, **more))
        return prediction

    def masks(self, *items: dict[str, Any], **more: Any) -> dict[str, Mask]:
        """The masks of a request's answer by region id."""
        result = self.ask(*items, **more)["result"]
        return {each["id"]: mask_from_rle(each["value"]["rle"], width=WIDTH, height=HEIGHT) for each in result}


@pytest.fixture
def service() -> Service:
    return Service()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"


# The answer


def test_a_click_becomes_a_brush_region_of_its_label(service) -> None:
    prediction = service.ask(click("a", 50, 60))

    (region,) = prediction["result"]
    mask = mask_from_rle(region["value"].pop("rle"), width=WIDTH, height=HEIGHT)
    assert np.argwhere(mask).min(axis=0).tolist() == [50, 40]
    assert np.argwhere(mask).max(axis=0).tolist() == [70, 60]
    assert len(region.pop("id")) == 10
    assert region == {
        "from_name": "brush",
        "to_name": "image",
        "type": "brushlabels",
        "origin": "manual",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "score": 0.9,
        "readonly": False,
        "value": {"format": "rle", "brushlabels": ["Face"]},
    }
    assert prediction["score"] == 0.9
    assert prediction["model_version"] == "fake-1"


def test_an_answer_has_the_shape_of_every_control_that_can_show_the_label(service) -> None:
    result = service.ask(click("a", 50, 60), config=ALL_SHAPES)["result"]

    assert [(each["from_name"], each["type"]) for each in result] == [
        ("brush", "brushlabels"),
        ("poly", "polygonlabels"),
        ("box", "rectanglelabels"),
    ]
    assert all(each["value"][each["type"]] == ["Face"] for each in result)


def test_the_score_of_an_answer_is_that_of_its_worst_region(service) -> None:
    service.ask(box("a", 10, 10, 30, 30))
    service.segmenter.score = 0.4

    assert service.ask(box("a", 10, 10, 30, 30), box("b", 60, 60, 90, 90))["score"] == 0.4


@pytest.mark.parametrize(
    ("items", "event"),
    [
        ([click("a", 50, 60, label="Plate")], Event.NO_OUTPUT),
        ([click("a", 50, 60, label="Dragon")], Event.NO_OUTPUT),
        ([click("a", 50, 60) | {"from_name": "gone"}], Event.PROMPT_IGNORED),
        ([click("a", 50, 60) | {"to_name": "other"}], Event.PROMPT_IGNORED),
        ([click("a", WIDTH + 3, 60)], Event.PROMPT_IGNORED),
        (
            [item("t", {"text": ["license plate"]}, kind="textarea", control="prompt")],
            Event.PROMPT_IGNORED,
        ),
        ([click("a", 50, 60, positive=False)], Event.NOTHING_TO_REFINE),
    ],
    ids=["no output", "unknown label", "unknown control", "unknown image", "outside", "text", "lone negative"],
)
def test_what_cannot_be_answered_is_an_empty_answer_that_is_counted(service, items, event) -> None:
    prediction = service.ask(*items)

    assert prediction == {"result": [], "score": 0.0, "model_version": "fake-1"}
    assert service.predictor.counts[event] == 1
    assert service.segmenter.prompts == []


def test_an_image_turned_on_the_screen_is_answered_in_the_frame_it_was_not_turned_in(service) -> None:
    straight = service.masks(click("a", 50, 60))

    (turned,) = service.ask(click("a", 50, 60, image_rotation=90))["result"]

    assert turned["image_rotation"] == 0
    np.testing.assert_array_equal(
        mask_from_rle(turned["value"]["rle"], width=WIDTH, height=HEIGHT), straight[turned["id"]]
    )


# The image


def test_the_second_click_needs_neither_the_image_s_bytes_nor_an_encoding(service) -> None:
    service.ask(click("a", 50, 60))
    service.ask(click("a", 50, 60), click("b", 90, 60))

    assert service.media.fetched == ["/data/upload/1/a.png"]
    assert service.segmenter.embedded == 1
    assert len(service.segmenter.prompts) == 2


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$photo", {"photo": "here.png"}),
        ("$a.b", {"a": {"b": "here.png"}}),
        ("$a.b", {"a.b": "here.png", "a": {"b": "not here.png"}}),
        ("$pages[1].scan", {"pages": [{}, {"scan": "here.png"}]}),
    ],
    ids=["key", "path", "key with a dot", "list"],
)
def test_the_image_s_address_is_found_where_label_studio_finds_it(service, value, data) -> None:
    service.ask(click("a", 50, 60), config=CONFIG.replace("$image", value), data=data)

    assert service.media.fetched == ["here.png"]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$image", {"other": "a.png"}),
        ("$image", {"image": None}),
        ("$image", {"image": ["a.png"]}),
        ("$image", {"image": ""}),
        ("$pages[5]", {"pages": ["a.png"]}),
        ("$image.url", {"image": "a.png"}),
        ("a.png", {"image": "a.png"}),
    ],
)
def test_a_task_without_an_address_for_the_image_is_refused_by_the_tag_s_name(service, value, data) -> None:
    with pytest.raises(PayloadError, match='<Image name="image">') as caught:
        service.ask(click("a", 50, 60), config=CONFIG.replace("$image", value), data=data)

    assert "a.png" not in str(caught.value)


def test_a_prompt_drawn_on_an_image_of_another_size_is_refused(service) -> None:
    with pytest.raises(SizeMismatchError, match="400×300, but the image is 200×150"):
        service.ask(click("a", 50, 60) | {"original_width": 400, "original_height": 300})


def test_a_request_that_fails_changes_nothing_and_the_next_one_is_answered(service) -> None:
    service.ask(click("a", 50, 60))

    def out_of_memory() -> None:
        raise EngineMemoryError("no room")

    service.segmenter.before_answer = out_of_memory
    with pytest.raises(EngineMemoryError):
        service.ask(click("a", 50, 60), click("b", 90, 60))
    service.segmenter.before_answer = lambda: None
    (mask,) = service.masks(click("a", 50, 60)).values()

    assert len(service.segmenter.prompts) == 2
    assert mask.sum() == 21 * 21


def test_an_image_that_cannot_be_fetched_is_tried_again_at_the_next_click(service) -> None:
    service.media.error = MediaUnavailableError("the image's server answered 503")
    with pytest.raises(MediaUnavailableError):
        service.ask(click("a", 50, 60))
    service.media.error = None

    assert len(service.ask(click("a", 50, 60))["result"]) == 1


# Requests that are not to be answered


@pytest.mark.parametrize("count", [0, 2])
def test_a_click_must_belong_to_one_task(service, count) -> None:
    tasks = [{"id": number + 1, "data": {"image": "a.png"}} for number in range(count)]
    several = PredictRequest.parse(
        {"tasks": tasks, "label_config": CONFIG, "params": {"context": {"result": [click("a", 1, 1)]}}}
    )

    with pytest.raises(PayloadError, match=f"one task, this request has {count}"):
        service.predictor.predict(several)


def test_a_click_must_name_its_project(service) -> None:
    nameless = PredictRequest.parse(
        {"tasks": [{"id": 1, "data": {"image": "a.png"}}], "label_config": CONFIG, "params": {"context": {}}}
    )

    with pytest.raises(PayloadError, match="project"):
        service.predictor.predict(nameless)


def test_a_labelling_config_that_cannot_be_read_is_an_error(service) -> None:
    with pytest.raises(PolicyError):
        service.ask(click("a", 50, 60), config="<View>")


def test_more_prompts_than_any_screen_has_are_refused(service) -> None:
    boxes = [box(f"b{number}", 10, 10, 30, 30) for number in range(MAX_PROMPTS + 1)]

    with pytest.raises(PromptError, match="257 prompts"):
        service.ask(*boxes)

    assert service.media.fetched == []


# Conversations (their rules are tested beside the conversation)


def test_with_auto_accept_a_negative_click_replaces_the_region_it_lies_in(service) -> None:
    ((face, before),) = service.masks(click("a", 50, 60)).items()
    service.ask(click("b", 150, 100))

    ((region_id, after),) = service.masks(click("c", 55, 60, positive=False)).items()

    assert region_id == face
    assert before[60, 55]
    assert not after[60, 55]
    np.testing.assert_array_equal(after[:, :50], before[:, :50])


def test_several_boxes_are_several_regions_and_only_new_ones_are_segmented(service) -> None:
    first = service.masks(box("a", 10, 20, 30, 40))
    both = service.masks(box("a", 10, 20, 30, 40), box("b", 60, 60, 90, 90))

    assert len(both) == 2
    assert set(first) < set(both)
    assert [prompt.box for prompt in service.segmenter.prompts] == [Box(10, 20, 30, 40), Box(60, 60, 90, 90)]


def test_a_click_in_a_box_refines_the_box_s_region(service) -> None:
    (boxed,) = service.masks(box("a", 10, 20, 30, 40))

    ((region_id, mask),) = service.masks(click("n", 15, 25, positive=False)).items()

    assert region_id == boxed
    assert not mask[25, 15]
    assert mask[35, 25]


def test_prompts_of_different_labels_are_different_conversations(service) -> None:
    config = CONFIG.replace(
        'smart="false"><Label value="Face"/>', 'smart="false"><Label value="Face"/><Label value="Plate"/>'
    )
    (face,) = service.masks(click("a", 50, 60), config=config)

    result = service.ask(click("b", 50, 60, label="Plate"), config=config)["result"]

    assert [each["value"]["brushlabels"] for each in result] == [["Plate"]]
    assert result[0]["id"] != face


def test_a_hand_made_request_with_several_labels_is_answered_for_each(service) -> None:
    config = CONFIG.replace(
        'smart="false"><Label value="Face"/>', 'smart="false"><Label value="Face"/><Label value="Plate"/>'
    )

    result = service.ask(click("a", 50, 60), box("b", 10, 10, 30, 30, label="Plate"), config=config)["result"]

    assert [each["value"]["brushlabels"] for each in result] == [["Face"], ["Plate"]]


def test_hand_made_prompts_without_ids_are_told_apart_by_their_place(service) -> None:
    boxes = [box("", 10, 20, 30, 40), box("", 60, 60, 90, 90)]

    first, second = service.masks(*boxes), service.masks(*boxes)

    assert len(first) == 2
    assert first.keys() == second.keys()
    assert len(service.segmenter.prompts) == 2


def test_a_request_without_prompts_shows_nothing(service) -> None:
    assert service.ask()["result"] == []
    assert service.media.fetched == []


def test_a_prompt_that_comes_once_more_for_another_selected_label_is_taken_as_what_it_was_drawn_as(service) -> None:
    point, area = click("a", 50, 60), box("b", 10, 10, 30, 30)
    twin_value = point["value"] | {"rectanglelabels": ["Face"]}
    point_twin = point | {"from_name": "rect", "type": "rectanglelabels", "value": twin_value}
    twin_value = area["value"] | {"keypointlabels": ["Face"]}
    area_twin = area | {"from_name": "kp", "type": "keypointlabels", "value": twin_value}

    (clicked,) = service.masks(point_twin, point).values()
    (boxed,) = service.masks(area, area_twin).values()

    assert clicked[60, 50]
    assert boxed.sum() == 20 * 20
    assert [(len(prompt.points), prompt.box) for prompt in service.segmenter.prompts] == [
        (1, None),
        (0, Box(10, 10, 30, 30)),
    ]
    assert service.predictor.counts[Event.PROMPT_IGNORED] == 0


def test_a_click_left_over_from_a_draft_that_was_loaded_again_does_not_count(service) -> None:
    leftover = click("old", 150, 100)
    del leftover["is_positive"]

    (mask,) = service.masks(leftover, click("new", 50, 60)).values()

    assert mask[60, 50]
    assert not mask[100, 150]


def test_hand_made_clicks_that_do_not_say_whether_they_are_positive_are(service) -> None:
    clicks = [click("a", 50, 60), click("b", 150, 100)]
    for each in clicks:
        del each["is_positive"]

    (mask,) = service.masks(*clicks).values()

    assert mask[60, 50]
    assert mask[100, 150]


def test_an_image_replaced_under_the_same_task_begins_new_conversations(service) -> None:
    service.ask(click("a", 50, 60))

    prediction = service.ask(click("n", 50, 60, positive=False), url="/data/upload/1/b.png")

    assert prediction["result"] == []


# Regions that Label Studio has saved


def drawn(*, rows: slice, columns: slice) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[rows, columns] = True
    return mask


def test_after_a_restart_a_negative_click_refines_the_region_of_the_draft(service) -> None:
    mask = drawn(rows=slice(40, 80), columns=slice(30, 90))
    draft = {"id": 3, "result": [brush("kept", mask), click("old", 50, 60)]}

    (answer,) = service.masks(click("n", 50, 60, positive=False), drafts=[draft]).items()

    assert answer[0] == "kept"
    mask[58:63, 48:53] = False
    np.testing.assert_array_equal(answer[1], mask)


def test_a_draft_is_newer_than_the_annotation_it_belongs_to(service) -> None:
    old, new = drawn(rows=slice(0, 20), columns=slice(0, 20)), drawn(rows=slice(40, 80), columns=slice(30, 90))
    saved = {
        "drafts": [{"id": 3, "result": [brush("r", new)]}],
        "annotations": [{"id": 4, "result": [brush("r", old)]}],
    }

    (mask,) = service.masks(click("n", 50, 60, positive=False), **saved).values()

    assert not mask[:20, :20].any()
    assert mask[40, 30]


def test_saved_regions_of_other_labels_and_unreadable_ones_are_passed_over(service) -> None:
    mask = drawn(rows=slice(40, 80), columns=slice(30, 90))
    broken = brush("broken", mask)
    broken["value"]["rle"] = broken["value"]["rle"][:9]
    elsewhere = brush("elsewhere", mask) | {"to_name": "other"}
    saved = [elsewhere, brush("plate", mask, label="Plate"), broken, brush("good", mask) | {"id": ""}]

    prediction = service.ask(click("n", 50, 60, positive=False), annotations=[{"id": 4, "result": saved}])

    assert prediction["result"] == []
    assert service.predictor.counts[Event.REGION_UNREADABLE] == 1
    assert service.predictor.counts[Event.NOTHING_TO_REFINE] == 1


@pytest.mark.parametrize(
    "rle",
    [[], [0], [-1], [0.5] * 9, [300] * 9, ["0"] * 9, {"0": 0}, None, [255] * 12, [0, 1, 212, 192, 57, 27, 252, 0]],
    ids=["empty", "short", "negative", "fractions", "too large", "texts", "object", "null", "4e9 samples", "cut"],
)
def test_a_saved_region_with_a_hostile_rle_is_passed_over(service, rle) -> None:
    region = brush("r", drawn(rows=slice(40, 80), columns=slice(30, 90)))
    region["value"]["rle"] = rle

    prediction = service.ask(click("n", 50, 60, positive=False), drafts=[{"id": 3, "result": [region]}])

    assert prediction["result"] == []
    assert service.predictor.counts[Event.REGION_UNREADABLE] == 1


@pytest.mark.parametrize(
    ("width", "error"),
    [*((width, PromptError) for width in (None, 0, -1, 10**9, 0.5)), (WIDTH + 1, SizeMismatchError)],
)
def test_a_prompt_with_a_hostile_size_is_refused(service, width, error) -> None:
    with pytest.raises(error):
        service.ask(click("a", 50, 60) | {"original_width": width})


# Many requests at once


def test_a_click_made_before_the_last_answer_came_replaces_the_one_that_waits(service) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        asked.set()
        assert go_on.wait(WAIT_S)

    service.segmenter.before_answer = hold
    clicks = [click("a", 50, 60), click("b", 80, 60), click("c", 110, 60)]
    (conversation,) = (service.conversations._conversations,)

    def waiting() -> int:
        return max((len(each.turns) for each in list(conversation.values())), default=0)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(service.masks, *clicks[:1])
        assert asked.wait(WAIT_S)
        second = pool.submit(service.masks, *clicks[:2])
        wait_until(lambda: waiting() == 2)
        third = pool.submit(service.masks, *clicks)
        wait_until(lambda: waiting() == 3)
        go_on.set()
        answers = [future.result(WAIT_S) for future in (first, second, third)]

    assert [len(answer) for answer in answers] == [1, 0, 1]
    assert [len(prompt.points) for prompt in service.segmenter.prompts] == [1, 3]
    assert service.predictor.counts[Event.SUPERSEDED] == 1


def test_concurrent_first_clicks_encode_the_image_once(service) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: service.masks(click(f"p{number}", 10 + 20 * number, 60)), range(8)))

    assert service.segmenter.embedded == 1
    assert len(service.media.fetched) == 1
    assert all(len(answer) == 1 for answer in answers)


# Opened tasks


@pytest.fixture
def warming() -> Iterator[Service]:
    service = Service(warms=True)
    yield service
    service.predictor.close()


def test_an_opened_task_is_answered_with_nothing_and_its_image_is_prepared(warming) -> None:
    assert warming.predictor.predict(opened(7)) == []
    wait_until(lambda: warming.predictor.counts[Event.WARMED] == 1)

    warming.ask(click("a", 50, 60), url="/data/7.png")

    assert warming.media.fetched == ["/data/7.png"]
    assert warming.segmenter.embedded == 1


def test_a_task_whose_image_is_prepared_is_not_prepared_again(warming) -> None:
    warming.ask(click("a", 50, 60), url="/data/7.png")
    warming.predictor.predict(opened(7))
    warming.predictor.predict(opened(8))
    wait_until(lambda: warming.predictor.counts[Event.WARMED] == 1)

    assert warming.media.fetched == ["/data/7.png", "/data/8.png"]


def test_an_answer_does_not_wait_for_the_image_and_what_does_not_fit_the_queue_is_dropped(warming) -> None:
    started, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        assert go_on.wait(WAIT_S)

    warming.media.before_answer = hold
    warming.predictor.predict(opened(1))
    assert started.wait(WAIT_S)

    answers = [warming.predictor.predict(opened(task_id)) for task_id in range(2, 10)]

    assert answers == [[]] * 8
    assert warming.predictor.counts[Event.WARMING_DROPPED] == 4
    go_on.set()
    wait_until(lambda: warming.predictor.counts[Event.WARMED] == 5)


@pytest.mark.parametrize("tasks", [(), (1, 2)])
def test_a_list_of_tasks_is_answered_with_nothing_and_prepares_nothing(warming, tasks) -> None:
    assert warming.predictor.predict(opened(*tasks)) == []
    warming.predictor.close()

    assert warming.media.fetched == []


def test_warming_can_be_switched_off(service) -> None:
    assert service.predictor.predict(opened(7)) == []
    service.predictor.close()

    assert service.media.fetched == []


def test_an_image_that_cannot_be_prepared_is_counted_and_logged_without_its_address(warming) -> None:
    warming.media.error = MediaUnavailableError("the image's server answered 503")

    with structlog.testing.capture_logs() as logs:
        warming.predictor.predict(opened(7))
        wait_until(lambda: warming.predictor.counts[Event.WARMING_FAILED] == 1)
        warming.predictor.close()

    assert [(log["event"], log["reason"]) for log in logs] == [
        ("an opened task cannot be prepared", "media_unavailable")
    ]
    assert "7.png" not in str(logs)


def test_an_opened_task_whose_config_cannot_be_read_is_answered_too(warming) -> None:
    assert warming.predictor.predict(opened(7, config="<View>")) == []
    assert warming.predictor.counts[Event.WARMING_FAILED] == 1


def test_a_bug_while_preparing_does_not_keep_later_images_from_being_prepared(warming) -> None:
    warming.media.error = ValueError("a bug")
    with structlog.testing.capture_logs() as logs:
        warming.predictor.predict(opened(7))
        wait_until(lambda: bool(logs))
    warming.media.error = None

    warming.predictor.predict(opened(8))

    wait_until(lambda: warming.predictor.counts[Event.WARMED] == 1)
    assert [(log["event"], log["log_level"]) for log in logs] == [("an image could not be prepared ahead", "error")]


def test_after_closing_opened_tasks_are_answered_but_not_prepared(warming) -> None:
    warming.predictor.predict(opened(7))
    wait_until(lambda: warming.predictor.counts[Event.WARMED] == 1)
    warming.predictor.close()
    warming.predictor.close()

    assert warming.predictor.predict(opened(8)) == []
    assert warming.predictor.counts[Event.WARMING_DROPPED] == 1


def queue_of(*task_ids: int, **more: object) -> Callable[[int, int], Iterable[Task]]:
    """What follows any task."""
    tasks = [{"id": number, "project": 1, "data": {"image": f"/data/{number}.png"}, **more} for number in task_ids]
    return lambda _project_id, task_id: [Task.parse(task) for task in tasks if task["id"] > task_id]


def test_after_an_opened_task_the_images_of_the_next_ones_are_prepared() -> None:
    service = Service(warms=True, following=queue_of(*range(1, 20)))
    service.predictor.predict(opened(7))
    wait_until(lambda: service.predictor.counts[Event.WARMED] == 1 + AHEAD)
    service.ask(click("a", 50, 60), task_id=8, url="/data/8.png")
    service.predictor.close()

    assert service.media.fetched == [f"/data/{number}.png" for number in (7, 8, 9, 10)]


@pytest.mark.parametrize(
    "done",
    [{"annotations": [{"id": 1, "result": []}]}, {"data": {"image": "/data/8.png", "cleanplate": "abc"}}],
    ids=["annotated", "copy"],
)
def test_tasks_that_nobody_will_open_are_not_prepared_ahead(done) -> None:
    service = Service(warms=True, following=queue_of(8, **done))
    service.predictor.predict(opened(7))
    service.predictor.predict(opened(5))
    wait_until(lambda: service.predictor.counts[Event.WARMED] == 2)
    service.predictor.close()

    assert service.media.fetched == ["/data/7.png", "/data/5.png"]


def test_a_click_drops_what_was_to_be_prepared_ahead() -> None:
    service = Service(warms=True, following=queue_of(8, 9, 10))
    at_eight, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        if service.media.fetched[-1] == "/data/8.png":
            at_eight.set()
            assert go_on.wait(WAIT_S)

    service.media.before_answer = hold
    service.predictor.predict(opened(7))
    assert at_eight.wait(WAIT_S)
    service.ask(click("a", 50, 60), url="/data/7.png")
    go_on.set()
    wait_until(lambda: service.predictor.counts[Event.WARMED] == 2)
    service.predictor.predict(opened(20))
    wait_until(lambda: service.predictor.counts[Event.WARMED] == 3)
    service.predictor.close()

    assert service.media.fetched == ["/data/7.png", "/data/8.png", "/data/20.png"]


def test_an_opened_task_goes_before_those_that_may_be_opened_next() -> None:
    service = Service(warms=True, following=queue_of(8, 9, 30))
    at_eight, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        if service.media.fetched[-1] == "/data/8.png":
            at_eight.set()
            assert go_on.wait(WAIT_S)

    service.media.before_answer = hold
    service.predictor.predict(opened(7))
    assert at_eight.wait(WAIT_S)
    service.predictor.predict(opened(20))
    go_on.set()
    wait_until(lambda: service.predictor.counts[Event.WARMED] == 4)
    service.predictor.close()

    assert service.media.fetched == [f"/data/{number}.png" for number in (7, 8, 20, 30)]


def test_a_label_studio_that_does_not_say_what_comes_next_harms_nobody() -> None:
    def unreachable(_project_id: int, _task_id: int) -> Iterable[Task]:
        raise LabelStudioUnreachableError("Label Studio did not answer")

    service = Service(warms=True, following=unreachable)
    for task_id in (7, 8):
        service.predictor.predict(opened(task_id))
    wait_until(lambda: service.predictor.counts[Event.WARMED] == 2)
    service.predictor.close()

    assert service.predictor.counts[Event.WARMING_FAILED] == 0


def test_an_image_replaced_by_one_of_another_size_is_looked_at_again(service) -> None:
    service.ask(click("a", 50, 60))

    with pytest.raises(SizeMismatchError):
        service.ask(click("a", 50, 60) | {"original_width": 400, "original_height": 300})

    assert service.media.fetched == ["/data/upload/1/a.png"] * 2
    assert service.segmenter.embedded == 1


def test_logs_of_clicks_hold_no_address(service) -> None:
    with structlog.testing.capture_logs() as logs:
        service.ask(click("a", 50, 60), url="/data/upload/1/jane-doe.png?token=secret")

    assert [log["event"] for log in logs] == ["click answered"]
    assert "jane" not in str(logs)
    assert "secret" not in str(logs)


def test_every_event_is_counted_from_nought(service) -> None:
    assert service.predictor.counts == dict.fromkeys(Event, 0)
    service.ask(click("a", 50, 60))

    assert service.predictor.counts[Event.ANSWERED] == 1


# Several meanings of a click


def side(mask: Mask) -> int:
    """Of the square that a mask is."""
    return int(mask.any(axis=0).sum())


def test_another_click_at_the_same_place_shows_the_next_meaning_round_and_round() -> None:
    service = Service(segmenter=ChoosingSegmenter())
    clicks = [click(f"k{number}", 50, 60) for number in range(7)]

    answers = [service.masks(*clicks[: count + 1]) for count in range(7)]

    assert len({region for answer in answers for region in answer}) == 1
    assert [side(mask) for answer in answers for mask in answer.values()] == [21, 9, 61, 21, 9, 61, 21]
    assert service.ask(*clicks[:3])["result"][0]["score"] == pytest.approx(1 / 30)


def test_with_auto_accept_where_each_click_comes_alone_it_does_too() -> None:
    service = Service(segmenter=ChoosingSegmenter())

    answers = [service.masks(click(f"k{number}", 50 + number % 2, 60)) for number in range(4)]

    assert len({region for answer in answers for region in answer}) == 1
    assert [side(mask) for answer in answers for mask in answer.values()] == [21, 9, 61, 21]


def test_a_click_taken_back_shows_the_meaning_before() -> None:
    service = Service(segmenter=ChoosingSegmenter())
    clicks = [click(f"k{number}", 50, 60) for number in range(3)]
    service.ask(*clicks)

    (mask,) = service.masks(*clicks[:2]).values()

    assert side(mask) == 9


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("positive", [False, True])
def test_any_other_click_refines_the_meaning_that_is_shown(is_restarted, positive) -> None:
    service = Service(segmenter=ChoosingSegmenter())
    clicks = [click(f"k{number}", 50, 60) for number in range(3)]
    (chosen,) = service.masks(*clicks).items()
    if is_restarted:
        service = Service(segmenter=ChoosingSegmenter())

    (refined,) = service.masks(*clicks, click("other", 80, 60, positive=positive)).items()

    assert refined[0] == chosen[0]
    assert refined[1][60, 80] == positive
    assert side(chosen[1]) == 61
    far = np.ones_like(chosen[1])
    far[40:81, 40:] = False  # what the squares around the clicks may change
    np.testing.assert_array_equal(refined[1][far], chosen[1][far])


def test_the_same_clicks_show_the_same_meaning_after_a_restart() -> None:
    clicks = [click(f"k{number}", 50, 60) for number in range(2)]
    before = Service(segmenter=ChoosingSegmenter())
    for count in (1, 2):
        shown = before.ask(*clicks[:count])

    after = Service(segmenter=ChoosingSegmenter()).ask(*clicks)

    assert after == shown


def test_a_segmenter_that_knows_one_meaning_is_asked_as_ever(service) -> None:
    service.ask(click("a", 50, 60), click("b", 50, 60))

    assert [point.pixel(Size(WIDTH, HEIGHT)) for point in service.segmenter.prompts[0].points] == [(50, 60), (50, 60)]
