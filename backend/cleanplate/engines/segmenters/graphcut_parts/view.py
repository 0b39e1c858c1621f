"""What proposals are made from: the whole image, or a small part of a large one seen from near."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.engines.segmenters.graphcut_parts.merge_tree import Regions
from cleanplate.engines.segmenters.graphcut_parts.overview import Overview, overview_of
from cleanplate.engines.segmenters.graphcut_parts.proposals import Click
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers

NEAR_SHARE: Final = 1 / 8
"""The side of a near view, as a share of the image's longer side."""

NEAR_PX: Final = 160
NEAR_COUNT: Final = 220
"""So small is a near view, and so many superpixels it has: it is made while the annotator waits."""


@dataclass(frozen=True, eq=False)
class View:
    """A part of an image, prepared.

    Attributes:
        overview: of that part.
        box: the part, in whole pixels of the small image.
    """

    overview: Overview
    box: Box

    def click(self, point: Point) -> Click:
        """A click on the small image, as a place in the view."""
        x, y = (point.x + 0.5 - self.box.left) / self.box.width, (point.y + 0.5 - self.box.top) / self.box.height
        return Click(x, y, point.positive)

    def shares(self, mask: Mask) -> Numbers:
        """(n,), which share of each superpixel a mask of the small image covers."""
        return self.overview.shares(mask[self.box.slices(size_of(mask))])

    def drawn(self, region: Regions) -> Mask:
        """A region at the overview's resolution."""
        return np.asarray(region[self.overview.superpixels.labels])

    def whole(self, regions: Regions, small: RgbImage) -> Mask:
        """(k,), which regions are not cut off by the view's border; the image's own border cuts nothing off."""
        labels = self.overview.superpixels.labels
        size = size_of(small)
        sides = (
            (labels[:, 0], self.box.left <= 0),
            (labels[0], self.box.top <= 0),
            (labels[:, -1], self.box.right >= size.width),
            (labels[-1], self.box.bottom >= size.height),
        )
        cut_off = np.unique(np.concatenate([side for side, is_border in sides if not is_border] or [labels[:0, 0]]))
        return np.asarray(~regions[:, cut_off].any(axis=1))


def near_view(image: RgbImage, small: RgbImage, *, x: float, y: float) -> View:
    """The surroundings of a place in the small image, from the image at full resolution."""
    size, full = size_of(small), size_of(image)
    half = near_side_px(small) / 2
    box = Box(round(x - half), round(y - half), round(x + half), round(y + half)).clipped(size)
    step_x, step_y = full.width / size.width, full.height / size.height
    part = Box(box.left * step_x, box.top * step_y, box.right * step_x, box.bottom * step_y)
    return View(overview_of(image[part.slices(full)], longest_px=NEAR_PX, count=NEAR_COUNT), box)


def near_side_px(small: RgbImage) -> float:
    """The side of a near view, in pixels of the small image."""
    return NEAR_SHARE * max(size_of(small))
