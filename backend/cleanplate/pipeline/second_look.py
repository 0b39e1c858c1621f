"""Whether a person should look at a copy that keeps the contract: the contract says what is gone, not what came."""

from collections.abc import Collection, Iterator
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.engines.protocols import Detection, Detector
from cleanplate.pipeline.growth import island_boxes, widened

LIKELY: Final = 0.5
"""A detection of at least this score is taken for one: on what was measured, it is right more often than wrong."""

DOUBTFUL: Final = 0.4
"""An inpainter that is less sure of its fill wants it looked at."""

SENSITIVE: Final = ("face", "plate")
"""What must not appear in a fill, whether somebody drew it or not. Bodies are left out: what is taken for one is too
often none to trouble a person with."""

UNCOPIED: Final = (*SENSITIVE, "body")
"""What must not be copied into a fill. A body that is none costs a few places to copy from."""

_HAIR: Final = 0.5
_SHOULDERS: Final = 1.5
_STATURE: Final = 7.0
"""Where there is a face there is a person: half a face above it, so many on each side, and down to so many below its
top. The cascades' boxes end at the brow and at the chin."""

_OUTLINED: Final = 0.5
"""A face of which so much lies in a region is that of whoever was outlined."""

_IN_THE_FILL: Final = 0.5
"""Something found lies in the fill if at least so much of its box does."""

_CONTEXT: Final = 0.5
_MIN_CONTEXT_PX: Final = 32
"""A detector is shown so much around each hole: a share of its longer side, and never less than this."""

_MAX_SHOWN_PX: Final = 640
"""In at most this size: a face that is smaller than a fifteenth of its hole tells nobody who it is."""

_MAX_SEARCHED_PX: Final = 1280
"""What must not be copied is looked for as if the whole image were at most this large: a face of 24 px is seen there,
which is 75 px in a photograph of 4000×3000."""

_NEAR_PX: Final = 8

_ALIKE: Final = 0.92
"""Correlation with a sensitive region from which on a part of the fill is taken for a copy of it. Measured with random
boxes on photographs and drawn scenes: 95 % of pasted copies reach it and 85 % of copied upper halves, also after JPEG;
3 in 100 places where nothing was pasted do, and 1 of 67 smooth fills. Copies of another size (±10 %) mostly do not."""

_TEMPLATE_SIDE_PX: Final = 40
_MIN_TEMPLATE_SIDE_PX: Final = 8
_MIN_CONTRAST_LEVELS: Final = 10.0
"""What has less contrast than this (its standard deviation) looks like any other smooth ground."""

_KNOWN_SHARE: Final = 0.5

_MAX_PLACE_SIDE_PX: Final = 384
_MAX_REGIONS: Final = 16
_MAX_HOLES: Final = 8
"""The largest ones are looked at, and each not larger than this: a look takes 2 ms a pair and never minutes."""

_Grey = npt.NDArray[np.float32]


def look(
    image: RgbImage, mask: Mask, *, avoid: Mask, confidence: float | None, detector: Detector | None
) -> tuple[str, ...]:
    """Reasons for a person to look at a fill, in sentences that tell nothing of the original; empty if there are none.

    Args:
        image: (H, W, 3), the copy.
        mask: (H, W), what was filled.
        avoid: (H, W), where other regions lie that the fill must not resemble.
        confidence: the inpainter's own, 0 … 1; None if it has none.
        detector: looks at what was filled; None: nobody does.
    """
    reasons = [] if detector is None else list(_seen(image, mask, detector))
    alike = likeness(image, mask, avoid)
    if alike >= _ALIKE:
        reasons.append(f"the fill resembles another region of the image (correlation {alike:.2f})")
    if confidence is not None and confidence < DOUBTFUL:
        reasons.append(f"the inpainter is not sure of its fill (confidence {confidence:.2f})")
    return tuple(reasons)


def sensitive_boxes(image: RgbImage, mask: Mask, detector: Detector, *, outlined: Mask, within: Box) -> tuple[Box, ...]:
    """Where a detector finds what must not be copied into a fill: faces with the people under them, plates, bodies.

    Of somebody who wears what is removed, only the head counts: a badge is replaced by the jacket it was on. So it is
    if somebody was outlined: the outline says better than any box where their body is.

    Args:
        image: (H, W, 3), already overwritten under the mask.
        mask: (H, W), what is to be filled.
        detector: what it cannot find is not looked for.
        outlined: (H, W), regions from which nothing is copied anyway.
        within: the part of the image that is looked at: from elsewhere nothing is copied.
    """
    size = size_of(image)
    rows, columns = within.slices(size)
    holes = island_boxes(mask)
    boxes = []
    searched = np.ascontiguousarray(image[rows, columns])
    small = size_of(searched).scaled(min(1.0, _MAX_SEARCHED_PX / max(size)))
    if small != size_of(searched):
        searched = np.asarray(cv2.resize(searched, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    across, down = (columns.stop - columns.start) / small.width, (rows.stop - rows.start) / small.height
    for found in detector.detect(searched, kinds=_kinds(detector, UNCOPIED)):
        if found.score < LIKELY:
            continue
        left, top, right, bottom = found.box
        box = Box(
            left * across + columns.start,
            top * down + rows.start,
            right * across + columns.start,
            bottom * down + rows.start,
        )
        if found.kind == "face":
            known = outlined[box.slices(size)]
            box = _person(box, holes, outlined=bool(known.size and known.mean() >= _OUTLINED))
        boxes.append(box.clipped(size))
    return tuple(boxes)


def likeness(image: RgbImage, mask: Mask, avoid: Mask) -> float:
    """How much some part of the fill resembles some other region, or its mirror image: the largest correlation, 0 … 1.

    Args:
        image: (H, W, 3), the copy.
        mask: (H, W), what was filled.
        avoid: (H, W), the other regions.
    """
    others = avoid & ~mask
    regions, holes = _largest(others, _MAX_REGIONS), _largest(mask, _MAX_HOLES)
    return max((_likeness(image, mask, others, region, hole) for region in regions for hole in holes), default=0.0)


def _kinds(detector: Detector, wanted: Collection[str]) -> list[str]:
    return [kind for kind in wanted if kind in detector.kinds]


def _person(face: Box, holes: Collection[Box], *, outlined: bool) -> Box:
    """The person around a face; only the head of one who was outlined, or on whom there is a hole."""
    hair, shoulders = _HAIR * face.height, _SHOULDERS * face.width
    bottom = face.top + _STATURE * face.height
    person = Box(face.left - shoulders, face.top - hair, face.right + shoulders, bottom)
    if outlined or any(person.intersection(hole) == hole for hole in holes):
        return Box(face.left - hair, face.top - hair, face.right + hair, face.bottom + hair)
    return person


def _largest(mask: Mask, count: int) -> list[Box]:
    return sorted(island_boxes(mask), key=lambda box: (-box.area, box))[:count]


def _seen(image: RgbImage, mask: Mask, detector: Detector) -> Iterator[str]:
    scores: dict[str, float] = {}
    for hole in _holes(mask):
        window = hole.grown(max(_CONTEXT * max(hole.width, hole.height), _MIN_CONTEXT_PX)).slices(size_of(image))
        shown, filled = _shown(image[window], mask[window])
        for found in detector.detect(shown, kinds=_kinds(detector, SENSITIVE)):
            if _is_in_the_fill(found, filled):
                scores[found.kind] = max(found.score, scores.get(found.kind, 0.0))
    for kind, score in sorted(scores.items()):
        yield f"the detector sees a {kind} in the fill (score {score:.2f})"


def _shown(image: RgbImage, mask: Mask) -> tuple[RgbImage, Mask]:
    """Both not larger than a detector is shown them."""
    size = size_of(mask)
    scale = _MAX_SHOWN_PX / max(size)
    if scale >= 1:
        return np.ascontiguousarray(image), mask
    small = cv2.resize(image, size.scaled(scale), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8), _shrunk_mask(mask, scale) > _KNOWN_SHARE


def _holes(mask: Mask) -> list[Box]:
    """Boxes around the holes; one around all of them if there are many."""
    holes = island_boxes(widened(mask, _NEAR_PX))
    box = bounding_box(mask)
    return holes if len(holes) <= _MAX_HOLES or box is None else [box]


def _is_in_the_fill(found: Detection, mask: Mask) -> bool:
    if found.score < LIKELY:
        return False
    part = mask[found.box.slices(size_of(mask))]
    return bool(part.size and part.mean() >= _IN_THE_FILL)


def _likeness(image: RgbImage, mask: Mask, others: Mask, region: Box, hole: Box) -> float:
    size = size_of(image)
    side_px = max(region.width, region.height)
    # As much around the hole as lets a copy lie in it by half.
    around = hole.grown(0.5 * side_px)
    scale = min(1.0, _TEMPLATE_SIDE_PX / side_px, _MAX_PLACE_SIDE_PX / max(around.width, around.height))
    place = around.slices(size)
    source = region.slices(size)
    templates = _templates(_shrunk(image[source], scale), _shrunk_mask(others[source], scale))
    ground, filled = _shrunk(image[place], scale), _shrunk_mask(mask[place], scale)
    return max((_best(ground, filled, template) for template in templates), default=0.0)


def _templates(grey: _Grey, region: _Grey) -> Iterator[_Grey]:
    """The region, its upper and its lower half, each as it is and mirrored; what has no contrast is left out."""
    middle = grey.shape[0] // 2
    for rows in (slice(None), slice(None, middle), slice(middle, None)):
        known = region[rows] > _KNOWN_SHARE
        if min(known.shape) < _MIN_TEMPLATE_SIDE_PX or not known.any():
            continue
        template = np.where(known, grey[rows], grey[rows][known].mean()).astype(np.float32)
        if template.std() >= _MIN_CONTRAST_LEVELS:
            yield template
            yield np.ascontiguousarray(template[:, ::-1])


def _best(ground: _Grey, filled: _Grey, template: _Grey) -> float:
    """The largest correlation among the places that lie mostly in the fill."""
    height, width = template.shape
    if ground.shape[0] < height or ground.shape[1] < width:
        return 0.0
    shares = cv2.matchTemplate(filled, np.ones_like(template), cv2.TM_CCORR) / template.size
    correlations = cv2.matchTemplate(ground, template, cv2.TM_CCOEFF_NORMED)
    return float(np.where(shares >= _IN_THE_FILL, correlations, 0.0).max())


def _shrunk(image: RgbImage, scale: float) -> _Grey:
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return _resized(grey.astype(np.float32), scale)


def _shrunk_mask(mask: Mask, scale: float) -> _Grey:
    return _resized(mask.astype(np.float32), scale)


def _resized(plane: _Grey, scale: float) -> _Grey:
    return np.asarray(cv2.resize(plane, size_of(plane).scaled(scale), interpolation=cv2.INTER_AREA), dtype=np.float32)
