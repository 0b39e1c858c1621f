"""The networks of transformers that answer clicks, boxes and earlier answers, and how each of them is asked."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor

from cleanplate.engines.devices import exactly
from cleanplate.engines.segmenters.sam_parts.square import Square
from cleanplate.engines.weights import tensors_in
from cleanplate.engines.weights_parts.hub_folder import HubFolder
from cleanplate.errors import EngineMissingError, WeightsError

Numbers = tuple[float, ...]

_IMAGENET: Final[tuple[Numbers, Numbers]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALVES: Final[tuple[Numbers, Numbers]] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

_REPVIT: Final = re.compile(r"repvit_\w+(\.\w+)?")
_ARGUMENTS: Final = frozenset({"features_only", "in_chans", "out_indices"})

_BITS_8: Final = 255
_COLOURS: Final = 3

_PARTS: Final = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
"""What is believed of a config.json. The rest is about videos, training, or code to run."""

_TRACKER: Final = "tracker_config"
"""Where the whole of SAM 3 has them."""

_FOREIGN: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""What transformers raises over folders that are damaged, or hold something else."""


@dataclass(frozen=True)
class _Family:
    """Networks that are asked alike.

    Attributes:
        name: as transformers begins the names of its classes.
        inner: the model types that parts of its vision_config may have.
        colours: the mean and the spread of its training's images, if the folder does not say it, 0 … 1.
        stretched: whether an image fills the square, whatever its shape.
    """

    name: str
    inner: tuple[str, ...]
    colours: tuple[Numbers, Numbers] = _IMAGENET
    stretched: bool = True


_SAM: Final = _Family("Sam", ("sam_vision_model",), stretched=False)
_SAM_HQ: Final = _Family("SamHQ", ("sam_hq_vision_model",), stretched=False)
_SAM2: Final = _Family("Sam2", ("sam2_vision_model", "sam2_hiera_det_model"))
_EDGETAM: Final = _Family("EdgeTam", ("edgetam_vision_model", "timm_wrapper"))
_SAM3: Final = _Family("Sam3Tracker", ("sam3_vision_model", "sam3_vit_model"), colours=_HALVES)

FAMILIES: Final[Mapping[str, _Family]] = MappingProxyType(
    {
        "edgetam": _EDGETAM,
        "edgetam_video": _EDGETAM,
        "sam": _SAM,
        "sam2": _SAM2,
        "sam2_video": _SAM2,
        "sam3_tracker": _SAM3,
        "sam3_tracker_video": _SAM3,
        "sam3_video": _SAM3,
        "sam_hq": _SAM_HQ,
    }
)
"""By the model_type of config.json. Of those for videos, the part is read that answers for one image."""


class Answer(NamedTuple):
    """What the network makes of a prompt.

    Attributes:
        logits: (n, mask_side, mask_side), of one mask, or of several if the prompt was unclear.
        scores: (n,), the overlap with the object that it expects of each.
    """

    logits: Tensor
    scores: Tensor


@dataclass(frozen=True, eq=False)
class Network:
    """A network of transformers. It is never changed, so any number of threads may use it.

    Attributes:
        model: in fp32.
        shapes: of the levels of features that it keeps of an image.
        dtype: what images are prepared with.
    """

    model: Any
    shapes: tuple[tuple[int, ...], ...]
    device: torch.device
    dtype: torch.dtype

    @property
    def length(self) -> int:
        """How many numbers it keeps of an image."""
        return sum(map(prod, self.shapes))

    def encode(self, picture: Tensor) -> Tensor:
        """(length,) float32: all levels of an image's features, of the (3, side_px, side_px) that show it."""
        mixed = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.dtype == torch.bfloat16)
        with torch.inference_mode(), exactly(self.device), mixed:
            levels = _levels_of(self.model.get_image_embeddings(picture[None].to(self.device)))
            return torch.cat([level.float().flatten() for level in levels])

    def decode(
        self,
        features: Tensor,
        *,
        clicks: Tensor,
        labels: Tensor,
        box: Tensor | None,
        previous: Tensor | None,
        several: bool,
    ) -> Answer:
        """Answer one prompt.

        Args:
            features: as `encode` gave them.
            clicks: (n, 2), x and y in pixels of the square; there is one, or a box.
            labels: (n,), 0 or 1 (positive).
            box: (2, 2), its two corners.
            previous: (mask_side, mask_side) float32, the logits of an earlier answer.
            several: the prompt is unclear: give several masks.
        """
        device = self.device
        parts = torch.split(features.to(device), [prod(shape) for shape in self.shapes])
        levels = [part.view(1, *shape) for part, shape in zip(parts, self.shapes, strict=True)]
        with torch.inference_mode(), exactly(device):
            answer = self.model(
                **self._kept(levels),
                input_points=clicks[None, None].to(device) if len(clicks) else None,
                input_labels=labels[None, None].to(device) if len(clicks) else None,
                input_boxes=None if box is None else box.reshape(1, 1, 4).to(device),
                input_masks=None if previous is None else previous[None, None].to(device),
                multimask_output=several,
            )
            return Answer(answer.pred_masks[0, 0].cpu(), answer.iou_scores[0, 0].cpu())

    def _kept(self, levels: list[Tensor]) -> dict[str, Tensor | list[Tensor]]:
        """The names under which the network takes what it gave."""
        if isinstance(self.model, transformers.SamHQModel):
            return {"image_embeddings": levels[0], "intermediate_embeddings": levels[1:]}
        if isinstance(self.model, transformers.SamModel):
            return {"image_embeddings": levels[0]}
        return {"image_embeddings": levels}


def network_in(folder: HubFolder, *, device: torch.device, dtype: torch.dtype) -> tuple[Network, Square]:
    """Read the network of a folder, and the square that it looks at.

    Raises:
        EngineMissingError: It needs a library that is not installed.
        WeightsError: It is of another kind, damaged, or not complete.
    """
    kind = folder.config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise WeightsError(f"{folder.path} holds a model of type {kind!r}; read are {', '.join(sorted(FAMILIES))}")
    if family is _EDGETAM and find_spec("timm") is None:
        raise EngineMissingError("EdgeTAM needs timm: pip install 'cleanplate[edgetam]'")
    for path in folder.weights:
        with tensors_in(path):
            pass  # it is whole, and what its name says
    parts = _parts_of(folder, family)
    with _damage_as_weights_error(folder), _silence():
        config = getattr(transformers, f"{family.name}Config")(**parts)
        square = _square_of(config, family, folder.preparing)
        shapes = _shapes_of(family, config, square)
        model = _read(folder, family, config)
        return Network(model.to(device), shapes, device, dtype), square


def _read(folder: HubFolder, family: _Family, config: Any) -> Any:
    model, info = getattr(transformers, f"{family.name}Model").from_pretrained(
        folder.path,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    if missing := sorted(info["missing_keys"]):
        raise WeightsError(f"{folder.path}: {missing[0]} is missing")
    for name, found, needed in sorted(info["mismatched_keys"]):
        raise WeightsError(f"{folder.path}: {name} has the shape {tuple(found)} where {tuple(needed)} is needed")
    if surplus := sorted(info["unexpected_keys"]):
        raise WeightsError(f"{folder.path}: {surplus[0]} is no part of {family.name}Model")
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise WeightsError(f"{folder.path}: {name} holds numbers that are not finite")
    return model.eval()


def _parts_of(folder: HubFolder, family: _Family) -> dict[str, dict[str, Any]]:
    """The parts of a config.json that say how large the network is, if they lead nowhere else."""
    said = folder.config.get(_TRACKER, folder.config)
    parts = {name: said[name] for name in _PARTS if name in said} if isinstance(said, dict) else {}
    for name in _PARTS:
        if not isinstance(parts.get(name), dict):
            raise WeightsError(f"{folder.path}: its config.json says nothing of {name}")
    vision = parts["vision_config"]
    backbone = vision.get("backbone_config") or {}
    for part in (vision, backbone):
        kind = part.get("model_type") if isinstance(part, dict) else part
        if kind is not None and kind not in family.inner:
            raise WeightsError(f"{folder.path}: a part of type {kind!r} is no part of {family.name}Model")
    if family is _EDGETAM:
        _require_of_timm(folder, backbone)
    return parts


def _require_of_timm(folder: HubFolder, backbone: Mapping[str, Any]) -> None:
    """Raise WeightsError unless a part is EdgeTAM's eye: timm would fetch others, or read other files, if told so."""
    architecture, arguments = backbone.get("architecture"), backbone.get("model_args")
    if not isinstance(architecture, str) or not _REPVIT.fullmatch(architecture):
        raise WeightsError(f"{folder.path}: EdgeTAM looks with a RepViT of timm, not with {architecture!r}")
    if not isinstance(arguments, dict) or not arguments.keys() <= _ARGUMENTS:
        raise WeightsError(f"{folder.path}: of model_args, {', '.join(sorted(_ARGUMENTS))} are read, not {arguments!r}")


def _square_of(config: Any, family: _Family, preparing: Mapping[str, Any]) -> Square:
    prompts = config.prompt_encoder_config
    side_px, patch_px = _side_of(prompts.image_size), _side_of(prompts.patch_size)
    mean, spread = (
        tuple(_BITS_8 * float(number) for number in preparing.get(name, usual))
        for name, usual in zip(("image_mean", "image_std"), family.colours, strict=True)
    )
    if not len(mean) == len(spread) == _COLOURS or not all(number > 0 for number in spread):
        raise ValueError("its image_mean and image_std are not those of three colours")
    return Square(side_px, 4 * (side_px // patch_px), stretched=family.stretched, mean=mean, spread=spread)


def _side_of(size: int | list[int] | tuple[int, ...]) -> int:
    if isinstance(size, int):
        return size
    if len(set(size)) != 1:
        raise ValueError(f"it looks at {size[0]}×{size[1]} pixels, which is no square")
    return size[0]


def _shapes_of(family: _Family, config: Any, square: Square) -> tuple[tuple[int, ...], ...]:
    """Of what the network keeps of an image; it tries itself out on nothing."""
    with torch.device("meta"), torch.inference_mode():
        model = getattr(transformers, f"{family.name}Model")(config).eval()
        levels = _levels_of(model.get_image_embeddings(torch.empty(1, _COLOURS, square.side_px, square.side_px)))
    return tuple(tuple(level.shape[1:]) for level in levels)


def _levels_of(embeddings: Tensor | list[Tensor] | tuple[Tensor, list[Tensor]]) -> list[Tensor]:
    """What `get_image_embeddings` gives; of what SAM-HQ's blocks made, its decoder takes the first."""
    if isinstance(embeddings, Tensor):
        return [embeddings]
    if isinstance(embeddings, tuple):
        return [embeddings[0], embeddings[1][0]]
    return list(embeddings)


@contextmanager
def _damage_as_weights_error(folder: HubFolder) -> Iterator[None]:
    try:
        yield
    except WeightsError:
        raise
    except _FOREIGN as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{folder.path} cannot be read: {reason}") from error


@contextmanager
def _silence() -> Iterator[None]:
    """No progress bars, and no warnings of what is then an error."""
    messages: Any = transformers.utils.logging
    bars, level = messages.is_progress_bar_enabled(), messages.get_verbosity()
    messages.disable_progress_bar()
    messages.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        messages.set_verbosity(level)
        if bars:
            messages.enable_progress_bar()
