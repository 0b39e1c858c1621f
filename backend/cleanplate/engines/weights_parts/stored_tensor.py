from typing import Protocol

import numpy as np
import numpy.typing as npt


class StoredTensor(Protocol):
    """A tensor in a file. Its shape is known; its numbers are read when asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        ...

    def read(self) -> npt.NDArray[np.float32]:
        """Its numbers, in memory of their own.

        Raises:
            WeightsError: The file does not hold them, or they are no floating-point numbers.
        """
        ...
