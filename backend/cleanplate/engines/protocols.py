"""What the pipeline may ask of an engine. An engine fills or finds pixels, and nothing else."""

from dataclasses import dataclass
from typing import Protocol

from cleanplate.domain.image import Logits, Mask, RgbImage, Size
from cleanplate.domain.prompt import Prompt


class Embedding(Protocol):
    """What a segmenter keeps of one image so that later prompts are cheap. Immutable, private to its engine."""

    @property
    def size(self) -> Size:
        """The size of the image it was made from."""
        ...

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds."""
        ...


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A segmenter's answer to one prompt.

    Attributes:
        mask: (H, W) at the image's own size; never empty.
        score: the engine's own confidence, 0 … 1.
        logits: (h, w) at a resolution of the engine's choosing; give them back as `Prompt.previous` to refine.
    """

    mask: Mask
    score: float
    logits: Logits


class Segmenter(Protocol):
    """Finds the object a prompt points at."""

    @property
    def version(self) -> str:
        """Engine name and a digest of its weights or parameters: embeddings of another version do not fit."""
        ...

    def embed(self, image: RgbImage) -> Embedding:
        """Prepare an image for prompts. Called once per image, may be slow.

        Args:
            image: (H, W, 3). Not modified, and not kept if the caller may change it.

        Raises:
            EngineMemoryError: The device has no room for an image this size.
        """
        ...

    def segment(self, embedding: Embedding, prompt: Prompt) -> Segmentation:
        """Answer one prompt. Safe to call from several threads with the same or different embeddings.

        Raises:
            PromptError: No part of the prompt lies on the image.
            EngineError: The embedding was made by another engine.
        """
        ...


class Inpainter(Protocol):
    """Fills the masked part of an image from what surrounds it."""

    @property
    def version(self) -> str:
        """Engine name and a digest of its weights or parameters: it goes into the certificate."""
        ...

    def inpaint(self, image: RgbImage, mask: Mask) -> RgbImage:
        """Return a new image of the same size with the masked pixels replaced.

        Args:
            image: (H, W, 3). Not modified. What lies under the mask is already overwritten.
            mask: (H, W), at least one pixel True.

        Raises:
            EngineMemoryError: The device has no room for an image this size.
        """
        ...
