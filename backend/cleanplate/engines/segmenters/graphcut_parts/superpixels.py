"""Superpixels: about a thousand small areas of one colour, and how strongly neighbours differ."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import RgbImage

Labels: TypeAlias = npt.NDArray[np.int32]
"""(h, w), the number of the superpixel each pixel belongs to, 0 … count - 1."""

LabImage: TypeAlias = npt.NDArray[np.float32]
"""(h, w, 3), CIE L*a*b*: distances are about what the eye sees."""

Numbers: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int64]

COUNT: Final = 1000
SMOOTHING_PX: Final = 0.8


@dataclass(frozen=True, eq=False)
class Superpixels:
    """A partition of an image.

    Attributes:
        labels: (h, w), which superpixel each pixel is in.
        sizes: (n,), pixels in each.
        centres: (n, 2), x and y of the middle.
        colours: (n, 3), mean L*a*b*.
        spreads: (n,), sum of squared distances of its pixels from that mean.
        rims: (n,), how many pixel edges lie on the image's border.
        pairs: (m, 2), neighbours, the smaller number first.
        borders: (m,), pixel edges between the two.
        contrasts: (m,), mean strength of the image's edges along that border.
        distances: (m,), between their mean colours.
    """

    labels: Labels
    sizes: Numbers
    centres: Numbers
    colours: Numbers
    spreads: Numbers
    rims: Numbers
    pairs: Indices
    borders: Numbers
    contrasts: Numbers
    distances: Numbers

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.sizes)


def lab_from_image(image: RgbImage) -> LabImage:
    """The image in CIE L*a*b*, float."""
    scaled = image.astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), dtype=np.float32)


def superpixels_of(image: RgbImage, count: int = COUNT) -> Superpixels:
    """Divide an image into about *count* superpixels.

    Floods the image from the calmest pixel of each cell of a grid ("waterpixels": Machairas, Faessel, Cárdenas-Peña,
    Chabardes, Walter, Decencière, IEEE TIP 2015). Each superpixel is connected, and borders follow edges. Unlike SLIC
    (Achanta et al., PAMI 2012) it takes one pass, which OpenCV has.
    """
    lab = np.asarray(cv2.GaussianBlur(lab_from_image(image), (0, 0), SMOOTHING_PX), dtype=np.float32)
    edges = _edge_strength(lab)
    labels = _flooded(lab, edges, count)
    return _measured(labels, lab, edges)


def _edge_strength(lab: LabImage) -> Numbers:
    """(h, w), length of the colour gradient."""
    across = cv2.Scharr(lab, cv2.CV_32F, 1, 0, scale=1 / 32)
    down = cv2.Scharr(lab, cv2.CV_32F, 0, 1, scale=1 / 32)
    return np.asarray(np.sqrt((across**2 + down**2).sum(axis=2)), dtype=np.float32)


def _flooded(lab: LabImage, edges: Numbers, count: int) -> Labels:
    height, width = edges.shape
    step = max((height * width / count) ** 0.5, 1.0)
    markers = np.zeros((height, width), dtype=np.int32)
    rows = np.linspace(0, height, max(round(height / step), 1) + 1).round().astype(int)
    columns = np.linspace(0, width, max(round(width / step), 1) + 1).round().astype(int)
    number = 0
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            inset_y, inset_x = (bottom - top) // 4, (right - left) // 4
            cell = edges[top + inset_y : bottom - inset_y, left + inset_x : right - inset_x]
            y, x = divmod(int(np.argmin(cell)), cell.shape[1])
            number += 1
            markers[top + inset_y + y, left + inset_x + x] = number
    # watershed never writes the outermost pixels and leaves lines between areas: pad, then fill the lines.
    padded = cv2.copyMakeBorder(_bytes_from_lab(lab), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    flooded = cv2.watershed(padded, cv2.copyMakeBorder(markers, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0))
    return _without_lines(np.asarray(flooded[1:-1, 1:-1], dtype=np.int32)) - 1


def _bytes_from_lab(lab: LabImage) -> RgbImage:
    shifted = lab + np.array([0, 128, 128], dtype=np.float32)
    return np.clip(shifted, 0, 255).astype(np.uint8)


def _without_lines(labels: Labels) -> Labels:
    filled = labels.astype(np.float32)
    kernel = np.ones((3, 3), dtype=np.uint8)
    while (lines := filled < 1).any():
        filled[lines] = cv2.dilate(filled, kernel)[lines]
    return filled.astype(np.int32)


def _measured(labels: Labels, lab: LabImage, edges: Numbers) -> Superpixels:
    flat = labels.ravel()
    sizes = np.bincount(flat)
    count = len(sizes)
    channels = [lab[..., channel].ravel() for channel in range(3)]
    colours = np.stack([np.bincount(flat, values, count) / sizes for values in channels], axis=1)
    squares = sum(np.bincount(flat, values.astype(np.float64) ** 2, count) for values in channels)
    places = np.indices(labels.shape).reshape(2, -1)[::-1]
    centres = np.stack([np.bincount(flat, values, count) / sizes for values in places], axis=1)
    rims = np.bincount(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]), minlength=count)
    pairs, borders, contrasts = _neighbours(labels, edges, count)
    return Superpixels(
        labels=labels,
        sizes=sizes.astype(np.float32),
        centres=centres.astype(np.float32),
        colours=colours.astype(np.float32),
        spreads=np.maximum(squares - sizes * (colours**2).sum(axis=1), 0).astype(np.float32),
        rims=rims.astype(np.float32),
        pairs=pairs,
        borders=borders,
        contrasts=contrasts,
        distances=np.linalg.norm(colours[pairs[:, 0]] - colours[pairs[:, 1]], axis=1).astype(np.float32),
    )


def _neighbours(labels: Labels, edges: Numbers, count: int) -> tuple[Indices, Numbers, Numbers]:
    keys, strengths = [], []
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differ = labels[here] != labels[there]
        one, other = labels[here][differ].astype(np.int64), labels[there][differ].astype(np.int64)
        keys.append(np.minimum(one, other) * count + np.maximum(one, other))
        strengths.append((edges[here][differ] + edges[there][differ]) / 2)
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    borders = np.bincount(inverse, minlength=len(unique))
    sums = np.bincount(inverse, np.concatenate(strengths), len(unique))
    pairs = np.stack([unique // count, unique % count], axis=1)
    return pairs, borders.astype(np.float32), (sums / np.maximum(borders, 1)).astype(np.float32)
