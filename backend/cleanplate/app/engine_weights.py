from cleanplate.engines.weights import Weights
from cleanplate.settings import Settings


def weights_for(engine: str, settings: Settings) -> Weights:
    """What the settings say about the weights of the engine of this name, and what it is to run on."""
    checkpoints = {"lama": settings.lama_checkpoint}
    return Weights(
        checkpoint=checkpoints.get(engine),
        folder=settings.weights_dir,
        device=settings.device,
        precision=settings.precision,
    )
