"""Folders of weights as they lie on the Hugging Face hub. Nothing is fetched here, and nothing in them is executed."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cleanplate.errors import WeightsError

_CONFIG: Final = "config.json"
_WEIGHTS: Final = "model.safetensors"
_INDEX: Final = "model.safetensors.index.json"
_PREPARING: Final = ("processor_config.json", "preprocessor_config.json")
"""What says how an image is prepared; newer folders have the first."""

_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")
_MOST_JSON_BYTES: Final = 16 * 1024 * 1024

_REPOSITORY_PARTS: Final = 2


@dataclass(frozen=True)
class HubFolder:
    """What a folder holds.

    Attributes:
        path: the folder.
        config: what its config.json says.
        preparing: what it says of how an image is prepared; empty: nothing.
        weights: the files of tensors, by name.
    """

    path: Path
    config: Mapping[str, Any]
    preparing: Mapping[str, Any]
    weights: tuple[Path, ...]

    def digest(self, digest_of: Callable[[Path], str]) -> str:
        """A SHA-256, in hexadecimal, of all that it says."""
        said = [json.dumps([self.config, self.preparing], sort_keys=True)]
        return hashlib.sha256("\n".join([*said, *map(digest_of, self.weights)]).encode()).hexdigest()


def hub_folder_at(path: Path) -> HubFolder:
    """Read all but the tensors of a folder.

    Raises:
        WeightsError: It is none, holds its weights as pickles only, or names files beside itself.
    """
    if not (path / _CONFIG).is_file():
        raise WeightsError(f"{path} holds no {_CONFIG}: it is no folder of the Hugging Face hub")
    config = _json_in(path / _CONFIG)
    return HubFolder(path, config, _preparing_in(path), _weights_in(path))


def repository_of(checkpoint: Path) -> str | None:
    """The `owner/name` on the hub that may be meant; None if it is a path and nothing else."""
    return None if checkpoint.is_absolute() or len(checkpoint.parts) != _REPOSITORY_PARTS else checkpoint.as_posix()


def folder_of_repository(repository: str, folder: Path | None) -> Path | None:
    """Where a repository of the hub lies on this machine.

    That is `owner--name` in *folder*, or else the cache of the hub's own programs, if somebody has fetched it there.
    """
    path = None if folder is None else folder / repository.replace("/", "--")
    return path if path is not None and path.is_dir() else _in_cache(repository)


def _in_cache(repository: str) -> Path | None:
    try:
        from huggingface_hub import snapshot_download  # noqa: PLC0415  (an extra)
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def _weights_in(path: Path) -> tuple[Path, ...]:
    if (path / _WEIGHTS).is_file():
        return (path / _WEIGHTS,)
    if (path / _INDEX).is_file():
        shards = _json_in(path / _INDEX).get("weight_map")
        names = set(shards.values()) if isinstance(shards, dict) and all(map(_is_text, shards.values())) else set()
        for name in names:
            if Path(name).name != name or not name.endswith(".safetensors") or not (path / name).is_file():
                raise WeightsError(f"{path / _INDEX} names {name!r}, which is no safetensors file of the folder")
        if names:
            return tuple(path / name for name in sorted(names))
        raise WeightsError(f"{path / _INDEX} names no files")
    pickles = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLES)
    if pickles:
        raise WeightsError(
            f"{path} holds its weights as a pickle only ({pickles[0]}), which can run whatever its author likes: take "
            f"a folder with {_WEIGHTS}"
        )
    raise WeightsError(f"{path} holds no {_WEIGHTS}: fetch the folder whole")


def _preparing_in(path: Path) -> Mapping[str, Any]:
    for name in _PREPARING:
        if (path / name).is_file():
            said = _json_in(path / name)
            inner = said.get("image_processor", said)
            if isinstance(inner, dict) and "image_mean" in inner:
                return inner
    return {}


def _json_in(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            raise WeightsError(f"{path} is longer than any such file")
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is no JSON: it is damaged, or a pointer to the file; fetch it again") from error
    if not isinstance(said, dict):
        raise WeightsError(f"{path} is no JSON object")
    return said


def _is_text(value: object) -> bool:
    return isinstance(value, str)
