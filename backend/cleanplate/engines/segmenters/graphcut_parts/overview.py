"""What is known about an image before anyone has clicked: its superpixels and the trees they merge into."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.engines.segmenters.graphcut_parts.merge_tree import COSTS, MergeTree, Regions, merge_tree_of
from cleanplate.engines.segmenters.graphcut_parts.superpixels import COUNT, Labels, Numbers, Superpixels, superpixels_of

LONGEST_PX: Final = 384
COARSE_PX: Final = 128
"""Depths and holes of regions are measured on a label map this small."""

_OUTSIDE: Final = 2


@dataclass(frozen=True, eq=False)
class Overview:
    """An image, small.

    Attributes:
        superpixels: at the overview's resolution, like all lengths and areas here.
        trees: one per cost.
        coarse: (h, w), every `stride`th label.
        stride: in pixels of the overview.
        contrast: mean strength of its edges; never 0.
        distance: mean distance of neighbouring colours; never 0.
        spread: standard deviation of its colours; never 0.
    """

    superpixels: Superpixels
    trees: tuple[MergeTree, ...]
    coarse: Labels
    stride: int
    contrast: float
    distance: float
    spread: float

    @property
    def area(self) -> int:
        """In pixels."""
        return int(self.superpixels.labels.size)

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds."""
        arrays = [*vars(self.superpixels).values(), self.coarse]
        arrays += [array for tree in self.trees for array in vars(tree).values()]
        return sum(array.nbytes for array in arrays)

    def superpixel_at(self, x: float, y: float) -> int:
        """The superpixel at a place, both coordinates as shares of the width and height from 0 to 1."""
        height, width = self.superpixels.labels.shape
        column, row = min(max(int(x * width), 0), width - 1), min(max(int(y * height), 0), height - 1)
        return int(self.superpixels.labels[row, column])

    def shares(self, amounts: Numbers | Mask) -> Numbers:
        """(n,), the mean over each superpixel of an image of any size."""
        labels = self.superpixels.labels
        fitted = cv2.resize(amounts.astype(np.float32), labels.shape[::-1], interpolation=cv2.INTER_AREA)
        sums = np.bincount(labels.ravel(), fitted.ravel(), self.superpixels.count)
        return (sums / self.superpixels.sizes).astype(np.float32)

    def filled(self, regions: Regions) -> Regions:
        """The regions with what they enclose."""
        drawn = self._drawn(regions)
        rows = drawn.reshape(-1, drawn.shape[2])
        cv2.floodFill(rows, None, (0, 0), _OUTSIDE)
        enclosed = drawn[:, 1:-1, 1:-1] == 0
        which = np.nonzero(enclosed.any(axis=(1, 2)))[0]
        filled = regions.copy()
        whole = np.bincount(self.coarse.ravel(), minlength=self.superpixels.count)
        for index in which:
            inside = np.bincount(self.coarse[enclosed[index]], minlength=self.superpixels.count)
            filled[index] |= inside * 2 > whole
        return filled

    def depths(self, regions: Regions) -> npt.NDArray[np.float32]:
        """(k, h, w) on the coarse map: how far each place is inside, in pixels of the coarse map."""
        drawn = self._drawn(regions)
        rows = drawn.reshape(-1, drawn.shape[2])
        depths = cv2.distanceTransform(rows, cv2.DIST_L2, cv2.DIST_MASK_3).reshape(drawn.shape)
        return np.asarray(depths[:, 1:-1, 1:-1], dtype=np.float32)

    def _drawn(self, regions: Regions) -> npt.NDArray[np.uint8]:
        """(k, h + 2, w + 2), 1 inside: the coarse maps of all regions with a margin, for OpenCV to do at once."""
        height, width = self.coarse.shape
        drawn = np.zeros((len(regions), height + 2, width + 2), dtype=np.uint8)
        drawn[:, 1:-1, 1:-1] = regions[:, self.coarse]
        return drawn


def _every(labels: Labels, stride: int) -> Labels:
    height, width = labels.shape
    first_row, first_column = min(stride // 2, height // 2), min(stride // 2, width // 2)
    return np.ascontiguousarray(labels[first_row::stride, first_column::stride])


def overview_of(image: RgbImage, *, longest_px: int = LONGEST_PX, count: int = COUNT) -> Overview:
    """Prepare an image of any size, seen so small and in about so many superpixels."""
    size = size_of(image)
    fitted = size.scaled(min(longest_px / max(size), 1))
    shrunk = np.asarray(cv2.resize(image, fitted, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    superpixels = superpixels_of(shrunk, count)
    stride = max(round(max(fitted) / COARSE_PX), 1)
    total = max(float(superpixels.borders.sum()), 1)
    means = (superpixels.sizes[:, np.newaxis] * superpixels.colours).sum(axis=0) / superpixels.sizes.sum()
    between = (superpixels.sizes[:, np.newaxis] * (superpixels.colours - means) ** 2).sum()
    return Overview(
        superpixels=superpixels,
        trees=tuple(merge_tree_of(superpixels, cost) for cost in COSTS),
        coarse=_every(superpixels.labels, stride),
        stride=stride,
        contrast=float(superpixels.borders @ superpixels.contrasts) / total + 1,
        distance=float(superpixels.borders @ superpixels.distances) / total + 2,
        spread=float((superpixels.spreads.sum() + between) / superpixels.labels.size) ** 0.5 + 2,
    )
