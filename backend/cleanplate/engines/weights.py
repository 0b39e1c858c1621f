"""The files that hold what a network has learnt: which one to take, what it is called by, what is in it."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cleanplate.engines.weights_parts.safetensors_file import tensors_in_safetensors
from cleanplate.engines.weights_parts.stored_tensor import StoredTensor
from cleanplate.engines.weights_parts.torch_archive import tensors_in_archive
from cleanplate.errors import EngineMissingError, WeightsError

_ZIP_MAGIC: Final = b"PK\x03\x04"

_BEGINNING_BYTES: Final = 64

_MIB: Final = 1024 * 1024


@dataclass(frozen=True)
class Weights:
    """What the machine's owner says about an engine's weights.

    Attributes:
        checkpoint: the file, or the folder it was published in; None: it is looked for in *folder*.
        folder: where weights lie under the names they were published by; None: nowhere.
        device: what the network runs on; auto: the GPU if there is one.
        precision: what it computes with; auto: what is faster on the device.
        runtime: what computes it on a processor; auto: what is faster, of those that are installed.
    """

    checkpoint: Path | None = None
    folder: Path | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    runtime: Literal["auto", "torch", "openvino"] = "auto"


@dataclass(frozen=True)
class Published:
    """Weights as their makers give them away.

    Attributes:
        engine: the engine that takes them.
        names: of the files or folders, the best first.
        inside: where the file is in such a folder.
        address: where the first of the names is to be had.
        size_bytes: of that file.
        licence: under which it may be used, as an SPDX name.
        setting: what names the file, should it be called otherwise.
        sha256: of the file at that address, in hexadecimal; empty: nobody has stated it.
    """

    engine: str
    names: tuple[str, ...]
    inside: str
    address: str
    size_bytes: int
    licence: str
    setting: str
    sha256: str = ""

    @property
    def name(self) -> str:
        """What the file at the address is called."""
        return self.names[0]

    def find(self, weights: Weights) -> Path:
        """The file to read.

        Raises:
            EngineMissingError: It is not where it should be. The message says what to fetch from where.
        """
        if weights.checkpoint is not None:
            wrong = f"holds no {self.inside}" if weights.checkpoint.is_dir() else "is not there"
            return self._file_of(weights.checkpoint) or self._missing(f"{weights.checkpoint} {wrong}")
        if weights.folder is None:
            return self._missing("none are set")
        for name in self.names:
            found = self._file_of(weights.folder / name)
            if found is not None:
                return found
        return self._missing(f"{weights.folder} holds none of {', '.join(self.names)}")

    def _file_of(self, path: Path) -> Path | None:
        path = path / self.inside if path.is_dir() else path
        return path if path.is_file() else None

    def _missing(self, what: str) -> Path:
        raise EngineMissingError(
            f"{self.engine} needs its weights, and {what}: fetch {self.name} ({self.size_bytes // _MIB} MiB, "
            f"{self.licence}) from {self.address} by `cleanplate weights fetch {self.name}`, or name yours in "
            f"{self.setting}, or put it into the folder CLEANPLATE_WEIGHTS_DIR"
        )


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from error


def require_tensors(
    tensors: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]], *, of: str, prefix: str = ""
) -> None:
    """Raise WeightsError unless the tensors are those of a network, all of them and no others.

    Args:
        tensors: by their names behind the *prefix*.
        shapes: that the network needs, by name.
        of: what the network is called.
        prefix: what stands before the names in the file.
    """
    for name, shape in shapes.items():
        if name not in tensors:
            raise WeightsError(f"{prefix}{name} is missing")
        if tensors[name].shape != shape:
            raise WeightsError(f"{prefix}{name} has the shape {tensors[name].shape} where {of} has {shape}")
    surplus = sorted(tensors.keys() - shapes.keys())
    if surplus:
        raise WeightsError(f"{prefix}{surplus[0]} is no part of {of} as it was published")


@contextmanager
def tensors_in(path: Path) -> Iterator[Mapping[str, StoredTensor]]:
    """The named tensors of a file, to be read while it is open.

    Read are what torch saves since 2020 (`.pt`, `.pth`, `.ckpt`: a state dict, a Lightning checkpoint, a TorchScript
    archive) and safetensors. Nothing a file says is ever executed, unpickled or compiled.

    Raises:
        WeightsError: The file is damaged, of another kind, or claims to hold more than it does. One that is raised
            while it is open is given the file's name, too.
    """
    try:
        with _tensors_in(path) as tensors:
            yield tensors
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _tensors_in(path: Path) -> AbstractContextManager[Mapping[str, StoredTensor]]:
    try:
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING_BYTES)
    except OSError as error:
        raise WeightsError(str(error.strerror)) from error
    if beginning.startswith(_ZIP_MAGIC):
        return tensors_in_archive(path)
    if beginning and beginning.isascii() and beginning.decode().replace("\n", " ").isprintable():
        raise WeightsError("it is a text, such as a page or a pointer to the file, not the file itself: fetch it again")
    if path.suffix == ".safetensors":
        return tensors_in_safetensors(path)
    raise WeightsError(
        "it is neither safetensors nor what torch.save writes since version 1.6; if you trust an older file, read it "
        "with torch and save it again"
    )
