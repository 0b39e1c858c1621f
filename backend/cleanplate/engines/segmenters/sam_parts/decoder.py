"""SAM's prompt encoder and mask decoder, for one prompt.

All of it works on tokens: a convolution of 2×2 pixels that do not overlap is a linear layer, upwards as well as
downwards.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from torch import Tensor

from cleanplate.engines.devices import exactly
from cleanplate.engines.segmenters.sam_parts.layers import Linear, Norm, Perceptron
from cleanplate.engines.segmenters.sam_parts.layout import GRID, MASK_SIDE, MASKS, SIDE_PX

HEADS: Final = 8


class Answer(NamedTuple):
    """What the decoder makes of a prompt.

    Attributes:
        logits: (MASKS, MASK_SIDE, MASK_SIDE); the first is for clear prompts, the others are for unclear ones.
        scores: (MASKS,), the overlap with the object that it expects of each.
    """

    logits: Tensor
    scores: Tensor


@dataclass(frozen=True, eq=False)
class Attention:
    """From some tokens to others."""

    query: Linear
    key: Linear
    value: Linear
    last: Linear

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads = (_split(self.query(query)), _split(self.key(key)), _split(self.value(value)))
        return self.last(F.scaled_dot_product_attention(*heads)[0].transpose(0, 1).flatten(1))


@dataclass(frozen=True, eq=False)
class Layer:
    """The prompt's tokens look at each other and at the image, and the image looks at them."""

    among: Attention
    after_among: Norm
    at_image: Attention
    after_image: Norm
    perceptron: Perceptron
    after_perceptron: Norm
    at_prompt: Attention
    after_prompt: Norm


@dataclass(frozen=True, eq=False)
class PromptEncoder:
    """What makes tokens of a prompt.

    Attributes:
        waves: (2, channels / 2): a place becomes the sines and cosines of these.
        click_kinds: (2, channels), added to a negative and to a positive click.
        corner_kinds: (2, channels), added to the upper left and the lower right corner of a box.
        no_box: (1, channels), beside clicks without a box.
        no_mask: (1, channels), in each place of the image if there is no earlier mask.
        mask: what becomes of an earlier mask, of 2×2 pixels each, twice.
        mask_norms: after the first two of them.
    """

    waves: Tensor
    click_kinds: Tensor
    corner_kinds: Tensor
    no_box: Tensor
    no_mask: Tensor
    mask: tuple[Linear, Linear, Linear]
    mask_norms: tuple[Norm, Norm]

    def tokens(self, clicks: Tensor, labels: Tensor, box: Tensor | None) -> Tensor:
        """(count, channels).

        Args:
            clicks: (n, 2), x and y in pixels of the square.
            labels: (n,), 0 or 1 (positive).
            box: (2, 2), its two corners, if there is one.
        """
        parts = []
        if len(clicks):
            parts.append(self._placed(clicks) + self.click_kinds[labels])
            if box is None:
                parts.append(self.no_box)
        if box is not None:
            parts.append(self._placed(box) + self.corner_kinds)
        return torch.cat(parts)

    def dense(self, previous: Tensor | None) -> Tensor:
        """(GRID · GRID or 1, channels): what is added to the image, of logits of MASK_SIDE × MASK_SIDE."""
        if previous is None:
            return self.no_mask
        first, second, last = self.mask
        half = MASK_SIDE // 2
        pixels = first(previous.view(half, 2, half, 2).transpose(1, 2).reshape(half, half, 4))
        pixels = F.gelu(self.mask_norms[0](pixels))
        pixels = pixels.view(GRID, 2, GRID, 2, -1).permute(0, 2, 4, 1, 3).reshape(GRID * GRID, -1)
        return last(F.gelu(self.mask_norms[1](second(pixels))))

    def places(self) -> Tensor:
        """(GRID · GRID, channels): where each token of the image is."""
        centres = (torch.arange(GRID, device=self.waves.device, dtype=torch.float32) + 0.5) / GRID
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        return self._waved(torch.stack((columns.flatten(), rows.flatten()), dim=1))

    def _placed(self, places: Tensor) -> Tensor:
        return self._waved((places + 0.5) / SIDE_PX)

    def _waved(self, places: Tensor) -> Tensor:
        """Of places between 0 and 1."""
        angles = 2 * math.pi * ((2 * places - 1) @ self.waves)
        return torch.cat((angles.sin(), angles.cos()), dim=1)


@dataclass(frozen=True, eq=False)
class Decoder:
    """What answers prompts, always in fp32. Immutable, so any number of threads may use it.

    Attributes:
        places: (GRID · GRID, channels): where each token of the image is.
        asking: (1 + MASKS, channels): the tokens that become scores and masks.
        rise: each makes 2×2 pixels of one, channels of the same pixel beside each other.
        after_rise: after the first of them.
        masks: one for each mask: what its token makes of the channels of a pixel.
    """

    prompts: PromptEncoder
    places: Tensor
    asking: Tensor
    layers: tuple[Layer, ...]
    final: Attention
    after_final: Norm
    rise: tuple[Linear, Linear]
    after_rise: Norm
    masks: tuple[Perceptron, ...]
    scores: Perceptron

    def decode(
        self, features: Tensor, *, clicks: Tensor, labels: Tensor, box: Tensor | None, previous: Tensor | None
    ) -> Answer:
        """Answer one prompt.

        Args:
            features: (channels, GRID, GRID) float32, of the image.
            clicks: (n, 2), x and y in pixels of the square; there is one, or a box.
            labels: (n,), 0 or 1 (positive).
            box: (2, 2), its two corners.
            previous: (MASK_SIDE, MASK_SIDE) float32, the logits of an earlier answer.
        """
        device = self.places.device
        with torch.inference_mode(), exactly(device):
            tokens, image = self.seen(features, clicks=clicks, labels=labels, box=box, previous=previous)
            asked, image = self._through_layers(tokens, image)
            masks = torch.stack([mask(token) for mask, token in zip(self.masks, asked[1:], strict=False)])
            return Answer(self._drawn(image, masks).cpu(), self.scores(asked[0]).cpu())

    def seen(
        self, features: Tensor, *, clicks: Tensor, labels: Tensor, box: Tensor | None, previous: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(count, channels) and (GRID · GRID, channels): what is asked, and what the image looks like to who asks."""
        device = self.places.device
        box = None if box is None else box.to(device)
        sparse = self.prompts.tokens(clicks.to(device), labels.to(device), box)
        dense = self.prompts.dense(None if previous is None else previous.to(device))
        return torch.cat((self.asking, sparse)), features.to(device).flatten(1).t() + dense

    def _through_layers(self, tokens: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        asked = tokens
        for number, layer in enumerate(self.layers):
            if number == 0:
                asked = layer.after_among(layer.among(asked, asked, asked))
            else:
                placed = asked + tokens
                asked = layer.after_among(asked + layer.among(placed, placed, asked))
            asked = layer.after_image(asked + layer.at_image(asked + tokens, image + self.places, image))
            asked = layer.after_perceptron(asked + layer.perceptron(asked))
            image = layer.after_prompt(image + layer.at_prompt(image + self.places, asked + tokens, asked))
        asked = self.after_final(asked + self.final(asked + tokens, image + self.places, image))
        return asked, image

    def _drawn(self, image: Tensor, masks: Tensor) -> Tensor:
        """(MASKS, MASK_SIDE, MASK_SIDE): how much each pixel's channels agree with those of a mask."""
        first, second = self.rise
        pixels = F.gelu(self.after_rise(first(image).view(GRID * GRID * 4, -1)))
        pixels = F.gelu(second(pixels)).view(GRID * GRID * 16, -1)
        drawn = (masks @ pixels.t()).view(MASKS, GRID, GRID, 2, 2, 2, 2)
        return drawn.permute(0, 1, 3, 5, 2, 4, 6).reshape(MASKS, MASK_SIDE, MASK_SIDE)


def _split(tokens: Tensor) -> Tensor:
    """(1, HEADS, tokens, channels of a head)."""
    return tokens.view(1, len(tokens), HEADS, -1).transpose(1, 2)
