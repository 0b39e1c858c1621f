"""How good the masks are, and how long they take, beside plain grabCut.

A robot clicks on outlined objects and every method gets the same treatment. Prints the mean overlap (intersection over
union) after 1, 3 and 5 clicks and for a box, and the times.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np
from click_robot import box_around, next_click
from contact_sheet import write_sheets
from mask_subjects import Subject, composites, enlarged, photographed

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Logits, Mask, RgbImage, size_of
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.registry import SEGMENTERS, load_segmenter

CLICKS: Final = 5
SHOWN_CLICKS: Final = (1, 3, 5)
BOX_MARGIN_PX: Final = 2
QUICK_SUBJECTS: Final = 8
THREADS: Final = 2
LARGE: Final = (4000, 3000)
LARGE_SUBJECTS: Final = 4
GROUPS: Final = (("real", None), ("real", False), ("real", True), ("composite", None), ("composite", True))


class Method(Protocol):
    """Something that answers prompts."""

    def prepare(self, image: RgbImage) -> Any:
        """What it keeps of an image."""
        ...

    def answer(
        self, kept: Any, points: tuple[Point, ...], box: Box | None, previous: Logits | None
    ) -> tuple[Mask, Logits | None]:
        """The mask, and what to give back with the next click."""
        ...


class Engine:
    """A segmenter of cleanplate."""

    def __init__(self, name: str) -> None:
        self._segmenter = load_segmenter(name)

    def prepare(self, image: RgbImage) -> Any:
        """Embed the image."""
        return self._segmenter.embed(image)

    def answer(
        self, kept: Any, points: tuple[Point, ...], box: Box | None, previous: Logits | None
    ) -> tuple[Mask, Logits | None]:
        """Segment."""
        result = self._segmenter.segment(kept, Prompt(points, box, previous))
        return result.mask, result.logits


class PlainGrabCut:
    """cv2.grabCut set up with some care: at 256 px, three rounds, a disc around each positive click.

    Beyond two radii there is only background, and parts that nobody clicked on are dropped: without these two, its
    masks are far worse. The radius is the best of those tried on this set.
    """

    LONGEST_PX: Final = 256
    ROUNDS: Final = 3
    RADIUS: Final = 0.15
    SEED_PX: Final = 4

    def prepare(self, image: RgbImage) -> Any:
        """Shrink the image."""
        scale = min(self.LONGEST_PX / max(image.shape[:2]), 1)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(small[..., ::-1]), size_of(image)

    def answer(
        self, kept: Any, points: tuple[Point, ...], box: Box | None, previous: Logits | None
    ) -> tuple[Mask, Logits | None]:
        """Cut; nothing is remembered."""
        small, size = kept
        scale = small.shape[1] / size.width
        places = [(round(point.x * scale), round(point.y * scale), point.positive) for point in points]
        trimap = self._box_trimap(small, box, scale) if box is not None else self._disc_trimap(small, places)
        cv2.setRNGSeed(1)
        background, foreground = np.zeros((2, 1, 65))
        try:
            cv2.grabCut(small, trimap, None, background, foreground, self.ROUNDS, cv2.GC_INIT_WITH_MASK)
        except cv2.error:  # one of the two sides has no pixels
            return np.zeros((size.height, size.width), dtype=np.bool_), previous
        inside = np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
        if box is None:
            _, labels = cv2.connectedComponents(inside, connectivity=4)
            clicked = [labels[min(y, len(labels) - 1), min(x, labels.shape[1] - 1)] for x, y, good in places if good]
            inside *= np.isin(labels, clicked)
        return cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR) > 0, previous

    def _disc_trimap(self, small: RgbImage, places: list[tuple[int, int, bool]]) -> Any:
        rows, columns = np.ogrid[: small.shape[0], : small.shape[1]]
        away = np.min([np.hypot(columns - x, rows - y) for x, y, positive in places if positive], axis=0)
        radius = self.RADIUS * min(small.shape[:2])
        probable = np.where(away < radius, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        trimap = np.where(away < 2 * radius, probable, cv2.GC_BGD).astype(np.uint8)
        for x, y, positive in places:
            cv2.circle(trimap, (x, y), self.SEED_PX, cv2.GC_FGD if positive else cv2.GC_BGD, thickness=-1)
        return trimap

    def _box_trimap(self, small: RgbImage, box: Box, scale: float) -> Any:
        left, top, right, bottom = (round(edge * scale) for edge in box)
        trimap = np.full(small.shape[:2], cv2.GC_BGD, dtype=np.uint8)
        trimap[top : max(bottom, top + 1), left : max(right, left + 1)] = cv2.GC_PR_FGD
        return trimap


@dataclass(frozen=True, eq=False)
class Outcome:
    """One method on one subject."""

    method: str
    subject: Subject
    overlaps: tuple[float, ...]
    box_overlap: float
    prepare_s: float
    click_s: tuple[float, ...]
    box_s: float
    masks: tuple[Mask, ...]
    clicks: tuple[Point, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _parsed(arguments)
    cv2.setNumThreads(THREADS)
    real = photographed()
    subjects = [*real, *composites(real)]
    if options.quick:
        subjects = subjects[:: max(len(subjects) // QUICK_SUBJECTS, 1)]
    methods: dict[str, Method] = {options.segmenter: Engine(options.segmenter), "grabCut": PlainGrabCut()}
    outcomes = [played(name, method, subject) for subject in subjects for name, method in methods.items()]
    large = [] if options.quick else _large(methods[options.segmenter], real)
    report = {"groups": summary(outcomes), "large": large}
    print(json.dumps(report | {"subjects": _rows(outcomes)}, indent=1) if options.json else _text(report))
    if options.sheets:
        write_sheets(options.sheets, outcomes)
    return 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench masks", description=__doc__)
    parser.add_argument("--segmenter", choices=sorted(SEGMENTERS), default="graphcut")
    parser.add_argument("--quick", action="store_true", help="a few subjects only")
    parser.add_argument("--json", action="store_true", help="for programs, with every subject")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="write contact sheets (PNG) there")
    return parser.parse_args(arguments)


def played(name: str, method: Method, subject: Subject) -> Outcome:
    """Let the robot work with a method on a subject: some clicks, then afresh a box."""
    started = time.perf_counter()
    kept = method.prepare(subject.image)
    prepare_s = time.perf_counter() - started
    points: tuple[Point, ...] = ()
    masks: list[Mask] = []
    times: list[float] = []
    previous: Logits | None = None
    for _ in range(CLICKS):
        click = next_click(subject.truth, masks[-1] if masks else None)
        if click is not None:
            points = (*points, click)
            started = time.perf_counter()
            mask, previous = method.answer(kept, points, None, previous)
            times.append(time.perf_counter() - started)
        else:
            mask = masks[-1]
        masks.append(mask)
    started = time.perf_counter()
    boxed, _ = method.answer(kept, (), box_around(subject.truth, margin_px=BOX_MARGIN_PX), None)
    box_s = time.perf_counter() - started
    overlaps = tuple(overlap(mask, subject.truth) for mask in masks)
    everything = (*masks, boxed)
    return Outcome(
        name, subject, overlaps, overlap(boxed, subject.truth), prepare_s, tuple(times), box_s, everything, points
    )


def overlap(mask: Mask, truth: Mask) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / (mask | truth).sum())


def summary(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Means per group and method."""
    rows = []
    for kind, held_out in GROUPS:
        for method in dict.fromkeys(outcome.method for outcome in outcomes):
            chosen = [
                outcome
                for outcome in outcomes
                if (outcome.method, outcome.subject.kind) == (method, kind)
                and held_out in {None, outcome.subject.held_out}
            ]
            if chosen:
                rows.append(_means(kind, held_out, method, chosen))
    return rows


def _means(kind: str, held_out: bool | None, method: str, outcomes: list[Outcome]) -> dict[str, Any]:  # noqa: FBT001
    half = {None: "all", True: "held out", False: "seen"}[held_out]
    steps = [outcome.overlaps for outcome in outcomes]
    clicks = [time_s for outcome in outcomes for time_s in outcome.click_s]
    return {
        "group": f"{kind}, {half}",
        "method": method,
        "count": len(outcomes),
        "clicks": {count: round(statistics.mean(step[count - 1] for step in steps), 3) for count in SHOWN_CLICKS},
        "box": round(statistics.mean(outcome.box_overlap for outcome in outcomes), 3),
        "worse_after_click": sum(b < a - 0.1 for step in steps for a, b in pairwise(step)),
        "empty": sum(not mask.any() for outcome in outcomes for mask in outcome.masks),
        "prepare_ms": round(statistics.median(outcome.prepare_s for outcome in outcomes) * 1e3, 1),
        "click_ms": round(statistics.median(clicks) * 1e3, 1),
        "click_p95_ms": round(float(np.percentile(clicks, 95)) * 1e3, 1),
        "box_ms": round(statistics.median(outcome.box_s for outcome in outcomes) * 1e3, 1),
    }


def _large(method: Method, subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    """Times on photographs of 12 megapixels; CPU time beside it, because other programs may be running."""
    width, height = LARGE
    chosen = subjects[:: len(subjects) // LARGE_SUBJECTS][:LARGE_SUBJECTS]
    rows = []
    for subject in chosen:
        cpu = time.process_time()
        outcome = played("", method, enlarged(subject, width=width, height=height))
        rows.append(
            {
                "subject": subject.name,
                "prepare_ms": round(outcome.prepare_s * 1e3, 1),
                "click_ms": [round(time_s * 1e3, 1) for time_s in outcome.click_s],
                "box_ms": round(outcome.box_s * 1e3, 1),
                "overlaps": [round(value, 2) for value in outcome.overlaps],
                "cpu_s_with_robot": round(time.process_time() - cpu, 2),
            }
        )
    return rows


def _rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    hidden = {"masks", "subject", "clicks"}
    return [
        {"subject": outcome.subject.name, "kind": outcome.subject.kind, "held_out": outcome.subject.held_out}
        | {key: value for key, value in vars(outcome).items() if key not in hidden}
        for outcome in outcomes
    ]


def _text(report: dict[str, Any]) -> str:
    lines = ["| objects | method | n | 1 / 3 / 5 clicks | box | worse by .10 | prepare | click median / p95 | box |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for row in report["groups"]:
        clicks = " / ".join(f"{value:.2f}" for value in row["clicks"].values())
        lines.append(
            f"| {row['group']} | {row['method']} | {row['count']} | {clicks} | {row['box']:.2f} "
            f"| {row['worse_after_click']} | {row['prepare_ms']:.0f} ms "
            f"| {row['click_ms']:.0f} / {row['click_p95_ms']:.0f} ms | {row['box_ms']:.0f} ms |"
        )
    lines += [f"12 MP, {row['subject']}: {json.dumps(row)}" for row in report["large"]]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
