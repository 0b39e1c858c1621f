"""LaMa's generator, its arithmetic rearranged for speed.

Each batch norm has become part of the convolution before it. What a Fourier convolution computes for its local output
from both of its inputs is one convolution. Channels come last in memory, so that the spectral convolution takes the
spectrum of all channels as it is. Only what the mask needs is brought back to full size.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from torch import Tensor

from cleanplate.domain.geometry import Box
from cleanplate.engines.devices import exactly

STEP: Final = 8
"""Pixels of the image to one of the blocks' grid, in both directions."""

_RISE_REACH: Final = 10
"""Pixels beyond the lower and the right end of a part of the image that its rise depends on: 7 for the three transposed
convolutions and 3 for the last one, which is all that reaches beyond the upper and the left end."""

_LAST_REACH: Final = 3


class Convolution(NamedTuple):
    """(outputs, inputs, h, w), transposed convolutions (inputs, outputs, h, w); and (outputs,)."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class FourierConvolution:
    """One fast Fourier convolution with its batch norms.

    Attributes:
        to_local: from all channels to the local ones.
        local_to_global: from the local channels to the others, without what comes through the spectrum.
        narrowing: from the global channels to half as many.
        spectral: in the spectrum; real and imaginary parts of a channel are neighbours.
        widening: from half as many to the global channels. It has no bias; that is with `local_to_global`.
    """

    to_local: Convolution
    local_to_global: Convolution
    narrowing: Convolution
    spectral: Convolution
    widening: Convolution


@dataclass(frozen=True, eq=False)
class Network:
    """A generator on a device, in a precision. Immutable, so any number of threads may use it.

    Attributes:
        stem: the first convolution, and those that halve the image.
        blocks: two convolutions each.
        rise: the transposed convolutions that double it.
        last: gives red, green and blue.
        local: how many channels of a block are local; they come first.
    """

    stem: tuple[Convolution, ...]
    blocks: tuple[tuple[FourierConvolution, FourierConvolution], ...]
    rise: tuple[Convolution, ...]
    last: Convolution
    local: int

    def paint(self, masked: Tensor, part: Box) -> Tensor:
        """What the network paints in a part of an image.

        Args:
            masked: (1, 4, H, W) float32: red, green and blue between 0 and 1, 0 under the mask, and the mask as 0 or 1.
                H and W are multiples of 8, and 16 at least.
            part: of whole pixels, within the image.

        Returns:
            (1, 3, part's height, part's width) float32, between 0 and 1.
        """
        weight = self.last.weight
        with torch.inference_mode(), exactly(weight.device):
            grid = self._stem(masked.to(weight.device, weight.dtype, memory_format=torch.channels_last))
            for first, second in self.blocks:
                grid += self._convolved(self._convolved(grid, first), second)
            rows, columns = _needed(part.top, part.bottom), _needed(part.left, part.right)
            risen = self._risen(grid[:, :, rows, columns])
            top, left = int(part.top) - STEP * rows.start, int(part.left) - STEP * columns.start
            return risen[:, :, top : top + int(part.height), left : left + int(part.width)]

    def _stem(self, picture: Tensor) -> Tensor:
        first, *halving = self.stem
        grid = F.conv2d(_reflected(picture, _LAST_REACH), first.weight, first.bias).relu_()
        for convolution in halving:
            grid = _reflected(grid, 1)  # what it was is no longer held: here most memory is needed
            grid = F.conv2d(grid, convolution.weight, convolution.bias, stride=2).relu_()
        return grid

    def _convolved(self, grid: Tensor, convolution: FourierConvolution) -> Tensor:
        local = self.local
        padded = _reflected(grid, 1)
        result = torch.empty_like(grid)
        torch.clamp(F.conv2d(padded, *convolution.to_local), min=0, out=result[:, :local])
        spread = F.conv2d(padded[:, :local], *convolution.local_to_global)
        spread += _through_spectrum(grid[:, local:], convolution)
        torch.clamp(spread, min=0, out=result[:, local:])
        return result

    def _risen(self, grid: Tensor) -> Tensor:
        for convolution in self.rise:
            grid = F.conv_transpose2d(grid, *convolution, stride=2, padding=1, output_padding=1).relu_()
        return F.conv2d(_reflected(grid, _LAST_REACH), *self.last).float().sigmoid_()


def _through_spectrum(spread: Tensor, convolution: FourierConvolution) -> Tensor:
    narrow = F.conv2d(spread, *convolution.narrowing).relu_()
    # (1, h, w, channels), in fp32: the transform knows no bfloat16
    signal = narrow.permute(0, 2, 3, 1).float()
    numbers = torch.view_as_real(torch.fft.rfft2(signal, dim=(1, 2), norm="ortho")).flatten(3)
    numbers = F.conv2d(numbers.permute(0, 3, 1, 2).to(narrow.dtype), *convolution.spectral).relu_()
    numbers = numbers.permute(0, 2, 3, 1).float().contiguous()
    spectrum = torch.view_as_complex(numbers.view(*numbers.shape[:3], -1, 2))
    wide = torch.fft.irfft2(spectrum, s=signal.shape[1:3], dim=(1, 2), norm="ortho").add_(signal)
    return F.conv2d(wide.permute(0, 3, 1, 2).to(narrow.dtype), *convolution.widening)


def _reflected(grid: Tensor, reach: int) -> Tensor:
    return F.pad(grid, (reach,) * 4, mode="reflect")


def _needed(start: float, end: float) -> slice:
    """The rows or columns of the blocks' grid that pixels from *start* to *end* depend on; it may go beyond its end."""
    return slice(max(0, int(start) - _LAST_REACH) // STEP, -(-(int(end) + _RISE_REACH) // STEP))
