"""Where the folder that sam2 reads is. To look for it needs none of its libraries."""

from pathlib import Path
from typing import Final

from cleanplate.engines.published import SAM2_REPOSITORIES
from cleanplate.engines.weights import Weights
from cleanplate.engines.weights_parts.hub_folder import folder_of_repository, repository_of
from cleanplate.errors import EngineMissingError, WeightsError

_SETTING: Final = "CLEANPLATE_SAM2_CHECKPOINT"


def find_folder(weights: Weights, *, best_first: bool) -> Path:
    """The folder that is set; else the best of those that are published, or the quickest where that matters more.

    Raises:
        EngineMissingError: It is not on this machine. The message says how to get one.
        WeightsError: A file is set.
    """
    checkpoint = weights.checkpoint
    if checkpoint is None:
        names = reversed(SAM2_REPOSITORIES) if best_first else SAM2_REPOSITORIES
        found = (folder_of_repository(name, weights.folder) for name in names)
        return next((path for path in found if path is not None), None) or _missing("none are here")
    if checkpoint.is_dir():
        return checkpoint
    if checkpoint.exists():
        raise WeightsError(
            f"{checkpoint} is a file, and sam2 reads a folder with config.json and model.safetensors: the authors' "
            f"repositories on the Hugging Face hub are such folders, and their .pt files are not read"
        )
    repository = repository_of(checkpoint)
    if repository is None:
        return _missing(f"{checkpoint} is not there")
    return folder_of_repository(repository, weights.folder) or _missing(f"{repository} is not on this machine")


def _missing(what: str) -> Path:
    name = SAM2_REPOSITORIES[0]
    raise EngineMissingError(
        f"sam2 needs its weights, and {what}: fetch a folder such as {name} (Apache-2.0) by `hf download {name} "
        f"--local-dir FOLDER/{name.replace('/', '--')}`, and name it in {_SETTING}, or FOLDER in CLEANPLATE_WEIGHTS_DIR"
    )
