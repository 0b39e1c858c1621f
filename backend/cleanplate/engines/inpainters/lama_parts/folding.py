"""From the tensors of a file to a network: each batch norm becomes part of the convolution before it."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cleanplate.engines.inpainters.lama_parts.layout import FIRST, FIRST_BLOCK, HALVINGS, Layout
from cleanplate.engines.inpainters.lama_parts.network import Convolution, Doubling, FourierConvolution, Mixing, Network
from cleanplate.engines.weights_parts.stored_tensor import StoredTensor
from cleanplate.errors import WeightsError

_EPSILON = 1e-5
"""Added to each variance; the same in all of the generator's batch norms."""

_Numbers = npt.NDArray[np.float64]


def network_of(
    tensors: Mapping[str, StoredTensor], layout: Layout, *, device: torch.device, dtype: torch.dtype
) -> Network:
    """Make the network that a generator's tensors describe.

    Raises:
        WeightsError: They cannot be read, or hold numbers no training ends with.
    """
    folding = _Folding(tensors, device, dtype)
    stem = [
        folding.convolution(f"{FIRST + number}.ffc.convl2l", f"{FIRST + number}.bn_l") for number in range(HALVINGS)
    ]
    blocks = range(FIRST_BLOCK, FIRST_BLOCK + layout.blocks)
    rises = range(layout.first_rise, layout.first_rise + 3 * HALVINGS, 3)
    return Network(
        stem=(*stem, folding.splitting(f"{FIRST_BLOCK - 1}")),
        blocks=tuple((folding.fourier(f"{place}.conv1"), folding.fourier(f"{place}.conv2")) for place in blocks),
        rise=tuple(folding.doubling(f"{place}", f"{place + 1}") for place in rises),
        last=folding.last(f"{layout.last}"),
        local=layout.local,
    )


class _Folding:
    """Reads tensors and folds them, in double precision."""

    def __init__(self, tensors: Mapping[str, StoredTensor], device: torch.device, dtype: torch.dtype) -> None:
        self._tensors = tensors
        self._device = device
        self._dtype = dtype

    def convolution(self, place: str, norm: str) -> Convolution:
        scale, shift = self._norm(norm)
        return self._made(self._read(f"{place}.weight") * _per_output(scale), shift)

    def splitting(self, place: str) -> Convolution:
        """The last halving: two convolutions of one input, local outputs first."""
        local_scale, local_shift = self._norm(f"{place}.bn_l")
        scale, shift = self._norm(f"{place}.bn_g")
        local = self._read(f"{place}.ffc.convl2l.weight") * _per_output(local_scale)
        spread = self._read(f"{place}.ffc.convl2g.weight") * _per_output(scale)
        return self._made(np.concatenate([local, spread]), np.concatenate([local_shift, shift]))

    def fourier(self, place: str) -> FourierConvolution:
        local_scale, local_shift = self._norm(f"{place}.bn_l")
        scale, shift = self._norm(f"{place}.bn_g")
        both = [self._read(f"{place}.ffc.{part}.weight") for part in ("convl2l", "convg2l")]
        spectral = f"{place}.ffc.convg2g"
        return FourierConvolution(
            to_local=self._made(np.concatenate(both, axis=1) * _per_output(local_scale), local_shift),
            local_to_global=self._made(self._read(f"{place}.ffc.convl2g.weight") * _per_output(scale), shift),
            narrowing=self._mixing(f"{spectral}.conv1.0", f"{spectral}.conv1.1"),
            spectral=self._mixing(f"{spectral}.fu.conv_layer", f"{spectral}.fu.bn"),
            widening=self._matrix(self._read(f"{spectral}.conv2.weight") * _per_output(scale)),
        )

    def doubling(self, place: str, norm: str) -> Doubling:
        """A transposed convolution with a stride of 2, a padding of 1, and one more row and column at the ends."""
        scale, shift = self._norm(norm)
        # (outputs, inputs, 3, 3); the middle row reaches the upper pixels, the others the lower ones
        weight = self._read(f"{place}.weight").swapaxes(0, 1) * _per_output(scale)
        bias = self._read(f"{place}.bias") * scale + shift
        upper, lower = weight[:, :, [1]], weight[:, :, [2, 0]]
        return (
            (self._made(upper[..., [1]], bias), self._made(upper[..., [2, 0]], bias)),
            (self._made(lower[..., [1]], bias), self._made(lower[..., [2, 0]], bias)),
        )

    def last(self, place: str) -> Convolution:
        """For 2×2 pixels at once: (outputs · 4, inputs, h + 1, w + 1)."""
        weight = self._read(f"{place}.weight")
        outputs, inputs, height, width = weight.shape
        joint = np.zeros((outputs, 2, 2, inputs, height + 1, width + 1))
        for down, right in np.ndindex(2, 2):
            joint[:, down, right, :, down : down + height, right : right + width] = weight
        return self._made(joint.reshape(-1, inputs, height + 1, width + 1), self._read(f"{place}.bias").repeat(4))

    def _mixing(self, place: str, norm: str) -> Mixing:
        scale, shift = self._norm(norm)
        weight = self._matrix(self._read(f"{place}.weight") * _per_output(scale))
        return Mixing(weight, self._tensor(shift[:, np.newaxis]))

    def _norm(self, place: str) -> tuple[_Numbers, _Numbers]:
        """What a batch norm multiplies by, and then adds."""
        variance = self._read(f"{place}.running_var")
        if variance.min() < 0:
            raise WeightsError(f"{place}.running_var has negative numbers")
        scale = self._read(f"{place}.weight") / np.sqrt(variance + _EPSILON)
        return scale, self._read(f"{place}.bias") - self._read(f"{place}.running_mean") * scale

    def _read(self, name: str) -> _Numbers:
        numbers = self._tensors[name].read().astype(np.float64)
        if not np.isfinite(numbers).all():
            raise WeightsError(f"{name} has numbers that are not finite")
        return numbers

    def _made(self, weight: _Numbers, bias: _Numbers) -> Convolution:
        return Convolution(self._tensor(weight).to(memory_format=torch.channels_last), self._tensor(bias))

    def _matrix(self, weight: _Numbers) -> Tensor:
        """Of a convolution that sees one pixel."""
        return self._tensor(weight[:, :, 0, 0])

    def _tensor(self, numbers: _Numbers) -> Tensor:
        return torch.from_numpy(numbers).to(self._device, self._dtype).contiguous()


def _per_output(scale: _Numbers) -> _Numbers:
    return scale[:, np.newaxis, np.newaxis, np.newaxis]
