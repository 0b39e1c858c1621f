"""What the settings choose: which engines, with what weights, and which images are too large."""

from pathlib import Path

from cleanplate.codecs.images import ImageLimits
from cleanplate.engines.protocols import Detector, Inpainter, Segmenter
from cleanplate.engines.registry import load_detector, load_inpainter, load_segmenter
from cleanplate.engines.weights import Weights
from cleanplate.settings import NO_ENGINE, Settings


def segmenter_for(settings: Settings) -> Segmenter:
    """Load the segmenter that is set.

    Raises:
        EngineError: It cannot be loaded.
    """
    return load_segmenter(settings.segmenter, weights_for(settings.segmenter, settings))


def inpainter_for(settings: Settings, name: str | None = None) -> Inpainter:
    """Load the inpainter of this name, or else the one that is set.

    Raises:
        EngineError: It cannot be loaded.
    """
    chosen = name or settings.inpainter
    return load_inpainter(chosen, weights_for(chosen, settings))


def detector_for(settings: Settings) -> Detector | None:
    """Load the detector that is set; None if there is to be none.

    Raises:
        EngineError: It cannot be loaded.
    """
    return None if settings.detector == NO_ENGINE else load_detector(settings.detector)


def weights_for(engine: str, settings: Settings) -> Weights:
    """What the settings say about the weights of the engine of this name, and what it is to run on."""
    checkpoints = {
        "lama": settings.lama_checkpoint,
        "sam": settings.sam_checkpoint,
        "sam2": settings.sam2_checkpoint,
    }
    return Weights(
        checkpoint=checkpoints.get(engine),
        folder=weights_folder(settings),
        device=settings.device,
        precision=settings.precision,
        runtime=settings.runtime,
    )


def weights_folder(settings: Settings) -> Path:
    """Where weights lie under their published names: where they are fetched to, and where engines look for them."""
    return settings.weights_dir or settings.data_dir / "weights"


def limits_for(settings: Settings) -> ImageLimits:
    """Which images are refused for their size."""
    return ImageLimits(max_pixels=settings.max_image_pixels, max_bytes=settings.max_image_bytes)
