"""Edges: a coarse mask made to follow the image it belongs to."""

from typing import Final, NamedTuple

import cv2
import numpy as np

from cleanplate.domain.image import RgbImage, Size, size_of
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers

RADIUS_PX: Final = 4
REGULARIZATION: Final = 1e-3


class LocalLine(NamedTuple):
    """Around each pixel, the soft mask as a linear function of the colour.

    Attributes:
        slopes: (h, w, 3).
        offsets: (h, w).
    """

    slopes: Numbers
    offsets: Numbers

    def applied(self, image: RgbImage) -> Numbers:
        """(H, W), 0 … 1: the soft mask of the same picture at a higher resolution."""
        size = size_of(image)
        slopes, offsets = _enlarged(self.slopes, size), _enlarged(self.offsets, size)
        soft = np.einsum("hwc,hwc->hw", slopes, _unit(image)) + offsets
        return np.asarray(np.clip(soft, 0, 1), dtype=np.float32)


def guided(image: RgbImage, soft: Numbers) -> LocalLine:
    """Fit *soft*, 0 … 1, to the *image* of the same size.

    The guided filter with a colour guide (He, Sun, Tang, PAMI 2013); its coefficients vary slowly, so that they can be
    enlarged and applied to a larger image (He, Sun 2015).
    """
    guide = _unit(image)
    guide_mean, soft_mean = _blurred(guide), _blurred(soft)
    covariance = _blurred(guide * soft[..., np.newaxis]) - guide_mean * soft_mean[..., np.newaxis]
    red, green, blue = (_blurred(guide * guide[..., [row]]) - guide_mean * guide_mean[..., [row]] for row in range(3))
    for row, variances in enumerate((red, green, blue)):
        variances[..., row] += REGULARIZATION
    # Cramer's rule: much faster than np.linalg.solve for many small systems.
    crosses = np.cross(green, blue), np.cross(blue, red), np.cross(red, green)
    determinant = np.einsum("hwc,hwc->hw", red, crosses[0])
    slopes = sum(cross * covariance[..., [row]] for row, cross in enumerate(crosses)) / determinant[..., np.newaxis]
    offsets = soft_mean - np.einsum("hwc,hwc->hw", slopes, guide_mean)
    return LocalLine(_blurred(slopes), _blurred(offsets))


def _unit(image: RgbImage) -> Numbers:
    return np.asarray(image / np.float32(255), dtype=np.float32)


def _blurred(values: Numbers) -> Numbers:
    side = 2 * RADIUS_PX + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def _enlarged(values: Numbers, size: Size) -> Numbers:
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)
