"""One image cleaned in every way there is, to be looked at side by side."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np

from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, Size, size_of
from cleanplate.domain.policy import Action
from cleanplate.engines.protocols import Detector, Inpainter
from cleanplate.errors import CleanplateError
from cleanplate.pipeline.certificate import Certificate
from cleanplate.pipeline.clean import Original, clean_image
from cleanplate.pipeline.growth import grown_by, island_boxes

DIFFERENCE_FACTOR: Final = 8
"""How much stronger a difference is shown than it is."""

_ZOOM: Final = 2.0
_MIN_ZOOM_PX: Final = 96
_ZOOM_ASPECT: Final = 4 / 3

_TINT: Final = (214, 58, 44)
_TINT_SHARE: Final = 0.45


@dataclass(frozen=True, eq=False)
class Candidate:
    """A way to clean an image.

    Attributes:
        name: for people.
        action: what is done.
        inpainter: what does it, if the action needs one.
    """

    name: str
    action: Action
    inpainter: Inpainter


@dataclass(frozen=True, eq=False)
class Trial:
    """What came of one way.

    Attributes:
        name: of the way.
        image: (H, W, 3), the copy as it is read from its file; None if there is none.
        seconds: from the erasure to the certificate.
        size_bytes: of the copy's file.
        certificate: of the copy.
        problem: why there is no copy.
    """

    name: str
    image: RgbImage | None = None
    seconds: float = 0.0
    size_bytes: int = 0
    certificate: Certificate | None = field(default=None, repr=False)
    problem: str = ""

    @property
    def confidence(self) -> float | None:
        """The inpainter's own; None if it has none."""
        found = None if self.certificate is None else self.certificate.parameters.get("confidence")
        return found if isinstance(found, float) else None


def trials(
    original: Original,
    mask: Mask,
    candidates: Sequence[Candidate],
    *,
    limits: ImageLimits,
    detector: Detector | None = None,
) -> Iterator[Trial]:
    """Clean an image in each way, one after the other. What fails says why instead.

    Args:
        original: the image.
        mask: (H, W), what is to go.
        candidates: the ways.
        limits: the copies must be readable within them.
        detector: as for every copy.
    """
    for candidate in candidates:
        began_at = time.perf_counter()
        try:
            copy = clean_image(
                original,
                mask,
                candidate.inpainter,
                limits=limits,
                action=candidate.action,
                detector=detector,
            )
            seconds = time.perf_counter() - began_at
            image = picture_from_bytes(copy.content, limits).image
        except CleanplateError as error:
            yield Trial(candidate.name, problem=str(error))
        else:
            yield Trial(candidate.name, image, seconds, len(copy.content), copy.certificate)


def difference(original: RgbImage, copy: RgbImage) -> RgbImage:
    """Where a copy differs from its original, several times stronger than it does."""
    return np.asarray(cv2.convertScaleAbs(cv2.absdiff(original, copy), alpha=DIFFERENCE_FACTOR), dtype=np.uint8)


def overlay(image: RgbImage, mask: Mask) -> RgbImage:
    """The image with the mask tinted and outlined."""
    shown = image.copy()
    tint = np.array(_TINT, dtype=np.float32)
    shown[mask] = (shown[mask] * (1 - _TINT_SHARE) + tint * _TINT_SHARE).astype(np.uint8)
    line_px = max(round(max(image.shape[:2]) / 400), 1)
    shown[grown_by(mask, line_px) & ~mask] = _TINT
    return shown


def zoom_box(mask: Mask) -> Box:
    """What to look at closely: the largest hole with its surroundings, 4:3 where the image allows it."""
    size = size_of(mask)
    hole = max(island_boxes(mask), key=lambda box: box.area, default=Box(0, 0, size.width, size.height))
    height = max(hole.height * _ZOOM, hole.width * _ZOOM / _ZOOM_ASPECT, _MIN_ZOOM_PX)
    return _placed(hole, Size(round(height * _ZOOM_ASPECT), round(height)), size)


def _placed(hole: Box, wanted: Size, size: Size) -> Box:
    """A box around the hole, moved so that as much of it as possible lies on the image."""
    width, height = min(wanted.width, size.width), min(wanted.height, size.height)
    left = min(max(round((hole.left + hole.right - width) / 2), 0), size.width - width)
    top = min(max(round((hole.top + hole.bottom - height) / 2), 0), size.height - height)
    return Box(left, top, left + width, top + height)
