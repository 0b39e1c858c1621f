"""A segmenter that knows what is right: bright things on dark ground."""

from dataclasses import dataclass

import numpy as np

from cleanplate.domain.image import RgbImage, Size, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.protocols import Embedding, Segmentation

SCORE = 0.8


@dataclass(frozen=True)
class Looked:
    image: RgbImage
    size_bytes: int = 100

    @property
    def size(self) -> Size:
        return size_of(self.image)


class BrightThings:
    """Answers a box with what is bright in it and three pixels around; with the box itself if nothing is."""

    version = "bright-1"

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    def embed(self, image: RgbImage) -> Looked:
        return Looked(image)

    def segment(self, embedding: Embedding, prompt: Prompt) -> Segmentation:
        self.prompts.append(prompt)
        assert isinstance(embedding, Looked)
        assert prompt.box is not None
        around = np.zeros(embedding.image.shape[:2], dtype=np.bool_)
        around[prompt.box.grown(3).slices(embedding.size)] = True
        mask = around & (embedding.image[..., 0] > 128)
        if not mask.any():
            mask[prompt.box.slices(embedding.size)] = True
        return Segmentation(mask=mask, score=SCORE, logits=np.where(mask, 8, -8).astype(np.float32))
