"""From a region that is about right to the object's real edge, by a minimum cut in a window around it."""

from typing import Final

import cv2
import numpy as np

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.engines.segmenters.graphcut_parts.colour_cut import Trimap, colour_cut
from cleanplate.engines.segmenters.graphcut_parts.guided_filter import guided
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers
from cleanplate.engines.segmenters.graphcut_parts.window import Window, window_around

CORE: Final = 0.4
"""Deeper inside than this share of the greatest depth, a region is taken as it is."""

FRINGE: Final = 0.1
"""How far outside a region its object may reach, in square roots of the region's area."""

REACH: Final = 0.12
"""How far around a change the answer may move, in square roots of the changed area."""

LEAST_OVERLAP: Final = 0.5
"""A cut that keeps less of the region than this has slipped; the region itself is better."""

MOST_SLIP: Final = 0.7
"""The same for a change: how many pixels a cut may decide otherwise, as a share of the changed area."""

SEED_RADIUS_PX: Final = 2

BOX_MARGIN: Final = 0.1
BOX_CORE: Final = 0.3
"""The middle of a box belongs to the object, as a share of the ellipse in it …"""

BOX_ELLIPSE: Final = 1.1
"""… and within this ellipse, pixels probably do."""


def cut_region(image: RgbImage, region: Mask, of: Box, clicks: tuple[Point, ...]) -> Numbers:
    """The object that a region shows, as a soft mask 0 … 1 of the image's size.

    Args:
        image: (H, W, 3).
        region: of any resolution, not empty …
        of: … over this part of the image.
        clicks: in pixels of the image.
    """
    window = window_around(_box_of(region, of), size_of(image), margin=0.15, margin_px=6)
    crop, target = window.shrunk(image), window.fitted_mask(region, of)
    trimap = _trimap(target, core=CORE * _greatest_depth(target), fringe=FRINGE * float(target.sum()) ** 0.5 + 2)
    cut = colour_cut(crop, _with_seeds(trimap, window, clicks), rounds=1)
    if (cut & target).sum() < LEAST_OVERLAP * (cut | target).sum():
        cut = target
    soft = np.zeros(image.shape[:2], dtype=np.float32)
    soft[window.slices] = guided(crop, cut.astype(np.float32)).applied(image[window.slices])
    return soft


def cut_change(image: RgbImage, soft: Numbers, change: Mask, of: Box, clicks: tuple[Point, ...]) -> Numbers:
    """The answer *soft* with a change near its last click; away from the change it stays as it was.

    Args:
        image: (H, W, 3).
        soft: (H, W), 0 … 1, the answer so far.
        change: of any resolution, not empty; where the answer becomes what its last click says …
        of: … over this part of the image.
        clicks: in pixels of the image.
    """
    window = window_around(_box_of(change, of), size_of(image), margin=0.3, margin_px=10)
    crop, changed = window.shrunk(image), window.fitted_mask(change, of)
    target = np.where(changed, clicks[-1].positive, window.shrunk_mask(soft > 1 / 2))
    area = max(float(changed.sum()), 1.0)
    core, fringe = CORE * _greatest_depth(changed), FRINGE * area**0.5 + 2
    trimap = _trimap(target, core=core, fringe=fringe if clicks[-1].positive else max(core, fringe))
    zone = _dilated(changed, radius_px=round(REACH * area**0.5) + 3)
    trimap[~zone] = np.where(target, cv2.GC_FGD, cv2.GC_BGD)[~zone]
    cut = colour_cut(crop, _with_seeds(trimap, window, clicks), rounds=1)
    if (cut != target).sum() > MOST_SLIP * area:
        cut = target
    edge = guided(crop, cut.astype(np.float32)).applied(image[window.slices])
    result = soft.copy()
    result[window.slices] = np.where(window.enlarged_mask(zone), edge, soft[window.slices])
    return result


def cut_box(image: RgbImage, box: Box) -> Numbers:
    """The object in a box that lies on the image, as a soft mask 0 … 1 of the image's size."""
    size = size_of(image)
    window = window_around(box, size, margin=BOX_MARGIN, margin_px=6)
    crop, inner = window.shrunk(image), window.box(box)
    rows, columns = np.ogrid[: window.size.height, : window.size.width]
    across = (columns + 0.5 - (inner.left + inner.right) / 2) / (inner.width / 2)
    down = (rows + 0.5 - (inner.top + inner.bottom) / 2) / (inner.height / 2)
    away, inside = np.hypot(across, down), np.maximum(abs(across), abs(down)) <= 1
    trimap = np.select(
        [~inside, away <= BOX_CORE, away <= BOX_ELLIPSE],
        [cv2.GC_BGD, cv2.GC_FGD, cv2.GC_PR_FGD],
        default=cv2.GC_PR_BGD,
    ).astype(np.uint8)
    cut = colour_cut(crop, trimap, rounds=2) & inside
    soft = np.zeros(image.shape[:2], dtype=np.float32)
    soft[window.slices] = guided(crop, cut.astype(np.float32)).applied(image[window.slices])
    return soft


def _box_of(region: Mask, of: Box) -> Box:
    """The tight box around a region that shows the part *of* of an image, in pixels of the image."""
    box, own = bounding_box(region), size_of(region)
    assert box is not None, "only regions with pixels are cut"  # noqa: S101 - our own mistake
    step_x, step_y = of.width / own.width, of.height / own.height
    left, top = of.left + box.left * step_x, of.top + box.top * step_y
    return Box(left, top, left + box.width * step_x, top + box.height * step_y)


def _trimap(target: Mask, *, core: float, fringe: float) -> Trimap:
    trimap = np.where(target, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[_depth(target) > max(core, 2)] = cv2.GC_FGD
    trimap[_depth(~target) > fringe] = cv2.GC_BGD
    return trimap


def _with_seeds(trimap: Trimap, window: Window, clicks: tuple[Point, ...]) -> Trimap:
    seeded = trimap.copy()
    for click in clicks:
        value = cv2.GC_FGD if click.positive else cv2.GC_BGD
        cv2.circle(seeded, window.place(click.x + 0.5, click.y + 0.5), SEED_RADIUS_PX, value, thickness=-1)
    return seeded


def _depth(mask: Mask) -> Numbers:
    """How far each pixel is inside; the image's border is no edge."""
    padded = np.pad(mask, 1, mode="edge").astype(np.uint8)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_3)[1:-1, 1:-1], dtype=np.float32)


def _greatest_depth(mask: Mask) -> float:
    return float(_depth(mask).max())


def _dilated(mask: Mask, *, radius_px: int) -> Mask:
    side = 2 * radius_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)
