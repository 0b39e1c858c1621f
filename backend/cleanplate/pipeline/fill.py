"""The fill: each group of holes in a crop of its own, the way the inpainter does it best."""

from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.engines.protocols import Inpainter, Inpainting
from cleanplate.errors import EngineError
from cleanplate.pipeline.composite import composite
from cleanplate.pipeline.crops import Crop, crops_of
from cleanplate.pipeline.harmonise import harmonised, membrane
from cleanplate.pipeline.refine import Small, refined

_Array = TypeVar("_Array", RgbImage, Mask)

_REACH_SMALL_PX: Final = 1
"""How deep, in pixels of the small image, an enlarged fill is drawn to what is beside it."""

_GUESS_PX: Final = 128
"""What stands for another crop's hole is guessed in an image of at most this size: nobody sees it."""

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
    """A crop of the image, reflected where the image ends. It may be a part of the image itself: it is not changed.

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
        if not any(more for _, more in beyond):
            return cls(image[window], mask[window], avoid[window], crop.hole)
        return cls(
            np.pad(image[window], (*beyond, (0, 0)), mode="symmetric"),
            np.pad(mask[window], beyond, mode="symmetric"),
            np.pad(avoid[window], beyond, mode="symmetric"),
            np.pad(crop.hole, beyond),
        )

    def alone(self) -> "_View":
        """The same with no hole but its own.

        What belongs to other crops becomes a smooth guess from what is known, from which nothing may be copied. An
        inpainter that works for what is masked, and not for what it is shown, would fill that too, for nothing.
        """
        others = self.mask & ~self.hole
        if not others.any():
            return self
        image = self.image.copy()
        np.copyto(image, _guess(image, self.mask), where=others[..., np.newaxis])
        return self._replace(image=image, mask=self.hole, avoid=self.avoid | others)


class _Piece(NamedTuple):
    """What is wanted of a filled crop.

    Attributes:
        colours: (n, 3), of the pixels of its hole, in order.
        confidence: the inpainter's, weighted; None if it has none.
    """

    colours: npt.NDArray[np.uint8]
    confidence: float | None


def fill(erased: RgbImage, mask: Mask, *, avoid: Mask, inpainter: Inpainter) -> Fill:
    """Let the inpainter fill what is masked.

    Crops are filled one by one: together they took as long as alone, and as much more memory. Only the pixels that
    are wanted of each are kept; the image is put together when no inpainter needs memory any more.

    Args:
        erased: (H, W, 3), overwritten under the mask.
        mask: (H, W).
        avoid: (H, W), True where nothing may be copied from.
        inpainter: fills the crops.

    Raises:
        EngineError: The inpainter gave back something that is not an image of the crop's size.
    """
    crops = crops_of(mask, inpainter.comfort)
    pieces = [_piece(crop, _View.of(crop, erased, mask, avoid), inpainter) for crop in crops]
    filled = erased.copy()
    for crop, piece in zip(crops, pieces, strict=True):
        filled[crop.box.slices(size_of(mask))][crop.hole] = piece.colours
    sure = [piece.confidence for piece in pieces if piece.confidence is not None]
    return Fill(filled, min(sure, default=None), tuple(crop.factor for crop in crops))


def _piece(crop: Crop, view: _View, inpainter: Inpainter) -> _Piece:
    comfort = inpainter.comfort
    # With a multiple a hole may be reflected, and its mirror image be no other crop's.
    if comfort.max_side_px is None and comfort.multiple == 1:
        view = view.alone()
    answer = _small_first(view, crop.factor, inpainter) if crop.factor > 1 else _inpainted(*view[:3], inpainter)
    # Enlarged, a fill is off beside the hole only by what was too small to be seen: that must not spread inwards.
    reach_px = None if crop.factor == 1 else float(_REACH_SMALL_PX * crop.factor)
    seamless = harmonised(view.image, answer.image, mask=view.mask, hole=view.hole, reach_px=reach_px)
    height, width = crop.hole.shape
    confidence = None if answer.confidence is None else _weighted(answer.confidence, crop.hole)
    return _Piece(seamless[:height, :width][crop.hole], confidence)


def _small_first(view: _View, factor: int, inpainter: Inpainter) -> Inpainting:
    small = Small.of(view.image, view.mask, view.avoid, factor=factor)
    guide, confidence = small.image, None
    # Specks vanish when a crop is made small: then all that is wanted is known.
    if small.mask.any():
        answer = _inpainted(small.image, small.mask, small.avoid, inpainter)
        seamless = harmonised(small.image, answer.image, mask=small.mask, hole=small.mask)
        guide, confidence = composite(small.image, seamless, small.mask), answer.confidence
    return Inpainting(refined(view.image, guide, small, hole=view.hole), confidence)


def _guess(image: RgbImage, mask: Mask) -> RgbImage:
    """(h, w, 3): the mask filled with the colours around it, without detail; nothing that is masked comes into it."""
    size = size_of(mask)
    small = size.scaled(min(1.0, _GUESS_PX / max(size)))
    known = np.where(mask, np.uint8(0), np.uint8(255))
    weights = cv2.resize(known, small, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    sums = cv2.resize(cv2.bitwise_and(image, image, mask=known), small, interpolation=cv2.INTER_AREA)
    colours = sums / np.maximum(weights, np.float32(1 / 255))[..., np.newaxis]
    guess = membrane(np.asarray(colours, np.float32), np.asarray(weights, np.float32))
    levels = np.clip(np.rint(guess), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _inpainted(image: RgbImage, mask: Mask, avoid: Mask, inpainter: Inpainter) -> Inpainting:
    # The engine gets what it cannot change: one that works in place fails, and spoils nothing.
    answer = inpainter.inpaint(_locked(image), _locked(mask), avoid=_locked(avoid))
    if answer.image.shape != image.shape or answer.image.dtype != image.dtype:
        raise EngineError(
            f"{inpainter.version} was given a crop of {image.shape} {image.dtype} "
            f"and returned {answer.image.shape} {answer.image.dtype}"
        )
    return answer


def _locked(array: _Array) -> _Array:
    locked = array.view()
    locked.flags.writeable = False
    return locked


def _weighted(confidence: float, hole: Mask) -> float:
    box = bounding_box(hole)
    side_px = 0.0 if box is None else max(box.width, box.height)
    return 1 - (1 - confidence) * min(side_px / _TELLING_PX, 1)
