"""Taking the steps out of the seams between copied pieces, without blurring what was copied."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.inpainters.exemplar_parts.grid import Floats, Places, halved, window_of

EDGE_FROM: Final = 30.0
EDGE_TO: Final = 80.0
"""A step of fewer levels than the first is a seam and goes; one of more than the second is an edge and stays."""

MOST_CORRECTION: Final = 32.0
SCREENING: Final = 5e-4
"""Both keep long chains of seams from adding up to a drift."""

_CYCLES: Final = 4
_SMOOTHINGS: Final = 2
_DAMPING: Final = 0.8
_COARSEST_PX: Final = 3
_AT_ONCE: Final = 2


def blend(image: RgbImage, hole: Mask, sources: Places) -> None:
    """Fill the hole, in place, with the sources' pixels, toned so that neighbours differ as they do at their sources.

    P. Pérez, M. Gangnet, A. Blake, "Poisson Image Editing", SIGGRAPH 2003, between all pieces at once: a membrane
    of corrections is solved for, driven by nothing but the seams.

    Args:
        image: (H, W, 3), changed in the hole; what lies there before is not looked at.
        hole: (H, W).
        sources: what each pixel of the hole copies, by number and in order.
    """
    # One known pixel all round, as far as the image goes: there the corrections are held at zero.
    window = window_of(hole, 1)
    inner = hole[window]
    maps = np.full(inner.shape, -1, dtype=np.int32)
    maps[inner] = sources
    flat = image.reshape(-1, 3)
    copied = image[window].copy()
    copied[inner] = flat[sources]
    pull = np.zeros((*inner.shape, 3), dtype=np.float32)
    _pull(pull, copied, maps, flat, step=hole.shape[1], axis=0)
    _pull(pull, copied, maps, flat, step=1, axis=1)
    del maps
    domain = inner.astype(np.float32)

    def toned(channel: int) -> npt.NDArray[np.uint8]:
        correction = _solved(pull[..., channel], domain)[inner]
        np.clip(correction, -MOST_CORRECTION, MOST_CORRECTION, out=correction)
        correction += copied[..., channel][inner]
        return np.clip(np.rint(correction), 0, 255).astype(np.uint8)

    # The solver needs several times the memory of what it solves for.
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as workers:
        for channel, levels in enumerate(workers.map(toned, range(3))):
            image[(*window, channel)][inner] = levels


def _pull(pull: Floats, copied: RgbImage, maps: Places, flat: RgbImage, *, step: int, axis: int) -> None:
    first = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
    second = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
    left, right = maps[first], maps[second]
    seam = ((left >= 0) | (right >= 0)) & (right - left != step)
    at = np.nonzero(seam)
    left, right = left[at], right[at]
    actual = copied[second][at].astype(np.float32) - copied[first][at]
    # The step as it is inside the one source, and inside the other. Sources keep their distance from the border.
    from_left = flat[np.where(left >= 0, left + step, 0)].astype(np.float32) - flat[np.maximum(left, 0)]
    from_right = flat[np.maximum(right, 0)].astype(np.float32) - flat[np.where(right >= 0, right - step, 0)]
    share = np.where(left < 0, 0.0, np.where(right < 0, 1.0, 0.5)).astype(np.float32)[:, np.newaxis]
    wanted = share * from_left + (1 - share) * from_right
    off = np.abs(wanted - actual).max(axis=1, keepdims=True)
    seamness = np.clip((EDGE_TO - off) / (EDGE_TO - EDGE_FROM), 0, 1)
    change = seamness * (wanted - actual)
    pull[first][at] -= change
    pull[second][at] += change


def _solved(pull: Floats, inner: Floats) -> Floats:
    pull = pull * inner
    solution = np.zeros_like(pull)
    for _ in range(_CYCLES):
        solution = _cycle(solution, pull, inner, SCREENING)
    return solution


def _cycle(solution: Floats, pull: Floats, inner: Floats, screening: float) -> Floats:
    """One V-cycle of multigrid for `laplacian(solution) = screening * solution - pull`, zero outside *inner*."""
    height, width = inner.shape
    spare = np.empty_like(solution)
    step = pull * np.float32(_DAMPING / (4 + screening))
    if min(height, width) <= _COARSEST_PX:
        return _smoothed(solution, spare, step, inner, screening, times=8 * _SMOOTHINGS)
    solution = _smoothed(solution, spare, step, inner, screening, times=_SMOOTHINGS)
    left_over = _crossed(solution, spare, middle=-4 - screening, beside=1)
    left_over += pull
    left_over *= inner
    coarse_inner = np.rint(halved(inner))
    # A cell twice as wide: the same equation with four times the right side and screening.
    coarse_pull = halved(left_over)
    coarse_pull *= 4 * coarse_inner
    coarse = _cycle(np.zeros_like(coarse_pull), coarse_pull, coarse_inner, 4 * screening)
    twice = (2 * coarse.shape[1], 2 * coarse.shape[0])
    fine = cv2.resize(coarse, twice, interpolation=cv2.INTER_LINEAR)[:height, :width]
    solution += np.multiply(fine, inner, out=left_over)
    return _smoothed(solution, left_over, step, inner, screening, times=_SMOOTHINGS)


def _smoothed(solution: Floats, spare: Floats, step: Floats, inner: Floats, screening: float, *, times: int) -> Floats:
    # From one array into the other and back: of the two, what is given back after an even number is *solution*.
    for _ in range(times):
        spare = _crossed(solution, spare, middle=1 - _DAMPING, beside=_DAMPING / (4 + screening))
        spare += step
        spare *= inner
        solution, spare = spare, solution
    return solution


def _crossed(plane: Floats, out: Floats, *, middle: float, beside: float) -> Floats:
    cross = np.array([[0, beside, 0], [beside, middle, beside], [0, beside, 0]], dtype=np.float32)
    return np.asarray(cv2.filter2D(plane, -1, cross, dst=out, borderType=cv2.BORDER_REPLICATE), dtype=np.float32)
