"""What both parts of SAM are made of."""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from torch import Tensor


class Linear(NamedTuple):
    """(outputs, inputs); and (outputs,), None: nothing is added."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, values: Tensor) -> Tensor:
        return F.linear(values, self.weight, self.bias)


class Norm(NamedTuple):
    """Of each token's channels: brings them to a mean of 0 and a variance of 1, then scales and shifts them."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, values: Tensor) -> Tensor:
        return F.layer_norm(values, self.weight.shape, self.weight, self.bias, self.epsilon)


class Perceptron(NamedTuple):
    """Linear layers with an activation between one and the next."""

    layers: tuple[Linear, ...]
    activation: Callable[[Tensor], Tensor]

    def __call__(self, values: Tensor) -> Tensor:
        first, *others = self.layers
        values = first(values)
        for layer in others:
            values = layer(self.activation(values))
        return values
