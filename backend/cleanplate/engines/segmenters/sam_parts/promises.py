"""From what a network draws for a prompt to an answer that keeps what every segmenter promises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Logits, Mask, Size, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.protocols import Segmentation
from cleanplate.engines.segmenters.sam_parts.square import Square, enlarged, logits_in_square, mask_in_image
from cleanplate.errors import PromptError

_SURE: Final = 1.0
"""The distance of a logit from the threshold from which a pixel counts as sure; the authors' value."""

_DRAWN: Final = 4.0
"""The logit of a spot that a click had to draw itself."""

SURVEY_SIDE: Final = 32
LEAST_EXPECTED: Final = 0.88
LEAST_STABLE: Final = 0.95
MOST_SHARED: Final = 0.7
"""To find everything: clicks along each side, least expected overlap and stability of what counts, and how much the
boxes of two things may overlap; the authors' values."""


@dataclass(frozen=True, eq=False)
class SamSegmentation(Segmentation):
    """An answer of SAM; its score is the overlap with the object that SAM expects, times the stability.

    Attributes:
        stability: the overlap of the mask at a high and at a low threshold, 0 … 1: low where small changes of the
            prompt would change much.
    """

    stability: float


@dataclass(frozen=True, eq=False)
class Drawing:
    """Logits of the square, (mask_side, mask_side), and the score they got."""

    logits: Logits
    score: float


Draw = Callable[[tuple[Point, ...], Box | None, Logits | None], Sequence[Drawing]]
"""What a network does: points and a box that lie on the image, and the logits of an earlier answer, to drawings. Of a
single click nobody can know whether a part or the whole was meant, so it gets several, the best first; all else one."""


def answered(prompt: Prompt, size: Size, draw: Draw, square: Square) -> SamSegmentation:
    """The answer to a prompt on an image of this *size*.

    Two promises hold whatever the network thinks: clicked pixels are as their clicks say, and a negative click that
    refines an answer adds nothing to it.

    Raises:
        PromptError: No part of the prompt lies on the image, or its clicks leave nothing of the object.
    """
    points = tuple(point for point in prompt.points if point.inside(size))
    box = prompt.box.clipped(size) if prompt.box else None
    box = box if box and box.area > 0 else None
    if (prompt.points or prompt.box) and not points and not box:
        raise PromptError(f"no part of the prompt lies on the image of {size.width}×{size.height}")
    previous = None if prompt.previous is None else logits_in_square(prompt.previous, size, square)
    image = ImageInSquare(size, square)
    return image.segmentation(image.mended(draw, points, box, previous), points)


def candidates(clicks: tuple[Point, ...], size: Size, draw: Draw, square: Square) -> tuple[SamSegmentation, ...]:
    """What the first click may mean on an image of this *size*, the best first; all clicks lie in each.

    Raises:
        PromptError: No click lies on the image.
    """
    points = tuple(point for point in clicks if point.inside(size))
    if not points:
        raise PromptError(f"no click lies on the image of {size.width}×{size.height}")
    image = ImageInSquare(size, square)
    return tuple(image.segmentation(image.agreed(drawing, points), points) for drawing in draw(points[:1], None, None))


def survey(size: Size, draw: Draw, square: Square) -> tuple[SamSegmentation, ...]:
    """All that clicks on a grid find, each thing once, the most certain first: the authors' automatic masks."""
    image = ImageInSquare(size, square)
    shares = [(number + 0.5) / SURVEY_SIDE for number in range(SURVEY_SIDE)]
    found: list[Drawing] = []
    boxes: list[tuple[float, float, float, float]] = []
    for point in (Point(across * size.width, down * size.height) for down in shares for across in shares):
        for drawing in draw((point,), None, None):
            large = enlarged(drawing.logits, square)
            if drawing.score <= LEAST_EXPECTED or image.stability(large) < LEAST_STABLE:
                continue
            box = bounding_box(image.part(large) > 0)
            if box is not None and mask_in_image(large, size, square).any():
                found.append(drawing)
                boxes.append((box.left, box.top, box.width, box.height))
    kept = cv2.dnn.NMSBoxes(boxes, [drawing.score for drawing in found], 0.0, MOST_SHARED) if found else ()
    answers = [image.segmentation(found[int(index)], ()) for index in kept]
    return tuple(sorted(answers, key=lambda answer: -answer.score))


@dataclass(frozen=True)
class ImageInSquare:
    """An image of this size, in a square."""

    size: Size
    square: Square

    def mended(self, draw: Draw, points: tuple[Point, ...], box: Box | None, previous: Logits | None) -> Drawing:
        """What the network draws, mended where it breaks a promise."""
        if previous is not None and not points and box is None:
            return Drawing(previous, 1.0)
        drawing = draw(points, box, previous)[0]
        if previous is not None and points and not points[-1].positive and box is None:
            drawing = Drawing(np.minimum(drawing.logits, previous), drawing.score)
            if not self._mask(drawing.logits).any():
                drawing = Drawing(previous, 0.0)
            # What is drawn for earlier clicks must not add anything either.
            return Drawing(np.minimum(self._agreeing(drawing.logits, points), previous), drawing.score)
        if box is not None and not self._mask(drawing.logits).any():
            drawing = Drawing(self._filled(box), 0.0)
        return self.agreed(drawing, points)

    def agreed(self, drawing: Drawing, points: tuple[Point, ...]) -> Drawing:
        """The same, so that it agrees with the clicks."""
        return Drawing(self._agreeing(drawing.logits, points), drawing.score)

    def segmentation(self, drawing: Drawing, points: tuple[Point, ...]) -> SamSegmentation:
        """What is answered with a drawing. Raises PromptError if the clicks leave nothing of it."""
        large = enlarged(drawing.logits, self.square)
        mask = _clicked(mask_in_image(large, self.size, self.square), points)
        if not mask.any():
            raise PromptError(
                "the clicks leave nothing of the object; take a negative one back, or click on the object"
            )
        stability = self.stability(large)
        return SamSegmentation(mask, drawing.score * stability, drawing.logits, stability)

    def part(self, large: Logits) -> Logits:
        """The image's part of enlarged logits."""
        drawn = self.square.size_of_drawing(self.size)
        return large[: drawn.height, : drawn.width]

    def stability(self, large: Logits) -> float:
        """Of enlarged logits."""
        logits = self.part(large)
        return float((logits > _SURE).sum() / max((logits > -_SURE).sum(), 1))

    def _mask(self, logits: Logits) -> Mask:
        return mask_in_image(enlarged(logits, self.square), self.size, self.square)

    def _agreeing(self, logits: Logits, points: tuple[Point, ...]) -> Logits:
        """The same, with a spot as small as can be drawn where a click is contradicted; later clicks go over earlier.

        So that the answer still agrees with them when it is repeated, or refined without them.
        """
        if not points:
            return logits
        drawn, mask = logits, self._mask(logits)
        for point in points:
            x, y = point.pixel(self.size)
            if mask[y, x] == point.positive:
                continue
            drawn = drawn.copy()
            drawn[self._rows(point.y), self._columns(point.x)] = _DRAWN if point.positive else -_DRAWN
            mask = self._mask(drawn)
        return drawn

    def _filled(self, box: Box) -> Logits:
        """The box itself, at the least one pixel of the image."""
        rows, columns = box.slices(self.size)
        filled = np.full((self.square.mask_side, self.square.mask_side), -_DRAWN, dtype=np.float32)
        top, bottom = self._rows(rows.start), self._rows(rows.stop - 1)
        left, right = self._columns(columns.start), self._columns(columns.stop - 1)
        filled[top.start : bottom.stop, left.start : right.stop] = _DRAWN
        return filled

    def _rows(self, y: float) -> slice:
        drawn = self.square.size_of_drawing(self.size)
        return self.square.cells(y, length=self.size.height, drawn=drawn.height)

    def _columns(self, x: float) -> slice:
        drawn = self.square.size_of_drawing(self.size)
        return self.square.cells(x, length=self.size.width, drawn=drawn.width)


def _clicked(mask: Mask, points: tuple[Point, ...]) -> Mask:
    """The same, with every clicked pixel as its click says: clicks can be nearer to each other than the logits."""
    size = size_of(mask)
    for point in points:
        x, y = point.pixel(size)
        mask[y, x] = point.positive
    return mask
