"""How a fill compares with what really was in the hole. All figures look at the hole only.

No single one of them says what an eye says. PSNR and SSIM ask for the very pixels that were there, which nobody can
know: they prefer a smear to grass that is other grass. The texture distance asks whether the same kinds of small
patches occur equally often, and does not care where: it cannot see that a window sits in the wrong place. The layout
error sees that, and nothing finer than a few pixels. Sharpness and seam are ratios, 1 is like the truth; too much is as
wrong as too little.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box

Floats: TypeAlias = npt.NDArray[np.float32]

WHITE: Final = 255.0
PSNR_CEILING_DB: Final = 60.0
"""What identical pixels score: a mean over cases must stay finite."""

SSIM_SIGMA_PX: Final = 1.5
SSIM_CONSTANTS: Final = ((0.01 * WHITE) ** 2, (0.03 * WHITE) ** 2)

PATCH_PX: Final = 7
PATCHES: Final = 8192
DIRECTIONS: Final = 128
SEED: Final = 7

LAYOUT_SIGMA_PX: Final = 5.0

UNSEEN_LEVELS: Final = 0.5
"""Added on both sides of a ratio of gradients: where the truth is flat, its noise must not become the measure."""

MARGIN_PX: Final = 16
"""Enough around the hole for every window that touches it."""


@dataclass(frozen=True)
class Figures:
    """One fill beside the truth.

    Attributes:
        psnr_db: of the colours; more is better.
        ssim: mean structural similarity of the luma, at most 1; more is better.
        texture: distance between the two sets of small patches, in levels of L*a*b*; 0 is best.
        flatness: the texture distance that one flat colour would have: what the texture distance is to be compared with
            where the images differ in how busy they are.
        layout: difference of the blurred colours, in levels of L*a*b*; 0 is best.
        sharpness: gradient energy, as a share of the truth's.
        seam: steps across the rim of the hole, as a share of the truth's.
    """

    psnr_db: float
    ssim: float
    texture: float
    flatness: float
    layout: float
    sharpness: float
    seam: float


def figures(filled: RgbImage, truth: RgbImage, hole: Mask) -> Figures:
    """Measure a fill.

    Args:
        filled: (H, W, 3).
        truth: (H, W, 3), the image before the hole was made.
        hole: (H, W), at least one pixel True.
    """
    box = bounding_box(hole)
    if box is None:
        raise ValueError("there is no hole to look at")
    window = box.grown(MARGIN_PX).slices(size_of(hole))
    filled, truth, hole = filled[window], truth[window], hole[window]
    return Figures(
        psnr_db(filled, truth, hole),
        ssim(filled, truth, hole),
        texture_distance(filled, truth, hole),
        texture_distance(np.zeros_like(truth), truth, hole),
        layout_error(filled, truth, hole),
        sharpness(filled, truth, hole),
        seam(filled, truth, hole),
    )


def psnr_db(filled: RgbImage, truth: RgbImage, hole: Mask) -> float:
    """Peak signal-to-noise ratio of the colours in the hole."""
    error = np.square(filled[hole].astype(np.float64) - truth[hole]).mean()
    return min(PSNR_CEILING_DB, 10 * float(np.log10(WHITE**2 / max(error, 1e-12))))


def ssim(filled: RgbImage, truth: RgbImage, hole: Mask) -> float:
    """Structural similarity of the luma, averaged over the hole.

    Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
    """
    one, other = _luma(filled), _luma(truth)
    mean_one, mean_other = _blurred(one), _blurred(other)
    spread_one = _blurred(one * one) - mean_one**2
    spread_other = _blurred(other * other) - mean_other**2
    together = _blurred(one * other) - mean_one * mean_other
    light, contrast = SSIM_CONSTANTS
    similar = (2 * mean_one * mean_other + light) * (2 * together + contrast)
    similar /= (mean_one**2 + mean_other**2 + light) * (spread_one + spread_other + contrast)
    return float(similar[hole].mean())


def texture_distance(filled: RgbImage, truth: RgbImage, hole: Mask) -> float:
    """Sliced Wasserstein distance between the patches of the fill and those of the truth.

    A patch is 7×7 pixels of L*a*b* around a pixel of the hole, less its own mean colour: brightness and hue of the
    place do not count, grain and structure do. After J. Rabin et al., "Wasserstein Barycenter and Its Application to
    Texture Mixing", 2011.
    """
    random = np.random.default_rng(SEED)
    places = np.flatnonzero(hole)
    if len(places) > PATCHES:
        places = np.sort(random.choice(places, PATCHES, replace=False))
    directions = random.normal(size=(PATCH_PX**2 * 3, DIRECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    one, other = (np.sort(_patches(image, places) @ directions, axis=0) for image in (filled, truth))
    return float(np.abs(one - other).mean())


def layout_error(filled: RgbImage, truth: RgbImage, hole: Mask) -> float:
    """Mean distance of the colours in L*a*b*, blurred within the hole: whether light and dark lie where they should."""
    inside = hole.astype(np.float32)
    difference = (_lab(filled) - _lab(truth)) * inside[..., np.newaxis]
    spread, weight = (cv2.GaussianBlur(plane, (0, 0), LAYOUT_SIGMA_PX) for plane in (difference, inside))
    return float((np.linalg.norm(spread[hole], axis=1) / weight[hole]).mean())


def sharpness(filled: RgbImage, truth: RgbImage, hole: Mask) -> float:
    """Gradient energy in the hole; what lies at its rim counts for the seam instead."""
    inner = cv2.erode(hole.astype(np.uint8), np.ones((3, 3), dtype=np.uint8)) > 0
    inside = inner if inner.any() else hole
    one, other = (_gradient_energy(_luma(image))[inside].mean() for image in (filled, truth))
    return float((one + UNSEEN_LEVELS**2) / (other + UNSEEN_LEVELS**2))


def seam(filled: RgbImage, truth: RgbImage, hole: Mask) -> float:
    """Mean step between a pixel of the hole and its neighbour outside."""
    steps = []
    for image in (filled, truth):
        colours = image.astype(np.float32)
        across = np.concatenate(
            [
                np.abs(np.diff(colours, axis=axis)).mean(axis=2)[np.diff(hole.astype(np.int8), axis=axis) != 0]
                for axis in (0, 1)
            ]
        )
        steps.append(float(across.mean()) if across.size else 0.0)
    one, other = steps
    return (one + UNSEEN_LEVELS) / (other + UNSEEN_LEVELS)


def _lab(image: RgbImage) -> Floats:
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / np.float32(WHITE), cv2.COLOR_RGB2Lab), np.float32)


def _luma(image: RgbImage) -> Floats:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _blurred(plane: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(plane, (11, 11), SSIM_SIGMA_PX, borderType=cv2.BORDER_REFLECT), np.float32)


def _gradient_energy(plane: Floats) -> Floats:
    across = cv2.Sobel(plane, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(plane, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.asarray(across**2 + down**2, np.float32)


def _patches(image: RgbImage, places: npt.NDArray[np.intp]) -> Floats:
    """(places, 7·7·3): the surroundings of each place, less their mean colour."""
    reach = PATCH_PX // 2
    padded = cv2.copyMakeBorder(_lab(image), reach, reach, reach, reach, cv2.BORDER_REFLECT)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (PATCH_PX, PATCH_PX), axis=(0, 1))
    rows, columns = np.unravel_index(places, image.shape[:2])
    patches = windows[rows, columns]  # (places, 3, 7, 7)
    patches = patches - patches.mean(axis=(2, 3), keepdims=True)
    return np.ascontiguousarray(patches.reshape(len(places), -1), dtype=np.float32)
