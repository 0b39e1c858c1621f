"""How likely a person would keep the fill, told from how well its patches fit."""

from dataclasses import dataclass
from typing import Final

import numpy as np

DOUBTS: Final = (0.0, 30.0, 50.0, 70.0, 110.0, 140.0, 210.0, 400.0)
KEPT: Final = (0.98, 0.92, 0.85, 0.55, 0.42, 0.2, 0.05, 0.01)

HOLE_SHARES: Final = (0.0, 0.15, 0.25, 0.5, 1.0)
SHARE_FACTORS: Final = (1.0, 1.0, 0.6, 0.3, 0.0)

_CHANGE_WEIGHT: Final = 2.0


@dataclass(frozen=True)
class Fit:
    """How well the patches of a fill look like their sources, in units of the descriptors.

    Attributes:
        energy: the mean distance between a patch and its source.
        worst: the distance that three in a hundred patches exceed: where structure breaks off, few patches tell.
        change: by how much the fill is busier or calmer than what touches it, as a logarithm; never negative.
    """

    energy: float
    worst: float
    change: float


def confidence_of(fit: Fit, hole_share: float) -> float:
    """A number between 0 and 1 that falls as any of the figures rises.

    Fitted on 63 fills of `scripts/bench fills` (13 photographs of scikit-image and scikit-learn, 8 drawn scenes; blobs,
    boxes and silhouettes of 1 to 9 %): a knot's height is about the share of fills with such a doubt that both a person
    kept at a glance and the benchmark did not count among its poorest quarter. The steps for large holes are a guess.

    Args:
        fit: of the fill.
        hole_share: how much of the crop had to be filled.
    """
    doubt = fit.worst * (1 + _CHANGE_WEIGHT * fit.change)
    kept = float(np.interp(doubt, DOUBTS, KEPT))
    return kept * float(np.interp(hole_share, HOLE_SHARES, SHARE_FACTORS))
