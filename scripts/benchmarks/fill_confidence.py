"""What an inpainter's confidence is worth: does it fall where the fill is poor?

Nobody has told for each case whether a person would keep the fill. In their place stands the mean of a fill's ranks
among all by layout error and by texture distance as a share of what a flat colour would have; the lowest quarter is
called poor. PSNR and SSIM are shown, but do not count: they call all busy images poor, however well they are filled.
That quarter is relative to the set; a threshold found here is to be checked by eye.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, Final

import numpy as np
import numpy.typing as npt

POOR_SHARE: Final = 0.25
THRESHOLDS: Final = 8
COUNTED: Final = ("layout", "texture")


def calibration(outcomes: Sequence[Any]) -> list[dict[str, Any]]:
    """For each inpainter that has confidences, over all its cases."""
    rows = []
    for name in dict.fromkeys(outcome.inpainter for outcome in outcomes):
        sure = [outcome for outcome in outcomes if outcome.inpainter == name and outcome.confidence is not None]
        if len(sure) > THRESHOLDS:
            rows.append({"inpainter": name, "count": len(sure)} | _calibrated(sure))
    return rows


def calibration_text(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The same for a person."""
    lines = []
    for row in rows:
        named = ", ".join(f"{name} {value:+.2f}" for name, value in row["spearman"].items())
        lines.append(f"confidence of {row['inpainter']} over {row['count']} cases, rank correlation with {named};")
        lines.append(f"a poor fill is less sure than another in {row['poor_below_others']:.0%} of all pairs")
        lines.append("| a second look below | poor fills caught | false alarms | sent to a second look |")
        lines.append("|---|---|---|---|")
        lines += [
            f"| {step['below']:.3f} | {step['caught']:.0%} | {step['false_alarms']:.0%} | {step['flagged']:.0%} |"
            for step in row["thresholds"]
        ]
    return lines


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation; 0 if either never changes."""
    a, b = ranks(one), ranks(other)
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """The place of each value in their order, from 0; equal ones share the mean of their places."""
    array = np.asarray(values, dtype=np.float64)
    below = (array[:, np.newaxis] > array).sum(axis=1)
    equal = (array[:, np.newaxis] == array).sum(axis=1)
    return below + (equal - 1) / 2


def _calibrated(outcomes: Sequence[Any]) -> dict[str, Any]:
    confidence = np.array([outcome.confidence for outcome in outcomes])
    qualities = {
        "PSNR": [outcome.figures.psnr_db for outcome in outcomes],
        "SSIM": [outcome.figures.ssim for outcome in outcomes],
        "layout": [-outcome.figures.layout for outcome in outcomes],
        "texture": [-outcome.figures.texture / outcome.figures.flatness for outcome in outcomes],
    }
    together = np.mean([ranks(qualities[name]) for name in COUNTED], axis=0)
    poor = ranks(list(together)) < POOR_SHARE * len(outcomes)
    correlations = {name: spearman(list(confidence), values) for name, values in qualities.items()}
    correlations["both"] = spearman(list(confidence), list(together))
    apart = np.sign(confidence[~poor][:, np.newaxis] - confidence[poor])
    return {
        "spearman": {name: round(value, 3) for name, value in correlations.items()},
        "poor_below_others": round(fmean((apart.ravel() + 1) / 2), 3),
        "thresholds": [
            _threshold(float(limit), confidence, poor)
            for limit in np.unique(np.quantile(confidence, np.arange(1, THRESHOLDS) / THRESHOLDS))
        ],
    }


def _threshold(limit: float, confidence: npt.NDArray[np.float64], poor: npt.NDArray[np.bool_]) -> dict[str, float]:
    flagged = confidence < limit
    return {
        "below": limit,
        "caught": float(flagged[poor].mean()),
        "false_alarms": float(flagged[~poor].mean()),
        "flagged": float(flagged.mean()),
    }
