"""SAM: A. Kirillov et al., "Segment Anything", ICCV 2023.

The network is our own, made from the published weights; those are not part of cleanplate. It gives what the authors'
predictor gives, to within rounding.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from torch import Tensor

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Logits, Mask, RgbImage, Size, require_image, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.devices import DTYPES, Precision, device_of, precision_of, runtime_of, torch_errors_translated
from cleanplate.engines.protocols import Embedding, Segmentation
from cleanplate.engines.published import SAM_VIT_B, SAM_VIT_H, SAM_VIT_L
from cleanplate.engines.segmenters.sam_parts.assembling import decoder_of, encoder_of
from cleanplate.engines.segmenters.sam_parts.decoder import Answer, Decoder
from cleanplate.engines.segmenters.sam_parts.embedding import SamEmbedding, embedding_of, packed, unpacked
from cleanplate.engines.segmenters.sam_parts.encoder import Encoder
from cleanplate.engines.segmenters.sam_parts.layout import MASK_SIDE, SIDE_PX, layout_of
from cleanplate.engines.segmenters.sam_parts.square import (
    enlarged,
    logits_in_square,
    mask_in_image,
    picture_of,
    size_in_square,
)
from cleanplate.engines.weights import Weights, digest_of, tensors_in
from cleanplate.errors import EngineError, EngineMissingError, PromptError, WeightsError

NAME: Final = "sam"

_PUBLISHED: Final = (SAM_VIT_B, SAM_VIT_L, SAM_VIT_H)
"""The quickest first."""

_DIGEST_CHARACTERS: Final = 12

_SURE: Final = 1.0
"""The distance of a logit from the threshold from which a pixel counts as sure; the authors' value."""

_DRAWN: Final = 4.0
"""The logit of a spot that a click had to draw itself."""


@dataclass(frozen=True, eq=False)
class SamSegmentation(Segmentation):
    """An answer of SAM.

    Attributes:
        stability: the overlap of the mask at a high and at a low threshold, 0 … 1: low where small changes of the
            prompt would change much.
    """

    stability: float


@dataclass(frozen=True, eq=False)
class _Drawing:
    """(MASK_SIDE, MASK_SIDE) logits of the square, and the score they got."""

    logits: Logits
    score: float


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
        return unpacked(content, self._maker)

    def segment(self, embedding: Embedding, prompt: Prompt) -> SamSegmentation:
        """Answer one prompt.

        Of a single click, SAM cannot know whether a part or the whole was meant: it gives three masks, and the one is
        taken that it expects to overlap most. All else is clear, and gets one. Two promises hold whatever it thinks:
        clicked pixels are as their clicks say, and a negative click that refines an answer adds nothing to it.

        Raises:
            PromptError: No part of the prompt lies on the image, or its clicks leave nothing of the object.
            EngineError: The embedding was made by another engine, or with other weights.
        """
        if not isinstance(embedding, SamEmbedding) or embedding.maker != self._maker:
            raise EngineError(f"{NAME} cannot use an embedding of another engine; embed the image again")
        size = embedding.size
        points = tuple(point for point in prompt.points if point.inside(size))
        box = prompt.box.clipped(size) if prompt.box else None
        box = box if box and box.area > 0 else None
        if (prompt.points or prompt.box) and not points and not box:
            raise PromptError(f"no part of the prompt lies on the image of {size.width}×{size.height}")
        previous = None if prompt.previous is None else logits_in_square(prompt.previous, size)
        drawing = self._drawn(embedding, points, box, previous)
        large = enlarged(drawing.logits)
        mask = _clicked(mask_in_image(large, size), points)
        if not mask.any():
            raise PromptError(
                "the clicks leave nothing of the object; take a negative one back, or click on the object"
            )
        return SamSegmentation(mask, drawing.score, drawing.logits, _stability(large, size))

    def _drawn(
        self, embedding: SamEmbedding, points: tuple[Point, ...], box: Box | None, previous: Logits | None
    ) -> _Drawing:
        """What SAM draws, mended where it breaks a promise."""
        size = embedding.size
        if previous is not None and not points and box is None:
            return _Drawing(previous, _stability(enlarged(previous), size))
        drawing = self._best(embedding, points, box, previous)
        if previous is not None and points and not points[-1].positive and box is None:
            drawing = _Drawing(np.minimum(drawing.logits, previous), drawing.score)
            if not mask_in_image(enlarged(drawing.logits), size).any():
                drawing = _Drawing(previous, 0.0)
            # What is drawn for earlier clicks must not add anything either.
            return _Drawing(np.minimum(_agreeing(drawing.logits, points, size), previous), drawing.score)
        if box is not None and not mask_in_image(enlarged(drawing.logits), size).any():
            drawing = _Drawing(_filled(box, size), 0.0)
        return _Drawing(_agreeing(drawing.logits, points, size), drawing.score)

    def _best(
        self, embedding: SamEmbedding, points: tuple[Point, ...], box: Box | None, previous: Logits | None
    ) -> _Drawing:
        size = embedding.size
        with torch_errors_translated(NAME, f"answer a prompt on an image of {size.width}×{size.height}"):
            answer = self._decoder.decode(
                torch.from_numpy(embedding.features.astype(np.float32)),
                clicks=_in_square([(point.x, point.y) for point in points], size),
                labels=torch.tensor([int(point.positive) for point in points], dtype=torch.int64),
                box=None if box is None else _in_square([(box.left, box.top), (box.right, box.bottom)], size),
                previous=None if previous is None else torch.from_numpy(previous),
            )
            unclear = len(points) == 1 and box is None and previous is None
            best = 1 + int(answer.scores[1:].argmax()) if unclear else 0
            score = min(max(float(answer.scores[best]), 0.0), 1.0)
            return _Drawing(np.array(answer.logits[best].numpy()), score)


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


def _in_square(places: list[tuple[float, float]], size: Size) -> Tensor:
    """(n, 2), from pixels of the image to pixels of the square, as the authors' predictor does it."""
    fitted = size_in_square(size)
    scale = np.array([fitted.width / size.width, fitted.height / size.height])
    return torch.from_numpy((np.array(places, dtype=np.float64).reshape(-1, 2) * scale).astype(np.float32))


def _agreeing(logits: Logits, points: tuple[Point, ...], size: Size) -> Logits:
    """The same, with a spot as small as can be drawn where a click is contradicted; later clicks go over earlier ones.

    So that the answer still agrees with them when it is repeated, or refined without them.
    """
    if not points:
        return logits
    fitted, drawn = size_in_square(size), logits
    mask = mask_in_image(enlarged(drawn), size)
    for point in points:
        x, y = point.pixel(size)
        if mask[y, x] == point.positive:
            continue
        rows = _cells(point.y, size.height, fitted.height)
        columns = _cells(point.x, size.width, fitted.width)
        drawn = drawn.copy()
        drawn[rows, columns] = _DRAWN if point.positive else -_DRAWN
        mask = mask_in_image(enlarged(drawn), size)
    return drawn


def _cells(place: float, length: int, fitted: int) -> slice:
    """The logits along a side that decide about a pixel: two steps of enlarging look at two neighbours each."""
    centre = (place + 0.5) * fitted / length
    first = (centre - 1.5 + 0.5) * MASK_SIDE / SIDE_PX - 0.5
    last = (centre + 0.5 + 0.5) * MASK_SIDE / SIDE_PX - 0.5
    return slice(max(int(np.floor(first)), 0), min(int(np.floor(last)) + 2, MASK_SIDE))


def _filled(box: Box, size: Size) -> Logits:
    """The box itself, at the least one pixel of the image."""
    rows, columns = box.slices(size)
    filled = np.full((MASK_SIDE, MASK_SIDE), -_DRAWN, dtype=np.float32)
    fitted = size_in_square(size)
    top, bottom = _cells(rows.start, size.height, fitted.height), _cells(rows.stop - 1, size.height, fitted.height)
    left, right = _cells(columns.start, size.width, fitted.width), _cells(columns.stop - 1, size.width, fitted.width)
    filled[top.start : bottom.stop, left.start : right.stop] = _DRAWN
    return filled


def _clicked(mask: Mask, points: tuple[Point, ...]) -> Mask:
    """The same, with every clicked pixel as its click says: clicks can be nearer to each other than the logits."""
    size = size_of(mask)
    for point in points:
        x, y = point.pixel(size)
        mask[y, x] = point.positive
    return mask


def _stability(large: Logits, size: Size) -> float:
    fitted = size_in_square(size)
    logits = large[: fitted.height, : fitted.width]
    return float((logits > _SURE).sum() / max((logits > -_SURE).sum(), 1))
