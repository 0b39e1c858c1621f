"""HumanSignal's example `segment_anything_model` as a WSGI app for gunicorn, its code as it is.

Changed around it: its key for SAM, `vit_h`, makes the ViT-B of the benchmark's weights, and the decoder may draw blobs
(see click_masks). Runs in an environment of its own, with the checkout of label-studio-ml-backend and the example's
folder on its path.
"""

from typing import Any

import segment_anything
from click_masks import drawn
from segment_anything.modeling import MaskDecoder

_decode = MaskDecoder.forward


def _drawing(decoder: MaskDecoder, *features: Any, **prompt: Any) -> Any:
    logits, scores = _decode(decoder, *features, **prompt)
    return drawn(logits), scores


MaskDecoder.forward = _drawing
segment_anything.sam_model_registry["vit_h"] = segment_anything.build_sam_vit_b

from _wsgi import app  # noqa: E402  (it loads the network)

__all__ = ["app"]
