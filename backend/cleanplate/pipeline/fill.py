"""The fill: each group of holes in a crop of its own, the way the inpainter does it best."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.engines.protocols import Inpainter, Inpainting
from cleanplate.errors import EngineError
from cleanplate.pipeline.composite import composite
from cleanplate.pipeline.crops import Crop, crops_of
from cleanplate.pipeline.harmonise import harmonised
from cleanplate.pipeline.refine import Small, refined

_REACH_SMALL_PX: Final = 1
"""How deep, in pixels of the small image, an enlarged fill is drawn to what is beside it."""

_TELLING_PX: Final = 16
"""A hole of this side can look wrong; what happens in one of a few pixels nobody sees."""


@dataclass(frozen=True, eq=False)
class Fill:
    """A filled image.

    Attributes:
        image: (H, W, 3); nothing outside the mask differs.
        confidence: that of the least certain crop; None if the inpainter cannot tell. Holes of a few pixels lower it
            less than large ones.
        factors: for each crop, how many times smaller it was filled; 1 at full resolution.
    """

    image: RgbImage
    confidence: float | None
    factors: tuple[int, ...]

    @property
    def crops(self) -> int:
        """How many crops were filled."""
        return len(self.factors)


class _View(NamedTuple):
    """A crop cut out of the image, reflected where the image ends.

    Attributes:
        image: (h, w, 3).
        mask: (h, w), True where anything is masked, be it another crop's.
        avoid: (h, w).
        hole: (h, w), True where this crop's answer is taken; nowhere in what is reflected.
    """

    image: RgbImage
    mask: Mask
    avoid: Mask
    hole: Mask

    @classmethod
    def of(cls, crop: Crop, image: RgbImage, mask: Mask, avoid: Mask) -> "_View":
        window = crop.box.slices(size_of(mask))
        height, width = crop.hole.shape
        beyond = ((0, round(crop.box.height) - height), (0, round(crop.box.width) - width))
        return cls(
            np.pad(image[window], (*beyond, (0, 0)), mode="symmetric"),
            np.pad(mask[window], beyond, mode="symmetric"),
            np.pad(avoid[window], beyond, mode="symmetric"),
            np.pad(crop.hole, beyond),
        )


def fill(erased: RgbImage, mask: Mask, *, avoid: Mask, inpainter: Inpainter) -> Fill:
    """Let the inpainter fill what is masked.

    Crops are filled one by one: together they took as long as alone, and as much more memory.

    Args:
        erased: (H, W, 3), overwritten under the mask.
        mask: (H, W).
        avoid: (H, W), True where nothing may be copied from.
        inpainter: fills the crops.

    Raises:
        EngineError: The inpainter gave back something that is not an image of the crop's size.
    """
    filled = erased.copy()
    confidences = []
    crops = crops_of(mask, inpainter.comfort)
    for crop in crops:
        view = _View.of(crop, erased, mask, avoid)
        answer = _small_first(view, crop.factor, inpainter) if crop.factor > 1 else _inpainted(*view[:3], inpainter)
        # Enlarged, a fill is off beside the hole only by what was too small to be seen: that must not spread inwards.
        reach_px = None if crop.factor == 1 else float(_REACH_SMALL_PX * crop.factor)
        seamless = harmonised(view.image, answer.image, mask=view.mask, hole=view.hole, reach_px=reach_px)
        height, width = crop.hole.shape
        window = crop.box.slices(size_of(mask))
        np.copyto(filled[window], seamless[:height, :width], where=crop.hole[..., np.newaxis])
        if answer.confidence is not None:
            confidences.append(_weighted(answer.confidence, crop.hole))
    return Fill(filled, min(confidences, default=None), tuple(crop.factor for crop in crops))


def _small_first(view: _View, factor: int, inpainter: Inpainter) -> Inpainting:
    small = Small.of(view.image, view.mask, view.avoid, factor=factor)
    guide, confidence = small.image, None
    # Specks vanish when a crop is made small: then all that is wanted is known.
    if small.mask.any():
        answer = _inpainted(small.image, small.mask, small.avoid, inpainter)
        seamless = harmonised(small.image, answer.image, mask=small.mask, hole=small.mask)
        guide, confidence = composite(small.image, seamless, small.mask), answer.confidence
    return Inpainting(refined(view.image, guide, small, hole=view.hole), confidence)


def _inpainted(image: RgbImage, mask: Mask, avoid: Mask, inpainter: Inpainter) -> Inpainting:
    # The engine gets arrays of its own: one that works in place spoils only those.
    answer = inpainter.inpaint(image.copy(), mask.copy(), avoid=avoid.copy())
    if answer.image.shape != image.shape or answer.image.dtype != image.dtype:
        raise EngineError(
            f"{inpainter.version} was given a crop of {image.shape} {image.dtype} "
            f"and returned {answer.image.shape} {answer.image.dtype}"
        )
    return answer


def _weighted(confidence: float, hole: Mask) -> float:
    box = bounding_box(hole)
    side_px = 0.0 if box is None else max(box.width, box.height)
    return 1 - (1 - confidence) * min(side_px / _TELLING_PX, 1)
