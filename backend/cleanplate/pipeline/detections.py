"""From what a detector found to a mask of what is to go."""

from collections.abc import Collection
from dataclasses import replace
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.engines.protocols import Detection, Detector
from cleanplate.errors import EngineError
from cleanplate.pipeline.second_look import LIKELY

_MARGINS: Final = MappingProxyType({"face": 0.3})
_MARGIN: Final = 0.1
"""By what share of its sides a box is grown on each side. That of a face ends at the brow and at the chin."""

_ROUND: Final = frozenset({"face"})


def kind_named(word: str, detector: Detector) -> str:
    """The kind of things that a word such as `face`, `Faces` or `bodies` means.

    Raises:
        EngineError: The detector cannot find that.
    """
    known = {form: kind for kind in detector.kinds for form in (kind, f"{kind}s", f"{kind[:-1]}ies")}
    kind = known.get(word.strip().lower())
    if kind is None:
        raise EngineError(f"the detector cannot find {word!r}: it finds {', '.join(detector.kinds)}")
    return kind


def likely_detections(image: RgbImage, detector: Detector, *, kinds: Collection[str]) -> tuple[Detection, ...]:
    """What a detector finds and is rather sure of, in boxes that hold all of it, the most certain first.

    Args:
        image: (H, W, 3).
        detector: finds things.
        kinds: of them.
    """
    return tuple(
        replace(found, box=_grown(found.box, _MARGINS.get(found.kind, _MARGIN)))
        for found in detector.detect(image, kinds=kinds)
        if found.score >= LIKELY
    )


def detected_mask(image: RgbImage, detector: Detector, *, kinds: Collection[str]) -> Mask:
    """Cover what a detector finds: (H, W), empty if it finds nothing.

    A face becomes an ellipse that covers its whole box and the hair, everything else a rectangle.

    Args:
        image: (H, W, 3).
        detector: finds things; what it is not sure of does not count.
        kinds: of them.
    """
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    for found in likely_detections(image, detector, kinds=kinds):
        if found.kind in _ROUND:
            cv2.ellipse(mask, _ellipse(found.box), 1, thickness=cv2.FILLED)
        else:
            mask[found.box.slices(size_of(image))] = 1
    return mask.astype(np.bool_)


def _grown(box: Box, margin: float) -> Box:
    across, down = margin * box.width, margin * box.height
    return Box(box.left - across, box.top - down, box.right + across, box.bottom + down)


def _ellipse(box: Box) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Centre, axes and turn, as OpenCV has them; pixel edges become pixel centres."""
    middle = ((box.left + box.right) / 2 - 0.5, (box.top + box.bottom) / 2 - 0.5)
    return middle, (box.width, box.height), 0.0
