import cv2
import numpy as np
import pytest

from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.codecs.rle import mask_from_rle
from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.embeddings import EmbeddingCache
from cleanplate.engines.registry import load_segmenter
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.pipeline.predict import Predictor
from cleanplate.pipeline.turns import Conversations

WIDTH, HEIGHT = 320, 240
CONFIG = """
<View><Image name="image" value="$image"/>
<KeyPointLabels name="kp" toName="image"><Label value="Ball"/></KeyPointLabels>
<RectangleLabels name="rect" toName="image"><Label value="Ball"/></RectangleLabels>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Ball"/></BrushLabels></View>
"""


def disc(x: int, y: int, radius: int) -> Mask:
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


BALL, OTHER = disc(90, 120, 40), disc(230, 110, 30)


def photograph() -> RgbImage:
    """Two balls on noisy ground."""
    image = np.full((HEIGHT, WIDTH, 3), (70, 110, 60), dtype=np.uint8)
    image[BALL] = (210, 40, 50)
    image[OTHER] = (60, 60, 200)
    noise = np.random.default_rng(1).normal(0, 6, image.shape)
    return np.clip(cv2.GaussianBlur(image, (5, 5), 0) + noise, 0, 255).astype(np.uint8)


class DrawnMedia:
    def fetch(self, url: str, *, project_id: int, task_id: int) -> bytes:  # noqa: ARG002  the real one's signature
        _, data = cv2.imencode(".png", cv2.cvtColor(photograph(), cv2.COLOR_RGB2BGR))
        return data.tobytes()


class Annotator:
    """Clicks and draws, and sees the masks by region id."""

    def __init__(self) -> None:
        limits = ImageLimits(max_pixels=1_000_000, max_bytes=1_000_000)
        self.predictor = Predictor(
            segmenter=load_segmenter("graphcut"),
            media=DrawnMedia(),
            read_image=lambda data: picture_from_bytes(data, limits).image,
            embeddings=EmbeddingCache(2**26),
            conversations=Conversations(),
            label_studio_url="http://ls",
            warms=False,
        )

    def see(self, *items: dict[str, object]) -> dict[str, Mask]:
        request = PredictRequest.parse(
            {
                "tasks": [{"id": 1, "project": 1, "data": {"image": "/data/upload/1/balls.png"}}],
                "label_config": CONFIG,
                "params": {"context": {"result": list(items)}},
            }
        )
        (prediction,) = self.predictor.predict(request)
        return {
            item["id"]: mask_from_rle(item["value"]["rle"], width=WIDTH, height=HEIGHT) for item in prediction["result"]
        }


@pytest.fixture(scope="module")
def annotator() -> Annotator:
    return Annotator()


def item(prompt_id: str, value: dict[str, object], *, kind: str, control: str, **more: object) -> dict[str, object]:
    return {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "value": value,
        "id": prompt_id,
        "from_name": control,
        "to_name": "image",
        "type": kind,
        **more,
    }


def click(prompt_id: str, x: float, y: float, *, positive: bool = True) -> dict[str, object]:
    value = {"x": (x + 0.5) / WIDTH * 100, "y": (y + 0.5) / HEIGHT * 100, "keypointlabels": ["Ball"]}
    return item(prompt_id, value, kind="keypointlabels", control="kp", is_positive=positive)


def box_around(prompt_id: str, mask: Mask) -> dict[str, object]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    value = {
        "x": (columns[0] - 2) / WIDTH * 100,
        "y": (rows[0] - 2) / HEIGHT * 100,
        "width": (columns.size + 4) / WIDTH * 100,
        "height": (rows.size + 4) / HEIGHT * 100,
        "rectanglelabels": ["Ball"],
    }
    return item(prompt_id, value, kind="rectanglelabels", control="rect")


def overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_one_click_on_a_plain_object_finds_it(annotator) -> None:
    (mask,) = annotator.see(click("on the ball", 90, 120)).values()

    assert overlap(mask, BALL) > 0.9


def test_boxes_around_two_objects_find_both_and_a_click_refines_one_of_them(annotator) -> None:
    boxes = [box_around("one", BALL), box_around("two", OTHER)]

    first, second = annotator.see(*boxes).items()
    refined = annotator.see(click("not this", 240, 110, positive=False))

    assert overlap(first[1], BALL) > 0.9
    assert overlap(second[1], OTHER) > 0.9
    assert not refined[second[0]][110, 240]
    assert not (refined[second[0]] & ~second[1]).any()
    np.testing.assert_array_equal(refined[first[0]], first[1])


def test_a_lone_negative_click_after_the_mask_was_accepted_takes_away_and_adds_nothing() -> None:
    annotator = Annotator()
    ((region_id, before),) = annotator.see(click("on the ball", 90, 120)).items()

    ((refined_id, after),) = annotator.see(click("not this", 115, 120, positive=False)).items()

    assert refined_id == region_id
    assert not after[120, 115]
    assert after[120, 90]
    assert not (after & ~before).any()


def test_clicking_the_same_place_again_shows_something_else_that_holds_the_click_and_comes_round() -> None:
    annotator = Annotator()

    shown = [annotator.see(click(f"k{number}", 90 + number % 2, 120)) for number in range(7)]

    masks = [mask for answer in shown for mask in answer.values()]
    count = next(number for number in range(1, 4) if overlap(masks[0], masks[number]) > 0.99)
    assert count > 1
    assert len({region_id for answer in shown for region_id in answer}) == 1
    for number, mask in enumerate(masks):
        assert mask[120, 90]
        assert overlap(mask, masks[number % count]) > 0.99
        assert all(overlap(mask, other) < 0.8 for other in masks[:count] if other is not masks[number % count])
