"""Checkpoints of SAM as its authors publish them, with seeded weights that have learnt nothing.

The network is the authors' own: it names the tensors, and is what the engine's network is measured by.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (everyone's name for it)
from segment_anything.build_sam import _build_sam
from segment_anything.modeling import Sam
from torch import Tensor

VIT_B = {"width": 768, "depth": 12, "heads": 12, "whole": (2, 5, 8, 11)}
RIDGE = 1e-4
SURE = 4.0
SQUARE_PX = 1024


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


def taught(sam: Sam, features: Tensor, mask: np.ndarray) -> Sam:
    """The same network, taught to draw one thing in one image, wherever and however often it is clicked.

    This changes *sam* itself. Only what is left of a token after two steps of enlarging is taught, by least squares;
    all else stays noise. So its masks have the steps of tokens, and the score is still one of chance.

    Args:
        sam: as it was when it prepared the image.
        features: (channels, side, side), what it made of the image.
        mask: (H, W) of the image, True where the thing is.
    """
    click, wanted = _in_tokens(mask, side=features.shape[-1])
    enlarging = sam.mask_decoder.output_upscaling
    first, second = enlarging[0], enlarging[3]
    made: list[Tensor] = []
    hook = enlarging[2].register_forward_hook(lambda _module, _given, channels: made.append(channels[0]))
    with torch.inference_mode():
        # All pixels of a token get the same channels.
        first.weight.copy_(first.weight[:, :, :1, :1].expand_as(first.weight))
        points = torch.tensor([[click]]), torch.ones(1, 1)
        answer = SURE * (2 * torch.from_numpy(np.nan_to_num(wanted)) - 1)[None, None]
        # An answer is refined to the same answer.
        for previous in (None, F.interpolate(answer, scale_factor=4)):
            sparse, dense = sam.prompt_encoder(points=points, boxes=None, masks=previous)
            sam.mask_decoder(features[None], sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True)
        hook.remove()
        channels = torch.cat([each[:, ::2, ::2].flatten(1).T for each in made])
        shares = torch.from_numpy(wanted).flatten().repeat(len(made))
        weights, bias = _separating(channels.double(), shares.double())
        # One channel says whether a pixel belongs to the thing, and another the opposite: GELU(x) - GELU(-x) = x.
        second.weight.zero_()
        second.weight[:, 0], second.weight[:, 1] = weights[:, None, None], -weights[:, None, None]
        second.bias.zero_()
        second.bias[0], second.bias[1] = bias, -bias
        for perceptron in sam.mask_decoder.output_hypernetworks_mlps:
            last = perceptron.layers[-1]
            last.weight.zero_()
            last.bias.zero_()
            last.bias[0], last.bias[1] = 1, -1
    return sam


def _in_tokens(mask: np.ndarray, *, side: int) -> tuple[tuple[float, float], np.ndarray]:
    """The middle of a thing, in pixels of the square, and what share of each token is it: NaN where no image is."""
    height, width = mask.shape
    longer = max(mask.shape)
    square = np.zeros((longer, longer), dtype=np.float32)
    square[:height, :width] = mask
    wanted = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
    wanted[height * side // longer :] = np.nan
    wanted[:, width * side // longer :] = np.nan
    rows, columns = np.nonzero(mask)
    scale = SQUARE_PX / longer
    return (float(columns.mean()) * scale, float(rows.mean()) * scale), wanted


def _separating(channels: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and a bias that make +SURE of the channels of a thing, and -SURE of all others.

    Args:
        channels: (tokens, count).
        wanted: (tokens,), between 0 and 1; NaN is left out.
    """
    counts = ~wanted.isnan()
    channels, wanted = torch.cat([channels, torch.ones(len(channels), 1)], dim=1)[counts], wanted[counts]
    # Both sides weigh the same, however small the thing is.
    importance = torch.where(wanted > 0.5, 1 / (wanted > 0.5).sum(), 1 / (wanted <= 0.5).sum())[:, None]
    squares = channels.T @ (importance * channels)
    slack = RIDGE * squares.diagonal().mean() * torch.eye(len(squares))
    solved = torch.linalg.solve(squares + slack, channels.T @ (importance[:, 0] * SURE * (2 * wanted - 1))).float()
    return solved[:-1], solved[-1]
