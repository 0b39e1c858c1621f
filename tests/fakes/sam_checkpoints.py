"""Checkpoints of SAM as its authors publish them, with seeded weights that have learnt nothing.

The network is the authors' own: it names the tensors, and is what the engine's network is measured by.
"""

from pathlib import Path

import torch
from segment_anything.build_sam import _build_sam
from segment_anything.modeling import Sam

VIT_B = {"width": 768, "depth": 12, "heads": 12, "whole": (2, 5, 8, 11)}


def seeded_sam(*, width: int = 32, depth: int = 2, heads: int = 2, whole: tuple[int, ...] = (1,), seed: int = 0) -> Sam:
    """A network whose weights are noise, those among them that training begins at 0; its masks are noise, too.

    Args:
        width: channels of the image's tokens.
        depth: blocks of the image's part.
        heads: of their attention.
        whole: the blocks that look at the whole image.
        seed: other seeds make other networks.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sam = _build_sam(width, depth, heads, list(whole))
        with torch.inference_mode():
            for name, tensor in sam.named_parameters():
                if "rel_pos" in name or "pos_embed" in name:
                    tensor.normal_(0, 0.3)
                elif tensor.ndim == 1:
                    tensor.add_(torch.randn_like(tensor), alpha=0.2)
            # Scores between 0 and 1, such as those of a trained network.
            last = sam.mask_decoder.iou_prediction_head.layers[-1]
            last.weight *= 0.3
            last.bias += 0.5
    return sam.eval()


def state_dict(path: Path, sam: Sam) -> Path:
    """The file that is published, `.pth`."""
    torch.save(sam.state_dict(), path)
    return path
