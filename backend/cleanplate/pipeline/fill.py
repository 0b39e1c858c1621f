"""The fill: each group of holes in a crop of its own, the way the inpainter does it best."""

from dataclasses import dataclass

from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.engines.protocols import Inpainter, Inpainting
from cleanplate.errors import EngineError
from cleanplate.pipeline.composite import composite
from cleanplate.pipeline.crops import crops_of


@dataclass(frozen=True, eq=False)
class Fill:
    """A filled image.

    Attributes:
        image: (H, W, 3); nothing outside the mask differs.
        confidence: that of the least certain crop; None if the inpainter cannot tell.
        crops: how many crops were filled.
    """

    image: RgbImage
    confidence: float | None
    crops: int


def fill(erased: RgbImage, mask: Mask, *, avoid: Mask, inpainter: Inpainter) -> Fill:
    """Let the inpainter fill what is masked.

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
        window = crop.slices(size_of(erased))
        answer = _inpainted(erased[window], mask[window], avoid[window], inpainter)
        filled[window] = composite(erased[window], answer.image, mask[window])
        if answer.confidence is not None:
            confidences.append(answer.confidence)
    return Fill(filled, min(confidences, default=None), len(crops))


def _inpainted(image: RgbImage, mask: Mask, avoid: Mask, inpainter: Inpainter) -> Inpainting:
    # The engine gets arrays of its own: one that works in place spoils only those.
    answer = inpainter.inpaint(image.copy(), mask.copy(), avoid=avoid.copy())
    if answer.image.shape != image.shape or answer.image.dtype != image.dtype:
        raise EngineError(
            f"{inpainter.version} was given a crop of {image.shape} {image.dtype} "
            f"and returned {answer.image.shape} {answer.image.dtype}"
        )
    return answer
