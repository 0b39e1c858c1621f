"""Annotators for the benchmark `click`: what Label Studio sends for them, and what they get."""

import io
import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import requests
from PIL import Image
from skimage import data as photographs

from cleanplate.codecs.rle import mask_from_rle
from cleanplate.domain.image import Mask
from fakes.label_studio import FakeLabelStudio

CONFIG: Final = """
<View>
  <Image name="image" value="$image"/>
  <KeyPointLabels name="click" toName="image" smart="true"><Label value="Thing"/></KeyPointLabels>
  <BrushLabels name="brush" toName="image" smart="false"><Label value="Thing"/></BrushLabels>
</View>
"""
GRAIN: Final = 3
JPEG_QUALITY: Final = 90

REACH_PCT: Final = 2.0
"""Clicks go to places so far from the middle of an image at the most: all of them lie in a blob."""

LABEL_STUDIO_WAITS_S: Final = 100.0
GIVEN_UP_S: Final = 900.0
BREATH_S: Final = 0.2
NO_ANSWER: Final = 0

Size = tuple[int, int]
_SUBJECTS: Final[Sequence[Callable[[], npt.NDArray[np.uint8]]]] = (
    photographs.astronaut,
    photographs.chelsea,
    photographs.coffee,
    photographs.rocket,
)


def photograph(size: Size, number: int) -> npt.NDArray[np.uint8]:
    """(H, W, 3); each number is another image."""
    subject = _SUBJECTS[number % len(_SUBJECTS)]()[:, :: -1 if number // len(_SUBJECTS) % 2 else 1]
    enlarged = cv2.resize(np.ascontiguousarray(subject), size, interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(number).normal(0, GRAIN, enlarged.shape)
    return np.clip(enlarged + grain, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class ImageTask:
    """A task with one image, as Label Studio sends it along."""

    size: Size
    number: int
    project: int
    body: Mapping[str, Any]

    def opened(self) -> bytes:
        """What is sent when it is opened."""
        return self._request(None)

    def clicked(self, place_pct: tuple[float, float], prompt_id: str) -> bytes:
        """What is sent for one positive click."""
        width, height = self.size
        x, y = place_pct
        prompt = {
            "id": prompt_id,
            "from_name": "click",
            "to_name": "image",
            "type": "keypointlabels",
            "origin": "manual",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "is_positive": True,
            "value": {"x": x, "y": y, "width": 0.23, "labels": ["Thing"], "keypointlabels": ["Thing"]},
        }
        return self._request({"result": [prompt]})

    def _request(self, context: Mapping[str, Any] | None) -> bytes:
        request = {
            "tasks": [self.body],
            "project": f"{self.project}.1795175793",
            "label_config": CONFIG,
            "params": {"login": None, "password": None, "context": context},
        }
        return json.dumps(request).encode()


class Gallery:
    """Tasks with new images, in a Label Studio of our own."""

    def __init__(self, label_studio: FakeLabelStudio) -> None:
        self._label_studio = label_studio
        self._numbers = count()

    def project(self) -> int:
        """A new, empty project."""
        return self._label_studio.add_project(CONFIG)

    def task(self, size: Size, project: int) -> ImageTask:
        """Add a task whose image nobody has seen."""
        number = next(self._numbers)
        file = io.BytesIO()
        Image.fromarray(photograph(size, number)).save(file, "JPEG", quality=JPEG_QUALITY)
        address = self._label_studio.add_upload(project, f"{number}.jpg", file.getvalue())
        task_id = self._label_studio.add_task(project, {"image": address})
        more = {"annotations": [], "drafts": [], "predictions": [], "inner_id": 1, "total_annotations": 0}
        return ImageTask(size, number, project, {**self._label_studio.tasks[task_id], **more})

    def pixels(self, task: ImageTask) -> npt.NDArray[np.uint8]:
        """The image as it is in the file."""
        with Image.open(io.BytesIO(self._label_studio.content_of(task.body["data"]["image"]))) as image:
            return np.asarray(image.convert("RGB"))


class Answer(NamedTuple):
    """What came back, and how long that took: from sending to the last byte. A broken connection has NO_ANSWER."""

    seconds: float
    status: int
    content: bytes

    @property
    def has_mask(self) -> bool:
        """Whether an annotator would see something."""
        return self.status == HTTPStatus.OK and b'"rle"' in self.content

    def mask(self, size: Size) -> Mask:
        """The mask that an annotator would see."""
        (item,) = json.loads(self.content)["results"][0]["result"]
        width, height = size
        return mask_from_rle(bytes(item["value"]["rle"]), width=width, height=height)


class Annotator:
    """One person before a labelling page, whose Label Studio sends everything to one backend."""

    def __init__(self, url: str, *, seed: int = 0) -> None:
        self._url = url
        self._random = np.random.default_rng(seed)
        self._prompts = (f"p{seed}-{number}" for number in count())
        self._session = requests.Session()
        self._session.trust_env = False

    def open(self, task: ImageTask) -> Answer:
        """Open a task."""
        return self._send(task.opened())

    def click(self, task: ImageTask, place_pct: tuple[float, float] | None = None) -> Answer:
        """Click near the middle, or at a place."""
        x, y = place_pct or 50 + self._random.uniform(-REACH_PCT, REACH_PCT, 2)
        return self._send(task.clicked((float(x), float(y)), next(self._prompts)))

    def _send(self, body: bytes) -> Answer:
        headers = {"Content-Type": "application/json"}
        start = time.perf_counter()
        try:
            answer = self._session.post(f"{self._url}/predict", data=body, headers=headers, timeout=GIVEN_UP_S)
        except requests.RequestException:
            return Answer(time.perf_counter() - start, NO_ANSWER, b"")
        return Answer(time.perf_counter() - start, answer.status_code, answer.content)


@dataclass
class Shift:
    """What some annotators got who worked at the same time, each on a task of their own.

    Attributes:
        answered_s: how long each click took that got a mask.
        failed: clicks that got none. Their annotators clicked again.
        wall_s: from the first click to the last answer.
        wanted: so many clicks they wanted to make; fewer were, if their time was over.
    """

    wanted: int
    answered_s: list[float] = field(default_factory=list)
    failed: int = 0
    wall_s: float = 0.0

    @property
    def clicks_per_s(self) -> float:
        """Clicks that got a mask."""
        return len(self.answered_s) / self.wall_s

    @property
    def p95_s(self) -> float:
        """So long or less 95 of 100 of them took; endless if there was none."""
        return percentile(self.answered_s, 0.95)

    @property
    def late(self) -> int:
        """Those that Label Studio would not have waited for."""
        return sum(seconds > LABEL_STUDIO_WAITS_S for seconds in self.answered_s)

    @property
    def is_whole(self) -> bool:
        """Whether they made all their clicks."""
        return len(self.answered_s) == self.wanted


def work_together(url: str, tasks: Sequence[ImageTask], *, clicks: int, within_s: float) -> Shift:
    """Let as many annotators as there are tasks click without a pause; who is answered with no mask clicks again.

    Args:
        url: of the backend.
        tasks: one for each.
        clicks: so many masks each of them wants.
        within_s: after that they begin no click any more.
    """
    shift, lock = Shift(wanted=clicks * len(tasks)), threading.Lock()
    start = time.perf_counter()

    def work(seed: int, task: ImageTask) -> None:
        annotator, got = Annotator(url, seed=seed), 0
        while got < clicks and time.perf_counter() - start < within_s:
            answer = annotator.click(task)
            with lock:
                if answer.has_mask:
                    shift.answered_s.append(answer.seconds)
                else:
                    shift.failed += 1
            got += answer.has_mask
            if not answer.has_mask:
                time.sleep(BREATH_S)

    _at_once([lambda seed=seed, task=task: work(seed, task) for seed, task in enumerate(tasks)])
    shift.wall_s = time.perf_counter() - start
    return shift


class Expected(NamedTuple):
    """The masks that clicks at some places of an image may be answered with: a few for each place."""

    task: ImageTask
    masks: Sequence[npt.NDArray[np.bool_]]


class Race(NamedTuple):
    """What clicks at the same time on different images were answered with.

    Attributes:
        failed: with no mask.
        foreign: with a mask that is more like another image's than like one of their own.
    """

    clicks: int
    failed: int
    foreign: int


def race(url: str, expected: Sequence[Expected], places_pct: Sequence[tuple[float, float]]) -> Race:
    """Let as many annotators as there are images click at the same time, each on theirs, at the same places."""
    answers: dict[tuple[int, int], Answer] = {}

    def work(number: int) -> None:
        annotator = Annotator(url, seed=number)
        for turn, place in enumerate(places_pct):
            answers[number, turn] = annotator.click(expected[number].task, place)

    _at_once([lambda number=number: work(number) for number in range(len(expected))])
    masks = {
        key: answer.mask(expected[key[0]].task.size) if answer.has_mask else None for key, answer in answers.items()
    }
    seen = [(number, mask, [one.masks[turn] for one in expected]) for (number, turn), mask in masks.items()]
    failed = sum(mask is None for _, mask, _ in seen)
    foreign = sum(mask is not None and likest(mask, choices) != number for number, mask, choices in seen)
    return Race(len(answers), failed, foreign)


def likest(mask: Mask, choices: Sequence[npt.NDArray[np.bool_]]) -> int:
    """Which choice has a mask that overlaps most with this one.

    Args:
        mask: (H, W).
        choices: of (n, H, W) each.
    """
    overlaps = [max(_overlap(mask, other) for other in choice) for choice in choices]
    return int(np.argmax(overlaps))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many of all are not above; endless without any."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else math.inf


def _overlap(mask: Mask, other: npt.NDArray[np.bool_]) -> float:
    return float((mask & other).sum() / max((mask | other).sum(), 1))


def _at_once(tasks: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
