"""Checks a copy from the files alone: what was to go is gone, all else is there, and nothing hides in the container."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import PurePath
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.codecs.colour import CONVERTED
from cleanplate.codecs.container import forbidden_parts
from cleanplate.codecs.images import (
    Alpha,
    ImageLimits,
    Picture,
    bytes_from_picture,
    picture_from_bytes,
    sample_differences,
)
from cleanplate.codecs.picture import OPAQUE
from cleanplate.codecs.splice import Difference, coefficients_from_jpeg, difference
from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box, require_fit
from cleanplate.errors import ImageError, SpliceError
from cleanplate.pipeline.certificate import Clause, Verdict, Verification
from cleanplate.pipeline.plan import grid_of, plan_from_mask, touched
from cleanplate.pipeline.repetition import is_found_elsewhere

Levels: TypeAlias = npt.NDArray[np.uint8]
"""(H, W), by how much a pixel's colour differs: the largest difference of its samples."""

_Samples: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, C): red, green and blue, and alpha behind them where it counts."""

_Window: TypeAlias = tuple[slice, slice]
"""The rows and columns of a part of an image."""

_ROUNDING_LEVELS: Final = 2
"""JPEG libraries of other makes round differently by that much."""

_TURNED_LEVELS: Final = 5
"""And when they read an image that is turned: luma by one, chroma by two, which blue shows 1.8 times as much."""

_CONTRAST_LEVELS: Final = 12
_MIN_DISTINCT: Final = 16
"""Something stands out from its surroundings if at least so many pixels differ from them by so many levels."""

_LEFT_SHARE: Final = 0.75
"""An object of which more than this share is unchanged is still there."""

_RING: Final = np.ones((3, 3), dtype=np.uint8)

_NOISE_FACTOR: Final = 3
_NOISE_LEVELS: Final = 4
"""WebP predicts from cell to cell, so that a change shows faintly everywhere: at most (measured) by three times the
error that encoding itself makes at that place, and one level."""

_TYPICAL_PCT: Final = 99
_LOCAL_PX: Final = 16
_FORBIDDEN_SHOWN: Final = 10
_MIN_STEM_CHARACTERS: Final = 4


@dataclass(frozen=True)
class Names:
    """What the two files are called."""

    original: str
    copy: str


def verify(
    original: bytes,
    copy: bytes,
    mask: Mask,
    *,
    limits: ImageLimits,
    names: Names | None = None,
) -> Verification:
    """Check a copy from the files alone.

    Args:
        original: the file the copy was made from.
        copy: the file to check.
        mask: (H, W) of the upright original: what was to be removed.
        limits: for both files.
        names: what they are called; without it L5 is not checked.

    Raises:
        ImageError: The original cannot be read. A copy that cannot be read fails.
        SizeMismatchError: The mask does not fit the original.
        NothingToRemoveError: The mask is empty.
    """
    source = picture_from_bytes(original, limits)
    require_fit(mask, size_of(source.image))
    effective = plan_from_mask(mask, grid=grid_of(source.container)).mask
    clauses = file_clauses(source, copy, effective, source=original, limits=limits)
    return Verification((*clauses, names_clause(names, chosen=True)))


def file_clauses(
    original: Picture, copy: bytes, mask: Mask, *, source: bytes, limits: ImageLimits
) -> tuple[Clause, ...]:
    """L2 to L4 of a copy.

    Args:
        original: as it was read.
        copy: the file to check.
        mask: (H, W), the effective mask.
        source: the file the original was read from.
        limits: for the copy.
    """
    container = _container(copy)
    try:
        copied = picture_from_bytes(copy, limits)
    except ImageError as error:
        return *_incomparable(f"the copy cannot be read: {error}"), container
    if size_of(copied.image) != size_of(original.image):
        return *_incomparable(f"the original is {_sized(original)}, the copy {_sized(copied)}"), container
    if copied.container.format != original.container.format:
        formats = f"the original is {original.container.format}, the copy {copied.container.format}"
        return *_incomparable(formats), container
    again = _EncodedAgain(original, limits)
    fidelity = _fidelity(original, copied, mask, again, _blocks(original, source=source, copy=copy, mask=mask))
    return _coverage(original, copied, mask, again), fidelity, container


def names_clause(names: Names | None, *, chosen: bool = False) -> Clause:
    """L5: whether the copy's name says something of the original's.

    Args:
        names: of both files; None if they are not known.
        chosen: whether a person chose the copy's name. Then it is theirs to judge, and never a failure.
    """
    if names is None:
        return Clause("L5", Verdict.NOT_CHECKED, "no names were given")
    stem = PurePath(names.original).stem.casefold()
    if len(stem) < _MIN_STEM_CHARACTERS or stem not in PurePath(names.copy).name.casefold():
        return Clause("L5", Verdict.PASS, "the copy's name says nothing of the original's")
    if chosen:
        sentence = "the copy's name contains the original's: give it another if that name tells something"
        return Clause("L5", Verdict.NOT_CHECKED, sentence)
    return Clause("L5", Verdict.FAIL, "the copy's name contains the original's")


def _incomparable(sentence: str) -> tuple[Clause, Clause]:
    return Clause("L2", Verdict.NOT_CHECKED, sentence), Clause("L3", Verdict.FAIL, sentence)


def _sized(picture: Picture) -> str:
    size = size_of(picture.image)
    return f"{size.width}×{size.height}"


class _EncodedAgain:
    """The original as it is after being encoded again: what a copy leaves alone looks like that, or like the original.

    It is found out only when it is needed, and only where.
    """

    def __init__(self, original: Picture, limits: ImageLimits) -> None:
        self._original = original
        self._limits = limits

    @cached_property
    def whole(self) -> Picture:
        """All of it."""
        return self._encoded(self._original)

    def part(self, window: _Window) -> RgbImage:
        """What lies in a window."""
        container = self._original.container
        if container.lossless:
            return self._original.image[window]
        if container.jpeg is None or container.grid_from_right or container.grid_from_bottom:
            return self.whole.image[window]
        # A JPEG's cells are encoded one by one, and what is read depends on the next ones only.
        rows, columns = (
            slice(max(side.start - cell, 0) // cell * cell, -(-(side.stop + cell) // cell) * cell)
            for side, cell in zip(window, reversed(container.grid), strict=True)
        )
        around = Picture(np.ascontiguousarray(self._original.image[rows, columns]), None, container)
        top, left = window[0].start - rows.start, window[1].start - columns.start
        height, width = self._original.image[window].shape[:2]
        return self._encoded(around).image[top : top + height, left : left + width]

    def _encoded(self, picture: Picture) -> Picture:
        if picture.container.lossless:
            return picture
        return picture_from_bytes(bytes_from_picture(picture), self._limits)


def _coverage(original: Picture, copied: Picture, mask: Mask, again: _EncodedAgain) -> Clause:
    """L2."""
    noise_levels = _noise_levels(original, again)
    window = _window(mask)
    before, encoded, after = original.image[window], again.part(window), copied.image[window]
    if original.alpha is not None or copied.alpha is not None:
        # An object may be seen by its transparency alone, like black writing on nothing.
        alpha = _alpha(original)[window]
        before, encoded, after = (
            np.dstack(pair) for pair in ((before, alpha), (encoded, alpha), (after, _alpha(copied)[window]))
        )
    unchanged = np.minimum(_levels(before, after), _levels(encoded, after)) <= noise_levels
    counted = _counted(original, mask[window])
    distinct_levels = max(_CONTRAST_LEVELS, 2 * noise_levels + 1)
    shares, ambiguous = [], 0
    for place, whole, distinct in _distinct_objects(before, mask[window], counted, distinct_levels):
        share = float(unchanged[place][distinct].mean())
        if share > _LEFT_SHARE and _is_painted_over(before[place], after[place], whole, distinct_levels, noise_levels):
            share = 0.0
        if share > _LEFT_SHARE:
            pixels = np.zeros_like(mask)
            pixels[window][place] = whole
            # As stripes that go on under the mask do.
            if is_found_elsewhere(_all_samples(copied), pixels, mask=mask, levels=2 * noise_levels):
                share, ambiguous = 0.0, ambiguous + 1
        shares.append(share)
    worst = max(shares, default=0.0)
    figures = {
        "pixels": int(mask.sum()),
        "unchanged_share": round(float(unchanged[counted].mean()), 4),
        "distinct_objects": len(shares),
        "largest_share_left": round(worst, 4),
        "noise_levels": noise_levels,
        "repeated_objects": ambiguous,
    }
    if not shares:
        return Clause("L2", Verdict.PASS, "nothing under the mask stood out from its surroundings", figures)
    if worst > _LEFT_SHARE:
        left = sum(share > _LEFT_SHARE for share in shares)
        sentence = f"{left} of {len(shares)} objects under the mask are still there: of one {worst:.0%} is unchanged"
        return Clause("L2", Verdict.FAIL, sentence, figures)
    if ambiguous:
        sentence = (
            f"what {ambiguous} of {len(shares)} objects became is found beside the mask, too: no file can tell more"
        )
        return Clause("L2", Verdict.NOT_CHECKED, sentence, figures)
    sentence = f"all {len(shares)} objects under the mask are overwritten; of none is more than {worst:.0%} unchanged"
    return Clause("L2", Verdict.PASS, sentence, figures)


def _window(mask: Mask) -> _Window:
    """The mask and one pixel around it; all there is if it is empty."""
    size = size_of(mask)
    box = bounding_box(mask) or Box(0, 0, *size)
    return box.grown(1).slices(size)


def _counted(original: Picture, mask: Mask) -> Mask:
    """Where a copy must differ if anything stood out there.

    Around a JPEG's cells lie pixels into which only the chroma of these cells shows. They are erased before the fill,
    but in the copy they are what the source's own blocks beside the cells make of them.
    """
    if original.container.jpeg is None:
        return mask
    return np.asarray(cv2.erode(mask.view(np.uint8), _RING).view(np.bool_), dtype=np.bool_)


def _alpha(picture: Picture) -> Alpha:
    return np.full(picture.image.shape[:2], OPAQUE, dtype=np.uint8) if picture.alpha is None else picture.alpha


def _is_painted_over(before: _Samples, after: _Samples, whole: Mask, distinct_levels: int, noise_levels: int) -> bool:
    """Whether one colour lies where there were several: it may well be that of the object, like a bar over writing."""
    return _spread(after[whole]) <= 2 * noise_levels and _spread(before[whole]) >= distinct_levels


def _all_samples(picture: Picture) -> _Samples:
    return picture.image if picture.alpha is None else np.dstack((picture.image, picture.alpha))


def _spread(samples: _Samples) -> int:
    """Between the least and the greatest of (N, C) samples, in the channel where that is most."""
    return int(np.ptp(samples, axis=0).max())


def _distinct_objects(
    image: _Samples, mask: Mask, counted: Mask, distinct_levels: int
) -> Iterator[tuple[_Window, Mask, Mask]]:
    """Where in the image each object lies that stood out from its surroundings; all its pixels there, and which did."""
    _, objects, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    for number, (left, top, width, height, area) in enumerate(stats[1:], start=1):
        if area < _MIN_DISTINCT:
            continue
        window = Box(left, top, left + width, top + height).grown(1).slices(size_of(mask))
        crop = image[window]
        standing_out = _levels(crop, _surroundings(crop, mask[window])) >= distinct_levels
        whole = counted[window] & (objects[window] == number)
        distinct = standing_out & whole
        if np.count_nonzero(distinct) >= _MIN_DISTINCT:
            yield window, whole, distinct


def _surroundings(crop: _Samples, mask: Mask) -> _Samples:
    """What one would expect under the mask from the outside alone: each pixel like the nearest one that is known."""
    if mask.all():
        return np.broadcast_to(crop.mean(axis=(0, 1)).astype(np.uint8), crop.shape)
    _, nearest = cv2.distanceTransformWithLabels(
        mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((int(nearest.max()) + 1, crop.shape[2]), dtype=np.uint8)
    colours[nearest[~mask]] = crop[~mask]
    return np.asarray(colours[nearest], dtype=np.uint8)


def _noise_levels(original: Picture, again: _EncodedAgain) -> int:
    """How much a pixel that was left alone may differ from the original, or from it encoded again."""
    if original.container.lossless:
        return 0
    if original.container.jpeg is not None:
        return _ROUNDING_LEVELS
    return math.ceil(np.percentile(_levels(original.image, again.whole.image), _TYPICAL_PCT))


def _blocks(original: Picture, *, source: bytes, copy: bytes, mask: Mask) -> Difference | None:
    """How a JPEG's blocks compare with its original's; None if that says nothing, so that only pixels can tell."""
    if original.container.jpeg is None or CONVERTED in original.container.notes:
        return None
    try:
        with ThreadPoolExecutor(2) as threads:
            before, after = threads.map(coefficients_from_jpeg, (source, copy))
    except SpliceError:
        return None
    return difference(before, after, mask)


def _fidelity(
    original: Picture, copied: Picture, mask: Mask, again: _EncodedAgain, blocks: Difference | None
) -> Clause:
    """L3."""
    outside = sample_differences(original, copied)[~mask]
    largest = int(outside.max(initial=0))
    figures: dict[str, float] = {"pixels_outside": outside.size}
    if blocks is not None:
        figures |= blocks._asdict()
        if not blocks.differing_blocks and largest <= _TURNED_LEVELS:
            sentence = f"every quantised coefficient of the {blocks.blocks_outside:,} blocks outside the mask is equal"
            return Clause("L3", Verdict.PASS, sentence, figures)
    if not largest:
        if blocks is None:
            return Clause("L3", Verdict.PASS, "every sample outside the mask is equal", figures)
        found = f"{blocks.differing_blocks:,} of {blocks.blocks_outside:,} blocks outside the mask differ"
        return Clause("L3", Verdict.RE_ENCODED, f"{found}, but not so much that it can be seen", figures)
    count = int(np.count_nonzero(outside))
    mean = float(outside.mean())
    figures |= {
        "differing_pixels": count,
        "largest_error_levels": largest,
        "mean_error_levels": round(mean, 4),
    }
    levels = "levels" if original.deep is None and copied.deep is None else "levels of 16 bits"
    found = f"{count:,} of {outside.size:,} pixels outside the mask differ, by up to {largest} {levels}"
    if original.container.lossless:
        return Clause("L3", Verdict.FAIL, found, figures)
    if not _explained_by_encoding(original, copied, mask, again):
        sentence = f"{found}, which encoding the original again does not explain"
        return Clause("L3", Verdict.FAIL, sentence, figures)
    sentence = f"encoding again changed pixels outside the mask by up to {largest} levels, {mean:.2f} on average"
    return Clause("L3", Verdict.RE_ENCODED, sentence, figures)


def _explained_by_encoding(original: Picture, copied: Picture, mask: Mask, again: _EncodedAgain) -> bool:
    far = ~touched(mask, grid_of(copied.container))
    unexplained = sample_differences(again.whole, copied)
    if original.container.jpeg is not None:
        # Each cell is encoded by itself: one that holds no changed pixel comes out the same, or was kept as it was.
        kept = sample_differences(original, copied) <= _TURNED_LEVELS
        return bool((kept | (unexplained <= _ROUNDING_LEVELS))[far].all())
    allowed = _NOISE_FACTOR * _local_mean(_levels(again.whole.image, original.image), far) + _NOISE_LEVELS
    return bool((_local_mean(unexplained, far) <= allowed).all())


def _local_mean(levels: npt.NDArray[np.uint8 | np.uint16], where: Mask) -> npt.NDArray[np.float32]:
    """(H, W), the mean of *levels* around each pixel, of those pixels that count."""
    values = np.where(where, levels, 0).astype(np.float32)
    return np.asarray(cv2.blur(values, (_LOCAL_PX, _LOCAL_PX)), dtype=np.float32)


def _levels(one: _Samples, other: _Samples) -> Levels:
    # Six times as fast as max(axis=2).
    return np.asarray(reduce(np.maximum, np.moveaxis(cv2.absdiff(one, other), 2, 0)), dtype=np.uint8)


def _container(copy: bytes) -> Clause:
    figures = {"size_bytes": len(copy)}
    try:
        forbidden = forbidden_parts(copy)
    except ImageError as error:
        return Clause("L4", Verdict.FAIL, f"the file cannot be taken apart: {error}", figures)
    if forbidden:
        shown = ", ".join(dict.fromkeys(forbidden[:_FORBIDDEN_SHOWN]))
        return Clause("L4", Verdict.FAIL, f"the file holds more than the image: {shown}", figures)
    return Clause("L4", Verdict.PASS, "one frame, nothing but what is needed to show it", figures)
