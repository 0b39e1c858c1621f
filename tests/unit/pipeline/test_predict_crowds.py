"""Many annotators at once: who waits for whom, and for how long."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import structlog

from cleanplate.domain.image import RgbImage, Size, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.embeddings import EmbeddingCache
from cleanplate.engines.protocols import Embedding, Segmentation
from cleanplate.errors import BusyError
from cleanplate.label_studio.payloads import PredictRequest
from cleanplate.pipeline.predict import ANSWER_S, Event, Predictor
from cleanplate.pipeline.turns import Conversations

WAIT_S = 10
SIZE = Size(width=16, height=12)
CONFIG = """
<View><Image name="image" value="$image"/>
<KeyPointLabels name="kp" toName="image"><Label value="Face"/></KeyPointLabels>
<BrushLabels name="brush" toName="image" smart="false"><Label value="Face"/></BrushLabels></View>
"""


class Prepared:
    size_bytes = 1

    def __init__(self, image: RgbImage) -> None:
        self.number = int(image[0, 0, 0])
        self.size = size_of(image)


class HeldSegmenter:
    """Encodes only as often as it is let, and notes what it did."""

    version = "held-1"

    def __init__(self) -> None:
        self.encoded: list[int] = []
        self.decoded: list[int] = []
        self.beginning = threading.Semaphore(0)
        self.may_encode = threading.Semaphore(0)

    def embed(self, image: RgbImage) -> Prepared:
        self.beginning.release()
        assert self.may_encode.acquire(timeout=WAIT_S)
        self.encoded.append(int(image[0, 0, 0]))
        return Prepared(image)

    def segment(self, embedding: Embedding, prompt: Prompt) -> Segmentation:  # noqa: ARG002  the real one's signature
        assert isinstance(embedding, Prepared)
        self.decoded.append(embedding.number)
        mask = np.zeros((SIZE.height, SIZE.width), dtype=np.bool_)
        mask[2:5, 2:5] = True
        return Segmentation(mask, 0.5, np.where(mask, 1, -1).astype(np.float32))


class NumberedMedia:
    def fetch(self, url: str, *, project_id: int, task_id: int) -> bytes:  # noqa: ARG002  the real one's signature
        return bytes([int(url)])


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class House:
    """A predictor and those who click."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.segmenter, self.clock, self._pool = HeldSegmenter(), Clock(), pool
        self.conversations = Conversations()
        self.predictor = Predictor(
            segmenter=self.segmenter,
            media=NumberedMedia(),
            read_image=lambda data: np.full((SIZE.height, SIZE.width, 3), data[0], dtype=np.uint8),
            embeddings=EmbeddingCache(1000),
            conversations=self.conversations,
            label_studio_url="http://ls",
            clock=self.clock,
        )

    def click(self, number: int, *prompt_ids: str) -> Future[Any]:
        return self._pool.submit(self.predictor.predict, request(number, prompt_ids or ("a",)))

    def open(self, number: int) -> None:
        self.predictor.predict(request(number, None))

    def warm(self, number: int) -> None:
        """Have an image prepared and clicked."""
        self.segmenter.may_encode.release()
        self.click(number).result(WAIT_S)
        assert self.segmenter.beginning.acquire(timeout=WAIT_S)

    def wait_until_waiting(self, count: int) -> None:
        wait_until(lambda: len(self.predictor._line._waiting) == count)


def request(number: int, prompt_ids: tuple[str, ...] | None) -> PredictRequest:
    frame = {"original_width": SIZE.width, "original_height": SIZE.height, "type": "keypointlabels"}
    names = {"from_name": "kp", "to_name": "image", "is_positive": True}
    items = [
        frame | names | {"id": prompt_id, "value": {"x": 20, "y": 20, "keypointlabels": ["Face"]}}
        for prompt_id in prompt_ids or ()
    ]
    return PredictRequest.parse(
        {
            "tasks": [{"id": number, "data": {"image": str(number)}}],
            "project": "1.1",
            "label_config": CONFIG,
            "params": {"context": None if prompt_ids is None else {"result": items}},
        }
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


@pytest.fixture
def house() -> Iterator[House]:
    with ThreadPoolExecutor(32) as pool, structlog.testing.capture_logs():
        made = House(pool)
        with closing(made.predictor):
            try:
                yield made
            finally:
                # Whoever still waits is let go.
                for _ in range(50):
                    made.segmenter.may_encode.release()


def test_a_click_on_a_warm_image_waits_for_no_encoding(house) -> None:
    house.warm(1)
    cold = [house.click(number) for number in range(2, 22)]
    assert house.segmenter.beginning.acquire(timeout=WAIT_S)
    house.wait_until_waiting(19)

    (answer,) = house.click(1, "b").result(WAIT_S)

    assert answer["result"]
    assert not any(one.done() for one in cold)
    assert house.segmenter.encoded == [1]


def test_a_clicked_image_is_prepared_before_those_that_were_only_opened(house) -> None:
    busy = house.click(1)
    assert house.segmenter.beginning.acquire(timeout=WAIT_S)
    house.open(2)
    house.wait_until_waiting(1)
    clicked = house.click(3)
    house.wait_until_waiting(2)

    for _ in range(2):
        house.segmenter.may_encode.release()
    busy.result(WAIT_S)
    clicked.result(WAIT_S)

    assert house.segmenter.encoded == [1, 3]


def test_an_opened_image_that_waits_is_prepared_next_once_somebody_clicks_on_it(house) -> None:
    busy = house.click(1)
    assert house.segmenter.beginning.acquire(timeout=WAIT_S)
    house.open(2)
    house.wait_until_waiting(1)
    later = house.click(3)
    house.wait_until_waiting(2)
    clicked = house.click(2)
    wait_until(lambda: len(house.predictor._line._awaited) == 3)

    for _ in range(2):
        house.segmenter.may_encode.release()
    clicked.result(WAIT_S)

    assert house.segmenter.encoded == [1, 2]
    assert not later.done()
    busy.result(WAIT_S)


def test_twenty_who_click_on_the_same_cold_image_wait_for_one_encoding(house) -> None:
    clicks = [house.click(1, str(number)) for number in range(20)]
    assert house.segmenter.beginning.acquire(timeout=WAIT_S)

    house.segmenter.may_encode.release()

    assert all(click.result(WAIT_S)[0]["result"] for click in clicks)
    assert house.segmenter.encoded == [1]


def test_a_superseded_click_on_a_cold_image_is_never_decoded(house) -> None:
    first = house.click(1, "a")
    assert house.segmenter.beginning.acquire(timeout=WAIT_S)
    second = house.click(1, "a", "b")
    wait_until(lambda: turns(house) == 2)
    third = house.click(1, "a", "b", "c")

    # The one that only waits for its turn need not wait any longer.
    assert second.result(WAIT_S)[0]["result"] == []
    house.segmenter.may_encode.release()

    assert first.result(WAIT_S)[0]["result"] == []
    assert third.result(WAIT_S)[0]["result"]
    assert house.segmenter.decoded == [1]
    assert house.predictor.counts[Event.SUPERSEDED] == 2


def test_nobody_waits_longer_than_label_studio_does(house) -> None:
    """The image's own encoding goes on, and is there for the next click."""
    house.predictor._clock = iter([0.0, 0.0, ANSWER_S, ANSWER_S, ANSWER_S]).__next__
    late = house.click(1)

    with pytest.raises(BusyError, match="still being prepared") as caught:
        late.result(WAIT_S)
    house.predictor._clock = house.clock
    house.segmenter.may_encode.release()
    again = house.click(1)

    assert caught.value.retry_after_s
    assert again.result(WAIT_S)[0]["result"]
    assert house.segmenter.encoded == [1]


def test_nobody_waits_longer_for_the_clicks_before_either(house) -> None:
    before = house.click(1, "a")
    assert house.segmenter.beginning.acquire(timeout=WAIT_S)
    house.predictor._clock = iter([0.0, ANSWER_S]).__next__

    with pytest.raises(BusyError, match="before this one"):
        house.click(1, "b").result(WAIT_S)

    house.predictor._clock = house.clock
    house.segmenter.may_encode.release()
    assert before.result(WAIT_S)[0]["result"]


def test_nobody_waits_longer_for_a_place_to_decode_either(house) -> None:
    house.warm(1)
    house.predictor._decoding = threading.BoundedSemaphore(1)
    house.predictor._clock = iter([0.0, 0.0, 0.0, ANSWER_S]).__next__

    with house.predictor._decoding, pytest.raises(BusyError, match="being answered"):
        house.click(1, "b").result(WAIT_S)


def turns(house: House) -> int:
    (conversation,) = house.conversations._conversations.values()
    return len(conversation.turns)
