"""Large holes: filled small, then given back the detail that a small picture does not have.

The inpainter decides at a size it is good at what is in the hole. The detail comes from the crop itself: where it is
known, the difference between the image and the image made small and large again is what a small picture lacks. Each
part of the fill gets the detail of the known part that looks most like it when both are small.

W. T. Freeman, T. R. Jones, E. C. Pasztor, "Example-Based Super-Resolution", 2002; A. Hertzmann et al., "Image
Analogies", 2001 (whose coherence term is used as well).
"""

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, RgbImage, Size, size_of
from cleanplate.pipeline.composite import ERASED
from cleanplate.pipeline.crops import pooled
from cleanplate.pipeline.growth import widened

Floats: TypeAlias = npt.NDArray[np.float32]
Places: TypeAlias = npt.NDArray[np.intp]

_KNOWN_SHARE: Final = 0.75
"""A small pixel is known if so much of what it stands for is."""

_PATCH_PX: Final = 7
_ORDERS: Final = 4
"""What a part looks like: cosines of the brightness in a patch, those of order u + v < 4, and the mean colour."""

_GRAVITY: Final = 60.0
_SIDEWAYS: Final = 20.0
"""What the whole way from top to bottom, from left to right, counts beside levels of brightness: sky comes from sky."""

_COLOUR: Final = 2.0

_CALM: Final = 1.0
"""What a level of detail counts against a source: where several fit, edges in the wrong place are worse than none."""

_LEVEL: Final = 0.5
"""Descriptors are rounded to it: with whole numbers below 2²⁴ no order of additions gives another distance."""

_CELL_PX: Final = 4
_MOST_NODES: Final = 1024
_MOST_SOURCES: Final = 16384
_AT_ONCE: Final = 128

_PATIENCE: Final = 1.5
_SLACK: Final = 64.0
"""A part goes on with its neighbour's source if that is no more than this much worse than the best."""

_STEEPNESS: Final = 3
"""Corners blend in the middle third of a cell: wider, and edges are doubled."""

_BAND_PX: Final = 4
"""How far beside the hole detail is given too, so that seams can be judged."""


@dataclass(frozen=True, eq=False)
class Small:
    """A crop made smaller; nothing of what is masked has come into it.

    Attributes:
        image: (h, w, 3), each pixel the mean of the known pixels it stands for; overwritten under the mask.
        mask: (h, w), True where too little is known.
        avoid: (h, w), True where anything of what a pixel stands for is to be avoided.
        sound: (h, w), True where all is known and nothing to be avoided.
        factor: how many times smaller it is.
    """

    image: RgbImage
    mask: Mask
    avoid: Mask
    sound: Mask
    factor: int

    @classmethod
    def of(cls, image: RgbImage, mask: Mask, avoid: Mask, *, factor: int) -> "Small":
        """Make a crop smaller, whose sides are multiples of the factor."""
        height, width = mask.shape
        size = (width // factor, height // factor)
        known = np.where(mask, np.uint8(0), np.uint8(255))
        # Masked pixels count as black and weigh nothing: the grey they were overwritten with comes into no mean.
        blacked = cv2.bitwise_and(image, image, mask=known)
        shares = cv2.resize(known, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        sums = cv2.resize(blacked, size, interpolation=cv2.INTER_AREA)
        small_mask = shares < _KNOWN_SHARE
        means = np.rint(sums / np.maximum(shares, _KNOWN_SHARE)[..., np.newaxis])
        small = np.minimum(means, 255).astype(np.uint8)
        small[small_mask] = ERASED
        small_avoid = pooled(avoid, factor) & ~small_mask
        return cls(small, small_mask, small_avoid, ~(pooled(mask | avoid, factor)), factor)


def refined(image: RgbImage, guide: RgbImage, small: Small, *, hole: Mask) -> RgbImage:
    """Enlarge a small fill and give it detail.

    Args:
        image: (H, W, 3). Nothing is read where *small* is not sound.
        guide: (h, w, 3), the small image with its holes filled.
        small: what the image was made into before it was filled.
        hole: (H, W), True where detail is wanted.

    Returns:
        (H, W, 3), meant for the hole and the pixels just beside it; elsewhere without detail.
    """
    enlarged = np.asarray(cv2.resize(guide, size_of(hole), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    wanted = pooled(widened(hole, _BAND_PX), small.factor)
    cell_px = max(_CELL_PX, math.ceil(math.sqrt(wanted.sum() / _MOST_NODES)))
    reach_px = cell_px + _PATCH_PX // 2
    square = np.ones((2 * reach_px + 1,) * 2, dtype=np.uint8)
    usable = cv2.erode(small.sound.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)).view(
        np.bool_
    )
    if not usable.any():
        return enlarged
    cells = pooled(wanted, cell_px)
    descriptors = _descriptors(guide, _restlessness(image, enlarged, size_of(guide)))
    moves = _moves(descriptors, usable, cells, cell_px) * small.factor
    return _detailed(image, enlarged, cells, moves, side_px=cell_px * small.factor)


def _moves(descriptors: Floats, usable: Mask, cells: Mask, cell_px: int) -> Places:
    """From where each corner of the cells gets its detail.

    Args:
        descriptors: (h, w, d).
        usable: (h, w), where detail may come from; at least one pixel True.
        cells: (rows, columns), True for squares of the guide that want detail.
        cell_px: their side.

    Returns:
        (rows + 1, columns + 1, 2) how many pixels of the guide down and to the right of a corner its source lies.
    """
    height, width = usable.shape
    corners = np.argwhere(cv2.dilate(np.pad(cells, ((0, 1), (0, 1))).view(np.uint8), np.ones((2, 2), np.uint8)))
    places = np.minimum(corners * cell_px, (height - 1, width - 1))
    targets = descriptors[places[:, 0], places[:, 1]]
    targets[:, -1] = 0
    best, distances = _nearest(descriptors, usable, targets)
    moves = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1, 2), dtype=np.intp)
    is_set = np.zeros(moves.shape[:2], dtype=np.bool_)
    bearable = _PATIENCE * distances + _SLACK / _LEVEL**2
    for number, (row, column) in enumerate(corners):
        place = places[number]
        move, least = best[number] - place, bearable[number]
        for before in ((row, column - 1), (row - 1, column), (row - 1, column - 1)):
            if min(before) < 0 or not is_set[before]:
                continue
            y, x = place + moves[before]
            if not (0 <= y < height and 0 <= x < width and usable[y, x]):
                continue
            difference = descriptors[y, x] - targets[number]
            distance = float(difference @ difference)
            if distance < least:
                move, least = moves[before], distance
        moves[row, column], is_set[row, column] = move, True
    return moves


def _nearest(descriptors: Floats, usable: Mask, targets: Floats) -> tuple[Places, Floats]:
    """The usable place that looks most like each target, the first of equals, and its squared distance."""
    every = math.ceil(math.sqrt(usable.sum() / _MOST_SOURCES))
    thinned = np.zeros_like(usable)
    thinned[::every, ::every] = usable[::every, ::every]
    places = np.argwhere(thinned if thinned.any() else usable)
    sources = descriptors[places[:, 0], places[:, 1]]
    # |s|² − 2 s·t in one product.
    lengths = np.einsum("ij,ij->i", sources, sources)[:, np.newaxis]
    table = np.ascontiguousarray(np.hstack([-2 * sources, lengths]).T)
    asked = np.hstack([targets, np.ones((len(targets), 1), dtype=np.float32)])
    choices = np.empty(len(targets), dtype=np.intp)
    distances = np.einsum("ij,ij->i", targets, targets)
    nothing = np.empty((0, 0), dtype=np.float32)
    for start in range(0, len(targets), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        # OpenCV's product: that of numpy keeps threads, which wait for each other longer than this takes.
        relative = np.asarray(cv2.gemm(asked[part], table, 1, nothing, 0))
        choices[part] = relative.argmin(axis=1)
        distances[part] += relative.min(axis=1)
    return places[choices], distances


def _restlessness(image: RgbImage, smooth: RgbImage, size: Size) -> Floats:
    """(h, w) of this size, how much detail there is around each pixel, in levels."""
    detail = cv2.resize(cv2.absdiff(image, smooth), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(detail.astype(np.float32).mean(axis=2), (_PATCH_PX, _PATCH_PX)))


def _descriptors(guide: RgbImage, restlessness: Floats) -> Floats:
    """(h, w, d), what is around each pixel, so that squared distances tell how alike two are; whole numbers.

    The last is how restless it is. Set to 0 in what is looked for, it lets the calmer of two that fit equally win.
    """
    height, width = guide.shape[:2]
    lab = cv2.cvtColor(guide, cv2.COLOR_RGB2LAB).astype(np.float32)
    steps = (np.arange(_PATCH_PX) + 0.5) * np.pi / _PATCH_PX
    # Scaled so that the first is the mean and a stripe counts as much as its contrast.
    waves = [np.cos(order * steps) * (1 if order == 0 else math.sqrt(2)) / _PATCH_PX for order in range(_ORDERS)]
    orders = [(u, v) for u in range(_ORDERS) for v in range(_ORDERS - u)]
    described = np.empty((height, width, len(orders) + 5), dtype=np.float32)
    for number, (u, v) in enumerate(orders):
        described[..., number] = cv2.sepFilter2D(lab[..., 0], cv2.CV_32F, waves[u], waves[v])
    described[..., -5:-3] = _COLOUR * cv2.blur(lab[..., 1:], (_PATCH_PX, _PATCH_PX))
    described[..., -3] = (_GRAVITY / max(height, width) * np.arange(height))[:, np.newaxis]
    described[..., -2] = _SIDEWAYS / max(height, width) * np.arange(width)
    described[..., -1] = _CALM * restlessness
    described /= _LEVEL
    return np.asarray(np.rint(described, out=described))


def _detailed(image: RgbImage, smooth: RgbImage, cells: Mask, moves: Places, *, side_px: int) -> RgbImage:
    """Add to each cell the detail of where its four corners point, blended from corner to corner.

    Where detail of several places meets, it is scaled so that its strength stays: a mean of two grains is too weak
    (E. Heitz, F. Neyret, "High-Performance By-Example Noise using a Histogram-Preserving Blending Operator", 2018).
    """
    result = smooth.copy()
    height, width = smooth.shape[:2]
    weights = _corner_weights(side_px)
    for row, column in np.argwhere(cells):
        top, left = row * side_px, column * side_px
        bottom, right = min(top + side_px, height), min(left + side_px, width)
        shares: dict[tuple[int, int], Floats] = {}
        for corner, weight in enumerate(weights):
            y, x = (int(step) for step in moves[row + corner // 2, column + corner % 2])
            shares[y, x] = shares.get((y, x), 0) + weight[: bottom - top, : right - left]
        detail = np.zeros((bottom - top, right - left, 3), dtype=np.float32)
        for (y, x), share in shares.items():
            source = (slice(top + y, bottom + y), slice(left + x, right + x))
            detail += share[..., np.newaxis] * cv2.subtract(image[source], smooth[source], dtype=cv2.CV_32F)
        if len(shares) > 1:
            detail /= np.sqrt(sum(share**2 for share in shares.values()))[..., np.newaxis]
        cell = (slice(top, bottom), slice(left, right))
        result[cell] = np.clip(np.rint(smooth[cell] + detail), 0, 255).astype(np.uint8)
    return result


def _corner_weights(side_px: int) -> tuple[Floats, ...]:
    """(side, side) for each corner of a cell: 1 beside it, 0 beside the others; they add up to 1."""
    along = np.clip(_STEEPNESS * ((np.arange(side_px, dtype=np.float32) + 0.5) / side_px - 0.5) + 0.5, 0, 1)
    return tuple(np.multiply.outer(down, right) for down in (1 - along, along) for right in (1 - along, along))
