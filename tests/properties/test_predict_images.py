import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanplate.codecs.rle import mask_from_rle
from cleanplate.domain.image import RgbImage, Size
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.embeddings import EmbeddingCache
from cleanplate.engines.protocols import Embedding, Segmentation
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.pipeline.predict import Event, Predictor
from cleanplate.pipeline.turns import Conversations

THREADS, IMAGES = 8, 50
SIZE = Size(width=16, height=12)
CONFIG = """
<View><Image name="image" value="$image"/>
<KeyPointLabels name="kp" toName="image"><Label value="Face"/><Label value="Plate"/></KeyPointLabels>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/><Label value="Plate"/></BrushLabels></View>
"""


@dataclass(frozen=True)
class Prepared:
    number: int
    size: Size = SIZE
    size_bytes: int = 1


class NumberingSegmenter:
    """Writes the image's number, in binary, into the first row of every mask and of its logits."""

    version = "numbers-1"

    def __init__(self) -> None:
        self.foreign_logits = 0

    def embed(self, image: RgbImage) -> Prepared:
        return Prepared(int(image[0, 0, 0]))

    def segment(self, embedding: Embedding, prompt: Prompt) -> Segmentation:
        assert isinstance(embedding, Prepared)
        mask = np.zeros((SIZE.height, SIZE.width), dtype=np.bool_)
        mask[0, :8] = [embedding.number >> bit & 1 for bit in range(8)]
        for point in prompt.points:
            x, y = point.pixel(SIZE)
            mask[max(y, 1), x] = point.positive
        mask[-1, -1] = True
        if prompt.previous is not None and number_in(prompt.previous > 0) != embedding.number:
            self.foreign_logits += 1
        return Segmentation(mask=mask, score=0.5, logits=np.where(mask, 1, -1).astype(np.float32))


class NumberedMedia:
    def fetch(self, url: str, *, project_id: int, task_id: int) -> bytes:  # noqa: ARG002  the real one's signature
        return bytes([int(url)])


def number_in(mask: np.ndarray) -> int:
    return sum(1 << bit for bit in range(8) if mask[0, bit])


def requests(seed: int, count: int) -> Iterator[tuple[int, PredictRequest]]:
    """What an annotator with auto-accept sends who jumps between all images: lone clicks, some of them negative."""
    rng = random.Random(seed)
    for number in range(count):
        image = rng.randrange(IMAGES)
        label = rng.choice(["Face", "Plate"])
        yield (
            image,
            PredictRequest.parse(
                {
                    "tasks": [{"id": image + 1, "data": {"image": str(image)}}],
                    "project": "1.1",
                    "label_config": CONFIG,
                    "params": {
                        "context": {
                            "result": [
                                {
                                    "original_width": SIZE.width,
                                    "original_height": SIZE.height,
                                    "value": {
                                        "x": rng.uniform(0, 99),
                                        "y": rng.uniform(0, 99),
                                        "keypointlabels": [label],
                                    },
                                    "is_positive": rng.random() < 0.7,
                                    "id": f"{seed}-{number}",
                                    "from_name": "kp",
                                    "to_name": "image",
                                    "type": "keypointlabels",
                                }
                            ]
                        }
                    },
                }
            ),
        )


def click_at_once(seed: int, clicks_per_thread: int) -> tuple[Predictor, NumberingSegmenter, int]:
    """Let all threads click on all images; how many regions came from another image than the clicked one."""
    segmenter = NumberingSegmenter()
    predictor = Predictor(
        segmenter=segmenter,
        media=NumberedMedia(),
        read_image=lambda data: np.full((SIZE.height, SIZE.width, 3), data[0], dtype=np.uint8),
        # Too small for all: images and conversations are forgotten and made again all the time.
        embeddings=EmbeddingCache(max_bytes=IMAGES // 2),
        conversations=Conversations(max_count=IMAGES),
        label_studio_url="http://ls",
        warms=False,
    )

    def annotate(thread: int) -> list[tuple[int, str, int]]:
        shown = []
        for image, request in requests(seed * THREADS + thread, clicks_per_thread):
            (prediction,) = predictor.predict(request)
            for item in prediction["result"]:
                mask = mask_from_rle(item["value"]["rle"], width=SIZE.width, height=SIZE.height)
                shown.append((image, item["id"], number_in(mask)))
        return shown

    with structlog.testing.capture_logs(), ThreadPoolExecutor(THREADS) as pool:
        shown = [region for regions in pool.map(annotate, range(THREADS)) for region in regions]
    image_of_region: dict[str, int] = {}
    foreign = sum(image != found for image, _, found in shown)
    foreign += sum(image_of_region.setdefault(region_id, image) != image for image, region_id, _ in shown)
    assert len(shown) > THREADS * clicks_per_thread // 2
    return predictor, segmenter, foreign


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_masks_of_one_image_never_answer_for_another_however_many_click_at_once(seed) -> None:
    predictor, segmenter, foreign = click_at_once(seed, clicks_per_thread=100)

    assert foreign == 0
    assert segmenter.foreign_logits == 0
    assert predictor.counts[Event.ANSWERED] == THREADS * 100


def test_of_ten_thousand_clicks_none_gets_the_mask_of_another_image() -> None:
    predictor, segmenter, foreign = click_at_once(1, clicks_per_thread=10_000 // THREADS)

    assert foreign == 0
    assert segmenter.foreign_logits == 0
    assert predictor.counts[Event.ANSWERED] == 10_000
