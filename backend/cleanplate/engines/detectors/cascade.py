"""Faces, licence plates and bodies by the cascades that come with OpenCV 4: no weights to fetch, fast, and often wrong.

P. Viola, M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", 2001; R. Lienhart, J. Maydt,
"An Extended Set of Haar-like Features for Rapid Object Detection", 2002.
"""

import math
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import RgbImage, Size, require_image, size_of
from cleanplate.engines.protocols import Detection
from cleanplate.errors import EngineError, EngineMemoryError, EngineMissingError

_MAX_SIDE_PX: Final = 960
"""An image is looked at in at most this size: what is smaller than some 20 pixels in it is not found."""

_MIN_NEIGHBOURS: Final = 3

_SAME_OVERLAP: Final = 0.4
_SAME_INSIDE: Final = 0.7
"""Two boxes of one kind are one thing if they share so much of their union, or so much of the smaller one."""

_HELP: Final = (
    "the detector 'cascade' needs OpenCV 4: version 5 has no cascades. pip install 'opencv-python-headless>=4.12,<5'"
)

_STAGES: Final = re.compile(rb"<stageNum>(\d+)</stageNum>")

_Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Cascade:
    """One of OpenCV's cascades, and how it is used.

    Attributes:
        kind: what it finds.
        file: of `cv2.data`.
        step: by what factor the window grows from one round to the next.
        enlarged: how many times larger than its own smallest window the smallest thing is that is looked for. Below
            it, most is missed anyway, and half of the time would be spent there.
        even: the weight of the last stage at which a hit is as likely right as wrong: there false alarms lay on
            photographs and textures without faces, plates and people.
        spread: by how much more weight the odds become e times better.
        mirrored: whether it knows one side only, so that the image is looked at mirrored, too.
    """

    kind: str
    file: str
    step: float
    enlarged: float
    even: float
    spread: float
    mirrored: bool = False

    def score(self, weight: float) -> float:
        """How sure the cascade is, 0 … 1."""
        return 1 / (1 + math.exp(min((self.even - weight) / self.spread, 50.0)))


_CASCADES: Final = (
    _Cascade("face", "haarcascade_frontalface_alt2.xml", step=1.1, enlarged=1.2, even=55.2, spread=0.5),
    _Cascade("face", "haarcascade_profileface.xml", step=1.2, enlarged=1.8, even=0.5, spread=0.6, mirrored=True),
    _Cascade("plate", "haarcascade_russian_plate_number.xml", step=1.1, enlarged=1.0, even=1.4, spread=0.5),
    _Cascade("body", "haarcascade_fullbody.xml", step=1.1, enlarged=2.0, even=1.0, spread=0.5),
    _Cascade("body", "haarcascade_upperbody.xml", step=1.2, enlarged=2.0, even=1.5, spread=0.4),
)


class CascadeDetector:
    """Finds faces from the front and from the side, licence plates and people.

    Of upright faces from the front it finds nearly all, of those from the side many, of tilted and covered ones few; of
    people few; plates from straight ahead. The numbers are in the tests and in `docs/detectors.md`.
    """

    kinds: Final = ("face", "plate", "body")

    def __init__(self) -> None:
        self._readers = [(cascade, _Reader(cascade.file)) for cascade in _CASCADES]

    @cached_property
    def version(self) -> str:
        """Name and a digest of the cascades and of how they are used."""
        digest = sha256(repr((_CASCADES, _MAX_SIDE_PX, _MIN_NEIGHBOURS, _SAME_OVERLAP, _SAME_INSIDE)).encode())
        for _, reader in self._readers:
            digest.update(reader.path.read_bytes())
        return f"cascade {digest.hexdigest()[:12]}"

    def detect(self, image: RgbImage, *, kinds: Collection[str] | None = None) -> tuple[Detection, ...]:
        """Find things, the most certain first. Safe to call from several threads.

        Raises:
            EngineError: It cannot find one of the *kinds*.
            EngineMemoryError: There is no room for an image this size.
        """
        require_image(image)
        unknown = sorted(set(kinds or ()) - set(self.kinds))
        if unknown:
            raise EngineError(f"the detector 'cascade' cannot find {unknown[0]!r}; it finds {', '.join(self.kinds)}")
        try:
            small = _small(image)
            found = [
                _scaled(detection, size_of(small), size_of(image))
                for cascade, reader in self._readers
                if kinds is None or cascade.kind in kinds
                for detection in _hits(small, cascade, reader)
            ]
        except cv2.error as error:
            raise _translated(error, size_of(image)) from error
        return _merged(found)


def load() -> CascadeDetector:
    """Make the detector.

    Raises:
        EngineMissingError: This OpenCV has no cascades.
    """
    return CascadeDetector()


class _Reader:
    """A loaded cascade. OpenCV's own keeps notes while it looks, so only one thread at a time may use it."""

    def __init__(self, file: str) -> None:
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        self.path = Path(folder, file)
        if not hasattr(cv2, "CascadeClassifier") or not self.path.is_file():
            raise EngineMissingError(_HELP)
        self._lock = Lock()

    def hits(self, grey: _Grey, *, step: float, enlarged: float) -> Iterator[tuple[Box, float]]:
        """Boxes and the weights of the last stage. Those that only nearly passed are left out."""
        with self._lock:
            width, height = self._classifier.getOriginalWindowSize()
            if grey.shape[1] < width or grey.shape[0] < height:
                return
            boxes, stages, weights = self._classifier.detectMultiScale3(
                grey,
                scaleFactor=step,
                minNeighbors=_MIN_NEIGHBOURS,
                minSize=(round(width * enlarged), round(height * enlarged)),
                outputRejectLevels=True,
            )
        for (left, top, width, height), passed, weight in zip(boxes, stages, weights, strict=True):
            if int(passed) >= self._stages:
                yield Box(float(left), float(top), float(left + width), float(top + height)), float(weight)

    @cached_property
    def _classifier(self) -> Any:
        classifier = cv2.CascadeClassifier(str(self.path))
        if classifier.empty():
            raise EngineMissingError(f"{self.path.name} cannot be read: {_HELP}")
        return classifier

    @cached_property
    def _stages(self) -> int:
        found = _STAGES.search(self.path.read_bytes())
        if found is None:
            raise EngineMissingError(f"{self.path.name} is none of OpenCV's cascades: {_HELP}")
        return int(found[1])


def _small(image: RgbImage) -> _Grey:
    """(h, w), grey, no side longer than the detector looks at."""
    size = size_of(image)
    scale = _MAX_SIDE_PX / max(size)
    if scale < 1:
        image = np.asarray(cv2.resize(image, size.scaled(scale), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _hits(grey: _Grey, cascade: _Cascade, reader: _Reader) -> Iterator[Detection]:
    for box, weight in reader.hits(grey, step=cascade.step, enlarged=cascade.enlarged):
        yield Detection(cascade.kind, box, cascade.score(weight))
    if not cascade.mirrored:
        return
    width, mirrored = grey.shape[1], np.ascontiguousarray(grey[:, ::-1])
    for box, weight in reader.hits(mirrored, step=cascade.step, enlarged=cascade.enlarged):
        yield Detection(
            cascade.kind, Box(width - box.right, box.top, width - box.left, box.bottom), cascade.score(weight)
        )


def _scaled(detection: Detection, small: Size, size: Size) -> Detection:
    """The same on the image in its own size."""
    across, down = size.width / small.width, size.height / small.height
    box = detection.box
    whole = Box(box.left * across, box.top * down, box.right * across, box.bottom * down)
    return Detection(detection.kind, whole.clipped(size), detection.score)


def _merged(found: Iterable[Detection]) -> tuple[Detection, ...]:
    """Without those that a more certain one of the same kind stands for."""
    kept: list[Detection] = []
    for detection in sorted(found, key=lambda one: (-one.score, one.kind, one.box)):
        if not any(_is_same(detection, other) for other in kept):
            kept.append(detection)
    return tuple(kept)


def _is_same(one: Detection, other: Detection) -> bool:
    if one.kind != other.kind:
        return False
    shared = one.box.intersection(other.box).area
    union = one.box.area + other.box.area - shared
    return shared > _SAME_OVERLAP * union or shared > _SAME_INSIDE * min(one.box.area, other.box.area)


def _translated(error: cv2.error, size: Size) -> EngineError:
    if error.code == cv2.Error.StsNoMem:
        return EngineMemoryError(f"the cascades have no room to look at an image of {size.width}×{size.height}")
    return EngineError(f"the cascades cannot look at an image of {size.width}×{size.height}: {error.err}")
