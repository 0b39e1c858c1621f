"""LaMa: R. Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions", WACV 2022.

The network is our own, made from the published weights; those are not part of cleanplate. It gives what the published
generator gives, to within rounding, in less than half the time where the processor knows bfloat16.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from cleanplate.domain.image import Mask, RgbImage, require_image, size_of
from cleanplate.domain.mask import bounding_box, require_fit
from cleanplate.engines.devices import DTYPES, device_of, precision_of, torch_errors_translated
from cleanplate.engines.inpainters.lama_parts.folding import network_of
from cleanplate.engines.inpainters.lama_parts.layout import generator_of
from cleanplate.engines.inpainters.lama_parts.network import STEP, Network
from cleanplate.engines.protocols import Comfort, Inpainting
from cleanplate.engines.published import BIG_LAMA
from cleanplate.engines.weights import Weights, digest_of, tensors_in

NAME: Final = "lama"

_DIGEST_CHARACTERS: Final = 12

_FULL: Final = 255.0

_BESIDE_PX: Final = 4
"""How far around the holes known pixels are given back as the network paints them, so that seams can be judged."""

_LEAST_STEPS: Final = 2
_FRIENDLY_FACTORS: Final = (2, 3, 5)
"""Fourier transforms are fast for products of these: a side of 1128 pixels takes 1.4 times as long as one of 1152."""


class LamaInpainter:
    """Continues structures and textures into large holes.

    The fill is painted anew: no pixel is copied from anywhere.
    """

    # A crop of max_side_px has a hole of half as much; larger ones are filled better from coarse to fine.
    comfort: Final = Comfort(context=0.5, min_side_px=512, max_side_px=960, coarse_side_px=512, multiple=STEP)

    def __init__(self, network: Network, *, version: str) -> None:
        self.version: Final = version
        self._network = network

    def inpaint(self, image: RgbImage, mask: Mask, *, avoid: Mask | None = None) -> Inpainting:
        """Return a new image of the same size with the masked pixels replaced.

        Beside a hole, known pixels are the network's, too. It copies nothing, so there is nothing to *avoid*. It cannot
        tell how good its fill is.
        """
        require_image(image)
        size = size_of(image)
        require_fit(mask, size)
        if avoid is not None:
            require_fit(avoid, size)
        filled = image.copy()
        hole = bounding_box(mask)
        if hole is None:
            return Inpainting(filled)
        part = hole.grown(_BESIDE_PX).clipped(size)
        with torch_errors_translated(NAME, f"fill a crop of {size.width}×{size.height}"):
            painted = self._network.paint(torch.from_numpy(_masked(image, mask)).permute(0, 3, 1, 2), part)
            levels = painted[0].mul(_FULL).round_().to("cpu", torch.uint8).permute(1, 2, 0).numpy()
        filled[part.slices(size)] = levels
        return Inpainting(filled)


def load(weights: Weights) -> LamaInpainter:
    """Make the inpainter.

    Raises:
        EngineMissingError: Its weights are not there. The message says where they are to be had.
        WeightsError: The file holds no LaMa, or is damaged.
    """
    path = BIG_LAMA.find(weights)
    device = device_of(weights.device)
    precision = precision_of(weights.precision, device)
    digest = digest_of(path)
    with tensors_in(path) as tensors:
        layout, own = generator_of(tensors)
        network = network_of(own, layout, device=device, dtype=DTYPES[precision])
    return LamaInpainter(network, version=f"{NAME} {digest[:_DIGEST_CHARACTERS]} {precision}")


def friendly_side(length_px: int) -> int:
    """The shortest side that holds *length_px* and that the network can take, quickly."""
    steps = max(_LEAST_STEPS, -(-length_px // STEP))
    while not _is_friendly(steps):
        steps += 1
    return steps * STEP


def _is_friendly(length: int) -> bool:
    for factor in _FRIENDLY_FACTORS:
        while length % factor == 0:
            length //= factor
    return length == 1


def _masked(image: RgbImage, mask: Mask) -> npt.NDArray[np.float32]:
    """(1, H, W, 4): what the network is to see, reflected at the right and below to sides it likes."""
    height, width = mask.shape
    beyond = (0, friendly_side(height) - height), (0, friendly_side(width) - width)
    holes = np.pad(mask, beyond, mode="symmetric")
    picture = np.empty((1, *holes.shape, 4), dtype=np.float32)
    picture[0, ..., :3] = np.pad(image, (*beyond, (0, 0)), mode="symmetric") / np.float32(_FULL)
    picture[0, holes, :3] = 0
    picture[0, ..., 3] = holes
    return picture
