"""What is done to masks without looking at any image."""

import numpy as np

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, Size
from cleanplate.errors import SizeMismatchError


def require_fit(mask: Mask, size: Size) -> None:
    """Raise SizeMismatchError unless *mask* has this size."""
    height, width = mask.shape
    if (width, height) != size:
        raise SizeMismatchError(f"a mask of {width}×{height} does not fit an image of {size.width}×{size.height}")


def bounding_box(mask: Mask) -> Box | None:
    """The tight box around the True pixels; None if there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask.any(axis=0))
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def overlap(one: Mask, other: Mask) -> float:
    """What two masks have in common, as a share of what either covers, 0 … 1; 0 if both are empty."""
    return int(np.count_nonzero(one & other)) / max(int(np.count_nonzero(one | other)), 1)


def union(masks: tuple[Mask, ...], size: Size) -> Mask:
    """True where any of *masks* is; all False if there are none."""
    result = np.zeros((size.height, size.width), dtype=np.bool_)
    for mask in masks:
        require_fit(mask, size)
        result |= mask
    return result


def rounded_out(mask: Mask, grid: Size) -> Mask:
    """True in every cell of the *grid* (counted from the top-left corner) in which *mask* is True anywhere."""
    if grid == (1, 1):
        return mask.copy()
    height, width = mask.shape
    rows, columns = -(-height // grid.height), -(-width // grid.width)
    padded = np.zeros((rows * grid.height, columns * grid.width), dtype=np.bool_)
    padded[:height, :width] = mask
    cells = padded.reshape(rows, grid.height, columns, grid.width).any(axis=(1, 3))
    return cells.repeat(grid.height, axis=0).repeat(grid.width, axis=1)[:height, :width]
