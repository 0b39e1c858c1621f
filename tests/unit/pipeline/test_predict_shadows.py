import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cleanplate.codecs.rle import mask_from_rle
from cleanplate.domain.image import Mask, RgbImage, Size, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.embeddings import EmbeddingCache
from cleanplate.engines.protocols import Embedding, Segmentation
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.pipeline.growth import grown_by
from cleanplate.pipeline.predict import Event, Predictor
from cleanplate.pipeline.turns import Conversations
from fakes.shadow_scenes import HEIGHT, WIDTH, Kind, draw

WAIT_S = 10
SCENE = draw(Kind.HARD, 4)
LABELS = ("Person", "Tree", "Shadow")
PLAIN = """
<View><Image name="image" value="$image"/>
<KeyPointLabels name="kp" toName="image" smart="true">
  <Label value="Person"/><Label value="Tree"/><Label value="Shadow"/></KeyPointLabels>
<BrushLabels name="brush" toName="image" smart="false">
  <Label value="Person" clean="remove"/><Label value="Tree"/><Label value="Shadow" clean="remove"/></BrushLabels></View>
"""
SHADOWS = PLAIN.replace(
    '<Label value="Person" clean="remove"/>', '<Label value="Person" clean="remove" shadow="Shadow"/>'
)


class Prepared:
    size = size_of(SCENE.image)
    size_bytes = 100


class PaintedSegmenter:
    """Answers with the mask it was told."""

    version = "painted"

    def __init__(self) -> None:
        self.mask = SCENE.mask

    def embed(self, image: RgbImage) -> Embedding:
        assert size_of(image) == Prepared.size
        return Prepared()

    def segment(self, embedding: Embedding, prompt: Prompt) -> Segmentation:
        assert (embedding.size, bool(prompt.points)) == (Prepared.size, True)
        return Segmentation(mask=self.mask, score=0.9, logits=np.where(self.mask, 8, -8).astype(np.float32))


class CountingMedia:
    def __init__(self) -> None:
        self.fetched = 0

    def fetch(self, url: str, *, project_id: int, task_id: int) -> bytes:
        self.fetched += 1
        return f"{url} {project_id} {task_id}".encode()


class Service:
    def __init__(self, *, warms: bool = False) -> None:
        self.segmenter = PaintedSegmenter()
        self.media = CountingMedia()
        self.embeddings = EmbeddingCache(10_000_000)
        self.predictor = Predictor(
            segmenter=self.segmenter,
            media=self.media,
            read_image=lambda _: SCENE.image,
            embeddings=self.embeddings,
            conversations=Conversations(),
            label_studio_url="http://ls",
            warms=warms,
        )

    def click(
        self, *prompt_ids: str, label: str = "Person", config: str = SHADOWS, saved: tuple[str, ...] = ()
    ) -> Mapping[str, dict[str, Any]]:
        """The regions shown after clicks on the object, by their ids."""
        ys, xs = np.nonzero(SCENE.mask)
        place = {"x": (xs.mean() + 0.5) / WIDTH * 100, "y": (ys.mean() + 0.5) / HEIGHT * 100, "width": 0.2}
        frame = {"original_width": WIDTH, "original_height": HEIGHT, "to_name": "image", "image_rotation": 0}
        clicks = [
            frame
            | {"id": prompt_id, "from_name": "kp", "type": "keypointlabels", "is_positive": True}
            | {"value": place | {"x": place["x"] + number / 50, "keypointlabels": [label]}}
            for number, prompt_id in enumerate(prompt_ids)
        ]
        rest = [
            frame
            | {"id": region_id, "from_name": "brush", "type": "brushlabels"}
            | {"value": {"format": "rle", "rle": [], "brushlabels": [label]}}
            for region_id in saved
        ]
        drafts = [{"id": 5, "result": [*clicks[:1], *rest]}] if saved else []
        request = PredictRequest.parse(
            {
                "tasks": [{"id": 7, "project": 1, "data": {"image": "/a.png"}, "drafts": drafts}],
                "project": "1.1",
                "label_config": config,
                "params": {"context": {"result": clicks}},
            }
        )
        (prediction,) = self.predictor.predict(request)
        return {region["id"]: region for region in prediction["result"]}

    def open(self, config: str) -> None:
        task = {"id": 7, "project": 1, "data": {"image": "/a.png"}}
        body = {"tasks": [task], "project": "1.1", "label_config": config, "params": {"context": None}}
        self.predictor.predict(PredictRequest.parse(body))


@pytest.fixture
def service() -> Service:
    return Service()


def mask_of(region: dict[str, Any]) -> Mask:
    return mask_from_rle(region["value"]["rle"], width=WIDTH, height=HEIGHT)


def labels_of(regions: Mapping[str, dict[str, Any]]) -> list[str]:
    return [region["value"]["brushlabels"][0] for region in regions.values()]


def test_a_click_shows_the_object_and_its_shadow_as_two_regions_of_two_labels(service) -> None:
    object_, shadow = service.click("a").values()

    np.testing.assert_array_equal(mask_of(object_), SCENE.mask)
    assert (object_["value"]["brushlabels"], shadow["value"]["brushlabels"]) == (["Person"], ["Shadow"])
    assert object_["id"] != shadow["id"]
    assert (object_["score"], shadow["score"] <= 1) == (0.9, True)
    common = mask_of(shadow) & SCENE.shadow
    assert common.sum() / (mask_of(shadow) | SCENE.shadow).sum() > 0.7
    assert not (mask_of(shadow) & SCENE.mask).any()
    assert service.predictor.counts[Event.SHADOW_PROPOSED] == 1


@pytest.mark.parametrize(("label", "config"), [("Person", PLAIN), ("Tree", SHADOWS), ("Shadow", SHADOWS)])
def test_only_labels_that_name_a_shadow_get_one(service, label, config) -> None:
    assert labels_of(service.click("a", label=label, config=config)) == [label]
    assert service.predictor.counts[Event.SHADOW_PROPOSED] == 0


def test_a_refined_object_replaces_its_shadow_under_the_same_id(service) -> None:
    before = service.click("a")
    service.segmenter.mask = grown_by(SCENE.mask, 4)
    after = service.click("a", "b")

    assert list(after) == list(before)
    assert labels_of(after) == ["Person", "Shadow"]
    old, new = (mask_of(list(regions.values())[1]) for regions in (before, after))
    assert (old & service.segmenter.mask).any()
    assert not (new & service.segmenter.mask).any()


def test_the_shadow_of_an_object_that_turns_out_to_be_elsewhere_vanishes(service) -> None:
    before = service.click("a")
    elsewhere = np.zeros_like(SCENE.mask)
    elsewhere[20:60, 20:60] = True
    service.segmenter.mask = elsewhere

    after = service.click("a", "b")

    assert list(after) == list(before)[:1]


def test_the_same_question_gets_the_same_shadow(service) -> None:
    assert service.click("a") == service.click("a") == Service().click("a")


def test_a_rejected_shadow_does_not_come_back_when_the_object_is_refined(service) -> None:
    object_id, _ = service.click("a")

    assert labels_of(service.click("a", "b", saved=(object_id,))) == ["Person"]
    assert labels_of(service.click("a", "b", saved=(object_id,))) == ["Person"]


def test_an_accepted_shadow_follows_its_object(service) -> None:
    ids = tuple(service.click("a"))

    assert tuple(service.click("a", "b", saved=ids)) == ids


def test_an_accepted_shadow_is_not_shown_again_without_a_new_answer(service) -> None:
    ids = tuple(service.click("a"))

    assert labels_of(service.click("a", saved=ids)) == ["Person"]


def test_a_warm_click_needs_no_image_for_its_shadow(service) -> None:
    service.click("a")
    service.click("a", "b")

    assert service.media.fetched == 1


def test_an_image_is_kept_small_and_only_where_shadows_are_asked_for(service) -> None:
    service.click("a", config=PLAIN)
    assert service.embeddings.stats.size_bytes == 100

    service.click("a")
    assert service.embeddings.stats.size_bytes == 100 + SCENE.image.nbytes


def test_forgetting_a_task_forgets_the_overview_as_well(service) -> None:
    service.click("a")

    service.embeddings.purge(project_id=1, task_id=7)

    assert service.embeddings.stats.size_bytes == 0


def test_opening_a_task_prepares_all_that_a_shadow_needs() -> None:
    warming = Service(warms=True)
    warming.open(SHADOWS)
    warming.open(PLAIN)
    deadline = time.monotonic() + WAIT_S
    while not warming.predictor.counts[Event.WARMED]:
        assert time.monotonic() < deadline, "nothing was prepared"
    warming.predictor.close()

    assert warming.media.fetched >= 1
    fetched = warming.media.fetched
    assert labels_of(warming.click("a")) == ["Person", "Shadow"]
    assert warming.media.fetched == fetched


def test_the_size_of_an_image_is_that_of_the_image_and_not_of_its_overview(service) -> None:
    (region, _) = service.click("a").values()

    assert Size(region["original_width"], region["original_height"]) == Prepared.size
