import math
from typing import NamedTuple

from cleanplate.domain.image import Size


class Point(NamedTuple):
    """A click, in pixels of the upright image; (0, 0) is the centre of the top-left pixel."""

    x: float
    y: float
    positive: bool = True

    def inside(self, size: Size) -> bool:
        """Whether the click hits a pixel of an image of this size."""
        return 0 <= self.x + 0.5 < size.width and 0 <= self.y + 0.5 < size.height

    def pixel(self, size: Size) -> tuple[int, int]:
        """(x, y) of the nearest pixel of an image of this size."""
        x = min(max(math.floor(self.x + 0.5), 0), size.width - 1)
        y = min(max(math.floor(self.y + 0.5), 0), size.height - 1)
        return x, y


class Box(NamedTuple):
    """An axis-aligned box in pixel edges, right and bottom exclusive; (0, 0) is the image's top-left corner."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        """In square pixels; 0 for a box turned inside out."""
        return max(self.width, 0.0) * max(self.height, 0.0)

    def contains(self, point: Point) -> bool:
        """Whether the centre of the clicked spot lies in the box."""
        return self.left <= point.x + 0.5 < self.right and self.top <= point.y + 0.5 < self.bottom

    def grown(self, margin_px: float) -> "Box":
        """The box with *margin_px* more on each side."""
        return Box(self.left - margin_px, self.top - margin_px, self.right + margin_px, self.bottom + margin_px)

    def intersection(self, other: "Box") -> "Box":
        """What both boxes cover; its area is 0 if they share nothing."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        return Box(left, top, max(min(self.right, other.right), left), max(min(self.bottom, other.bottom), top))

    def clipped(self, size: Size) -> "Box":
        """The part of the box that lies on an image of this size; its area is 0 if there is none."""
        left, top = min(max(self.left, 0.0), size.width), min(max(self.top, 0.0), size.height)
        return Box(left, top, min(max(self.right, left), size.width), min(max(self.bottom, top), size.height))

    def slices(self, size: Size) -> tuple[slice, slice]:
        """(rows, columns) of every pixel the box touches on an image of this size."""
        box = self.clipped(size)
        rows = slice(math.floor(box.top), math.ceil(box.bottom))
        columns = slice(math.floor(box.left), math.ceil(box.right))
        return rows, columns
