"""From the tensors of a file to SAM's two parts."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from torch import Tensor

from cleanplate.engines.segmenters.sam_parts import decoder, encoder
from cleanplate.engines.segmenters.sam_parts.decoder import Decoder, Layer, PromptEncoder
from cleanplate.engines.segmenters.sam_parts.encoder import Block, Encoder
from cleanplate.engines.segmenters.sam_parts.layers import Linear, Norm, Perceptron
from cleanplate.engines.segmenters.sam_parts.layout import DECODER_LAYERS, GRID, MASKS, Layout
from cleanplate.engines.weights_parts.stored_tensor import StoredTensor
from cleanplate.errors import WeightsError

_FINE = 1e-6
"""What is added to a variance in the image's part and beside convolutions."""

_COARSE = 1e-5
"""In the decoder's transformer."""


def encoder_of(
    tensors: Mapping[str, StoredTensor], layout: Layout, *, device: torch.device, dtype: torch.dtype
) -> Encoder:
    """Make the part that prepares images.

    Raises:
        WeightsError: The tensors cannot be read, or hold numbers no training ends with.
    """
    file = _File(tensors, device, dtype)
    place = "image_encoder"
    patches = file.linear(f"{place}.patch_embed.proj")
    return Encoder(
        patches=Linear(patches.weight.flatten(1), patches.bias),
        places=file.exact(f"{place}.pos_embed").view(GRID * GRID, -1),
        blocks=tuple(
            _block(file, f"{place}.blocks.{number}", heads=layout.heads, side=side)
            for number, side in enumerate(layout.windows)
        ),
        narrowing=Linear(file.tensor(f"{place}.neck.0.weight").flatten(1)),
        after_narrowing=file.norm(f"{place}.neck.1", _FINE),
        smoothing=file.tensor(f"{place}.neck.2.weight").contiguous(memory_format=torch.channels_last),
        after_smoothing=file.norm(f"{place}.neck.3", _FINE),
    )


def decoder_of(tensors: Mapping[str, StoredTensor], *, device: torch.device) -> Decoder:
    """Make the part that answers prompts.

    Raises:
        WeightsError: The tensors cannot be read, or hold numbers no training ends with.
    """
    file = _File(tensors, device, torch.float32)
    place = "mask_decoder"
    prompts = _prompt_encoder(file)
    return Decoder(
        prompts=prompts,
        places=prompts.places(),
        asking=torch.cat([file.exact(f"{place}.{name}.weight") for name in ("iou_token", "mask_tokens")]),
        layers=tuple(_layer(file, f"{place}.transformer.layers.{number}") for number in range(DECODER_LAYERS)),
        final=_attention(file, f"{place}.transformer.final_attn_token_to_image"),
        after_final=file.norm(f"{place}.transformer.norm_final_attn", _COARSE),
        rise=(_rising(file, f"{place}.output_upscaling.0"), _rising(file, f"{place}.output_upscaling.3")),
        after_rise=file.norm(f"{place}.output_upscaling.1", _FINE),
        masks=tuple(_head(file, f"{place}.output_hypernetworks_mlps.{number}") for number in range(MASKS)),
        scores=_head(file, f"{place}.iou_prediction_head"),
    )


class _File:
    """Reads tensors onto a device."""

    def __init__(self, tensors: Mapping[str, StoredTensor], device: torch.device, dtype: torch.dtype) -> None:
        self._tensors = tensors
        self._device = device
        self._dtype = dtype

    def exact(self, name: str) -> Tensor:
        """In fp32, whatever the rest is."""
        numbers = self._tensors[name].read()
        if not np.isfinite(numbers).all():
            raise WeightsError(f"{name} has numbers that are not finite")
        return torch.from_numpy(numbers).to(self._device)

    def tensor(self, name: str) -> Tensor:
        return self.exact(name).to(self._dtype)

    def linear(self, place: str) -> Linear:
        return Linear(self.tensor(f"{place}.weight"), self.tensor(f"{place}.bias"))

    def norm(self, place: str, epsilon: float) -> Norm:
        return Norm(self.exact(f"{place}.weight"), self.exact(f"{place}.bias"), epsilon)


def _block(file: _File, place: str, *, heads: int, side: int) -> Block:
    attention = encoder.Attention(
        joint=file.linear(f"{place}.attn.qkv"),
        rows=_by_place(file.tensor(f"{place}.attn.rel_pos_h"), side),
        columns=_by_place(file.tensor(f"{place}.attn.rel_pos_w"), side),
        last=file.linear(f"{place}.attn.proj"),
        heads=heads,
        side=side,
    )
    widths = file.linear(f"{place}.mlp.lin1"), file.linear(f"{place}.mlp.lin2")
    return Block(
        before_attention=file.norm(f"{place}.norm1", _FINE),
        attention=attention,
        before_perceptron=file.norm(f"{place}.norm2", _FINE),
        perceptron=Perceptron(widths, F.gelu),
    )


def _by_place(distances: Tensor, side: int) -> Tensor:
    """(side, side, channels), by the places of query and key, of what is stored by the distance between them."""
    places = torch.arange(side, device=distances.device)
    return distances[places[:, None] - places[None, :] + side - 1]


def _prompt_encoder(file: _File) -> PromptEncoder:
    place = "prompt_encoder"
    negative, positive, upper_left, lower_right = (
        file.exact(f"{place}.point_embeddings.{number}.weight") for number in range(4)
    )
    convolutions = [file.linear(f"{place}.mask_downscaling.{number}") for number in (0, 3, 6)]
    first, second, last = (Linear(weight.flatten(1), bias) for weight, bias in convolutions)
    no_point = file.exact(f"{place}.not_a_point_embed.weight")
    return PromptEncoder(
        waves=file.exact(f"{place}.pe_layer.positional_encoding_gaussian_matrix"),
        click_kinds=torch.cat((negative, positive)),
        corner_kinds=torch.cat((upper_left, lower_right)),
        no_box=no_point,
        no_mask=file.exact(f"{place}.no_mask_embed.weight"),
        mask=(first, second, last),
        mask_norms=(file.norm(f"{place}.mask_downscaling.1", _FINE), file.norm(f"{place}.mask_downscaling.4", _FINE)),
    )


def _layer(file: _File, place: str) -> Layer:
    return Layer(
        among=_attention(file, f"{place}.self_attn"),
        after_among=file.norm(f"{place}.norm1", _COARSE),
        at_image=_attention(file, f"{place}.cross_attn_token_to_image"),
        after_image=file.norm(f"{place}.norm2", _COARSE),
        perceptron=Perceptron((file.linear(f"{place}.mlp.lin1"), file.linear(f"{place}.mlp.lin2")), F.relu),
        after_perceptron=file.norm(f"{place}.norm3", _COARSE),
        at_prompt=_attention(file, f"{place}.cross_attn_image_to_token"),
        after_prompt=file.norm(f"{place}.norm4", _COARSE),
    )


def _attention(file: _File, place: str) -> decoder.Attention:
    query, key, value, last = (file.linear(f"{place}.{name}_proj") for name in ("q", "k", "v", "out"))
    return decoder.Attention(query, key, value, last)


def _rising(file: _File, place: str) -> Linear:
    """A transposed convolution of 2×2 pixels with a stride of 2: each pixel becomes four."""
    weight = file.tensor(f"{place}.weight")
    return Linear(
        weight.permute(2, 3, 1, 0).reshape(-1, len(weight)).contiguous(), file.tensor(f"{place}.bias").repeat(4)
    )


def _head(file: _File, place: str) -> Perceptron:
    return Perceptron(tuple(file.linear(f"{place}.layers.{number}") for number in range(3)), F.relu)
