"""Weights in safetensors files. The library is an extra, so it is imported when such a file is read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cleanplate.engines.weights_parts.stored_tensor import StoredTensor
from cleanplate.errors import EngineMissingError, WeightsError

_FLOATS: Final = frozenset({"F16", "F32", "F64"})


@dataclass(frozen=True)
class _SafeTensor:
    file: Any
    name: str
    shape: tuple[int, ...]
    storage: str

    def read(self) -> npt.NDArray[np.float32]:
        if self.storage not in _FLOATS:
            raise WeightsError(f"{self.name} is stored as {self.storage}, not as one of {', '.join(sorted(_FLOATS))}")
        with _damage_as_weights_error():
            return np.array(self.file.get_tensor(self.name), dtype=np.float32)


@contextmanager
def tensors_in_safetensors(path: Path) -> Iterator[Mapping[str, StoredTensor]]:
    """The tensors of a safetensors file, to be read while it is open.

    Raises:
        EngineMissingError: The library is not installed.
        WeightsError: The file is damaged.
    """
    with _damage_as_weights_error():
        from safetensors import safe_open  # noqa: PLC0415

        file: Any = safe_open(path, framework="numpy")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    with file:
        yield {
            name: _SafeTensor(file, name, tuple(part.get_shape()), str(part.get_dtype()))
            for name, part in slices.items()
        }


@contextmanager
def _damage_as_weights_error() -> Iterator[None]:
    try:
        from safetensors import SafetensorError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise EngineMissingError("safetensors files need their library: pip install safetensors") from error
    try:
        yield
    except (SafetensorError, OSError) as error:
        raise WeightsError(str(error)) from error
