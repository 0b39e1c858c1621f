"""A first guess in whole pieces: the image shifted onto itself by the few offsets at which it repeats."""

from itertools import pairwise
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask
from cleanplate.engines.inpainters.exemplar_parts.descriptors import LOOKS
from cleanplate.engines.inpainters.exemplar_parts.exact import Scores
from cleanplate.engines.inpainters.exemplar_parts.grid import (
    REACH_PX,
    Floats,
    Places,
    Shorts,
    rows_and_columns,
    window_of,
)
from cleanplate.engines.inpainters.exemplar_parts.pyramid import Level

MOST_HOLE_PIXELS: Final = 1600
MOST_CELLS: Final = 3000
"""Beyond these the message passing is not worth its time; the box of a thin diagonal wire is mostly not wire."""

OFFSETS: Final = 32
FEWEST_OFFSETS: Final = 2
SAMPLES: Final = 1500
NEAREST_SHARE: Final = 1 / 15
"""Offsets shorter than this share of the longer side say only that the image is smooth."""

_SWEEPS: Final = 4
_IMPOSSIBLE: Final = 1e6
_MOST_MISMATCH: Final = 2500.0
_OUT_OF_SIGHT: Final = 1e4


def fits(level: Level) -> bool:
    """Whether the hole is small enough for it."""
    rows, columns = window_of(level.hole, 0)
    cells = (rows.stop - rows.start) * (columns.stop - columns.start)
    return level.hole_pixels <= MOST_HOLE_PIXELS and cells <= MOST_CELLS


def shifted_sources(level: Level, descriptors: Shorts, seed: int) -> tuple[Places, Places] | None:
    """A source for each pixel of the hole, all at few offsets and the seams where they show least.

    K. He, J. Sun, "Statistics of Patch Offsets for Image Completion", ECCV 2012; the labelling is found by sweeps of
    min-sum message passing (P. Felzenszwalb, D. Huttenlocher, "Efficient Belief Propagation for Early Vision", 2006).

    Args:
        level: whose hole `fits`.
        descriptors: (h, w, n) of the level.
        seed: for the choice of samples.

    Returns:
        Pixels of the hole and what they copy, by number; None if the image has no repeating offset.
    """
    offsets = dominant_offsets(level, descriptors, seed)
    if len(offsets) < FEWEST_OFFSETS:
        return None
    window = window_of(level.hole, 0)
    labels = _labelled(level, offsets, window)
    rows, columns = np.nonzero(level.hole[window])
    chosen = offsets[labels[rows, columns]]
    rows, columns = rows + window[0].start, columns + window[1].start
    from_rows, from_columns = rows + chosen[:, 0], columns + chosen[:, 1]
    height, width = level.shape
    inside = (from_rows >= 0) & (from_rows < height) & (from_columns >= 0) & (from_columns < width)
    rows, columns, from_rows, from_columns = (at[inside] for at in (rows, columns, from_rows, from_columns))
    good = level.centres[from_rows, from_columns]
    if not good.any():
        return None
    return (
        (rows * width + columns)[good].astype(np.int32),
        (from_rows * width + from_columns)[good].astype(np.int32),
    )


def dominant_offsets(level: Level, descriptors: Shorts, seed: int) -> npt.NDArray[np.int32]:
    """The offsets (row, column) at which known patches most often find their like, the most frequent first."""
    height, width = level.shape
    apart = max(2, round(max(height, width) * NEAREST_SHARE))
    random = np.random.default_rng(seed)
    samples = level.sources
    if samples.size > SAMPLES:
        samples = np.sort(random.choice(samples, SAMPLES, replace=False))
    found = _far_nearest(level, descriptors[..., :LOOKS], samples, apart)
    rows, columns = rows_and_columns(samples, width)
    found_rows, found_columns = rows_and_columns(found, width)
    votes: Floats = np.zeros((2 * height + 1, 2 * width + 1), dtype=np.float32)
    np.add.at(votes, (found_rows - rows + height, found_columns - columns + width), 1)
    votes[height - apart : height + apart + 1, width - apart : width + apart + 1] = 0
    votes = np.asarray(cv2.GaussianBlur(votes, (0, 0), 1.0), dtype=np.float32)
    peaks = (votes > 0) & (votes >= cv2.dilate(votes, np.ones((3, 3), np.uint8)))
    at = np.flatnonzero(peaks)
    best = at[np.argsort(-votes.reshape(-1)[at], kind="stable")[:OFFSETS]]
    return np.stack([best // (2 * width + 1) - height, best % (2 * width + 1) - width], axis=1).astype(np.int32)


def _far_nearest(level: Level, looks: Shorts, samples: Places, apart: int) -> Places:
    height, width = level.shape
    flat = looks.reshape(-1, looks.shape[-1]).astype(np.float32)
    wanted = flat[samples]
    flat[~level.centres.reshape(-1)] = _OUT_OF_SIGHT
    rows, columns = rows_and_columns(samples, width)
    found = np.empty_like(samples)
    for start, products in Scores(flat).of(wanted):
        scores = products.swapaxes(1, 2).reshape(-1, products.shape[1] * products.shape[3])
        here = slice(start, start + len(scores))
        for score, row, column in zip(scores, rows[here], columns[here], strict=False):
            near = score[: height * width].reshape(height, width)
            near[max(0, row - apart) : row + apart + 1, max(0, column - apart) : column + apart + 1] = -np.inf
        found[here] = np.argmax(scores[: len(found[here])], axis=1)
    return found


def _labelled(level: Level, offsets: npt.NDArray[np.int32], window: tuple[slice, slice]) -> npt.NDArray[np.intp]:
    hole = level.hole[window]
    shown, costs = _shown_and_costs(level, offsets, window)
    # What it costs at a pixel that two labels meet there: how differently they would paint it.
    differences = shown[:, :, :, np.newaxis] - shown[:, :, np.newaxis]
    clashes = np.minimum(np.einsum("hwabc,hwabc->hwab", differences, differences), _MOST_MISMATCH)
    del differences
    clashes[~hole] = 0
    messages = {direction: np.zeros_like(costs) for direction in ("right", "left", "down", "up")}
    for _ in range(_SWEEPS):
        _sweep(costs, clashes, hole, messages)
    return np.asarray(np.argmin(sum(messages.values(), start=costs), axis=2))


def _sweep(costs: Floats, clashes: Floats, hole: Mask, messages: dict[str, Floats]) -> None:
    # One way after the other, each message built on those just sent: a wave that crosses the hole in one sweep.
    for direction, message in messages.items():
        across = direction in {"right", "left"}
        asides = ("down", "up") if across else ("right", "left")
        own = costs + messages[asides[0]] + messages[asides[1]]
        lines = costs.shape[1] if across else costs.shape[0]
        forwards = direction in {"right", "down"}
        for here, there in pairwise(range(lines) if forwards else range(lines - 1, -1, -1)):
            at, to = ((slice(None), here), (slice(None), there)) if across else ((here,), (there,))
            sent = own[at] + message[at]
            best = np.min(sent[:, :, np.newaxis] + (clashes[at] + clashes[to]), axis=1)
            best -= best.min(axis=1, keepdims=True)
            best[~(hole[at] & hole[to])] = 0
            message[to] = best


def _shown_and_costs(
    level: Level, offsets: npt.NDArray[np.int32], window: tuple[slice, slice]
) -> tuple[Floats, Floats]:
    height, width = level.shape
    rows, _ = np.mgrid[window]
    margin = REACH_PX - 1
    outer_rows, outer_columns = np.mgrid[
        window[0].start - margin : window[0].stop + margin, window[1].start - margin : window[1].stop + margin
    ]
    on_image = (outer_rows >= 0) & (outer_rows < height) & (outer_columns >= 0) & (outer_columns < width)
    outer_rows, outer_columns = outer_rows.clip(0, height - 1), outer_columns.clip(0, width - 1)
    known = on_image & ~level.hole[outer_rows, outer_columns]
    lab = level.lab()
    truth = lab[outer_rows, outer_columns]
    shown = np.empty((*rows.shape, len(offsets), 3), dtype=np.float32)
    costs = np.empty((*rows.shape, len(offsets)), dtype=np.float32)
    for at, (row, column) in enumerate(offsets):
        from_rows, from_columns = outer_rows + row, outer_columns + column
        inside = (from_rows >= 0) & (from_rows < height) & (from_columns >= 0) & (from_columns < width)
        from_rows, from_columns = from_rows.clip(0, height - 1), from_columns.clip(0, width - 1)
        painted = lab[from_rows, from_columns]
        core = (slice(margin, -margin), slice(margin, -margin))
        shown[:, :, at] = painted[core]
        usable = inside & level.usable[from_rows, from_columns]
        mismatch = np.minimum(((painted - truth) ** 2).sum(axis=2), _MOST_MISMATCH) * (known & usable)
        reach = 2 * margin + 1
        # Known pixels close by: what this offset paints over them should be what is there.
        cost = cv2.boxFilter(mismatch, -1, (reach, reach), normalize=False, borderType=cv2.BORDER_CONSTANT)
        allowed = (inside & level.centres[from_rows, from_columns])[core]
        costs[:, :, at] = np.where(allowed, cost[core] / reach, _IMPOSSIBLE)
    return shown, costs
