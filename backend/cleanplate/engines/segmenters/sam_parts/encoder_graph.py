"""SAM's vision transformer as a graph of OpenVINO's.

The arithmetic is that of the encoder it is made from, in the order in which OpenVINO computes it fastest: the scores of
some rows of the image at a time, with the biases for relative positions added to them, row and column apart.
"""

from typing import Final

import numpy as np
import torch
from openvino import Model, Node
from openvino import opset13 as ops

from cleanplate.engines.segmenters.sam_parts.encoder import Attention, Encoder
from cleanplate.engines.segmenters.sam_parts.graph_nodes import (
    Value,
    constant,
    linear,
    normed,
    numbers,
    parameter,
    part,
    perceived,
    permuted,
    product,
    reshaped,
    split,
)
from cleanplate.engines.segmenters.sam_parts.layers import Linear
from cleanplate.engines.segmenters.sam_parts.layout import CHANNELS, GRID, PATCH_PX, SIDE_PX

_SCORES_BYTES: Final = 1 << 27
"""Memory for the scores of as many rows as are attended from at once."""


def encoder_graph(encoder: Encoder) -> Model:
    """From a picture, (3, SIDE_PX, SIDE_PX), to features, (CHANNELS, GRID, GRID)."""
    picture = parameter("picture", (3, SIDE_PX, SIDE_PX))
    patches = reshaped(picture, 3, GRID, PATCH_PX, GRID, PATCH_PX)
    patches = reshaped(permuted(patches, 1, 3, 0, 2, 4), GRID * GRID, 3 * PATCH_PX * PATCH_PX)
    tokens = ops.add(linear(encoder.patches, patches), constant(encoder.places))
    for block in encoder.blocks:
        tokens = ops.add(tokens, _attended(block.attention, normed(block.before_attention, tokens)))
        tokens = ops.add(tokens, perceived(block.perceptron, normed(block.before_perceptron, tokens)))
    narrow = normed(encoder.after_narrowing, linear(encoder.narrowing, tokens))
    grid = reshaped(permuted(narrow, 1, 0), 1, CHANNELS, GRID, GRID)
    smooth = ops.convolution(grid, constant(encoder.smoothing), [1, 1], [1, 1], [1, 1], [1, 1])
    features = normed(encoder.after_smoothing, permuted(reshaped(smooth, CHANNELS, GRID * GRID), 1, 0))
    return Model([reshaped(permuted(features, 1, 0), CHANNELS, GRID, GRID)], [picture], "sam encoder")


def _attended(attention: Attention, tokens: Value) -> Node:
    """(GRID · GRID, channels) of the same."""
    joint = linear(attention.joint, tokens)
    if attention.side == GRID:
        mixed = reshaped(_mixed(attention, joint, windows=1), GRID * GRID, -1)
    else:
        count = -(-GRID // attention.side)
        mixed = _mixed(attention, _windows(attention, joint, count), windows=count * count)
        mixed = permuted(reshaped(mixed, count, count, attention.side, attention.side, -1), 0, 2, 1, 3, 4)
        whole = reshaped(mixed, count * attention.side, count * attention.side, -1)
        mixed = reshaped(part(part(whole, 0, 0, GRID), 1, 0, GRID), GRID * GRID, -1)
    return linear(attention.last, mixed)


def _windows(attention: Attention, joint: Value, count: int) -> Node:
    """The same, window by window, with the bias of the linear layer where they reach beyond the image."""
    side, beyond = attention.side, count * attention.side - GRID
    grid = reshaped(joint, GRID, GRID, -1)
    if beyond:
        nothing = _nothing(attention.joint)
        grid = ops.concat([grid, ops.broadcast(nothing, numbers(GRID, beyond, nothing.shape[-1]))], 1)
        grid = ops.concat([grid, ops.broadcast(nothing, numbers(beyond, GRID + beyond, nothing.shape[-1]))], 0)
    return permuted(reshaped(grid, count, side, count, side, -1), 0, 2, 1, 3, 4)


def _nothing(layer: Linear) -> Node:
    """(1, 1, outputs): what a linear layer makes of a token of zeros."""
    bias = torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return constant(bias[None, None])


def _mixed(attention: Attention, joint: Value, *, windows: int) -> Node:
    """(windows, tokens of a window, heads, channels of a head)."""
    side, heads = attention.side, attention.heads
    count, many = side * side, windows * heads
    apart = permuted(reshaped(joint, windows, count, 3, heads, -1), 2, 0, 3, 1, 4)
    query, key, value = (reshaped(one, many, count, -1) for one in split(apart, 0, 3))
    placed = reshaped(query, many, side, side, -1)
    by_row = product(placed, constant(attention.rows[None]), turned=True)
    turned = product(permuted(placed, 0, 2, 1, 3), constant(attention.columns[None]), turned=True)
    by_column = permuted(turned, 0, 2, 1, 3)
    key = ops.multiply(key, ops.constant(np.float32(attention.rows.shape[-1] ** -0.5)))
    bands = []
    step = _rows_at_once(many, side)
    for start in range(0, side, step):
        end = min(start + step, side)
        band = (end - start) * side
        scores = product(part(query, 1, start * side, end * side), key, turned=True)
        scores = ops.add(
            reshaped(scores, many, band, side, side), reshaped(part(by_row, 1, start, end), many, band, side, 1)
        )
        scores = ops.add(scores, reshaped(part(by_column, 1, start, end), many, band, 1, side))
        bands.append(product(ops.softmax(reshaped(scores, many, band, count), -1), value))
    mixed = bands[0] if len(bands) == 1 else ops.concat(bands, 1)
    return permuted(reshaped(mixed, windows, heads, count, -1), 0, 2, 1, 3)


def _rows_at_once(many: int, side: int) -> int:
    row_bytes = many * side**3 * np.dtype(np.float32).itemsize
    return min(max(_SCORES_BYTES // row_bytes, 1), side)
