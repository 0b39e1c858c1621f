"""Polygons ↔ masks. Points are (x, y) in pixel edges: (0, 0) is the top-left corner of the image.

From shape to mask: what a person outlined is to vanish, so a pixel belongs to the mask as soon as the shape or its
outline has any part in it, however small; a pixel that it only touches at the edge does not. Where an outline crosses
itself it is filled as on Label Studio's screen: a pixel is inside if the outline winds around it (non-zero rule).

From mask to polygons: one ring per piece of the mask (pixels that touch at a corner are one piece). Holes are kept: the
ring goes in to a hole along a line, around it, and back along the same line, which has no width. So the ring means the
same area under the non-zero and the even-odd rule.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, Size
from cleanplate.domain.mask import bounding_box
from cleanplate.errors import PolygonError

Polygon: TypeAlias = tuple[tuple[float, float], ...]
"""A closed ring; its last point is joined to its first."""

MAX_POINTS: Final = 1_000_000
MAX_RINGS: Final = 1_000
MAX_COORDINATE: Final = 1e9
MAX_CROSSINGS: Final = 1 << 21
"""How many pixel rows the edges of one polygon may cross together: no outline a person draws comes near it."""

_Floats: TypeAlias = npt.NDArray[np.float64]
_Ints: TypeAlias = npt.NDArray[np.int64]

_DECIMALS: Final = 6
_ELLIPSE_TOLERANCE_PX: Final = 0.01
_MIN_ELLIPSE_POINTS: Final = 16


def mask_from_polygon(points: Sequence[Sequence[float]], size: Size) -> Mask:
    """Every pixel of an image of this *size* in which the closed polygon has a part.

    Coordinates count to a millionth of a pixel: the noise of a conversion from percent claims no pixel.

    Raises:
        PolygonError: Fewer than three different points, a coordinate that is no finite number below 1e9, or an outline
            with more points or longer than any drawing.
    """
    return _mask_from_points(_checked(points), size)


def mask_from_rotated_box(box: Box, *, rotation_deg: float, size: Size) -> Mask:
    """Every pixel in which a box has a part that was turned clockwise about its own top-left corner.

    Raises:
        PolygonError: A number is not finite, or the box has no area.
    """
    if not (box.width > 0 and box.height > 0):
        raise PolygonError(f"a box of {box.width:g}×{box.height:g} pixels has no area")
    corners = ((0.0, 0.0), (box.width, 0.0), (box.width, box.height), (0.0, box.height))
    return _mask_from_points(_turned(np.array(corners), rotation_deg, (box.left, box.top)), size)


def mask_from_ellipse(
    centre: tuple[float, float], radii: tuple[float, float], *, rotation_deg: float, size: Size
) -> Mask:
    """Every pixel in which an ellipse has a part that was turned clockwise about its centre.

    The ellipse is drawn as a polygon around it that is nowhere further out than a hundredth of a pixel.

    Args:
        centre: (x, y).
        radii: along x and along y before the turn.
        rotation_deg: clockwise.
        size: of the image.

    Raises:
        PolygonError: A number is not finite, or a radius is not positive.
    """
    if not all(0 < radius < MAX_COORDINATE for radius in radii):
        raise PolygonError(f"an ellipse cannot have the radii {radii[0]:g} and {radii[1]:g}")
    # A circumscribed polygon of n sides stands out by r (1/cos(π/n) - 1), about r π²/2n².
    sides = max(math.ceil(math.pi * math.sqrt(max(radii) / (2 * _ELLIPSE_TOLERANCE_PX))), _MIN_ELLIPSE_POINTS)
    angles = np.arange(sides) * (2 * math.pi / sides)
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1) / math.cos(math.pi / sides)
    return _mask_from_points(_turned(unit * radii, rotation_deg, centre), size)


def polygons_from_mask(mask: Mask, *, tolerance_px: float) -> tuple[Polygon, ...]:
    """The outlines of a mask, one ring per piece, holes included.

    Args:
        mask: (H, W).
        tolerance_px: no point of the true outline is further than this from its ring, nor the other way round; at 0
            the rings give back the very same mask. A piece or hole too small to be simplified keeps its true outline.

    Raises:
        PolygonError: The tolerance is negative, or the mask is so ragged that it has over `MAX_RINGS` pieces and holes
            or `MAX_POINTS` corners.
    """
    if not (tolerance_px >= 0 and math.isfinite(tolerance_px)):
        raise PolygonError(f"a tolerance of {tolerance_px:g} pixels makes no sense")
    box = bounding_box(mask)
    if box is None:
        return ()
    left, top = int(box.left), int(box.top)
    corner = np.array([left, top])
    outlines = _outlines(mask[top : int(box.bottom), left : int(box.right)])
    pieces: dict[int, _Floats] = {}
    for index, outline in enumerate(outlines):
        ring = _simplified(outline.points, tolerance_px)
        if outline.piece == index:
            pieces[index] = ring
        else:
            pieces[outline.piece] = _with_hole(pieces[outline.piece], ring)
    return tuple(tuple((x, y) for x, y in (ring + corner).tolist()) for ring in pieces.values())


# Shapes to masks


def _checked(points: Sequence[Sequence[float]]) -> _Floats:
    if len(points) > MAX_POINTS:
        raise PolygonError(f"a polygon of {len(points)} points is beyond the limit of {MAX_POINTS}")
    if any(len(point) != 2 for point in points):  # noqa: PLR2004 - x and y
        raise PolygonError("a point of the polygon is not a pair of numbers")
    strangers = set(map(type, chain.from_iterable(points))) - {int, float}
    if strangers:
        names = ", ".join(sorted(stranger.__name__ for stranger in strangers))
        raise PolygonError(f"the polygon's coordinates must be numbers, some are {names}")
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _turned(points: _Floats, rotation_deg: float, origin: tuple[float, float]) -> _Floats:
    """Turn points about (0, 0), clockwise as seen with y downwards, then move (0, 0) to *origin*."""
    if not math.isfinite(rotation_deg):
        raise PolygonError(f"a rotation by {rotation_deg} degrees makes no sense")
    angle = math.radians(rotation_deg)
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y = points[:, 0], points[:, 1]
    return np.stack([origin[0] + x * cosine - y * sine, origin[1] + x * sine + y * cosine], axis=1)


def _mask_from_points(points: _Floats, size: Size) -> Mask:
    if not (np.isfinite(points).all() and (np.abs(points) <= MAX_COORDINATE).all()):
        raise PolygonError(f"the shape has coordinates that are not numbers up to {MAX_COORDINATE:g}")
    points = points.round(_DECIMALS)
    others = points[(points != points[:1]).any(axis=1)]
    if not (others != others[:1]).any():
        raise PolygonError("a polygon needs at least three different points")
    mask = np.zeros((size.height, size.width), dtype=np.bool_)
    edges = _Crossings.of(points, size)
    _fill(mask, *edges.touched(size.width))
    _fill(mask, *edges.inside(size.width))
    return mask


def _fill(mask: Mask, starts: _Ints, ends: _Ints) -> None:
    """Set the pixels *starts* … *ends* (exclusive), counted row by row, to True, in place."""
    pixels = mask.reshape(-1)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        pixels[start:end] = True


class _Crossings(NamedTuple):
    """The parts of a polygon's edges, each in one row of pixels: from *start* to *end* as the polygon is drawn."""

    row: _Ints
    start: _Floats
    end: _Floats

    @classmethod
    def of(cls, points: _Floats, size: Size) -> "_Crossings":
        """Cut the edges at the rows of the image; what lies above or below is left out."""
        start, end = points, np.roll(points, -1, axis=0)
        top, bottom = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
        first_row = np.clip(np.floor(top), 0, size.height).astype(np.int64)
        rows = np.maximum(np.clip(np.ceil(bottom), 0, size.height).astype(np.int64) - first_row, 0)
        total = int(rows.sum())
        if total > MAX_CROSSINGS:
            raise PolygonError(f"the polygon's outline crosses {total} rows of pixels; the limit is {MAX_CROSSINGS}")
        edge = np.arange(len(points)).repeat(rows)
        row = first_row[edge] + np.arange(total) - (np.cumsum(rows) - rows)[edge]
        start, end = start[edge], end[edge]
        low, high = np.clip(row, top[edge], bottom[edge]), np.clip(row + 1, top[edge], bottom[edge])
        downwards = start[:, 1] <= end[:, 1]
        y_start, y_end = np.where(downwards, low, high), np.where(downwards, high, low)
        return cls(row, _at_height(start, end, y_start, if_level=0), _at_height(start, end, y_end, if_level=1))

    def touched(self, width: int) -> tuple[_Ints, _Ints]:
        """Spans of the pixels that an edge runs through."""
        left, right = np.minimum(self.start[:, 0], self.end[:, 0]), np.maximum(self.start[:, 0], self.end[:, 0])
        first, last = _columns(np.floor(left), width), _columns(np.ceil(right), width)
        return self.row * width + first, self.row * width + last

    def inside(self, width: int) -> tuple[_Ints, _Ints]:
        """Spans of the pixels whose centres the polygon winds around."""
        centre: _Floats = self.row + np.float64(0.5)
        downwards, upwards = self._passes(self.start, self.end, centre), self._passes(self.end, self.start, centre)
        crossing = downwards | upwards
        row = self.row[crossing]
        x = _at_height(self.start[crossing], self.end[crossing], centre[crossing], if_level=0)[:, 0]
        column = _columns(np.ceil(x - 0.5), width)
        order = np.lexsort((column, row))
        position = row[order] * width + column[order]
        winding = np.cumsum(np.where(downwards[crossing], 1, -1)[order])
        # The outline is closed, so every row ends with a winding of 0 and no span reaches into the next.
        wound = np.flatnonzero(winding[:-1] != 0)
        return position[wound], position[wound + 1]

    @staticmethod
    def _passes(start: _Floats, end: _Floats, height: _Floats) -> npt.NDArray[np.bool_]:
        return (start[:, 1] <= height) & (height < end[:, 1])


def _at_height(start: _Floats, end: _Floats, y: _Floats, *, if_level: float) -> _Floats:
    """The points of the edges at these heights between their ends; of a level edge the start (0) or the end (1)."""
    rise = end[:, 1] - start[:, 1]
    share = np.divide(y - start[:, 1], rise, out=np.full_like(y, if_level), where=rise != 0)
    return np.stack([start[:, 0] + share * (end[:, 0] - start[:, 0]), y], axis=1)


def _columns(x: _Floats, width: int) -> _Ints:
    return np.clip(x, 0, width).astype(np.int64)


# Masks to polygons


class _Outline(NamedTuple):
    """One closed line between masked and unmasked pixels, with the masked ones to its right.

    Attributes:
        points: its corners; the first is the leftmost of the topmost.
        piece: the number of the outer outline it belongs to: its own, unless it is that of a hole.
    """

    points: _Floats
    piece: int


def _outlines(mask: Mask) -> list[_Outline]:
    """All outlines, outer ones and holes, from top to bottom: a hole comes after its piece and all that is left of it.

    Raises:
        PolygonError: There are too many.
    """
    corners = _Corners.of(mask)
    ring_of = np.full(len(corners.x), -1)
    outlines: list[_Outline] = []
    for start in range(0, len(corners.x), 2):
        if ring_of[start] >= 0:
            continue
        if len(outlines) == MAX_RINGS:
            raise PolygonError(f"the mask has over {MAX_RINGS} pieces and holes: too ragged for polygons, use a brush")
        ring = corners.ring(start)
        ring_of[ring] = len(outlines)
        points = np.stack([corners.x[ring], corners.y[ring]], axis=1).astype(np.float64)
        x, y = int(corners.x[start]), int(corners.y[start])
        if mask[y, x]:
            outlines.append(_Outline(points, piece=len(outlines)))
        else:
            neighbour = ring_of[corners.first_edge_left_of(x, y)]
            outlines.append(_Outline(np.roll(points[::-1], 1, axis=0), piece=outlines[neighbour].piece))
    return outlines


class _Corners(NamedTuple):
    """Where the outlines of a mask turn, row by row from the top left.

    Between the first and the second, the third and the fourth … corner in a row of the grid runs a level piece of
    outline, and the same holds for columns. Where two masked pixels touch at a corner only, two corners lie on one
    spot: the first ends the level piece to the left, the second starts the one to the right.

    Attributes:
        x: of the corners.
        y: of the corners.
        by_column: their numbers, column by column from the left.
        vertical_mate: to each corner the one at the other end of its upright piece.
    """

    x: _Ints
    y: _Ints
    by_column: _Ints
    vertical_mate: list[int]

    @classmethod
    def of(cls, mask: Mask) -> "_Corners":
        padded = np.pad(mask, 1)
        north_west, north_east = padded[:-1, :-1], padded[:-1, 1:]
        south_west, south_east = padded[1:, :-1], padded[1:, 1:]
        touching = (north_west == south_east) & (north_east == south_west) & (north_west != north_east)
        y, x = np.nonzero((north_west ^ north_east ^ south_west ^ south_east) | touching)
        if len(x) > MAX_POINTS:
            raise PolygonError(f"the mask's outline has {len(x)} corners: too ragged for polygons, use a brush")
        copies = 1 + touching[y, x]
        falling = (north_west & touching)[y, x].repeat(copies)
        y, x = y.repeat(copies), x.repeat(copies)
        # To keep the two pixels one piece, its outline turns around each of the two unmasked pixels: on a falling
        # diagonal the level piece to the right meets the upright one above, so there the second corner is the upper.
        number = np.arange(len(x))
        by_column = np.lexsort((np.where(falling, -number, number), y, x))
        mate = np.empty_like(by_column)
        mate[by_column[::2]], mate[by_column[1::2]] = by_column[1::2], by_column[::2]
        return cls(x, y, by_column, mate.tolist())

    def ring(self, start: int) -> list[int]:
        """The corners of one outline in drawing order, beginning to the right."""
        ring, corner = [], start
        while True:
            ring += [corner, corner ^ 1]
            corner = self.vertical_mate[corner ^ 1]
            if corner == start:
                return ring

    def first_edge_left_of(self, x: int, y: int) -> int:
        """A corner of the nearest upright piece of outline to the left that bounds pixels of row *y*."""
        upper, lower = self.by_column[::2], self.by_column[1::2]
        candidates = upper[(self.x[upper] < x) & (self.y[upper] <= y) & (y < self.y[lower])]
        return int(candidates[-1])


def _simplified(ring: _Floats, tolerance_px: float) -> _Floats:
    """Leave out corners as long as none of them is further than the tolerance from what remains (Douglas, Peucker)."""
    if tolerance_px == 0:
        return ring
    closed = np.vstack([ring, ring[:1]])
    keep = np.zeros(len(closed), dtype=np.bool_)
    farthest = int(np.hypot(*(ring - ring[0]).T).argmax())
    keep[[0, farthest]] = True
    parts = [(0, farthest), (farthest, len(ring))]
    while parts:
        first, last = parts.pop()
        distances = _distances(closed[first + 1 : last], closed[first], closed[last])
        if distances.size and distances.max() > tolerance_px:
            split = first + 1 + int(distances.argmax())
            keep[split] = True
            parts += [(first, split), (split, last)]
    simple = closed[keep]
    return simple if _area(simple) > 0 else ring


def _distances(points: _Floats, start: _Floats, end: _Floats) -> _Floats:
    """How far points are from the straight line between two others that are not the same."""
    along = end - start
    share = np.clip((points - start) @ along / (along @ along), 0, 1)
    off = points - start - share[:, np.newaxis] * along
    return np.hypot(off[:, 0], off[:, 1])


def _area(ring: _Floats) -> float:
    """Twice the area, whichever way round the ring is drawn."""
    following = np.roll(ring, -1, axis=0)
    return abs(float((ring[:, 0] * following[:, 1] - ring[:, 1] * following[:, 0]).sum()))


def _with_hole(ring: _Floats, hole: _Floats) -> _Floats:
    """Join a hole to its ring by a line without width, level to the left from the hole's first corner."""
    x, y = hole[0]
    following = np.roll(ring, -1, axis=0)
    top, bottom = np.minimum(ring[:, 1], following[:, 1]), np.maximum(ring[:, 1], following[:, 1])
    crossing = np.flatnonzero((top <= y) & (y < bottom))
    hits = _at_height(ring[crossing], following[crossing], np.full(len(crossing), y), if_level=0)
    left = np.flatnonzero(hits[:, 0] <= x)
    if left.size:
        nearest = left[hits[left, 0].argmax()]
        after, landing = crossing[nearest], hits[nearest : nearest + 1]
    else:
        # Simplified outlines may have crossed each other; then the nearest corner serves as well.
        after = np.hypot(*(ring - hole[0]).T).argmin()
        landing = ring[after : after + 1]
    return np.vstack([ring[: after + 1], landing, hole, hole[:1], landing, ring[after + 1 :]])
