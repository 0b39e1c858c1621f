"""SAM's vision transformer, its arithmetic rearranged for speed.

Attention goes through torch's fused kernel, which never holds all the scores; the bias for relative positions, that of
rows plus that of columns, is laid out for some rows of the image at a time. Where windows reach beyond the image, what
a linear layer makes of the nothing there is its bias, so that it is not computed.
"""

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from torch import Tensor

from cleanplate.engines.devices import exactly
from cleanplate.engines.segmenters.sam_parts.layers import Linear, Norm, Perceptron
from cleanplate.engines.segmenters.sam_parts.layout import GRID, PATCH_PX

_BIAS_BYTES: Final = 1 << 24
"""Memory for the bias of as many rows as are attended from at once; on a GPU, where there is more, ten times that."""

_GPU_FACTOR: Final = 10


@dataclass(frozen=True, eq=False)
class Attention:
    """Between the tokens of the image, or of each window.

    Attributes:
        joint: gives queries, keys and values.
        rows, columns: (side, side, channels of a head): by the places of the query and of the key along the side.
        last: of all heads together.
        heads: how many.
        side: of a window; GRID if there are none.
    """

    joint: Linear
    rows: Tensor
    columns: Tensor
    last: Linear
    heads: int
    side: int

    def __call__(self, tokens: Tensor) -> Tensor:
        """(GRID · GRID, channels) of the same."""
        joint = self.joint(tokens)
        mixed = self._whole(joint) if self.side == GRID else self._in_windows(joint)
        return self.last(mixed)

    def _whole(self, joint: Tensor) -> Tensor:
        query, key, value = joint.view(GRID * GRID, 3, self.heads, -1).permute(1, 2, 0, 3).contiguous()
        by_row, by_column = self._biases(query)
        mixed = torch.empty_like(query)
        step = self._rows_at_once(query)
        for start in range(0, GRID, step):
            band = slice(start * GRID, (start + step) * GRID)
            bias = by_row[:, band, :, None] + by_column[:, band, None, :]
            mixed[:, band] = F.scaled_dot_product_attention(
                query[None, :, band], key[None], value[None], attn_mask=bias.flatten(2)[None]
            )[0]
        return mixed.transpose(0, 1).reshape(GRID * GRID, -1)

    def _in_windows(self, joint: Tensor) -> Tensor:
        side, count = self.side, -(-GRID // self.side)
        padded = joint.new_empty(count * side, count * side, joint.shape[1])
        padded[:GRID, :GRID] = joint.view(GRID, GRID, -1)
        if self.joint.bias is not None:
            padded[GRID:] = self.joint.bias
            padded[:GRID, GRID:] = self.joint.bias
        split = padded.view(count, side, count, side, 3, self.heads, -1).permute(4, 0, 2, 5, 1, 3, 6)
        query, key, value = split.reshape(3, count * count, self.heads, side * side, -1)
        by_row, by_column = self._biases(query)
        bias = (by_row[..., :, None] + by_column[..., None, :]).flatten(-2)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        mixed = mixed.view(count, count, self.heads, side, side, -1).permute(0, 3, 1, 4, 2, 5)
        return mixed.reshape(count * side, count * side, -1)[:GRID, :GRID].reshape(GRID * GRID, -1)

    def _biases(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """(…, tokens, side) each: what is added to a token's scores for each row, and for each column, of keys."""
        placed = query.view(*query.shape[:-2], self.side, self.side, -1)
        by_row = placed @ self.rows.transpose(1, 2)
        by_column = (placed.transpose(-3, -2) @ self.columns.transpose(1, 2)).transpose(-3, -2)
        return by_row.flatten(-3, -2), by_column.flatten(-3, -2)

    def _rows_at_once(self, query: Tensor) -> int:
        room = _BIAS_BYTES * (1 if query.device.type == "cpu" else _GPU_FACTOR)
        row_bytes = self.heads * GRID**3 * query.element_size()
        step = GRID
        while step > 1 and step * row_bytes > room:
            step //= 2
        return step


@dataclass(frozen=True, eq=False)
class Block:
    """Attention and a perceptron, each added to what it is given."""

    before_attention: Norm
    attention: Attention
    before_perceptron: Norm
    perceptron: Perceptron


@dataclass(frozen=True, eq=False)
class Encoder:
    """What prepares an image. Immutable, so any number of threads may use it.

    Tokens and norms are fp32 whatever the rest is computed with: a sum of many small changes would lose most to bf16.

    Attributes:
        patches: makes a token of the colours of a patch.
        places: (GRID · GRID, channels), added to the tokens.
        narrowing, smoothing: (outputs, inputs); and (outputs, inputs, 3, 3), with their norms.
    """

    patches: Linear
    places: Tensor
    blocks: tuple[Block, ...]
    narrowing: Linear
    after_narrowing: Norm
    smoothing: Tensor
    after_smoothing: Norm

    def encode(self, picture: Tensor) -> Tensor:
        """(CHANNELS, GRID, GRID) float32.

        Args:
            picture: (3, SIDE_PX, SIDE_PX) float32, normalised; 0 beyond the image.
        """
        weight = self.patches.weight
        with torch.inference_mode(), exactly(weight.device):
            patches = picture.to(weight.device).view(-1, GRID, PATCH_PX, GRID, PATCH_PX).permute(1, 3, 0, 2, 4)
            tokens = self.patches(patches.reshape(GRID * GRID, -1).to(weight.dtype)) + self.places
            for block in self.blocks:
                tokens += block.attention(block.before_attention(tokens).to(weight.dtype))
                tokens += block.perceptron(block.before_perceptron(tokens).to(weight.dtype))
            narrow = self.after_narrowing(self.narrowing(tokens.to(weight.dtype)).float())
            grid = narrow.to(weight.dtype).t().view(1, -1, GRID, GRID)
            smooth = F.conv2d(grid, self.smoothing, padding=1)[0].permute(1, 2, 0)
            return self.after_smoothing(smooth.float()).permute(2, 0, 1).contiguous()
