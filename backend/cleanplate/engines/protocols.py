"""What the pipeline may ask of an engine. An engine fills or finds pixels, and nothing else."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cleanplate.domain.geometry import Box, Point
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


@runtime_checkable
class Packing(Protocol):
    """What a segmenter has besides if its embeddings can be kept outside the process, because they are worth it."""

    def pack(self, embedding: Embedding) -> bytes:
        """What one of its embeddings can be kept as; the same embedding always gives the same bytes."""
        ...

    def unpack(self, content: bytes) -> Embedding:
        """The embedding that was packed.

        Raises:
            EngineError: The bytes are damaged, or another version of the segmenter packed them.
        """
        ...


@runtime_checkable
class Sketching(Protocol):
    """What some segmenters are besides: they can begin with somebody's rough drawing of an object.

    It is given to them as `Prompt.previous`. Others take that for their own answer, and change no more than the
    clicks ask for.
    """

    @property
    def takes_sketches(self) -> bool:
        """Whether a drawing helps."""
        ...


@runtime_checkable
class Choosing(Protocol):
    """What a segmenter is besides if it knows several meanings of a click: a part, the object, a group of them."""

    def candidates(self, embedding: Embedding, clicks: tuple[Point, ...]) -> tuple[Segmentation, ...]:
        """What a click may mean, the likeliest first: that is what `segment` answers to it. There is at least one.

        Args:
            embedding: of the image.
            clicks: positive ones at about the same place. The first is answered; all of them lie in every candidate.

        Raises:
            PromptError: No click lies on the image.
            EngineError: The embedding was made by another engine.
        """
        ...


@runtime_checkable
class Surveying(Protocol):
    """What a segmenter is besides if it can look for all objects of an image by itself."""

    def survey(self, embedding: Embedding) -> tuple[Segmentation, ...]:
        """Everything that looks like an object, the most certain first; they may overlap. Slow.

        Raises:
            EngineError: The embedding was made by another engine.
        """
        ...


@dataclass(frozen=True)
class Comfort:
    """In what crops an inpainter does its best; the pipeline cuts them so.

    Attributes:
        context: how much of an object's longer side it wants to see on each side of the object.
        min_side_px: crops are widened to this, as far as the image goes.
        max_side_px: up to here crops are filled as they are; a longer one is filled small, and then refined upwards.
            None if the engine itself goes from coarse to fine, so that it takes any size.
        coarse_side_px: to at most this a longer crop is made small; None: to *max_side_px*.
        multiple: crops are widened to a multiple of this; where the image ends, they are reflected.
    """

    context: float = 0.5
    min_side_px: int = 64
    max_side_px: int | None = None
    coarse_side_px: int | None = None
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.context < 0 or self.min_side_px < 1 or self.multiple < 1:
            raise ValueError("an inpainter's comfort is given in positive numbers")
        if self.max_side_px is not None and self.max_side_px < max(self.min_side_px, self.coarse_side_px or 1):
            raise ValueError("an inpainter cannot be comfortable below its own least size")
        if self.largest_small_px is not None and self.largest_small_px < self.multiple:
            raise ValueError("an inpainter cannot be comfortable below its own multiple")

    @property
    def largest_small_px(self) -> int | None:
        """How long a crop that was made small may be; None if none is."""
        return self.max_side_px if self.coarse_side_px is None else self.coarse_side_px


@dataclass(frozen=True, eq=False)
class Inpainting:
    """An inpainter's answer.

    Attributes:
        image: (H, W, 3), of the size it was given.
        confidence: how likely it is that a person would keep the fill, 0 … 1; None if the engine cannot tell.
    """

    image: RgbImage
    confidence: float | None = None

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise ValueError(f"a confidence lies between 0 and 1, this is {self.confidence}")


class Inpainter(Protocol):
    """Fills the masked part of an image from what surrounds it."""

    @property
    def version(self) -> str:
        """Engine name and a digest of its weights or parameters: it goes into the certificate."""
        ...

    @property
    def comfort(self) -> Comfort:
        """In what crops it does its best."""
        ...

    def inpaint(self, image: RgbImage, mask: Mask, *, avoid: Mask | None = None) -> Inpainting:
        """Return a new image of the same size with the masked pixels replaced.

        Known pixels beside a hole may come back as they are or as the engine would paint them: the pipeline takes only
        what is masked, and learns from the others how far the fill is off at its edge.

        Args:
            image: (H, W, 3). Not modified. What lies under the mask is already overwritten.
            mask: (H, W), at least one pixel True.
            avoid: (H, W), True where other regions of the task lie: nothing may be copied from there. None: nowhere.

        Raises:
            EngineMemoryError: The device has no room for an image this size.
        """
        ...


@dataclass(frozen=True)
class Detection:
    """Something a detector found.

    Attributes:
        kind: what it is: `face`, `plate`, `body` …
        box: where, in pixels of the image it was given.
        score: the detector's own confidence, 0 … 1.
    """

    kind: str
    box: Box
    score: float


class Detector(Protocol):
    """Proposes what a person may want to remove. It misses things: a proposal, never a proof."""

    @property
    def version(self) -> str:
        """Engine name and a digest of its weights or parameters."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it can find."""
        ...

    def detect(self, image: RgbImage, *, kinds: Collection[str] | None = None) -> tuple[Detection, ...]:
        """Find things, the most certain first. Safe to call from several threads.

        Args:
            image: (H, W, 3). Not modified.
            kinds: what to look for; None: everything it can find. Looking for less is faster.

        Raises:
            EngineError: It cannot find one of the *kinds*.
            EngineMemoryError: The device has no room for an image this size.
        """
        ...
