"""How good the fills are, beside Telea's and Navier-Stokes'.

Every inpainter fills the same holes in images of which it is known what was there, through the pipeline, in the crops
it likes. PSNR and SSIM prefer a smear, so no fill is to be judged by them alone; the texture distance sees whether
grain and structure are those of the place, but not whether they lie where they should. No figure replaces the eye: look
at the pictures (--sheets, --removals). fill_metrics.py has the definitions.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, geometric_mean, median, stdev
from typing import Any, Final

import cv2
import numpy as np
from fill_cases import Case, cases
from fill_confidence import calibration, calibration_text
from fill_metrics import Figures, figures
from fill_peers import PEERS, SMALL_ONLY
from fill_removals import write_removals
from fill_sheets import write_sheets
from fill_times import times, times_text

from cleanplate.domain.image import RgbImage
from cleanplate.engines.protocols import Inpainter
from cleanplate.engines.registry import INPAINTERS, load_inpainter
from cleanplate.errors import EngineError
from cleanplate.pipeline.composite import erase
from cleanplate.pipeline.fill import fill

THREADS: Final = 2
QUICK_STEP: Final = 7
"""No multiple of the number of shapes, so that each of them is among the cases."""

GROUPS: Final = (("all", ("photograph", "drawn")), *((name, (name,)) for name in ("photograph", "drawn", "small")))
BASELINE: Final = "opencv"
TEXTURE_GOAL: Final = 0.8
"""A goal for every inpainter that means to be better than Telea: this share of its texture distance, at equal SSIM."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """One inpainter on one case.

    Attributes:
        seconds: wall-clock time of the fill.
        changed_outside: pixels that differ though they are not in the hole.
        confidence: the inpainter's own, if it has one.
    """

    inpainter: str
    case: Case
    image: RgbImage
    figures: Figures
    seconds: float
    changed_outside: int
    confidence: float | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _parsed(arguments)
    cv2.setNumThreads(THREADS)
    inpainters = _loaded(options.inpainters)
    if options.removals:
        write_removals(options.removals, inpainters)
        return 0
    chosen = cases()
    if options.quick:
        chosen = chosen[::QUICK_STEP]
    peers = {} if options.inpainters else {name: peer() for name, peer in PEERS.items()}
    outcomes = [
        filled(name, inpainter, case)
        for case in chosen
        for name, inpainter in {**inpainters, **peers}.items()
        if case.group == "small" or name not in SMALL_ONLY
    ]
    report = {"groups": summary(outcomes), "goals": goals(outcomes)}
    if options.calibration:
        report["calibration"] = calibration(outcomes)
    if not (options.quick or options.skip_times):
        report["times"] = times(tuple(inpainters))
    print(json.dumps(report | {"cases": _rows(outcomes)}, indent=1) if options.json else _text(report))
    if options.sheets:
        write_sheets(options.sheets, outcomes)
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench fills", description=__doc__)
    parser.add_argument(
        "--inpainters", metavar="A,B", help=f"only these and no peers; there are {', '.join(sorted(INPAINTERS))}"
    )
    parser.add_argument("--quick", action="store_true", help="a few cases only, and no times of large images")
    parser.add_argument("--skip-times", action="store_true", help="every case, but no times of large images")
    parser.add_argument("--json", action="store_true", help="for programs, with every case")
    parser.add_argument("--calibration", action="store_true", help="what the inpainters' confidences are worth")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="write contact sheets (PNG) there")
    parser.add_argument(
        "--removals", type=Path, metavar="FOLDER", help="measure nothing, write pictures of real removals (PNG) there"
    )
    return parser.parse_args(arguments)


def _loaded(names: str | None) -> dict[str, Inpainter]:
    """Those asked for, or else those that this machine has all it takes for."""
    if names:
        return {name: load_inpainter(name) for name in names.split(",")}
    loaded = {}
    for name in sorted(INPAINTERS):
        try:
            loaded[name] = load_inpainter(name)
        except EngineError as error:
            print(f"without {name}: {error}", file=sys.stderr)
    return loaded


def filled(name: str, inpainter: Inpainter, case: Case) -> Outcome:
    """Let an inpainter fill a hole as the pipeline would."""
    erased = erase(case.image, case.hole)
    nowhere = np.zeros_like(case.hole)
    started = time.perf_counter()
    answer = fill(erased, case.hole, avoid=nowhere, inpainter=inpainter)
    seconds = time.perf_counter() - started
    changed = (answer.image != case.image).any(axis=2) & ~case.hole
    measured = figures(answer.image, case.image, case.hole)
    return Outcome(name, case, answer.image, measured, seconds, int(changed.sum()), answer.confidence)


def summary(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Means per group and inpainter; sharpness and seam are ratios, so theirs are geometric."""
    rows = []
    for group, kinds in GROUPS:
        for name in dict.fromkeys(outcome.inpainter for outcome in outcomes):
            chosen = [outcome for outcome in outcomes if outcome.inpainter == name and outcome.case.group in kinds]
            if chosen:
                rows.append({"group": group, "inpainter": name, "count": len(chosen)} | _means(chosen))
    return rows


def _means(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    measured = [outcome.figures for outcome in outcomes]
    return {
        "psnr_db": round(fmean(one.psnr_db for one in measured), 2),
        "ssim": round(fmean(one.ssim for one in measured), 3),
        "texture": round(fmean(one.texture for one in measured), 3),
        "layout": round(fmean(one.layout for one in measured), 2),
        "sharpness": round(geometric_mean(one.sharpness for one in measured), 2),
        "seam": round(geometric_mean(one.seam for one in measured), 2),
        "median_s": round(median(outcome.seconds for outcome in outcomes), 3),
        "changed_outside": sum(outcome.changed_outside for outcome in outcomes),
    }


def goals(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """How each inpainter stands to Telea's over the cases with holes of 1 to 9 %, case by case."""
    large = [outcome for outcome in outcomes if outcome.case.group != "small"]
    telea = {outcome.case.name: outcome.figures for outcome in large if outcome.inpainter == BASELINE}
    rows = []
    for name in dict.fromkeys(outcome.inpainter for outcome in large if outcome.inpainter != BASELINE):
        pairs = [(one.figures, telea[one.case.name]) for one in large if one.inpainter == name and telea]
        if len(pairs) > 1:
            rows.append({"inpainter": name} | _beside(pairs))
    return rows


def _beside(pairs: Sequence[tuple[Figures, Figures]]) -> dict[str, Any]:
    similar = [one.ssim - other.ssim for one, other in pairs]
    ratio = fmean(one.texture for one, _ in pairs) / fmean(other.texture for _, other in pairs)
    return {
        "texture_ratio": round(ratio, 3),
        "better_texture": f"{sum(one.texture < other.texture for one, other in pairs)} of {len(pairs)}",
        "ssim_gain": round(fmean(similar), 4),
        "ssim_gain_error": round(stdev(similar) / len(similar) ** 0.5, 4),
        "met": ratio <= TEXTURE_GOAL and fmean(similar) >= 0,
    }


def _rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    return [
        {
            "case": outcome.case.name,
            "group": outcome.case.group,
            "hole_share": round(float(outcome.case.hole.mean()), 4),
            "inpainter": outcome.inpainter,
            "seconds": round(outcome.seconds, 3),
            "changed_outside": outcome.changed_outside,
            "confidence": outcome.confidence,
        }
        | {key: round(value, 4) for key, value in asdict(outcome.figures).items()}
        for outcome in outcomes
    ]


def _text(report: dict[str, Any]) -> str:
    lines = [
        "| holes | inpainter | n | PSNR | SSIM | texture | layout | sharpness | seam | median time | changed outside |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|---|---|")
    lines += [
        f"| {row['group']} | {row['inpainter']} | {row['count']} | {row['psnr_db']:.2f} dB | {row['ssim']:.3f} "
        f"| {row['texture']:.3f} | {row['layout']:.2f} | {row['sharpness']:.2f} | {row['seam']:.2f} "
        f"| {row['median_s'] * 1e3:.0f} ms | {row['changed_outside']} |"
        for row in report["groups"]
    ]
    lines += [
        f"{row['inpainter']} beside {BASELINE}: {row['texture_ratio']:.2f} of the texture distance "
        f"(better in {row['better_texture']}), SSIM {row['ssim_gain']:+.3f} ± {row['ssim_gain_error']:.3f}: "
        f"goals {'met' if row['met'] else 'missed'}"
        for row in report["goals"]
    ]
    lines += calibration_text(report.get("calibration", ()))
    lines += times_text(report.get("times", ()))
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
