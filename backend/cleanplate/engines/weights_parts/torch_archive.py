"""Weights in the zip archives that torch writes: state dicts, Lightning checkpoints and TorchScript.

An archive has a pickle, `data.pkl`, that says which tensors there are, and beside it their numbers, one member each.
A TorchScript archive holds source code, too; it is not looked at.
"""

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cleanplate.engines.weights_parts.pickles import Beside, Made, Name, contents_of
from cleanplate.engines.weights_parts.stored_tensor import StoredTensor
from cleanplate.errors import WeightsError

_PICKLE: Final = "data.pkl"
_MAX_PICKLE_BYTES: Final = 32 * 1024 * 1024
"""Checkpoints with the state of their optimizers have about 2 MiB."""

_MAX_NODES: Final = 200_000
_MAX_DEPTH: Final = 32
_MAX_NAME_CHARACTERS: Final = 200
"""What is looked at: a short pickle can name one thing inside another again and again."""

_MAX_AXES: Final = 8
_MAX_LENGTH: Final = 2**40

_TENSOR: Final = Name("torch._utils", "_rebuild_tensor_v2")
_PARAMETER: Final = Name("torch._utils", "_rebuild_parameter")
_SCRIPTED: Final = "__torch__"

_BFLOAT16: Final = "BFloat16Storage"
_DTYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", _BFLOAT16: "<u2"}
)


@contextmanager
def tensors_in_archive(path: Path) -> Iterator[Mapping[str, StoredTensor]]:
    """The tensors of an archive by their names, as `state_dict()` would give them, to be read while it is open.

    Raises:
        WeightsError: The archive is damaged, or holds no named tensors.
    """
    with _damage_as_weights_error():
        file = zipfile.ZipFile(path)
    with file:
        archive = _Archive.of(file, size_bytes=path.stat().st_size)
        pickle = archive.read(_PICKLE, at_most_bytes=_MAX_PICKLE_BYTES)
        tensors = dict(_named_tensors(contents_of(pickle), archive))
        if not tensors:
            raise WeightsError("it holds no named tensors")
        yield tensors


@dataclass(frozen=True)
class _Archive:
    """A zip file as torch writes it.

    Attributes:
        folder: what the names of its members begin with.
        size_bytes: of the whole file.
        sizes_bytes: of the members that are not packed. torch packs no numbers, and packed ones could be of any size.
    """

    file: zipfile.ZipFile
    folder: str
    size_bytes: int
    sizes_bytes: Mapping[str, int]

    @classmethod
    def of(cls, file: zipfile.ZipFile, *, size_bytes: int) -> "_Archive":
        plain = [member for member in file.infolist() if member.compress_type == zipfile.ZIP_STORED]
        folders = [member.filename.removesuffix(_PICKLE) for member in plain if member.filename.endswith(f"/{_PICKLE}")]
        if len(folders) != 1:
            raise WeightsError("the archive is none that torch has written")
        sizes = MappingProxyType({member.filename: member.file_size for member in plain})
        archive = cls(file, folders[0], size_bytes, sizes)
        if archive.holds("byteorder") and archive.read("byteorder", at_most_bytes=16) != b"little":
            raise WeightsError("it was written on a machine with another order of bytes")
        return archive

    def holds(self, name: str) -> bool:
        return self.folder + name in self.sizes_bytes

    def read(self, name: str, *, at_most_bytes: int) -> bytes:
        if not self.holds(name):
            raise WeightsError(f"the archive has no {name}, or has packed it")
        if self.sizes_bytes[self.folder + name] > at_most_bytes:
            raise WeightsError(f"{name} in the archive is larger than it can be")
        with _damage_as_weights_error():
            return self.file.read(self.folder + name)


@contextmanager
def _damage_as_weights_error() -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
        raise WeightsError(f"the archive is damaged: {error}") from error


@dataclass(frozen=True)
class _ArchivedTensor:
    archive: _Archive
    name: str
    key: str
    storage: str
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self) -> npt.NDArray[np.float32]:
        try:
            return self._numbers()
        except WeightsError as error:
            raise WeightsError(f"{self.name}: {error}") from error

    def _numbers(self) -> npt.NDArray[np.float32]:
        if self.storage not in _DTYPES:
            raise WeightsError(f"it is stored as {self.storage}, not as floating-point numbers")
        dtype = np.dtype(_DTYPES[self.storage])
        content = self.archive.read(f"data/{self.key}", at_most_bytes=self.archive.size_bytes)
        stored = np.frombuffer(content, dtype, count=len(content) // dtype.itemsize)
        count = math.prod(self.shape)
        last = self.start + sum((length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True))
        if count and not (count <= stored.size and last < stored.size):
            raise WeightsError(f"it claims {count} numbers, and the archive has {stored.size}")
        steps = tuple(stride * dtype.itemsize for stride in self.strides)
        view = np.lib.stride_tricks.as_strided(stored[self.start :], self.shape, steps, writeable=False)
        if self.storage == _BFLOAT16:
            return (view.astype(np.uint32) << 16).view(np.float32)
        return np.array(view, dtype=np.float32)


def _named_tensors(root: object, archive: _Archive) -> Iterator[tuple[str, StoredTensor]]:
    """Every tensor that can be reached by names, and its names with dots between them."""
    todo = [_Node((), root["state_dict"] if isinstance(root, dict) and "state_dict" in root else root)]
    seen = 0
    while todo:
        node = todo.pop()
        tensor = _tensor_of(node, archive)
        if tensor is not None:
            yield tensor.name, tensor
            continue
        todo.extend(node.children())
        seen += 1
        if seen + len(todo) > _MAX_NODES:
            raise WeightsError("it names more tensors than any network has")


class _Node(NamedTuple):
    names: tuple[str, ...]
    content: object

    def children(self) -> Iterator["_Node"]:
        if len(self.names) >= _MAX_DEPTH:
            return
        for name, value in self._entries().items():
            if isinstance(value, (Made, dict)) and len(str(name)) <= _MAX_NAME_CHARACTERS:
                yield _Node((*self.names, str(name)), value)

    def _entries(self) -> Mapping[Any, object]:
        if isinstance(self.content, dict):
            return self.content
        if not isinstance(self.content, Made):
            return {}
        maker, state = self.content.maker, self.content.state
        scripted = isinstance(maker, Name) and maker.module.partition(".")[0] == _SCRIPTED
        return state if scripted and isinstance(state, dict) else self.content.entries


def _tensor_of(node: _Node, archive: _Archive) -> _ArchivedTensor | None:
    name, made = ".".join(node.names), node.content
    if isinstance(made, Made) and made.maker == _PARAMETER and isinstance(made.arguments, tuple) and made.arguments:
        made = made.arguments[0]
    if not isinstance(made, Made) or made.maker != _TENSOR:
        return None
    match made.arguments:
        case (Beside(("storage", Name(name=storage), str(key), *_)), int(start), tuple(shape), tuple(strides), *_):
            if len(shape) == len(strides) <= _MAX_AXES and all(map(_is_length, (start, *shape, *strides))):
                return _ArchivedTensor(archive, name, key, str(storage), start, shape, strides)
    raise WeightsError(f"{name[:_MAX_NAME_CHARACTERS]} is described as torch describes no tensor")


def _is_length(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= _MAX_LENGTH
