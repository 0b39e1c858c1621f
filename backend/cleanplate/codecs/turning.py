from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Turn(NamedTuple):
    """What makes a stored image upright: exchange rows and columns, then mirror."""

    transposed: bool
    from_right: bool
    from_bottom: bool


TURNS: Final[Mapping[int, Turn]] = MappingProxyType(
    {
        orientation: Turn(*(bool(flag) for flag in flags))
        for orientation, flags in enumerate(
            ((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1)), start=1
        )
    }
)
"""By EXIF orientation."""
