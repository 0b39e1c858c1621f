"""Checks a copy from the files alone: what was to go is gone, all else is there, and nothing hides in the container."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.codecs.colour import CONVERTED
from cleanplate.codecs.container import forbidden_parts
from cleanplate.codecs.images import ImageLimits, Picture, bytes_from_picture, picture_from_bytes
from cleanplate.codecs.splice import Difference, coefficients_from_jpeg, difference
from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import require_fit
from cleanplate.errors import ImageError, SpliceError
from cleanplate.pipeline.certificate import Clause, Verdict, Verification
from cleanplate.pipeline.plan import grid_of, plan_from_mask, touched

Levels: TypeAlias = npt.NDArray[np.uint8]
"""(H, W), by how much a pixel differs: the largest difference of its samples."""

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
_OPAQUE: Final = 255
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
    again = original if original.container.lossless else picture_from_bytes(bytes_from_picture(original), limits)
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


def _coverage(original: Picture, copied: Picture, mask: Mask, again: Picture) -> Clause:
    """L2. *again* is the original as it is after being encoded again: what was left alone looks like that."""
    noise_levels = _noise_levels(original, again)
    unchanged = np.minimum(_levels(original.image, copied.image), _levels(again.image, copied.image)) <= noise_levels
    counted = _counted(original, mask)
    distinct_levels = max(_CONTRAST_LEVELS, 2 * noise_levels + 1)
    objects = _distinct_objects(original.image, mask, counted, distinct_levels)
    shares = [float(unchanged[window][distinct].mean()) for window, distinct in objects]
    worst = max(shares, default=0.0)
    figures = {
        "pixels": int(mask.sum()),
        "unchanged_share": round(float(unchanged[counted].mean()), 4),
        "distinct_objects": len(shares),
        "largest_share_left": round(worst, 4),
        "noise_levels": noise_levels,
    }
    if not shares:
        return Clause("L2", Verdict.PASS, "nothing under the mask stood out from its surroundings", figures)
    if worst > _LEFT_SHARE:
        left = sum(share > _LEFT_SHARE for share in shares)
        sentence = f"{left} of {len(shares)} objects under the mask are still there: of one {worst:.0%} is unchanged"
        return Clause("L2", Verdict.FAIL, sentence, figures)
    sentence = f"all {len(shares)} objects under the mask are overwritten; of none is more than {worst:.0%} unchanged"
    return Clause("L2", Verdict.PASS, sentence, figures)


def _counted(original: Picture, mask: Mask) -> Mask:
    """Where a copy must differ if anything stood out there.

    Around a JPEG's cells lie pixels into which only the chroma of these cells shows. They are erased before the fill,
    but in the copy they are what the source's own blocks beside the cells make of them.
    """
    if original.container.jpeg is None:
        return mask
    return np.asarray(cv2.erode(mask.view(np.uint8), _RING).view(np.bool_), dtype=np.bool_)


def _distinct_objects(
    image: RgbImage, mask: Mask, counted: Mask, distinct_levels: int
) -> Iterator[tuple[tuple[slice, slice], Mask]]:
    """Where in the image each object lies that stood out from its surroundings, and which pixels there did."""
    _, objects, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    for number, (left, top, width, height, area) in enumerate(stats[1:], start=1):
        if area < _MIN_DISTINCT:
            continue
        window = Box(left, top, left + width, top + height).grown(1).slices(size_of(mask))
        crop = image[window]
        standing_out = _levels(crop, _surroundings(crop, mask[window])) >= distinct_levels
        distinct = standing_out & counted[window] & (objects[window] == number)
        if np.count_nonzero(distinct) >= _MIN_DISTINCT:
            yield window, distinct


def _surroundings(crop: RgbImage, mask: Mask) -> RgbImage:
    """What one would expect under the mask from the outside alone: each pixel like the nearest one that is known."""
    if mask.all():
        return np.broadcast_to(crop.mean(axis=(0, 1)).astype(np.uint8), crop.shape)
    _, nearest = cv2.distanceTransformWithLabels(
        mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((int(nearest.max()) + 1, 3), dtype=np.uint8)
    colours[nearest[~mask]] = crop[~mask]
    return np.asarray(colours[nearest], dtype=np.uint8)


def _noise_levels(original: Picture, again: Picture) -> int:
    """How much a pixel that was left alone may differ from the original or from *again*."""
    if original.container.lossless:
        return 0
    if original.container.jpeg is not None:
        return _ROUNDING_LEVELS
    return math.ceil(np.percentile(_levels(original.image, again.image), _TYPICAL_PCT))


def _blocks(original: Picture, *, source: bytes, copy: bytes, mask: Mask) -> Difference | None:
    """How a JPEG's blocks compare with its original's; None if that says nothing, so that only pixels can tell."""
    if original.container.jpeg is None or CONVERTED in original.container.notes:
        return None
    try:
        return difference(coefficients_from_jpeg(source), coefficients_from_jpeg(copy), mask)
    except SpliceError:
        return None


def _fidelity(original: Picture, copied: Picture, mask: Mask, again: Picture, blocks: Difference | None) -> Clause:
    """L3. *again* is the original as it is after being encoded again."""
    outside = _picture_levels(original, copied)[~mask]
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
    found = f"{count:,} of {outside.size:,} pixels outside the mask differ, by up to {largest} levels"
    if original.container.lossless:
        return Clause("L3", Verdict.FAIL, found, figures)
    if not _explained_by_encoding(original, copied, mask, again):
        sentence = f"{found}, which encoding the original again does not explain"
        return Clause("L3", Verdict.FAIL, sentence, figures)
    sentence = f"encoding again changed pixels outside the mask by up to {largest} levels, {mean:.2f} on average"
    return Clause("L3", Verdict.RE_ENCODED, sentence, figures)


def _explained_by_encoding(original: Picture, copied: Picture, mask: Mask, again: Picture) -> bool:
    far = ~touched(mask, grid_of(copied.container))
    unexplained = _picture_levels(again, copied)
    if original.container.jpeg is not None:
        # Each cell is encoded by itself: one that holds no changed pixel comes out the same, or was kept as it was.
        kept = _picture_levels(original, copied) <= _TURNED_LEVELS
        return bool((kept | (unexplained <= _ROUNDING_LEVELS))[far].all())
    allowed = _NOISE_FACTOR * _local_mean(_levels(again.image, original.image), far) + _NOISE_LEVELS
    return bool((_local_mean(unexplained, far) <= allowed).all())


def _local_mean(levels: Levels, where: Mask) -> npt.NDArray[np.float32]:
    """(H, W), the mean of *levels* around each pixel, of those pixels that count."""
    values = np.where(where, levels, 0).astype(np.float32)
    return np.asarray(cv2.blur(values, (_LOCAL_PX, _LOCAL_PX)), dtype=np.float32)


def _levels(one: RgbImage, other: RgbImage) -> Levels:
    red, green, blue = np.moveaxis(cv2.absdiff(one, other), 2, 0)
    # Six times as fast as max(axis=2).
    return np.asarray(np.maximum(np.maximum(red, green), blue), dtype=np.uint8)


def _picture_levels(one: Picture, other: Picture) -> Levels:
    levels = _levels(one.image, other.image)
    if one.alpha is None and other.alpha is None:
        return levels
    # What is fully transparent was read as black in both.
    alphas = [np.full_like(levels, _OPAQUE) if picture.alpha is None else picture.alpha for picture in (one, other)]
    return np.maximum(levels, np.asarray(cv2.absdiff(*alphas), dtype=np.uint8))


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
