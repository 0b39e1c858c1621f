"""Folders of the official format, as transformers writes them, with seeded weights that have learnt nothing.

The networks are transformers' own, small in each dimension; those that it reads from a folder are what the engine's
answers are measured by.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, ProcessorMixin

SIDE_PX = 256
"""Of the square that the small networks look at."""

_PYRAMID = [[64, 64], [32, 32], [16, 16]]

_PROMPTS = {"hidden_size": 32, "image_size": SIDE_PX, "patch_size": 16}
_DRAWS = {
    "hidden_size": 32,
    "mlp_dim": 64,
    "num_attention_heads": 4,
    "iou_head_hidden_dim": 32,
}
_NECK = {"fpn_hidden_size": 32, "backbone_feature_sizes": _PYRAMID}


def _hiera() -> dict:
    return {
        "model_type": "sam2_vision_model",
        **_NECK,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 8,
            "image_size": [SIDE_PX, SIDE_PX],
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 2, 2],
            "window_size_per_stage": [8, 4, 14, 7],
            "global_attention_blocks": [3],
        },
    }


def _repvit() -> dict:
    return {
        "model_type": "edgetam_vision_model",
        **_NECK,
        # A dictionary of it cannot be made a configuration.
        "backbone_config": transformers.TimmWrapperConfig(
            architecture="repvit_m1",
            model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
        ),
    }


def _perception() -> dict:
    return {
        "model_type": "sam3_vision_model",
        **_NECK,
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE_PX,
            "patch_size": 16,
            "window_size": 8,
            "global_attn_indexes": [1],
            "pretrain_image_size": 128,
        },
    }


def _detector() -> dict:
    """The part of SAM 3 that answers words, which is never asked; its eye is the tracker's, too."""
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    layers = {**small, "num_layers": 1}
    return {
        "model_type": "sam3",
        "vision_config": _perception(),
        "text_config": {**small, "vocab_size": 50, "num_hidden_layers": 1, "projection_dim": 32},
        "geometry_encoder_config": layers,
        "detr_encoder_config": layers,
        "detr_decoder_config": {**layers, "num_queries": 4},
        "mask_decoder_config": {"hidden_size": 32, "num_attention_heads": 2},
    }


def _vit() -> dict:
    return {
        "hidden_size": 32,
        "output_channels": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE_PX,
        "window_size": 7,
        "global_attn_indexes": [1],
        "mlp_dim": 64,
        "num_pos_feats": 16,
    }


def _prompts_of_sam() -> dict:
    return {**_PROMPTS, "image_embedding_size": SIDE_PX // 16}


_SIDES = {"height": SIDE_PX, "width": SIDE_PX}

KINDS: dict[str, tuple[str, Any, Any]] = {
    "sam": ("Sam", _vit, _prompts_of_sam),
    "sam_hq": ("SamHQ", _vit, _prompts_of_sam),
    "sam2": ("Sam2", _hiera, _PROMPTS.copy),
    "sam2_video": ("Sam2Video", _hiera, _PROMPTS.copy),
    "edgetam": ("EdgeTam", _repvit, _PROMPTS.copy),
    "edgetam_video": ("EdgeTamVideo", _repvit, _PROMPTS.copy),
    "sam3_tracker": ("Sam3Tracker", _perception, _PROMPTS.copy),
    "sam3_tracker_video": ("Sam3TrackerVideo", _perception, _PROMPTS.copy),
    "sam3_video": ("Sam3Video", _perception, _PROMPTS.copy),
}
"""By model_type: how transformers begins its classes' names, and what makes the two parts of its configuration."""


def seeded_model(kind: str, *, seed: int = 0) -> PreTrainedModel:
    """A network whose weights are noise, those among them that training begins at 0; its masks are noise, too."""
    name, vision, prompts = KINDS[kind]
    draws = {**_DRAWS, "vit_dim": 32} if kind == "sam_hq" else _DRAWS
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        parts: dict[str, Any] = {
            "vision_config": vision(),
            "prompt_encoder_config": prompts(),
            "mask_decoder_config": draws,
        }
        if kind.startswith("sam3") and kind.endswith("video"):
            parts["image_size"] = SIDE_PX
        if kind == "sam3_video":
            parts = {"tracker_config": {"model_type": "sam3_tracker_video", **parts}, "detector_config": _detector()}
        config = getattr(transformers, f"{name}Config")(**parts)
        model = getattr(transformers, f"{name}Model")(config)
        for tensor in model.parameters():
            if tensor.ndim == 1:
                tensor.add_(torch.randn_like(tensor), alpha=0.2)
            else:
                tensor.normal_(0, (len(tensor) / tensor.numel()) ** 0.5)
        if kind.startswith("edgetam"):
            # Only what training has measured keeps the numbers of so many layers small.
            for part in model.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.momentum = 1.0
            model.vision_encoder.train()(torch.randn(2, 3, SIDE_PX, SIDE_PX))
        if kind in {"sam", "sam_hq"}:
            # Scores between 0 and 1, such as those of a trained network.
            last = model.mask_decoder.iou_prediction_head.proj_out
            last.weight *= 0.3
            last.bias += 0.5
    return model.eval()


def processor_of(kind: str) -> ProcessorMixin:
    """What prepares images and prompts for a network of this kind, and brings its masks to an image's size."""
    if kind in {"sam", "sam_hq"}:
        prepare = transformers.SamImageProcessor(size={"longest_edge": SIDE_PX}, pad_size=_SIDES)
        return (transformers.SamHQProcessor if kind == "sam_hq" else transformers.SamProcessor)(prepare)
    if kind.startswith("sam3"):
        return transformers.Sam3TrackerProcessor(transformers.Sam3ImageProcessor(size=_SIDES))
    return transformers.Sam2Processor(transformers.Sam2ImageProcessor(size=_SIDES))


def hub_folder(path: Path, kind: str, *, seed: int = 0, max_shard_size: str = "5GB") -> Path:
    """The folder that is published."""
    seeded_model(kind, seed=seed).save_pretrained(path, max_shard_size=max_shard_size)
    processor_of(kind).save_pretrained(path)
    if kind == "sam3_video":
        # transformers 5.24 writes this prefix twice, and the published folder has it once.
        tensors = load_file(path / "model.safetensors")
        named = {
            name.replace("tracker_model.tracker_model.", "tracker_model."): tensor for name, tensor in tensors.items()
        }
        save_file(named, path / "model.safetensors", {"format": "pt"})
    return path
