"""SAM: A. Kirillov et al., "Segment Anything", ICCV 2023.

The network is our own, made from the published weights; those are not part of cleanplate. It gives what the authors'
predictor gives, to within rounding.
"""

import hashlib
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Logits, RgbImage, require_image, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.devices import DTYPES, Precision, device_of, precision_of, runtime_of, torch_errors_translated
from cleanplate.engines.protocols import Embedding
from cleanplate.engines.published import SAM_VIT_B, SAM_VIT_H, SAM_VIT_L
from cleanplate.engines.segmenters.sam_parts.assembling import decoder_of, encoder_of
from cleanplate.engines.segmenters.sam_parts.decoder import Answer, Decoder
from cleanplate.engines.segmenters.sam_parts.embedding import SamEmbedding, embedding_of, packed, unpacked
from cleanplate.engines.segmenters.sam_parts.encoder import Encoder
from cleanplate.engines.segmenters.sam_parts.layout import CHANNELS, GRID, MASKS, layout_of
from cleanplate.engines.segmenters.sam_parts.promises import Drawing, SamSegmentation, answered, candidates, survey
from cleanplate.engines.segmenters.sam_parts.square import SAM_SQUARE, picture_of, places_in_square
from cleanplate.engines.weights import Weights, digest_of, tensors_in
from cleanplate.errors import EngineError, EngineMissingError, WeightsError

NAME: Final = "sam"

_PUBLISHED: Final = (SAM_VIT_B, SAM_VIT_L, SAM_VIT_H)
"""The quickest first."""

_DIGEST_CHARACTERS: Final = 12


class _Preparing(Protocol):
    """What prepares a picture, as Encoder says."""

    def encode(self, picture: Tensor) -> Tensor: ...


class _Answering(Protocol):
    """What answers a prompt, as Decoder says."""

    def decode(
        self, features: Tensor, *, clicks: Tensor, labels: Tensor, box: Tensor | None, previous: Tensor | None
    ) -> Answer: ...


class Sam:
    """Clicks, boxes and earlier answers to masks. Keeps nothing between calls."""

    takes_sketches: Final = True

    def __init__(self, encoder: _Preparing, decoder: _Answering, *, version: str) -> None:
        self.version: Final = version
        self._encoder = encoder
        self._decoder = decoder
        self._maker = hashlib.sha256(version.encode()).digest()

    def embed(self, image: RgbImage) -> SamEmbedding:
        """Prepare an image for prompts."""
        require_image(image)
        size = size_of(image)
        with torch_errors_translated(NAME, f"prepare an image of {size.width}×{size.height}"):
            features = self._encoder.encode(picture_of(image)).cpu().numpy()
        return embedding_of(features, size, self._maker)

    def pack(self, embedding: SamEmbedding) -> bytes:
        """What an embedding can be kept as, outside the process."""
        return packed(embedding)

    def unpack(self, content: bytes) -> SamEmbedding:
        """The embedding that was packed.

        Raises:
            EngineError: The bytes are damaged, or from another segmenter.
        """
        return unpacked(content, self._maker, (CHANNELS, GRID, GRID))

    def segment(self, embedding: Embedding, prompt: Prompt) -> SamSegmentation:
        """Answer one prompt.

        Of a single click, SAM cannot know whether a part or the whole was meant: it gives three masks, and the one is
        taken that it expects to overlap most. All else is clear, and gets one.

        Raises:
            PromptError: No part of the prompt lies on the image, or its clicks leave nothing of the object.
            EngineError: The embedding was made by another engine, or with other weights.
        """
        embedding = self._own(embedding)
        return answered(prompt, embedding.size, partial(self._drawings, embedding), SAM_SQUARE)

    def candidates(self, embedding: Embedding, clicks: tuple[Point, ...]) -> tuple[SamSegmentation, ...]:
        """The three masks that a click gets, the one first that is expected to overlap most.

        Raises:
            PromptError: No click lies on the image.
            EngineError: The embedding was made by another engine, or with other weights.
        """
        embedding = self._own(embedding)
        return candidates(clicks, embedding.size, partial(self._drawings, embedding), SAM_SQUARE)

    def survey(self, embedding: Embedding) -> tuple[SamSegmentation, ...]:
        """All that clicks on a grid find, each thing once, the most certain first.

        Raises:
            EngineError: The embedding was made by another engine, or with other weights.
        """
        embedding = self._own(embedding)
        return survey(embedding.size, partial(self._drawings, embedding), SAM_SQUARE)

    def _own(self, embedding: Embedding) -> SamEmbedding:
        if not isinstance(embedding, SamEmbedding) or embedding.maker != self._maker:
            raise EngineError(f"{NAME} cannot use an embedding of another engine; embed the image again")
        return embedding

    def _drawings(
        self, embedding: SamEmbedding, points: tuple[Point, ...], box: Box | None, previous: Logits | None
    ) -> list[Drawing]:
        size = embedding.size
        with torch_errors_translated(NAME, f"answer a prompt on an image of {size.width}×{size.height}"):
            answer = self._decoder.decode(
                torch.from_numpy(embedding.features.astype(np.float32)),
                clicks=places_in_square([(point.x, point.y) for point in points], size),
                labels=torch.tensor([int(point.positive) for point in points], dtype=torch.int64),
                box=None if box is None else places_in_square([(box.left, box.top), (box.right, box.bottom)], size),
                previous=None if previous is None else torch.from_numpy(previous),
            )
            unclear = len(points) == 1 and box is None and previous is None
            scores, logits = answer.scores.clamp(0, 1).tolist(), answer.logits.numpy()
            best_first = sorted(range(1, MASKS), key=answer.scores.tolist().__getitem__, reverse=True)
            return [Drawing(np.array(logits[mask]), scores[mask]) for mask in (best_first if unclear else [0])]


def load(weights: Weights) -> Sam:
    """Make the segmenter.

    Raises:
        EngineMissingError: Its weights are not there. The message says where they are to be had.
        WeightsError: The file holds no SAM, is damaged, or is not what its name says.
    """
    device = device_of(weights.device)
    path = _find(weights, best_first=device.type == "cuda")
    digest = digest_of(path)
    _require_published_digest(path, digest)
    precision = precision_of(weights.precision, device)
    runtime = runtime_of(weights.runtime, device, precision)
    with tensors_in(path) as tensors:
        layout = layout_of(tensors)
        version = f"{NAME} {layout.name} {digest[:_DIGEST_CHARACTERS]} {precision}"
        decoder = decoder_of(tensors, device=device)
        if runtime == "torch":
            return Sam(encoder_of(tensors, layout, device=device, dtype=DTYPES[precision]), decoder, version=version)
        # OpenVINO rounds the weights itself.
        encoder = encoder_of(tensors, layout, device=device, dtype=torch.float32)
    return _compiled(encoder, decoder, precision, version=f"{version} {runtime}")


def _compiled(encoder: Encoder, decoder: Decoder, precision: Precision, *, version: str) -> Sam:
    """The same two parts, computed by OpenVINO."""
    # An extra: it is imported where it is chosen.
    from cleanplate.engines.segmenters.sam_parts.compiled import CompiledDecoder, CompiledEncoder  # noqa: PLC0415

    with torch_errors_translated(NAME, "be compiled by OpenVINO"):
        return Sam(CompiledEncoder(encoder, precision), CompiledDecoder(decoder), version=version)


def _find(weights: Weights, *, best_first: bool) -> Path:
    """The checkpoint that is set; else the best of those in the folder, or the quickest where that matters more."""
    missing: list[EngineMissingError] = []
    for published in reversed(_PUBLISHED) if best_first else _PUBLISHED:
        try:
            return published.find(weights)
        except EngineMissingError as error:
            missing.append(error)
    raise missing[-1 if best_first else 0]


def _require_published_digest(path: Path, digest: str) -> None:
    """Raise WeightsError if a file has the name of published weights and is something else."""
    expected = {published.name: published.sha256 for published in _PUBLISHED}.get(path.name, digest)
    if digest != expected:
        raise WeightsError(
            f"{path} is not what is published under this name: its SHA-256 begins with {digest[:_DIGEST_CHARACTERS]}, "
            f"not with {expected[:_DIGEST_CHARACTERS]}; fetch it again, or give weights of your own another name"
        )
