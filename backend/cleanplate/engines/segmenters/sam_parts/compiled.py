"""SAM's two parts, computed by OpenVINO on a processor."""

from typing import Final

import torch
from torch import Tensor

from cleanplate.engines.devices import Precision
from cleanplate.engines.openvino_runtime import CompiledGraph
from cleanplate.engines.segmenters.sam_parts.decoder import Answer, Decoder
from cleanplate.engines.segmenters.sam_parts.decoder_graph import decoder_graph
from cleanplate.engines.segmenters.sam_parts.encoder import Encoder
from cleanplate.engines.segmenters.sam_parts.encoder_graph import encoder_graph


class CompiledEncoder:
    """Prepares images as the encoder does that it is made from, which must be in fp32 and on the processor."""

    def __init__(self, encoder: Encoder, precision: Precision) -> None:
        self._graph: Final = CompiledGraph(encoder_graph(encoder), precision)

    def encode(self, picture: Tensor) -> Tensor:
        """(CHANNELS, GRID, GRID) float32, of a picture as the encoder takes it."""
        (features,) = self._graph({"picture": picture.numpy()})
        return torch.from_numpy(features)


class CompiledDecoder:
    """Answers prompts as the decoder does that it is made from, which must be on the processor."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder: Final = decoder
        self._graph: Final = CompiledGraph(decoder_graph(decoder), "fp32")

    def decode(
        self, features: Tensor, *, clicks: Tensor, labels: Tensor, box: Tensor | None, previous: Tensor | None
    ) -> Answer:
        """Answer one prompt, given as the decoder takes it."""
        with torch.inference_mode():
            tokens, image = self._decoder.seen(features, clicks=clicks, labels=labels, box=box, previous=previous)
            logits, scores = self._graph({"tokens": tokens.numpy(), "image": image.contiguous().numpy()})
        return Answer(torch.from_numpy(logits), torch.from_numpy(scores))
