"""SAM 2 and its relatives, read by `transformers` from a folder of the Hugging Face hub that is on this machine.

N. Ravi et al., "SAM 2: Segment Anything in Images and Videos", ICLR 2025. Which one it is follows from the folder's
config.json. Nothing is fetched, and nothing in the folder is executed.
"""

import hashlib
from functools import partial
from typing import Final

import numpy as np
import torch

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Logits, RgbImage, require_image, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.devices import DTYPES, device_of, precision_of, torch_errors_translated
from cleanplate.engines.protocols import Embedding
from cleanplate.engines.segmenters.sam2_parts.finding import find_folder
from cleanplate.engines.segmenters.sam2_parts.network import Network, network_in
from cleanplate.engines.segmenters.sam_parts.embedding import SamEmbedding, embedding_of, packed, unpacked
from cleanplate.engines.segmenters.sam_parts.promises import Drawing, SamSegmentation, answered, candidates, survey
from cleanplate.engines.segmenters.sam_parts.square import Square, picture_of, places_in_square
from cleanplate.engines.weights import Weights, digest_of
from cleanplate.engines.weights_parts.hub_folder import hub_folder_at
from cleanplate.errors import EngineError

NAME: Final = "sam2"

_DIGEST_CHARACTERS: Final = 12


class Sam2:
    """Clicks, boxes and earlier answers to masks. Keeps nothing between calls."""

    takes_sketches: Final = True

    def __init__(self, network: Network, square: Square, *, version: str) -> None:
        self.version: Final = version
        self._network = network
        self._square = square
        self._maker = hashlib.sha256(version.encode()).digest()

    def embed(self, image: RgbImage) -> SamEmbedding:
        """Prepare an image for prompts."""
        require_image(image)
        size = size_of(image)
        with torch_errors_translated(NAME, f"prepare an image of {size.width}×{size.height}"):
            features = self._network.encode(picture_of(image, self._square)).cpu().numpy()
        return embedding_of(features, size, self._maker)

    def pack(self, embedding: SamEmbedding) -> bytes:
        """What an embedding can be kept as, outside the process."""
        return packed(embedding)

    def unpack(self, content: bytes) -> SamEmbedding:
        """The embedding that was packed.

        Raises:
            EngineError: The bytes are damaged, or from another segmenter.
        """
        return unpacked(content, self._maker, (self._network.length,))

    def segment(self, embedding: Embedding, prompt: Prompt) -> SamSegmentation:
        """Answer one prompt; to a single click, with the best of three masks.

        Raises:
            PromptError: No part of the prompt lies on the image, or its clicks leave nothing of the object.
            EngineError: The embedding was made by another engine, or with other weights.
        """
        embedding = self._own(embedding)
        return answered(prompt, embedding.size, partial(self._drawings, embedding), self._square)

    def candidates(self, embedding: Embedding, clicks: tuple[Point, ...]) -> tuple[SamSegmentation, ...]:
        """The three masks that a click gets, the one first that is expected to overlap most.

        Raises:
            PromptError: No click lies on the image.
            EngineError: The embedding was made by another engine, or with other weights.
        """
        embedding = self._own(embedding)
        return candidates(clicks, embedding.size, partial(self._drawings, embedding), self._square)

    def survey(self, embedding: Embedding) -> tuple[SamSegmentation, ...]:
        """All that clicks on a grid find, each thing once, the most certain first.

        Raises:
            EngineError: The embedding was made by another engine, or with other weights.
        """
        embedding = self._own(embedding)
        return survey(embedding.size, partial(self._drawings, embedding), self._square)

    def _own(self, embedding: Embedding) -> SamEmbedding:
        if not isinstance(embedding, SamEmbedding) or embedding.maker != self._maker:
            raise EngineError(f"{NAME} cannot use an embedding of another engine; embed the image again")
        return embedding

    def _drawings(
        self, embedding: SamEmbedding, points: tuple[Point, ...], box: Box | None, previous: Logits | None
    ) -> list[Drawing]:
        size = embedding.size
        corners = [] if box is None else [(box.left, box.top), (box.right, box.bottom)]
        with torch_errors_translated(NAME, f"answer a prompt on an image of {size.width}×{size.height}"):
            answer = self._network.decode(
                torch.from_numpy(embedding.features.astype(np.float32)),
                clicks=places_in_square([(point.x, point.y) for point in points], size, self._square),
                labels=torch.tensor([int(point.positive) for point in points], dtype=torch.int64),
                box=places_in_square(corners, size, self._square) if corners else None,
                previous=None if previous is None else torch.from_numpy(previous),
                several=len(points) == 1 and box is None and previous is None,
            )
            scores, logits = answer.scores.clamp(0, 1).tolist(), answer.logits.numpy()
            best_first = sorted(range(len(scores)), key=answer.scores.tolist().__getitem__, reverse=True)
            return [Drawing(np.array(logits[mask]), scores[mask]) for mask in best_first]


def load(weights: Weights) -> Sam2:
    """Make the segmenter.

    Raises:
        EngineMissingError: Its weights, or a library that they need, are not there. The message says where to get them.
        WeightsError: The folder holds another network, is damaged, or holds pickles.
    """
    device = device_of(weights.device)
    folder = hub_folder_at(find_folder(weights, best_first=device.type != "cpu"))
    precision = precision_of(weights.precision, device)
    with torch_errors_translated(NAME, "load its weights"):
        network, square = network_in(folder, device=device, dtype=DTYPES[precision])
    digest = folder.digest(digest_of)[:_DIGEST_CHARACTERS]
    return Sam2(network, square, version=f"{NAME} {folder.config['model_type']} {digest} {precision}")
