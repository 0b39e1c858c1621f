"""The image and its hole in ever smaller versions, none of which holds anything of what was hidden."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask, RgbImage
from cleanplate.engines.inpainters.exemplar_parts.grid import (
    REACH_PX,
    Floats,
    Places,
    depths,
    halved,
    inscribed_radius,
    places,
    reached,
    rows_and_columns,
    source_centres,
    window_of,
)
from cleanplate.engines.inpainters.exemplar_parts.textures import roughness

KNOWN_SHARE: Final = 0.75
"""A pixel of which less is known belongs to the hole."""

MOST_SEARCHED_PIXELS: Final = 1_500_000
"""Larger levels are not searched: their sources are carried over from the coarser ones."""

_PARTS: Final = np.uint8(4)
"""A pixel of a smaller level is made of so many."""

LEAST_SOURCES: Final = 200
LEAST_SIDE_PX: Final = 4 * REACH_PX + 4
"""Below these a smaller version has too little to copy from, and the pyramid ends."""


@dataclass(frozen=True, eq=False)
class Level:
    """One floor of the pyramid.

    Attributes:
        image: (h, w, 3) RGB, black in the hole.
        hole: (h, w), what has to be filled.
        usable: (h, w), pixels that may be copied: wholly known, and nothing of them to be avoided.
        texture: (h, w, 2), how rough the image is around each pixel, measured on a finer level; None: on this one.
    """

    image: RgbImage
    hole: Mask
    usable: Mask
    texture: Floats | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.hole.shape

    @cached_property
    def hole_pixels(self) -> int:
        """How many pixels are to be filled."""
        return int(np.count_nonzero(self.hole))

    @cached_property
    def centres(self) -> Mask:
        """(h, w), where the patches that may be copied have their centres."""
        return source_centres(self.usable)

    @cached_property
    def sources(self) -> Places:
        """The same by number."""
        return places(self.centres)

    @cached_property
    def targets(self) -> Places:
        """The centres of all patches that touch the hole."""
        return places(reached(self.hole))

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """The rows and columns of all targets."""
        return window_of(self.hole, REACH_PX)

    @cached_property
    def target_depths(self) -> Floats:
        """(targets,), how deep in the hole their centres are, in pixels; 0 outside."""
        # Up to the nearest pixel outside the hole it is no further than to those that surround its box.
        around = window_of(self.hole, REACH_PX + 1)
        rows, columns = rows_and_columns(self.targets, self.shape[1])
        inner = depths(np.ascontiguousarray(self.hole[around]))
        return np.asarray(inner[rows - around[0].start, columns - around[1].start])

    @cached_property
    def rough(self) -> Floats:
        """(h, w, 2), its texture."""
        if self.texture is not None:
            return self.texture
        return roughness(np.asarray(cv2.extractChannel(self.lab(), 0)), self.hole)

    def lab(self) -> Floats:
        """(h, w, 3) CIE Lab; the hole is black. Made anew each time: it is large, and seldom asked for."""
        return np.asarray(cv2.cvtColor(np.divide(self.image, 255, dtype=np.float32), cv2.COLOR_RGB2Lab), np.float32)

    def looks(self) -> Floats:
        """(h, w, 3 + 2), Lab and texture, made anew; what it says in the hole is a guess or nothing."""
        return np.concatenate([self.lab(), self.rough], axis=2)


def pyramid(finest: Level) -> tuple[Level, ...]:
    """Halve a level until its hole is hardly wider than a patch; the finest comes first."""
    levels = [finest]
    while inscribed_radius(levels[-1].hole) > REACH_PX:
        smaller = _smaller(levels[-1])
        if (
            min(smaller.shape) < LEAST_SIDE_PX
            or np.count_nonzero(smaller.centres) < LEAST_SOURCES
            or not smaller.hole.any()
        ):
            break
        levels.append(smaller)
    return _textured(levels)


def _textured(levels: list[Level]) -> tuple[Level, ...]:
    # Roughness is measured once, on the finest level that is searched. A small version of grass is as smooth as sky.
    searched = [at for at, level in enumerate(levels) if level.hole.size <= MOST_SEARCHED_PIXELS]
    for at in range(min(searched, default=len(levels)) + 1, len(levels)):
        finer = levels[at - 1]
        levels[at] = replace(levels[at], texture=halved(finer.rough, cv2.BORDER_REPLICATE))
    return tuple(levels)


def _smaller(level: Level) -> Level:
    known = _PARTS - halved(_PARTS * level.hole.view(np.uint8), cv2.BORDER_REPLICATE)
    image = halved(level.image, cv2.BORDER_REPLICATE)
    hole = known < KNOWN_SHARE * _PARTS
    mixed = (known > 0) & (known < _PARTS)
    image[mixed] = np.clip(np.rint(image[mixed] * (_PARTS / known[mixed, np.newaxis])), 0, 255).astype(np.uint8)
    image[hole] = 0
    usable = halved(_PARTS * level.usable.view(np.uint8), cv2.BORDER_REPLICATE) == _PARTS
    return Level(image, hole, usable)
