"""Nodes of OpenVINO's graphs, from the layers of our own network and the memory of their numbers."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from openvino import Node, Output
from openvino import opset13 as ops
from torch import Tensor

from cleanplate.engines.segmenters.sam_parts.layers import Linear, Norm, Perceptron

Value: TypeAlias = Node | Output
"""What a node gives."""


def constant(tensor: Tensor) -> Node:
    """Numbers that are fixed. Contiguous ones stay where they are, and are kept alive by the graph."""
    return ops.constant(tensor.contiguous().numpy(), shared_memory=True)


def numbers(*values: int) -> Node:
    """Axes, lengths and places."""
    return ops.constant(np.array(values, dtype=np.int64))


def reshaped(value: Value, *shape: int) -> Node:
    """The same numbers in another shape; one length may be −1."""
    return ops.reshape(value, numbers(*shape), special_zero=False)


def permuted(value: Value, *order: int) -> Node:
    """The same with its axes in another order."""
    return ops.transpose(value, numbers(*order))


def part(value: Value, axis: int, start: int, end: int) -> Node:
    """What lies between two places along an axis."""
    return ops.slice(value, numbers(start), numbers(end), numbers(1), numbers(axis))


def split(value: Value, axis: int, count: int) -> Sequence[Value]:
    """Equal parts along an axis, which stays, with a length that is so much smaller."""
    return tuple(ops.split(value, ops.constant(np.int64(axis)), count).outputs())


def product(first: Value, second: Value, *, turned: bool = False) -> Node:
    """Of matrices; the second one may be *turned*."""
    return ops.matmul(first, second, transpose_a=False, transpose_b=turned)


def linear(layer: Linear, tokens: Value) -> Node:
    """(tokens, outputs) of (tokens, inputs)."""
    values = product(tokens, constant(layer.weight), turned=True)
    return values if layer.bias is None else ops.add(values, constant(layer.bias[None]))


def normed(norm: Norm, tokens: Value) -> Node:
    """The same shape."""
    even = ops.mvn(tokens, numbers(-1), normalize_variance=True, eps=norm.epsilon, eps_mode="inside_sqrt")
    return ops.add(ops.multiply(even, constant(norm.weight[None])), constant(norm.bias[None]))


def perceived(perceptron: Perceptron, tokens: Value) -> Node:
    """(tokens, outputs) of (tokens, inputs)."""
    activation = _ACTIVATIONS[perceptron.activation]
    first, *others = perceptron.layers
    values = linear(first, tokens)
    for layer in others:
        values = linear(layer, activation(values))
    return values


def parameter(name: str, shape: Sequence[int]) -> Node:
    """What a graph is given, in fp32; −1 is any length."""
    given = ops.parameter(list(shape), np.float32, name=name)
    given.output(0).set_names({name})
    return given


def gelu(value: Value) -> Node:
    """As torch computes it."""
    return ops.gelu(value, "erf")


_ACTIVATIONS: Final = {F.gelu: gelu, F.relu: ops.relu}
