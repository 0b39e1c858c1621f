"""Fits the numbers in `graphcut_parts/rankers.npz`: how good a proposal looks, by its measures.

Learns from the photographs that `scripts/bench masks` does not hold out, and composites of their objects that are not
in its set: the click robot works on them, and every proposal it was offered is compared with the true outline.
"""

import argparse
import pickle
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from click_robot import box_around, next_click
from mask_subjects import Subject, composites, photographed
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from cleanplate.domain.geometry import Point
from cleanplate.domain.prompt import Prompt
from cleanplate.engines.segmenters import graphcut_parts
from cleanplate.engines.segmenters.graphcut import Graphcut, GraphcutEmbedding
from cleanplate.engines.segmenters.graphcut_parts.proposals import Click, Proposals, first_proposals
from cleanplate.engines.segmenters.graphcut_parts.ranker import NUMBERS, BoostedTrees, Ranker, Rankers, Weighted
from cleanplate.engines.segmenters.graphcut_parts.superpixels import Numbers

ROUNDS: Final = 3
CLICKS: Final = 6
BOXED_SHARE: Final = 0.25
COMPOSITE_SETS: Final = 8
VARIATIONS: Final = 5
WORST: Final = -0.4
PHOTOGRAPH_WEIGHT: Final = 3


class Lesson:
    """What was offered at one click, and how much each proposal would have gained."""

    def __init__(self, subject: Subject, proposals: Proposals, overlaps: Numbers, before: float) -> None:
        self.name = subject.name
        self.kind = subject.kind
        self.measures = proposals.measures
        self.gains = overlaps - before
        share = PHOTOGRAPH_WEIGHT if subject.kind == "real" else 1
        self.weights = np.full(len(overlaps), share / len(overlaps))


class Teacher:
    """A ranker that knows the truth: it writes down lessons, and answers as well as it is told to."""

    def __init__(self, random: np.random.Generator, learned: Ranker | None) -> None:
        self.lessons: list[Lesson] = []
        self.before = 0.0
        self._random = random
        self._learned = learned

    def look_at(self, subject: Subject, embedding: GraphcutEmbedding) -> None:
        """Say which subject the following proposals are about."""
        self._subject = subject
        self._truth = embedding.view.overview.shares(subject.truth)
        self._sizes = embedding.view.overview.superpixels.sizes

    def __call__(self, proposals: Proposals) -> Numbers:
        """(k,), the true or the learned gains with some noise."""
        overlaps = _overlaps(proposals.regions, self._truth, self._sizes)
        lesson = Lesson(self._subject, proposals, overlaps, self.before)
        self.lessons.append(lesson)
        noise = self._random.gumbel(size=len(overlaps))
        if self._learned is not None:
            return np.asarray(self._learned(proposals) + 0.03 * noise, dtype=np.float32)
        return np.asarray(lesson.gains + 0.12 * noise, dtype=np.float32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(str(graphcut_parts.__path__[0])) / NUMBERS)
    parser.add_argument("--composite-sets", type=int, default=COMPOSITE_SETS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--lessons", type=Path, help="keep what was learned from there, to try other fits")
    options = parser.parse_args(arguments)
    random = np.random.default_rng(0)
    real = [subject for subject in photographed() if not subject.held_out]
    seeds = range(1, options.composite_sets + 1)
    pasted = [made for seed in seeds for made in composites(photographed(), seed=seed) if not made.held_out]
    varied = [_varied(subject, random) for subject in real * VARIATIONS]
    subjects = [*real, *varied, *(_varied(made, random) for made in pasted)]
    embeddings = _embedded(subjects)
    first_lessons = _first_lessons(subjects, embeddings, random)
    first = _weighted(first_lessons)
    adding: Ranker | None = None
    removing: Ranker | None = None
    lessons: dict[bool, list[Lesson]] = {True: [], False: []}
    for count in range(options.rounds):
        teachers = {True: Teacher(random, adding), False: Teacher(random, removing)}
        _play(subjects, embeddings, first, teachers, random)
        for positive, teacher in teachers.items():
            lessons[positive] += teacher.lessons
            print(
                f"round {count + 1}: {len(lessons[positive])} {'positive' if positive else 'negative'} clicks",
                flush=True,
            )
        adding, removing = _boosted(lessons[True]), _boosted(lessons[False])
    if options.lessons:
        options.lessons.write_bytes(pickle.dumps((first_lessons, lessons)))
    arrays = {}
    for kind, ranker in (("first", first), ("adding", adding), ("removing", removing)):
        arrays |= {f"{kind}_{name}": array for name, array in vars(ranker).items()}
    np.savez_compressed(options.out, **arrays)
    print(f"{options.out}: {options.out.stat().st_size} bytes")
    return 0


def _varied(subject: Subject, random: np.random.Generator) -> Subject:
    """The subject mirrored, turned, and as another camera in another light would show it."""
    image, truth = subject.image, subject.truth
    if random.random() < 1 / 2:
        image, truth = image[:, ::-1], truth[:, ::-1]
    if random.random() < 1 / 3:
        image, truth = image.transpose(1, 0, 2), truth.T
    scale = random.uniform(0.5, 1.0)
    colours = cv2.resize(np.ascontiguousarray(image), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) / 255
    fitted = cv2.resize(truth.astype(np.float32), colours.shape[1::-1], interpolation=cv2.INTER_AREA)
    if random.random() < 1 / 4:
        colours = np.repeat(colours.mean(axis=2, keepdims=True), 3, axis=2)
    tint = random.uniform(0.8, 1.2, 3)
    shown = np.clip(colours ** random.uniform(0.7, 1.4) * tint, 0, 1) * 255
    if random.random() < 1 / 3:
        shown = cv2.GaussianBlur(shown, (0, 0), random.uniform(0.5, 1.5))
    shown = shown + random.normal(0, random.uniform(0, 8), shown.shape)
    return Subject(subject.name, subject.kind, subject.held_out, shown.clip(0, 255).astype(np.uint8), fitted > 1 / 2)


def _embedded(subjects: list[Subject]) -> list[GraphcutEmbedding]:
    engine = Graphcut(Rankers(*[_never] * 3), "fitting")
    known: dict[int, GraphcutEmbedding] = {}
    embeddings = []
    for subject in subjects:
        key = zlib.crc32(subject.image.tobytes())
        if key not in known:
            known[key] = engine.embed(subject.image)
        embeddings.append(known[key])
    return embeddings


def _never(_: Proposals) -> Numbers:
    raise RuntimeError("nothing is ranked while images are prepared")


def _first_lessons(
    subjects: list[Subject], embeddings: list[GraphcutEmbedding], random: np.random.Generator
) -> list[Lesson]:
    lessons = []
    for subject, embedding in zip(subjects, embeddings, strict=True):
        overview = embedding.view.overview
        truth, sizes = overview.shares(subject.truth), overview.superpixels.sizes
        height, width = subject.truth.shape
        for point in _first_clicks(subject, random):
            click = Click((point.x + 0.5) / width, (point.y + 0.5) / height, positive=True)
            proposals = first_proposals(overview, click)
            lessons.append(Lesson(subject, proposals, _overlaps(proposals.regions, truth, sizes), 0.0))
    return lessons


def _weighted(lessons: list[Lesson]) -> Weighted:
    measures, gains, weights = _stacked(lessons)
    middle, spread = measures.mean(axis=0), measures.std(axis=0) + 1e-6
    fitted = Ridge(300).fit((measures - middle) / spread, gains, sample_weight=weights * len(weights) / weights.sum())
    slopes = (fitted.coef_ / spread).astype(np.float32)
    return Weighted(start=np.float32(fitted.intercept_ - middle @ (fitted.coef_ / spread)), slopes=slopes)


def _first_clicks(subject: Subject, random: np.random.Generator) -> list[Point]:
    """The robot's first click and three that are less well aimed."""
    depth = cv2.distanceTransform(np.pad(subject.truth, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    good = np.argwhere(depth[1:-1, 1:-1] > 0.6 * depth.max())
    others = [Point(float(x), float(y)) for y, x in random.choice(good, 3)]
    return [next_click(subject.truth, None) or others[0], *others]


def _play(
    subjects: list[Subject],
    embeddings: list[GraphcutEmbedding],
    first: Ranker,
    teachers: dict[bool, Teacher],
    random: np.random.Generator,
) -> None:
    engine = Graphcut(Rankers(first=first, adding=teachers[True], removing=teachers[False]), "fitting")
    for subject, embedding in zip(subjects, embeddings, strict=True):
        points: tuple[Point, ...] = ()
        box = box_around(subject.truth, margin_px=2) if random.random() < BOXED_SHARE else None
        if box is None:
            points = (_first_clicks(subject, random)[int(random.integers(4))],)
        answer = engine.segment(embedding, Prompt(points, box))
        overview = embedding.view.overview
        for teacher in teachers.values():
            teacher.look_at(subject, embedding)
        for _ in range(CLICKS - 1):
            click = next_click(subject.truth, answer.mask)
            if click is None:
                break
            points = (*points, click)
            base = overview.shares(answer.mask) > 1 / 2
            before = _overlaps(base[np.newaxis], overview.shares(subject.truth), overview.superpixels.sizes)
            for teacher in teachers.values():
                teacher.before = float(before[0])
            answer = engine.segment(embedding, Prompt(points, box, answer.logits))


def _overlaps(regions: npt.NDArray[np.bool_], truth: Numbers, sizes: Numbers) -> Numbers:
    members = regions.astype(np.float32)
    common = members @ (truth * sizes)
    return np.asarray(common / (members @ sizes + truth @ sizes - common), dtype=np.float32)


def _stacked(lessons: list[Lesson]) -> tuple[Numbers, Numbers, Numbers]:
    measures = np.concatenate([lesson.measures for lesson in lessons])
    gains = np.concatenate([lesson.gains for lesson in lessons])
    return measures, np.maximum(gains, WORST), np.concatenate([lesson.weights for lesson in lessons])


def _boosted(lessons: list[Lesson]) -> BoostedTrees:
    measures, gains, weights = _stacked(lessons)
    model = HistGradientBoostingRegressor(
        max_iter=150, learning_rate=0.06, max_leaf_nodes=12, min_samples_leaf=60, l2_regularization=5, random_state=0
    )
    model.fit(measures, gains, sample_weight=weights * len(weights) / weights.sum())
    trees = [predictors[0].nodes for predictors in model._predictors]  # noqa: SLF001 - the only way to the trees
    widest = max(len(nodes) for nodes in trees)
    columns = {name: np.zeros((len(trees), widest)) for name in ("features", "thresholds", "lefts", "rights", "values")}
    for row, nodes in enumerate(trees):
        leaf = nodes["is_leaf"].astype(bool)
        columns["features"][row, : len(nodes)] = np.where(leaf, 0, nodes["feature_idx"])
        columns["thresholds"][row, : len(nodes)] = np.where(leaf, 0, nodes["num_threshold"])
        columns["lefts"][row, : len(nodes)] = np.where(leaf, np.arange(len(nodes)), nodes["left"])
        columns["rights"][row, : len(nodes)] = np.where(leaf, np.arange(len(nodes)), nodes["right"])
        columns["values"][row, : len(nodes)] = np.where(leaf, nodes["value"], 0)
    whole = {name: columns[name].astype(np.int16) for name in ("features", "lefts", "rights")}
    real = {name: columns[name].astype(np.float32) for name in ("thresholds", "values")}
    depth = max(int(nodes["depth"].max()) for nodes in trees)
    start = np.float32(np.ravel(model._baseline_prediction)[0])  # noqa: SLF001 - the same
    return BoostedTrees(start=start, **whole, **real, depth=depth)


if __name__ == "__main__":
    raise SystemExit(main())
