"""From coarse to fine: what each pixel of a hole copies."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from cleanplate.engines.inpainters.exemplar_parts import offsets
from cleanplate.engines.inpainters.exemplar_parts.canvas import Canvas
from cleanplate.engines.inpainters.exemplar_parts.confidence import Fit
from cleanplate.engines.inpainters.exemplar_parts.descriptors import Descriptors
from cleanplate.engines.inpainters.exemplar_parts.exact import ExactSearch
from cleanplate.engines.inpainters.exemplar_parts.grid import Places, places, rows_and_columns
from cleanplate.engines.inpainters.exemplar_parts.membrane import membrane
from cleanplate.engines.inpainters.exemplar_parts.pyramid import MOST_SEARCHED_PIXELS, Level
from cleanplate.engines.inpainters.exemplar_parts.search import Matches, PatchMatch

ROUNDS: Final = (24, 16, 10, 6, 4, 4)
"""Rounds of search and vote, the coarsest level first; the last number holds for all that follow."""

MOST_VOTES: Final = 120_000
FEWEST_ROUNDS: Final = 3
"""A level has fewer rounds if so many targets take part that it would take too long, but at least these."""

ROUNDS_AFTER_OFFSETS: Final = 4
ROUNDS_WHEN_LARGE: Final = 1
SPREADS: Final = 1

EXACT_PAIRS: Final = 60_000_000
"""Up to so many comparisons all are made; beyond, good ones spread to their neighbours."""

EXACT_PAIRS_IN_ALL: Final = 120_000_000
"""So many comparisons may the exact searches of a level take; the rounds between them search by spreading."""

MOST_SEARCHED: Final = 14_000
"""Holes of more pixels are searched no more but for one cheap round on the next level."""

COMPARED_AT: Final = 6_000
"""The two starts run up to the finest level whose hole has no more pixels; the better one goes on."""

SEED: Final = 1


@dataclass(frozen=True, eq=False)
class Completion:
    """What a hole copies.

    Attributes:
        sources: one for each pixel of the hole in order, by number.
        fit: how well the patches look like their sources.
    """

    sources: Places
    fit: Fit


@dataclass(frozen=True, eq=False)
class _State:
    # The matches at a level, and the level with its hole filled by them.
    at: int
    matches: Matches
    canvas: Canvas


def completed(levels: Sequence[Level]) -> Completion:
    """Fill the hole from both starts, go on with the one whose patches fit better.

    Args:
        levels: the finest first; the coarsest has something to copy from.
    """
    meeting = _meeting(levels)
    with ThreadPoolExecutor(max_workers=1) as second:
        by_offsets = second.submit(_from_offsets, levels, meeting)
        state = _better(_from_membrane(levels, meeting), by_offsets.result())
    while state.at > 0 and _is_searched(levels[state.at - 1], levels[state.at]):
        state = _refined(levels, _risen(levels, state, state.at - 1), _rounds(levels, state.at - 1))
    fit = state.canvas.fit(state.matches)
    targets, sources = state.matches.targets, state.matches.sources
    if state.at == 0:
        return Completion(sources[np.searchsorted(targets, places(levels[0].hole))], fit)
    for at in reversed(range(state.at)):
        targets, sources = _upsampled(targets, sources, levels[at + 1], levels[at], places(levels[at].hole))
    return Completion(sources, fit)


def _better(one: _State, other: _State | None) -> _State:
    if other is None or one.canvas.fit(one.matches).energy <= other.canvas.fit(other.matches).energy:
        return one
    return other


def _meeting(levels: Sequence[Level]) -> int:
    small = [at for at, level in enumerate(levels) if level.hole_pixels <= COMPARED_AT]
    return min(small, default=len(levels) - 1)


def _is_searched(level: Level, coarser: Level) -> bool:
    if level.hole_pixels <= MOST_SEARCHED:
        return True
    return coarser.hole_pixels <= MOST_SEARCHED and level.hole.size <= MOST_SEARCHED_PIXELS


def _rounds(levels: Sequence[Level], at: int) -> int:
    if levels[at].hole_pixels > MOST_SEARCHED:
        return ROUNDS_WHEN_LARGE
    affordable = max(FEWEST_ROUNDS, MOST_VOTES // levels[at].targets.size)
    return min(ROUNDS[min(len(levels) - 1 - at, len(ROUNDS) - 1)], affordable)


def _from_membrane(levels: Sequence[Level], until: int) -> _State:
    at = len(levels) - 1
    level = levels[at]
    state = _State(at, _unmatched(level), Canvas(level, membrane(level.looks(), level.hole)))
    state = _refined(levels, state, _rounds(levels, at))
    return _climbed(levels, state, until)


def _from_offsets(levels: Sequence[Level], until: int) -> _State | None:
    fitting = [at for at, level in enumerate(levels) if at >= until and offsets.fits(level)]
    if not fitting:
        return None
    level = levels[fitting[0]]
    guess = membrane(level.looks(), level.hole)
    shifted = offsets.shifted_sources(level, Descriptors(guess).values, SEED)
    if shifted is None:
        return None
    matches = _spread(*shifted, level)
    canvas = Canvas(level, guess)
    canvas.vote(matches)
    state = _refined(levels, _State(fitting[0], matches, canvas), ROUNDS_AFTER_OFFSETS)
    return _climbed(levels, state, until)


def _climbed(levels: Sequence[Level], state: _State, until: int) -> _State:
    while state.at > until:
        state = _refined(levels, _risen(levels, state, state.at - 1), _rounds(levels, state.at - 1))
    return state


def _unmatched(level: Level) -> Matches:
    spread = np.arange(level.targets.size) % level.sources.size
    return Matches(level.targets, level.sources[spread], np.zeros(level.targets.size, dtype=np.float32))


def _spread(known: Places, sources: Places, level: Level) -> Matches:
    # Targets without a source of their own take that of the nearest that has one, shifted along if that is possible.
    found = _carried(known, sources, level.targets, level)
    return Matches(level.targets, found, np.zeros(level.targets.size, dtype=np.float32))


def _carried(known: Places, sources: Places, wanted: Places, level: Level) -> Places:
    height, width = level.shape
    rows, columns = rows_and_columns(wanted, width)
    known_rows, known_columns = rows_and_columns(known, width)
    giver = nearest_known(known_rows, known_columns, rows, columns)
    known_rows, known_columns = known_rows[giver], known_columns[giver]
    from_rows, from_columns = rows_and_columns(sources[giver], width)
    moved_rows, moved_columns = from_rows + rows - known_rows, from_columns + columns - known_columns
    inside = (moved_rows >= 0) & (moved_rows < height) & (moved_columns >= 0) & (moved_columns < width)
    moved = np.where(inside, moved_rows * width + moved_columns, sources[giver])
    return np.where(level.centres.reshape(-1)[moved], moved, sources[giver]).astype(np.int32)


def nearest_known(known_rows: Places, known_columns: Places, rows: Places, columns: Places) -> Places:
    """For each wanted place the number of the known place that is nearest to it."""
    # In the box around them all: what is nearest is nearest there too.
    top, left = (int(min(known.min(), own.min())) for known, own in ((known_rows, rows), (known_columns, columns)))
    bottom, right = (int(max(known.max(), own.max())) for known, own in ((known_rows, rows), (known_columns, columns)))
    empty = np.ones((bottom + 1 - top, right + 1 - left), dtype=np.uint8)
    known_at = (known_rows - top, known_columns - left)
    empty[known_at] = 0
    _, labels = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    by_label = np.zeros(known_rows.size + 1, dtype=np.int32)
    by_label[labels[known_at]] = np.arange(known_rows.size, dtype=np.int32)
    return np.asarray(by_label[labels[rows - top, columns - left]])


def _risen(levels: Sequence[Level], state: _State, at: int) -> _State:
    level = levels[at]
    targets, sources = _upsampled(state.matches.targets, state.matches.sources, levels[at + 1], level, level.targets)
    matches = Matches(targets, sources, np.zeros(targets.size, dtype=np.float32))
    canvas = Canvas(level, level.looks())
    canvas.vote(matches)
    return _State(at, matches, canvas)


def _upsampled(targets: Places, sources: Places, coarse: Level, fine: Level, wanted: Places) -> tuple[Places, Places]:
    slots = np.full(coarse.hole.size, -1, dtype=np.int32)
    slots[targets] = np.arange(targets.size, dtype=np.int32)
    rows, columns = rows_and_columns(wanted, fine.shape[1])
    parents = rows // 2 * coarse.shape[1] + columns // 2
    if (slots[parents] < 0).any():
        orphans = np.unique(parents[slots[parents] < 0])
        found = _carried(targets, sources, orphans, coarse)
        slots[orphans] = np.arange(orphans.size, dtype=np.int32) + targets.size
        sources = np.concatenate([sources, found])
    from_rows, from_columns = rows_and_columns(sources[slots[parents]], coarse.shape[1])
    moved = (2 * from_rows + rows % 2) * fine.shape[1] + 2 * from_columns + columns % 2
    return wanted, moved.astype(np.int32)


def _refined(levels: Sequence[Level], state: _State, rounds: int) -> _State:
    level, canvas, matches = levels[state.at], state.canvas, state.matches
    search = PatchMatch(level.targets, level.centres, canvas.descriptors, SEED)
    pairs = level.targets.size * level.sources.size
    exact = ExactSearch(level.targets, level.sources, canvas.descriptors) if pairs <= EXACT_PAIRS else None
    exact_every = max(1, -(-rounds * pairs // EXACT_PAIRS_IN_ALL))
    for number in range(rounds):
        before = matches
        if exact is not None and number % exact_every == 0:
            matches = exact.improved(matches)
        else:
            matches = search.improved(matches, SPREADS)
        if matches is before:
            break
        canvas.vote(matches)
    return _State(state.at, matches, canvas)
