"""The segmenter that needs no weights: region proposals, and a minimum cut at their edges."""

import hashlib
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Logits, Mask, RgbImage, Size, require_image, size_of
from cleanplate.domain.mask import bounding_box, overlap
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.protocols import Embedding, Segmentation, Segmenter
from cleanplate.engines.segmenters.graphcut_parts.cutting import cut_box, cut_change, cut_region
from cleanplate.engines.segmenters.graphcut_parts.overview import overview_of
from cleanplate.engines.segmenters.graphcut_parts.proposals import first_proposals, later_proposals
from cleanplate.engines.segmenters.graphcut_parts.ranker import Rankers, load_rankers, numbers_bytes
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers
from cleanplate.engines.segmenters.graphcut_parts.tidying import tidied
from cleanplate.engines.segmenters.graphcut_parts.upsampling import mask_from_logits
from cleanplate.engines.segmenters.graphcut_parts.view import View, near_side_px, near_view
from cleanplate.errors import EngineError, PromptError

NAME: Final = "graphcut"
LONGEST_PX: Final = 1024
"""Answers are worked out, and kept as logits, at this resolution; the mask's edge is then fitted to the image."""

LEAST_GAIN: Final = 0.01
"""If no proposal promises more than this, a click mends only its own surroundings."""

LARGE_PX: Final = 1200
NEAR_CAUTION: Final = 0.05
"""How much better a region of a near view has to look than one of the whole image."""

CUT_OFF_LOSS: Final = 0.5
"""How much worse a region is that the view's border cuts off."""

NEAR_FILL: Final = 0.6
"""The largest share of a near view that an object and the click on it may take."""

SURVEY_SIDE: Final = 16
"""So many places along the longer side are clicked on to find everything."""

LEAST_RANK: Final = 0.4
"""What promises less than this is not proposed to anyone who did not click on it."""

CANDIDATES: Final = 3
MOST_SHARED: Final = 0.8
"""Candidates for a click overlap by less than this, so that people see that they differ …"""

MOST_SHARED_BEFORE: Final = 0.65
"""… and by less than this before they are cut out along their edges, which brings like regions nearer to each other."""

LOGITS_PER_SHARE: Final = 8.0
HALF: Final = 0.5

LEAST_OF_BOX: Final = 0.5
"""An earlier answer that extends over less of the box than this is not what the box is about."""

TOUCH_REACH: Final = 1.6
TOUCH_PX: Final = 1.5
"""A disc around a click has this many times the distance to the nearest edge, and so much more, as its radius."""


@dataclass(frozen=True, eq=False)
class GraphcutEmbedding:
    """An image, prepared.

    Attributes:
        image: at full resolution, read-only.
        small: at most 1024 px long, read-only; the same array if the image is no larger.
        view: its regions.
    """

    image: RgbImage
    small: RgbImage
    view: View

    @property
    def size(self) -> Size:
        """The size of the image."""
        return size_of(self.image)

    @property
    def is_large(self) -> bool:
        """Whether things worth clicking on may be too small to be seen in the whole."""
        return max(self.size) >= LARGE_PX

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds."""
        small = 0 if self.small is self.image else self.small.nbytes
        return self.image.nbytes + small + self.view.overview.size_bytes


@dataclass(frozen=True, eq=False)
class _Answer:
    """The state between two clicks: (h, w), 0 … 1, how surely each pixel of the small image is inside; and a score."""

    soft: Numbers
    score: float


@dataclass(frozen=True, eq=False)
class _Meaning:
    """What a first click may mean.

    Attributes:
        view: where it was seen.
        region: (n,), its superpixels there.
        rank: its expected overlap with the object.
        caution: how much better it has to look than those of other views.
    """

    view: View
    region: npt.NDArray[np.bool_]
    rank: float
    caution: float

    def drawn(self, embedding: GraphcutEmbedding) -> Mask:
        """Roughly its mask on the small image."""
        size = size_of(embedding.small)
        mask = np.zeros((size.height, size.width), dtype=np.bool_)
        place = self.view.box.slices(size)
        part = size_of(mask[place])
        drawn = self.view.drawn(self.region).view(np.uint8)
        mask[place] = cv2.resize(drawn, part, interpolation=cv2.INTER_NEAREST).view(np.bool_)
        return mask


class Graphcut:
    """Clicks and boxes to masks, with superpixels, merge trees and minimum cuts. Keeps nothing between calls."""

    def __init__(self, rankers: Rankers, version: str) -> None:
        self._rankers = rankers
        self._version = version

    @property
    def version(self) -> str:
        """The engine's name and a digest of its numbers."""
        return self._version

    def embed(self, image: RgbImage) -> GraphcutEmbedding:
        """Prepare an image; a copy of it is kept."""
        require_image(image)
        own = image.copy()
        own.flags.writeable = False
        small = _shrunk(own)
        whole = Box(0, 0, small.shape[1], small.shape[0])
        return GraphcutEmbedding(own, small, View(overview_of(small), whole))

    def segment(self, embedding: Embedding, prompt: Prompt) -> Segmentation:
        """Answer one prompt.

        Raises:
            PromptError: No part of the prompt lies on the image, or its clicks leave nothing of the object.
            EngineError: The embedding was made by another engine.
        """
        embedding = _own(embedding)
        size = embedding.size
        points = tuple(point for point in prompt.points if point.inside(size))
        box = prompt.box.clipped(size) if prompt.box else None
        box = box if box and box.area > 0 else None
        if (prompt.points or prompt.box) and not points and not box:
            raise PromptError(f"no part of the prompt lies on the image of {size.width}×{size.height}")
        answer = self._replayed(embedding, _on_small(embedding, points), _box_on_small(embedding, box), prompt.previous)
        return _segmentation(embedding, answer, points)

    def candidates(self, embedding: Embedding, clicks: tuple[Point, ...]) -> tuple[Segmentation, ...]:
        """Up to three regions that a click may mean and that clearly differ, the likeliest first.

        Raises:
            PromptError: No click lies on the image.
            EngineError: The embedding was made by another engine.
        """
        embedding = _own(embedding)
        size = embedding.size
        points = tuple(point for point in clicks if point.inside(size))
        if not points:
            raise PromptError(f"no click lies on the image of {size.width}×{size.height}")
        small = _on_small(embedding, points)
        answers: list[_Answer] = []
        for meaning in self._meanings(embedding, small[0]):
            if not _is_new(meaning.drawn(embedding), answers, most=MOST_SHARED_BEFORE):
                continue
            answer = _meant(embedding, meaning, small[0])
            if _is_new(answer.soft > HALF, answers, most=MOST_SHARED):
                answers.append(answer)
            if len(answers) == CANDIDATES:
                break
        return tuple(
            _segmentation(embedding, _Answer(_pinned(answer.soft, small), answer.score), points) for answer in answers
        )

    def survey(self, embedding: Embedding) -> tuple[Segmentation, ...]:
        """What clicks on a grid would find in the whole image, each region once, the likeliest first."""
        embedding = _own(embedding)
        size = size_of(embedding.small)
        across = max(round(SURVEY_SIDE * size.width / max(size)), 1)
        down = max(round(SURVEY_SIDE * size.height / max(size)), 1)
        points = [
            Point((column + 0.5) * size.width / across - 0.5, (row + 0.5) * size.height / down - 0.5)
            for row in range(down)
            for column in range(across)
        ]
        seen = [
            (max(self._seen(embedding.view, embedding, point, caution=0), key=lambda each: each.rank), point)
            for point in points
        ]
        kept: list[tuple[_Meaning, Point]] = []
        for meaning, point in sorted(seen, key=lambda pair: -pair[0].rank):
            if meaning.rank < LEAST_RANK:
                break
            if all(overlap(meaning.region, other.region) < MOST_SHARED_BEFORE for other, _ in kept):
                kept.append((meaning, point))
        return tuple(
            _segmentation(embedding, _meant(embedding, meaning, point), (_on_image(embedding, point),))
            for meaning, point in kept
        )

    def _replayed(
        self, embedding: GraphcutEmbedding, points: tuple[Point, ...], box: Box | None, previous: Logits | None
    ) -> _Answer:
        """Start from the earlier answer or the box, if there is one; then take the clicks in order."""
        answer = _earlier(embedding, previous)
        if box is not None:
            answer = self._boxed(embedding, box, answer, points)
        if answer is None:
            first = next((point for point in points if point.positive), None)
            if first is None:
                raise PromptError("the earlier mask is empty; click on the object")
            answer = self._first(embedding, first)
            points = (first, *(point for point in points if point is not first))
        for count in range(1, len(points) + 1):
            answer = self._clicked(embedding, answer, points[:count])
        return answer

    def _boxed(
        self, embedding: GraphcutEmbedding, box: Box, earlier: _Answer | None, points: tuple[Point, ...]
    ) -> _Answer:
        """The earlier answer, if the box is about it; else the object in the box.

        Nothing beyond the box belongs to the object, unless a click says so.
        """
        inside = np.zeros(embedding.small.shape[:2], dtype=np.bool_)
        inside[box.slices(size_of(embedding.small))] = True
        if earlier is not None:
            kept = np.where(inside, earlier.soft, np.float32(0))
            extent = bounding_box(kept > HALF)
            if extent is not None and extent.area > LEAST_OF_BOX * box.area:
                reaches = any(point.positive and not box.contains(point) for point in points)
                return earlier if reaches else _scored(kept)
        soft = tidied(cut_box(embedding.small, box), ())
        if not (soft > HALF).any():
            soft = inside.astype(np.float32)
        return _scored(np.where(inside, soft, np.float32(0)))

    def _first(self, embedding: GraphcutEmbedding, point: Point) -> _Answer:
        return _meant(embedding, self._meanings(embedding, point)[0], point)

    def _meanings(self, embedding: GraphcutEmbedding, point: Point) -> list[_Meaning]:
        """What a click may mean, the likeliest first."""
        found = self._seen(embedding.view, embedding, point, caution=0)
        if embedding.is_large:
            near = near_view(embedding.image, embedding.small, x=point.x, y=point.y)
            found += self._seen(near, embedding, point, caution=NEAR_CAUTION)
        return sorted(found, key=lambda meaning: meaning.caution - meaning.rank)

    def _seen(self, view: View, embedding: GraphcutEmbedding, point: Point, *, caution: float) -> list[_Meaning]:
        proposals = first_proposals(view.overview, view.click(point))
        ranks = self._rankers.first(proposals) - CUT_OFF_LOSS * ~view.whole(proposals.regions, embedding.small)
        pairs = zip(proposals.regions, ranks.tolist(), strict=True)
        return [_Meaning(view, region, rank, caution) for region, rank in pairs]

    def _clicked(self, embedding: GraphcutEmbedding, answer: _Answer, points: tuple[Point, ...]) -> _Answer:
        """Take the last of *points* into account, if the answer is not yet as it says."""
        last = points[-1]
        x, y = last.pixel(size_of(embedding.small))
        if (answer.soft[y, x] > HALF) == last.positive:
            return _Answer(_pinned(answer.soft, points), answer.score)
        soft = tidied(self._changed(embedding, answer.soft, points), points)
        if not last.positive:
            soft = np.minimum(soft, answer.soft)
        soft = _pinned(soft, points)
        if not (soft > HALF).any():
            soft = _pinned(np.where(_disc(answer.soft, last, radius_px=1), np.float32(0), answer.soft), points)
        return _scored(soft)

    def _changed(self, embedding: GraphcutEmbedding, soft: Numbers, points: tuple[Point, ...]) -> Numbers:
        small, view = embedding.small, _view_for(embedding, soft, points[-1])
        shares = view.shares(soft > HALF)
        clicks = tuple(view.click(point) for point in points if view.box.contains(point))
        proposals = later_proposals(view.overview, shares, clicks)
        ranker = self._rankers.adding if points[-1].positive else self._rankers.removing
        gains = ranker(proposals) if proposals is not None else np.zeros(1, dtype=np.float32)
        if proposals is None or gains.max() < LEAST_GAIN:
            return cut_change(small, soft, _touched(soft, points[-1]), embedding.view.box, points)
        best = int(np.argmax(gains))
        region = proposals.regions[best]
        if proposals.replaces[best]:
            return cut_region(small, view.drawn(region), view.box, points)
        return cut_change(small, soft, view.drawn(region != (shares > HALF)), view.box, points)


def load() -> Segmenter:
    """Make the segmenter."""
    return Graphcut(load_rankers(), f"{NAME}-{hashlib.sha256(numbers_bytes()).hexdigest()[:12]}")


def _own(embedding: Embedding) -> GraphcutEmbedding:
    if not isinstance(embedding, GraphcutEmbedding):
        raise EngineError(f"{NAME} cannot use an embedding of {type(embedding).__name__}; embed the image again")
    return embedding


def _segmentation(embedding: GraphcutEmbedding, answer: _Answer, points: tuple[Point, ...]) -> Segmentation:
    """The answer at the image's own size, with every clicked pixel as its click says."""
    logits = (answer.soft - np.float32(0.5)) * LOGITS_PER_SHARE
    mask = mask_from_logits(logits, embedding.small, embedding.image)
    for point in points:
        x, y = point.pixel(embedding.size)
        mask[y, x] = point.positive
    if not mask.any():
        raise PromptError("the negative clicks leave nothing of the object; take one of them back")
    return Segmentation(mask=mask, score=answer.score, logits=logits)


def _meant(embedding: GraphcutEmbedding, meaning: _Meaning, point: Point) -> _Answer:
    """What is meant, cut out along its edge."""
    view = meaning.view
    soft = tidied(cut_region(embedding.small, view.drawn(meaning.region), view.box, (point,)), (point,))
    return _Answer(_pinned(soft, (point,)), min(max(meaning.rank, 0.0), 1.0))


def _is_new(mask: Mask, answers: list[_Answer], *, most: float) -> bool:
    """Whether a mask overlaps with each answer by less than *most*."""
    return all(overlap(mask, answer.soft > HALF) < most for answer in answers)


def _shrunk(image: RgbImage) -> RgbImage:
    size = size_of(image)
    scale = LONGEST_PX / max(size)
    if scale >= 1:
        return image
    small = np.asarray(cv2.resize(image, size.scaled(scale), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    small.flags.writeable = False
    return small


def _on_small(embedding: GraphcutEmbedding, points: tuple[Point, ...]) -> tuple[Point, ...]:
    step_x, step_y = _steps(embedding)
    return tuple(Point((x + 0.5) * step_x - 0.5, (y + 0.5) * step_y - 0.5, positive) for x, y, positive in points)


def _on_image(embedding: GraphcutEmbedding, point: Point) -> Point:
    step_x, step_y = _steps(embedding)
    return Point((point.x + 0.5) / step_x - 0.5, (point.y + 0.5) / step_y - 0.5, point.positive)


def _box_on_small(embedding: GraphcutEmbedding, box: Box | None) -> Box | None:
    if box is None:
        return None
    step_x, step_y = _steps(embedding)
    return Box(box.left * step_x, box.top * step_y, box.right * step_x, box.bottom * step_y)


def _steps(embedding: GraphcutEmbedding) -> tuple[float, float]:
    small, size = size_of(embedding.small), embedding.size
    return small.width / size.width, small.height / size.height


def _view_for(embedding: GraphcutEmbedding, soft: Numbers, point: Point) -> View:
    """A near view if the object and the click are small enough for it, else the whole."""
    extent = bounding_box(soft > HALF)
    if extent is None or not embedding.is_large:
        return embedding.view
    left, right = min(extent.left, point.x), max(extent.right, point.x)
    top, bottom = min(extent.top, point.y), max(extent.bottom, point.y)
    if max(right - left, bottom - top) > NEAR_FILL * near_side_px(embedding.small):
        return embedding.view
    return near_view(embedding.image, embedding.small, x=(left + right) / 2, y=(top + bottom) / 2)


def _earlier(embedding: GraphcutEmbedding, previous: Logits | None) -> _Answer | None:
    """The answer that had these logits; None if nothing was inside."""
    if previous is None or not (previous > 0).any():
        return None
    size = size_of(embedding.small)
    fitted = previous if size_of(previous) == size else cv2.resize(previous, size, interpolation=cv2.INTER_LINEAR)
    soft = np.nan_to_num(fitted / np.float32(LOGITS_PER_SHARE) + np.float32(HALF))
    return _scored(np.clip(soft, 0, 1).astype(np.float32))


def _scored(soft: Numbers) -> _Answer:
    """The overlap to expect if every pixel is right as often as it is sure."""
    inside = soft > HALF
    sure = float(soft[inside].sum())
    return _Answer(soft, sure / (float(inside.sum()) + float(soft[~inside].sum()) + 1e-6))


def _pinned(soft: Numbers, points: tuple[Point, ...]) -> Numbers:
    """The same, with every clicked pixel as its click says."""
    pinned = soft.copy()
    for point in points:
        x, y = point.pixel(size_of(soft))
        pinned[y, x] = point.positive
    return pinned


def _touched(soft: Numbers, point: Point) -> Mask:
    """What a click changes where regions do not tell: a disc that reaches a little over the nearest edge."""
    wrong = (soft > HALF) != point.positive
    depth = cv2.distanceTransform(wrong.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    x, y = point.pixel(size_of(soft))
    radius_px = TOUCH_REACH * float(depth[y, x]) + TOUCH_PX
    return np.asarray(wrong & _disc(soft, point, radius_px=radius_px))


def _disc(soft: Numbers, point: Point, *, radius_px: float) -> Mask:
    height, width = soft.shape
    rows, columns = np.ogrid[:height, :width]
    return np.asarray((columns - point.x) ** 2 + (rows - point.y) ** 2 <= radius_px**2 + 0.5)
