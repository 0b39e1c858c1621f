"""LaMa's generator, its arithmetic rearranged for speed.

Each batch norm has become part of the convolution before it. What a Fourier convolution computes for its local output
from both of its inputs is one convolution. The blocks write into two grids that have their reflected margins already,
channels last; the way through the spectrum, where a plane is transformed at a time, has channels first, and the matrix
products on its way there and back take the one for the other. Only what the mask needs is brought back to full size.
"""

from collections.abc import Iterator
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

_TRANSFORMED_VALUES: Final = 1 << 20
"""Transformed at once on a processor: few enough to stay in its caches, and for the memory to be used again."""

_BAND_ROWS: Final = 64


class Convolution(NamedTuple):
    """(outputs, inputs, h, w); and (outputs,)."""

    weight: Tensor
    bias: Tensor


class Mixing(NamedTuple):
    """Of the channels of a pixel: (outputs, inputs); and (outputs, 1)."""

    weight: Tensor
    bias: Tensor


Doubling = tuple[tuple[Convolution, Convolution], tuple[Convolution, Convolution]]
"""A transposed convolution, as one convolution for each of the four pixels that a pixel becomes: upper, lower; left,
right. Those for the lower ones see the pixel below, too, those for the right ones the pixel to the right."""


@dataclass(frozen=True, eq=False)
class FourierConvolution:
    """One fast Fourier convolution with its batch norms.

    Attributes:
        to_local: from all channels to the local ones.
        local_to_global: from the local channels to the others, without what comes through the spectrum.
        narrowing: from the global channels to half as many.
        spectral: in the spectrum; real and imaginary parts of a channel are neighbours.
        widening: (global channels, half as many). It has no bias; that is with `local_to_global`.
    """

    to_local: Convolution
    local_to_global: Convolution
    narrowing: Mixing
    spectral: Mixing
    widening: Tensor


@dataclass(frozen=True, eq=False)
class Network:
    """A generator on a device, in a precision. Immutable, so any number of threads may use it.

    Attributes:
        stem: the first convolution, and those that halve the image.
        blocks: two convolutions each.
        rise: what doubles it.
        last: gives red, green and blue of 2×2 pixels at once, in the order of a pixel shuffle: alone, they would leave
            most of the processor's lanes empty.
        local: how many channels of a block are local; they come first.
    """

    stem: tuple[Convolution, ...]
    blocks: tuple[tuple[FourierConvolution, FourierConvolution], ...]
    rise: tuple[Doubling, ...]
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
            picture = masked.to(weight.device, weight.dtype, memory_format=torch.channels_last)
            grid = self._through_blocks(self._stem(picture))
            rows, columns = _needed(part.top, part.bottom), _needed(part.left, part.right)
            risen = self._risen(grid[:, :, rows, columns])
            top, left = int(part.top) - STEP * rows.start, int(part.left) - STEP * columns.start
            return risen[:, :, top : top + int(part.height), left : left + int(part.width)]

    def _stem(self, picture: Tensor) -> Tensor:
        """The grid of the blocks, with a reflected margin of 1."""
        first, *halving = self.stem
        grid = _activated(F.pad(picture, (_LAST_REACH,) * 4, mode="reflect"), first)
        for convolution in halving:
            grid = _activated(grid, convolution, stride=2)
        return grid

    def _through_blocks(self, padded: Tensor) -> Tensor:
        """What the blocks make of a grid; *padded* has a reflected margin of 1 and is changed."""
        local, between = self.local, torch.empty_like(padded)
        spectrum = _Spectrum.beside(padded, channels=(padded.shape[1] - local) // 2)
        result, inner = _within(padded), _within(between)
        for first, second in self.blocks:
            near, far = self._convolved(padded, first, spectrum)
            torch.clamp(near, min=0, out=inner[:, :local])
            torch.clamp(far, min=0, out=inner[:, local:])
            _reflect_margin(between, 1)
            near, far = self._convolved(between, second, spectrum)
            result[:, :local] += near.relu_()
            result[:, local:] += far.relu_()
            _reflect_margin(padded, 1)
        return result

    def _convolved(
        self, padded: Tensor, convolution: FourierConvolution, spectrum: "_Spectrum"
    ) -> tuple[Tensor, Tensor]:
        """The local and the global outputs, before their activation."""
        spread = F.conv2d(padded[:, : self.local], *convolution.local_to_global)
        wide = spectrum.convolved(_pixels(padded[:, self.local :]), convolution)
        _pixels(spread).addmm_(wide.t(), convolution.widening.t())
        return F.conv2d(padded, *convolution.to_local), spread

    def _risen(self, grid: Tensor) -> Tensor:
        *rise, highest = self.rise
        grid = grid.contiguous(memory_format=torch.channels_last)
        for doubling in rise:
            grid = _doubled(grid, doubling)
        grid = _doubled(grid, highest, margin=_LAST_REACH)
        return F.pixel_shuffle(F.conv2d(grid, *self.last, stride=2).float().sigmoid_(), 2)


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Memory for the way through the spectrum, used again by each convolution; channels come first.

    Attributes:
        narrow: (channels, h + 2, w + 2), with the margin of the grid.
        before, after: (channels, 2, h, w // 2 + 1), real and imaginary parts.
        wide: (channels, h, w).
    """

    narrow: Tensor
    before: Tensor
    after: Tensor
    wide: Tensor

    @classmethod
    def beside(cls, padded: Tensor, *, channels: int) -> "_Spectrum":
        height, width = (side - 2 for side in padded.shape[2:])
        half = channels, 2, height, width // 2 + 1
        return cls(
            narrow=padded.new_empty(channels, height + 2, width + 2),
            before=padded.new_empty(half),
            after=padded.new_empty(half),
            wide=padded.new_empty(channels, height, width),
        )

    def convolved(self, pixels: Tensor, convolution: FourierConvolution) -> Tensor:
        """(channels, h · w) of (pixels of the padded grid, global channels); valid until the next call."""
        torch.addmm(convolution.narrowing.bias, convolution.narrowing.weight, pixels.t(), out=self.narrow.flatten(1))
        signal = _within(self.narrow.relu_())
        for planes in self._at_once():
            # In fp32: the transform knows no bfloat16.
            numbers = torch.view_as_real(torch.fft.rfft2(signal[planes].float(), norm="ortho"))
            for part in range(2):
                self.before[planes, part] = numbers[..., part]
        before, after = (numbers.view(-1, numbers[0, 0].numel()) for numbers in (self.before, self.after))
        torch.addmm(convolution.spectral.bias, convolution.spectral.weight, before, out=after)
        for planes in self._at_once():
            mixed = self.after[planes].relu_()
            numbers = mixed.new_empty((*mixed[:, 0].shape, 2), dtype=torch.float32)
            for part in range(2):
                numbers[..., part] = mixed[:, part]
            transformed = torch.fft.irfft2(torch.view_as_complex(numbers), s=signal.shape[1:], norm="ortho")
            self.wide[planes] = transformed.add_(signal[planes].float())
        return self.wide.flatten(1)

    def _at_once(self) -> Iterator[slice]:
        channels = len(self.wide)
        step = channels if self.wide.is_cuda else max(1, _TRANSFORMED_VALUES // self.wide[0].numel())
        return (slice(start, start + step) for start in range(0, channels, step))


def _pixels(grid: Tensor) -> Tensor:
    """(pixels, channels): another view of a grid whose channels come last."""
    return grid.permute(0, 2, 3, 1).flatten(0, 2)


def _within(padded: Tensor) -> Tensor:
    """What a margin of 1 surrounds."""
    return padded[..., 1:-1, 1:-1]


def _reflect_margin(padded: Tensor, margin: int) -> None:
    """Fill the margin with what is reflected in it."""
    last_row, last_column = padded.shape[2] - 1, padded.shape[3] - 1
    for place in range(margin):
        inside = 2 * margin - place
        padded[:, :, place] = padded[:, :, inside]
        padded[:, :, last_row - place] = padded[:, :, last_row - inside]
    for place in range(margin):
        inside = 2 * margin - place
        padded[..., place] = padded[..., inside]
        padded[..., last_column - place] = padded[..., last_column - inside]


def _activated(padded: Tensor, convolution: Convolution, *, stride: int = 1) -> Tensor:
    """A convolution and its activation, with a reflected margin of 1; in bands, which use the same memory by turns."""
    outputs, _, *kernel = convolution.weight.shape
    height, width = ((side - reach) // stride + 1 for side, reach in zip(padded.shape[2:], kernel, strict=True))
    result = _empty(padded, outputs, height + 2, width + 2)
    inner = _within(result)
    for top in range(0, height, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, height)
        band = padded[:, :, stride * top : stride * (bottom - 1) + kernel[0]]
        torch.clamp(F.conv2d(band, *convolution, stride=stride), min=0, out=inner[:, :, top:bottom])
    _reflect_margin(result, 1)
    return result


def _doubled(grid: Tensor, doubling: Doubling, *, margin: int = 0) -> Tensor:
    """A grid of twice the size after its activation, with a reflected margin."""
    height, width = 2 * grid.shape[2], 2 * grid.shape[3]
    result = _empty(grid, doubling[0][0].weight.shape[0], height + 2 * margin, width + 2 * margin)
    inner = result[:, :, margin : margin + height, margin : margin + width]
    for down, row in enumerate(doubling):
        for right, convolution in enumerate(row):
            # Zeros follow after the last row and column; those before the first ones are padding's other side.
            part = F.conv2d(grid, *convolution, padding=(down, right))[:, :, down:, right:]
            torch.clamp(part, min=0, out=inner[:, :, down::2, right::2])
    _reflect_margin(result, margin)
    return result


def _empty(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    shape = 1, channels, height, width
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _needed(start: float, end: float) -> slice:
    """The rows or columns of the blocks' grid that pixels from *start* to *end* depend on; it may go beyond its end."""
    return slice(max(0, int(start) - _LAST_REACH) // STEP, -(-(int(end) + _RISE_REACH) // STEP))
