"""Places in an image as flat numbers, and which of them may be copied."""

from typing import Final, TypeAlias, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, size_of
from cleanplate.domain.mask import bounding_box

Floats: TypeAlias = npt.NDArray[np.float32]

Shorts: TypeAlias = npt.NDArray[np.int16]

Places: TypeAlias = npt.NDArray[np.int32]
"""Pixels by number: row * width + column."""

_Array = TypeVar("_Array", Floats, npt.NDArray[np.uint8])

REACH_PX: Final = 3
"""How far a patch reaches from its centre: patches are 7 × 7."""

PATCH_PX: Final = 2 * REACH_PX + 1

_DEPTH_STEPS: Final = 16


def reached(mask: Mask) -> Mask:
    """The centres of all patches that hold a pixel of *mask*."""
    square = np.ones((PATCH_PX, PATCH_PX), dtype=np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), square)).view(np.bool_)


def source_centres(usable: Mask) -> Mask:
    """The centres of patches that lie wholly inside the image and hold only usable pixels."""
    square = np.ones((PATCH_PX, PATCH_PX), dtype=np.uint8)
    centres = np.asarray(cv2.erode(usable.view(np.uint8), square)).view(np.bool_)
    centres[:REACH_PX] = centres[-REACH_PX:] = False
    centres[:, :REACH_PX] = centres[:, -REACH_PX:] = False
    return centres


def places(mask: Mask) -> Places:
    """The numbers of its True pixels, in order."""
    return np.flatnonzero(mask).astype(np.int32)


def rows_and_columns(numbers: Places, width: int) -> tuple[Places, Places]:
    """Where places are in an image of this width."""
    rows = numbers // width
    return rows, numbers - rows * width


def window_of(mask: Mask, margin_px: int) -> tuple[slice, slice]:
    """The rows and columns of its True pixels and a margin, as far as the image goes.

    Args:
        mask: (h, w), at least one pixel True.
        margin_px: how much more on each side.
    """
    box = bounding_box(mask)
    assert box is not None, "a hole has pixels"  # noqa: S101
    return box.grown(margin_px).slices(size_of(mask))


def halved(array: _Array, border: int = cv2.BORDER_CONSTANT) -> _Array:
    """Half as wide and high: every pixel of the result is the mean of 2 × 2, so places double exactly.

    Args:
        array: (h, w) or (h, w, channels).
        border: what a row or a column is filled up with if there is an odd number of them, as OpenCV has it; with
            BORDER_CONSTANT, zeros.
    """
    beyond = array.shape[0] % 2, array.shape[1] % 2
    whole = cv2.copyMakeBorder(array, 0, beyond[0], 0, beyond[1], border, value=0) if any(beyond) else array
    half = cv2.resize(whole, (whole.shape[1] // 2, whole.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(half, dtype=array.dtype)


def depths(mask: Mask) -> Floats:
    """How far each of its pixels is from the nearest that is not in it, in pixels; the image's border does not count.

    Args:
        mask: (h, w), not all True.
    """
    distances = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's square roots differ in their last bit with the place of the array in memory.
    np.multiply(distances, _DEPTH_STEPS, out=distances)
    np.rint(distances, out=distances)
    return np.asarray(np.divide(distances, _DEPTH_STEPS, out=distances), dtype=np.float32)


def inscribed_radius(mask: Mask) -> float:
    """The radius of the largest circle that fits into the mask, in pixels.

    Args:
        mask: (h, w), neither all True nor all False.
    """
    return float(depths(np.ascontiguousarray(mask[window_of(mask, 1)])).max())
