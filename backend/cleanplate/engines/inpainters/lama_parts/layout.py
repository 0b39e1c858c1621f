"""What the tensors of a LaMa generator are called, and their shapes.

R. Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions", WACV 2022: a stem that halves
the image three times, residual blocks of two fast Fourier convolutions each (L. Chi, B. Jiang, Y. Mu, "Fast Fourier
Convolution", NeurIPS 2020), and a rise back to the image's size. big-lama has 64 channels after the first convolution
and 18 blocks, which see a quarter of their channels locally. All this can be told from the shapes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cleanplate.engines.weights import require_tensors
from cleanplate.engines.weights_parts.stored_tensor import StoredTensor
from cleanplate.errors import WeightsError

HALVINGS: Final = 3
INPUTS: Final = 4
"""Red, green, blue and the mask."""

OUTPUTS: Final = 3

FIRST: Final = 1
"""The place of the first convolution: the generator's parts are numbered, its paddings count."""

FIRST_BLOCK: Final = FIRST + 1 + HALVINGS

_ANCHOR: Final = f"{FIRST}.ffc.convl2l.weight"
_COUNTER: Final = ".num_batches_tracked"
_BATCH_NORM: Final = ("weight", "bias", "running_mean", "running_var")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The sizes of a generator.

    Attributes:
        width: channels after the first convolution; each halving doubles them.
        blocks: how many residual blocks there are.
        local: channels of a block that are convolved locally; the others are, by way of their spectrum, globally.
    """

    width: int
    blocks: int
    local: int

    @property
    def channels(self) -> int:
        """How many a block has."""
        return self.width << HALVINGS

    @property
    def first_rise(self) -> int:
        """The place of the first convolution upwards: after the blocks, and what joins their two parts."""
        return FIRST_BLOCK + self.blocks + 1

    @property
    def last(self) -> int:
        """The place of the last convolution: after the rises, of three parts each, and a padding."""
        return self.first_rise + 3 * HALVINGS + 1

    def shapes(self) -> dict[str, Shape]:
        """The shape of every tensor that is needed, by its name in the generator."""
        return dict(self._shapes())

    def _shapes(self) -> Iterator[tuple[str, Shape]]:
        wide, spread = self.channels, self.channels - self.local
        yield f"{FIRST}.ffc.convl2l.weight", (self.width, INPUTS, 7, 7)
        yield from _batch_norm(f"{FIRST}.bn_l", self.width)
        for halving in range(HALVINGS - 1):
            narrow = self.width << halving
            yield f"{FIRST + 1 + halving}.ffc.convl2l.weight", (2 * narrow, narrow, 3, 3)
            yield from _batch_norm(f"{FIRST + 1 + halving}.bn_l", 2 * narrow)
        splitting = f"{FIRST_BLOCK - 1}"
        yield f"{splitting}.ffc.convl2l.weight", (self.local, wide // 2, 3, 3)
        yield f"{splitting}.ffc.convl2g.weight", (spread, wide // 2, 3, 3)
        yield from _batch_norm(f"{splitting}.bn_l", self.local)
        yield from _batch_norm(f"{splitting}.bn_g", spread)
        for block in range(FIRST_BLOCK, FIRST_BLOCK + self.blocks):
            for part in ("conv1", "conv2"):
                yield from self._fourier_convolution(f"{block}.{part}")
        for rise in range(HALVINGS):
            place, deep = self.first_rise + 3 * rise, wide >> rise
            yield f"{place}.weight", (deep, deep // 2, 3, 3)
            yield f"{place}.bias", (deep // 2,)
            yield from _batch_norm(f"{place + 1}", deep // 2)
        yield f"{self.last}.weight", (OUTPUTS, self.width, 7, 7)
        yield f"{self.last}.bias", (OUTPUTS,)

    def _fourier_convolution(self, place: str) -> Iterator[tuple[str, Shape]]:
        local, spread = self.local, self.channels - self.local
        yield f"{place}.ffc.convl2l.weight", (local, local, 3, 3)
        yield f"{place}.ffc.convl2g.weight", (spread, local, 3, 3)
        yield f"{place}.ffc.convg2l.weight", (local, spread, 3, 3)
        spectral = f"{place}.ffc.convg2g"
        yield f"{spectral}.conv1.0.weight", (spread // 2, spread, 1, 1)
        yield from _batch_norm(f"{spectral}.conv1.1", spread // 2)
        yield f"{spectral}.fu.conv_layer.weight", (spread, spread, 1, 1)
        yield from _batch_norm(f"{spectral}.fu.bn", spread)
        yield f"{spectral}.conv2.weight", (spread, spread // 2, 1, 1)
        yield from _batch_norm(f"{place}.bn_l", local)
        yield from _batch_norm(f"{place}.bn_g", spread)


def generator_of(tensors: Mapping[str, StoredTensor]) -> tuple[Layout, dict[str, StoredTensor]]:
    """Find the generator among the tensors of a file, where it may have company and any prefix to its names.

    Returns:
        Its sizes, and the tensors it needs by their names in the generator.

    Raises:
        WeightsError: There is none, or it is built otherwise than LaMa's published generators are.
    """
    prefixes = [name.removesuffix(_ANCHOR) for name in tensors if name == _ANCHOR or name.endswith(f".{_ANCHOR}")]
    if len(prefixes) != 1:
        raise WeightsError(f"{len(prefixes) or 'no'} generators of LaMa in it" if prefixes else "no LaMa in it")
    prefix = prefixes[0]
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    own = {name: tensor for name, tensor in own.items() if not name.endswith(_COUNTER)}
    layout = _layout_of(own)
    require_tensors(own, layout.shapes(), of="LaMa", prefix=prefix)
    return layout, own


def _layout_of(own: Mapping[str, StoredTensor]) -> Layout:
    blocks = 0
    while f"{FIRST_BLOCK + blocks}.conv1.ffc.convl2l.weight" in own:
        blocks += 1
    splitting = own.get(f"{FIRST_BLOCK - 1}.ffc.convl2l.weight")
    width, local = own[_ANCHOR].shape[:1], splitting.shape[:1] if splitting else ()
    if not width or not local or blocks == 0:
        raise WeightsError("it is no LaMa with Fourier convolutions")
    layout = Layout(width[0], blocks, local[0])
    if not (0 < layout.local < layout.channels and (layout.channels - layout.local) % 2 == 0):
        raise WeightsError(f"LaMa cannot have {layout.local} of {layout.channels} channels local")
    return layout


def _batch_norm(place: str, channels: int) -> Iterator[tuple[str, Shape]]:
    for name in _BATCH_NORM:
        yield f"{place}.{name}", (channels,)
