"""What the tensors of SAM are called, and their shapes.

A. Kirillov et al., "Segment Anything", ICCV 2023: a vision transformer for the image (Y. Li et al., "Exploring Plain
Vision Transformer Backbones for Object Detection", ECCV 2022), most of whose blocks attend within windows; encoders for
points, boxes and masks; and a small transformer that gives four masks. The published sizes differ in the image's part
alone, and all of it can be told from the shapes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cleanplate.engines.weights import require_tensors
from cleanplate.engines.weights_parts.stored_tensor import StoredTensor
from cleanplate.errors import WeightsError

SIDE_PX: Final = 1024
"""Of the square that the network looks at."""

PATCH_PX: Final = 16
GRID: Final = SIDE_PX // PATCH_PX
"""Tokens along a side of the square."""

CHANNELS: Final = 256
"""Of what is kept of an image, and of all that has to do with prompts."""

MASK_SIDE: Final = 4 * GRID
"""Of the logits that the network gives and takes."""

MASKS: Final = 4
"""The answer to a clear prompt, and three to an unclear one."""

DECODER_LAYERS: Final = 2

_COLOURS: Final = 3
_NARROWED: Final = CHANNELS // 2
_DECODER_HIDDEN: Final = 2048
_MASK_CHANNELS: Final = 16
_HEAD_LAYERS: Final = 3
_CORNERS_AND_CLICKS: Final = 4

_ENCODER: Final = "image_encoder"
_ANCHOR: Final = f"{_ENCODER}.patch_embed.proj.weight"
_NAMES: Final[Mapping[tuple[int, int], str]] = MappingProxyType(
    {(768, 12): "vit_b", (1024, 24): "vit_l", (1280, 32): "vit_h"}
)

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The sizes of the image's part.

    Attributes:
        width: channels of a token.
        hidden: channels between the two linear layers of a block.
        heads: of each block's attention.
        windows: of each block: the side of the windows it attends within, or GRID if it looks at the whole image.
    """

    width: int
    hidden: int
    heads: int
    windows: tuple[int, ...]

    @property
    def name(self) -> str:
        """What the authors call it."""
        depth = len(self.windows)
        return _NAMES.get((self.width, depth), f"vit_{self.width}x{depth}")

    def shapes(self) -> dict[str, Shape]:
        """The name of each tensor of SAM, and its shape."""
        return dict([*self._encoder(), *_prompt_encoder(), *_decoder()])

    def _encoder(self) -> Iterator[tuple[str, Shape]]:
        yield f"{_ENCODER}.pos_embed", (1, GRID, GRID, self.width)
        yield _ANCHOR, (self.width, _COLOURS, PATCH_PX, PATCH_PX)
        yield f"{_ENCODER}.patch_embed.proj.bias", (self.width,)
        for number, window in enumerate(self.windows):
            yield from self._block(f"{_ENCODER}.blocks.{number}", window)
        yield f"{_ENCODER}.neck.0.weight", (CHANNELS, self.width, 1, 1)
        yield from _norm(f"{_ENCODER}.neck.1", CHANNELS)
        yield f"{_ENCODER}.neck.2.weight", (CHANNELS, CHANNELS, 3, 3)
        yield from _norm(f"{_ENCODER}.neck.3", CHANNELS)

    def _block(self, place: str, window: int) -> Iterator[tuple[str, Shape]]:
        yield from _norm(f"{place}.norm1", self.width)
        for axis in "hw":
            yield f"{place}.attn.rel_pos_{axis}", (2 * window - 1, self.width // self.heads)
        yield from _linear(f"{place}.attn.qkv", self.width, 3 * self.width)
        yield from _linear(f"{place}.attn.proj", self.width, self.width)
        yield from _norm(f"{place}.norm2", self.width)
        yield from _linear(f"{place}.mlp.lin1", self.width, self.hidden)
        yield from _linear(f"{place}.mlp.lin2", self.hidden, self.width)


def layout_of(tensors: Mapping[str, StoredTensor]) -> Layout:
    """Tell which SAM the tensors of a file make.

    Raises:
        WeightsError: None, or it is built otherwise than those that were published.
    """
    layout = _guess(tensors)
    require_tensors(tensors, layout.shapes(), of="SAM")
    return layout


def _guess(tensors: Mapping[str, StoredTensor]) -> Layout:
    """What the tensors look like by the shapes of a few."""
    anchor = tensors.get(_ANCHOR)
    if anchor is None or not anchor.shape:
        raise WeightsError("no SAM in it")
    width = anchor.shape[0]
    reaches: list[Shape] = []
    while (name := f"{_ENCODER}.blocks.{len(reaches)}.attn.rel_pos_h") in tensors:
        reaches.append(tensors[name].shape)
    hidden = tensors.get(f"{_ENCODER}.blocks.0.mlp.lin1.bias")
    if not reaches or hidden is None or not hidden.shape or any(len(reach) != 2 for reach in reaches):  # noqa: PLR2004
        raise WeightsError("it is no SAM with a vision transformer")
    windows = tuple((length + 1) // 2 for length, _ in reaches)
    head = reaches[0][1]
    if not (head and width % head == 0 and width > 0 and all(0 < window <= GRID for window in windows)):
        raise WeightsError(f"SAM cannot have {width} channels in heads of {head}, and windows of {max(windows)}")
    return Layout(width, hidden.shape[0], width // head, windows)


def _prompt_encoder() -> Iterator[tuple[str, Shape]]:
    place = "prompt_encoder"
    yield f"{place}.pe_layer.positional_encoding_gaussian_matrix", (2, CHANNELS // 2)
    for number in range(_CORNERS_AND_CLICKS):
        yield f"{place}.point_embeddings.{number}.weight", (1, CHANNELS)
    yield f"{place}.not_a_point_embed.weight", (1, CHANNELS)
    yield f"{place}.no_mask_embed.weight", (1, CHANNELS)
    quarter = _MASK_CHANNELS // 4
    shapes = ((quarter, 1, 2, 2), (_MASK_CHANNELS, quarter, 2, 2), (CHANNELS, _MASK_CHANNELS, 1, 1))
    for number, shape in zip((0, 3, 6), shapes, strict=True):
        yield f"{place}.mask_downscaling.{number}.weight", shape
        yield f"{place}.mask_downscaling.{number}.bias", shape[:1]
    yield from _norm(f"{place}.mask_downscaling.1", quarter)
    yield from _norm(f"{place}.mask_downscaling.4", _MASK_CHANNELS)


def _decoder() -> Iterator[tuple[str, Shape]]:
    place = "mask_decoder"
    transformer = f"{place}.transformer"
    for layer in (f"{transformer}.layers.{number}" for number in range(DECODER_LAYERS)):
        yield from _attention(f"{layer}.self_attn", CHANNELS)
        yield from _attention(f"{layer}.cross_attn_token_to_image", _NARROWED)
        yield from _attention(f"{layer}.cross_attn_image_to_token", _NARROWED)
        yield from _linear(f"{layer}.mlp.lin1", CHANNELS, _DECODER_HIDDEN)
        yield from _linear(f"{layer}.mlp.lin2", _DECODER_HIDDEN, CHANNELS)
        for number in range(1, 5):
            yield from _norm(f"{layer}.norm{number}", CHANNELS)
    yield from _attention(f"{transformer}.final_attn_token_to_image", _NARROWED)
    yield from _norm(f"{transformer}.norm_final_attn", CHANNELS)
    yield f"{place}.iou_token.weight", (1, CHANNELS)
    yield f"{place}.mask_tokens.weight", (MASKS, CHANNELS)
    quarter, eighth = CHANNELS // 4, CHANNELS // 8
    yield f"{place}.output_upscaling.0.weight", (CHANNELS, quarter, 2, 2)
    yield f"{place}.output_upscaling.0.bias", (quarter,)
    yield from _norm(f"{place}.output_upscaling.1", quarter)
    yield f"{place}.output_upscaling.3.weight", (quarter, eighth, 2, 2)
    yield f"{place}.output_upscaling.3.bias", (eighth,)
    for number in range(MASKS):
        yield from _head(f"{place}.output_hypernetworks_mlps.{number}", eighth)
    yield from _head(f"{place}.iou_prediction_head", MASKS)


def _head(place: str, outputs: int) -> Iterator[tuple[str, Shape]]:
    for number in range(_HEAD_LAYERS):
        last = number == _HEAD_LAYERS - 1
        yield from _linear(f"{place}.layers.{number}", CHANNELS, outputs if last else CHANNELS)


def _attention(place: str, inner: int) -> Iterator[tuple[str, Shape]]:
    for name in "qkv":
        yield from _linear(f"{place}.{name}_proj", CHANNELS, inner)
    yield from _linear(f"{place}.out_proj", inner, CHANNELS)


def _linear(place: str, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{place}.weight", (outputs, inputs)
    yield f"{place}.bias", (outputs,)


def _norm(place: str, channels: int) -> Iterator[tuple[str, Shape]]:
    yield f"{place}.weight", (channels,)
    yield f"{place}.bias", (channels,)
