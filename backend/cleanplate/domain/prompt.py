from dataclasses import dataclass

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Logits
from cleanplate.errors import PromptError


@dataclass(frozen=True, eq=False)
class Prompt:
    """What the annotator pointed at: clicks in the order they were made, a box, or both.

    Attributes:
        points: positive and negative clicks.
        box: drawn around the object.
        previous: the logits of the segmenter's last answer for this object, as it gave them, so that a new
            click refines that answer.
    """

    points: tuple[Point, ...] = ()
    box: Box | None = None
    previous: Logits | None = None

    def __post_init__(self) -> None:
        if self.box is None and self.previous is None and not any(point.positive for point in self.points):
            raise PromptError("a prompt needs a box, a positive point, or an earlier mask to refine")
        if self.box is not None and self.box.area <= 0:
            raise PromptError("the box of a prompt has no area")


@dataclass(frozen=True)
class LeftPrompt:
    """A prompt that is still in an annotation: what it points at was perhaps never masked.

    Attributes:
        label: what it was made with.
        point: where it was clicked; None if it was a box, or nobody can tell.
        box: what it was drawn around; None if it was a click, or nobody can tell.
    """

    label: str
    point: Point | None = None
    box: Box | None = None
