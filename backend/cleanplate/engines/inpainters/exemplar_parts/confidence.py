"""How likely a person would keep the fill, told from how well its patches fit."""

from typing import Final

import numpy as np

ENERGIES: Final = (5.0, 15.0, 25.0, 35.0, 60.0)
KEPT: Final = (0.95, 0.85, 0.6, 0.35, 0.05)

HOLE_SHARES: Final = (0.0, 0.15, 0.25, 0.5, 1.0)
SHARE_FACTORS: Final = (1.0, 1.0, 0.7, 0.4, 0.1)


def confidence_of(energy: float, hole_share: float) -> float:
    """A number between 0 and 1.

    Args:
        energy: mean distance of the fill's patches from their sources.
        hole_share: how much of the crop had to be filled.
    """
    kept = float(np.interp(energy, ENERGIES, KEPT))
    return kept * float(np.interp(hole_share, HOLE_SHARES, SHARE_FACTORS))
