import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cleanplate.engines.inpainters.exemplar_parts import offsets
from cleanplate.engines.inpainters.exemplar_parts.canvas import Canvas
from cleanplate.engines.inpainters.exemplar_parts.completion import completed, nearest_known
from cleanplate.engines.inpainters.exemplar_parts.confidence import Fit, confidence_of
from cleanplate.engines.inpainters.exemplar_parts.descriptors import LOOKS, Descriptors
from cleanplate.engines.inpainters.exemplar_parts.exact import ExactSearch
from cleanplate.engines.inpainters.exemplar_parts.familiar import familiar
from cleanplate.engines.inpainters.exemplar_parts.grid import depths, places, reached, source_centres
from cleanplate.engines.inpainters.exemplar_parts.membrane import membrane
from cleanplate.engines.inpainters.exemplar_parts.pyramid import Level, pyramid
from cleanplate.engines.inpainters.exemplar_parts.seams import blend
from cleanplate.engines.inpainters.exemplar_parts.search import Matches, PatchMatch
from cleanplate.engines.inpainters.exemplar_parts.smooth import thin_parts
from cleanplate.engines.inpainters.exemplar_parts.textures import roughness


def speckled(height: int, width: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def hole_in(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[rows, columns] = True
    return mask


def level_of(image: np.ndarray, hole: np.ndarray, usable: np.ndarray | None = None) -> Level:
    erased = image.copy()
    erased[hole] = 0
    return Level(erased, hole, ~hole if usable is None else usable)


# Where sources may be


@given(usable=arrays(np.bool_, (16, 19), elements=st.booleans(), fill=st.just(True)))
def test_every_pixel_of_a_source_patch_is_usable_and_on_the_image(usable) -> None:
    for row, column in np.argwhere(source_centres(usable)):
        patch = usable[row - 3 : row + 4, column - 3 : column + 4]
        assert patch.shape == (7, 7)
        assert patch.all()


def test_patches_that_graze_the_hole_are_targets() -> None:
    targets = reached(hole_in(20, 20, slice(10, 11), slice(10, 11)))

    assert targets[7, 13]
    assert not targets[6, 10]
    assert targets.sum() == 49


# What is familiar at the rim


def painted_red(*, light: slice, noise: int = 6) -> np.ndarray:
    """A wall of red paint with something orange on it, and grey road below."""
    image = np.empty((100, 120, 3), dtype=np.int16)
    image[:60], image[60:] = (200, 30, 30), (90, 90, 95)
    image[20:30, light] = (250, 170, 30)
    image += np.random.default_rng(2).integers(-noise, noise + 1, image.shape, dtype=np.int16)
    return image.clip(0, 255).astype(np.uint8)


def test_within_one_thing_nothing_is_usable_that_has_no_like_at_the_rim() -> None:
    image = painted_red(light=slice(90, 110))
    hole = hole_in(100, 120, slice(15, 35), slice(30, 60))

    usable = familiar(image, hole, ~hole)

    assert usable[10, 40]
    assert usable[50, 100]
    assert not usable[22:28, 93:107].any()
    assert not usable[65:].any()
    assert not usable[hole].any()


def test_a_rim_of_many_colours_does_not_tell_what_belongs_there() -> None:
    image = painted_red(light=slice(58, 110))
    hole = hole_in(100, 120, slice(15, 75), slice(30, 60))

    np.testing.assert_array_equal(familiar(image, hole, ~hole), ~hole)


def test_where_too_little_is_familiar_everything_stays_usable() -> None:
    image = painted_red(light=slice(90, 110))
    image[:, :25] = image[:, 65:90] = (20, 60, 200)
    hole = hole_in(100, 120, slice(5, 55), slice(28, 62))

    np.testing.assert_array_equal(familiar(image, hole, ~hole), ~hole)


def test_noise_of_the_same_thing_is_not_strange() -> None:
    image = painted_red(light=slice(90, 110), noise=25)
    hole = hole_in(100, 120, slice(15, 35), slice(30, 60))

    assert familiar(image, hole, ~hole)[5:13, 5:85].mean() > 0.98


# The pyramid


def test_targets_are_as_deep_in_the_hole_as_in_the_whole_image() -> None:
    for hole in (
        hole_in(60, 90, slice(20, 40), slice(30, 70)),
        hole_in(60, 90, slice(0, 25), slice(50, 90)),
        hole_in(60, 90, slice(0, 60), slice(4, 88)) & ~hole_in(60, 90, slice(10, 12), slice(30, 31)),
    ):
        level = level_of(speckled(60, 90), hole)

        np.testing.assert_array_equal(level.target_depths, depths(hole).reshape(-1)[level.targets])


def test_patches_without_a_match_get_that_of_the_nearest_that_has_one() -> None:
    random = np.random.default_rng(6)
    known = np.sort(random.choice(60 * 90, 40, replace=False))
    wanted = np.sort(random.choice(60 * 90, 500, replace=False))
    at, of = (np.stack(np.divmod(places, 90), axis=1) for places in (wanted, known))

    chosen = nearest_known(*of.T, *at.T)

    apart = np.hypot(*(at[:, np.newaxis] - of).transpose(2, 0, 1))
    np.testing.assert_allclose(apart[np.arange(500), chosen], apart.min(axis=1), atol=1)


def test_smaller_levels_hold_nothing_of_the_hole() -> None:
    image = np.full((197, 221, 3), 200, dtype=np.uint8)
    hole = hole_in(197, 221, slice(61, 96), slice(81, 130))

    levels = pyramid(level_of(image, hole))

    assert len(levels) > 2
    for level in levels:
        np.testing.assert_array_equal(level.image[~level.hole], 200)
        assert not level.image[level.hole].any()


def test_what_is_avoided_grows_on_smaller_levels() -> None:
    hole = hole_in(96, 96, slice(30, 60), slice(30, 60))
    usable = ~hole
    usable[5, 5] = False

    smaller = pyramid(level_of(speckled(96, 96), hole, usable))[1]

    assert not smaller.usable[2, 2]
    assert smaller.usable[2, 3]


def test_the_pyramid_ends_before_there_is_too_little_to_copy() -> None:
    hole = hole_in(64, 64, slice(12, 52), slice(12, 52))

    levels = pyramid(level_of(speckled(64, 64), hole))

    assert levels[-1].sources.size > 0


# Descriptors and search


def test_descriptors_are_whole_numbers_whose_products_are_exact_in_float32() -> None:
    level = level_of(speckled(40, 50), hole_in(40, 50, slice(10, 20), slice(10, 20)))

    values = Descriptors(level.looks()).values

    np.testing.assert_array_equal(values, np.rint(values))
    assert np.square(values.astype(np.float64)).sum(axis=2).max() < 2**24


def test_renewing_a_window_says_the_same_as_describing_everything_anew() -> None:
    looks = np.random.default_rng(3).uniform(0, 100, (40, 60, 5)).astype(np.float32)
    changed = looks.copy()
    changed[0:9, 20:30] = 50
    kept = Descriptors(looks)

    kept.renew(changed, (slice(0, 12), slice(17, 33)))

    np.testing.assert_array_equal(kept.values, Descriptors(changed).values)


def unmatched(targets: np.ndarray, sources: np.ndarray) -> Matches:
    return Matches(targets, np.resize(sources, targets.size), np.zeros(targets.size, dtype=np.float32))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), wanted=st.integers(1, 120), offered=st.integers(1, 1700))
def test_the_exact_search_finds_the_nearest_and_of_equals_the_first(seed, wanted, offered) -> None:
    random = np.random.default_rng(seed)
    descriptors = random.integers(-random.integers(1, 20), 20, (1, wanted + offered, 9)).astype(np.int16)
    targets, sources = (part.astype(np.int32) for part in np.split(np.arange(wanted + offered), [wanted]))
    search = ExactSearch(targets, sources, descriptors)
    matches = unmatched(targets, sources)

    for _ in range(3):
        matches = search.improved(matches)

        apart = descriptors[0, :wanted, np.newaxis].astype(int) - descriptors[0, wanted:]
        table = np.square(apart).sum(axis=2)
        np.testing.assert_array_equal(matches.sources, sources[table.argmin(axis=1)])
        np.testing.assert_array_equal(matches.distances, table.min(axis=1))
        descriptors[0, : wanted // 2] = random.integers(-20, 20, (wanted // 2, 9))


def test_the_exact_search_says_if_no_target_has_changed() -> None:
    descriptors = np.random.default_rng(1).integers(-20, 20, (1, 50, 9)).astype(np.int16)
    targets, sources = np.arange(10, dtype=np.int32), np.arange(10, 50, dtype=np.int32)
    search = ExactSearch(targets, sources, descriptors)

    first = search.improved(unmatched(targets, sources))

    assert search.improved(first) is first
    descriptors[0, 3] += 1
    assert search.improved(first) is not first


def test_the_randomised_search_comes_close_to_the_exact_one_and_only_offers_sources() -> None:
    image = cv2.GaussianBlur(speckled(120, 140), (0, 0), 3)
    hole = hole_in(120, 140, slice(50, 70), slice(60, 80))
    level = level_of(image, hole)
    descriptors = Descriptors(membrane(level.looks(), hole)).values
    start = unmatched(level.targets, level.sources)
    best = ExactSearch(level.targets, level.sources, descriptors).improved(start)
    search = PatchMatch(level.targets, level.centres, descriptors, seed=1)

    found = search.improved(start, rounds=12)

    assert level.centres.reshape(-1)[found.sources].all()
    assert (found.distances >= best.distances).all()
    assert np.sqrt(found.distances).mean() < 1.3 * np.sqrt(best.distances).mean()


# Votes


def test_votes_of_true_sources_give_back_the_truth() -> None:
    tile = speckled(20, 20)
    image = np.tile(tile, (4, 4, 1))
    hole = hole_in(80, 80, slice(32, 44), slice(34, 46))
    level, truth = level_of(image, hole), level_of(image, np.zeros_like(hole)).lab()
    rows, columns = np.divmod(level.targets, 80)
    sources = np.where(rows < 40, rows + 20, rows - 20) * 80 + columns
    canvas = Canvas(level, level.looks())

    canvas.vote(Matches(level.targets, sources.astype(np.int32), np.zeros(sources.size, dtype=np.float32)))

    np.testing.assert_allclose(canvas.looks[..., :3], truth, atol=0.01)


def test_a_match_that_fits_far_worse_has_no_say_even_if_all_around_it_do_so() -> None:
    level = level_of(speckled(60, 60), hole_in(60, 60, slice(20, 40), slice(20, 40)))
    distances = np.full(level.targets.size, 1e9, dtype=np.float32)
    distances[:30] = 0
    canvas = Canvas(level, level.looks())

    canvas.vote(Matches(level.targets, np.resize(level.sources, level.targets.size), distances))

    assert np.isfinite(canvas.looks).all()
    assert canvas.looks[..., 0].min() >= 0
    assert canvas.looks[..., 0].max() <= 101


# Offsets


def test_the_offsets_at_which_an_image_repeats_are_found() -> None:
    image = np.tile(speckled(16, 22), (5, 5, 1))
    level = level_of(image, hole_in(80, 110, slice(30, 50), slice(40, 60)))

    found = offsets.dominant_offsets(level, Descriptors(level.looks()).values, seed=1)

    assert len(found) >= 4
    assert all(row % 16 == 0 and column % 22 == 0 for row, column in found[:4])


def test_a_hole_in_what_repeats_is_filled_with_the_truth() -> None:
    image = np.tile(speckled(16, 22), (5, 5, 1))
    hole = hole_in(80, 110, slice(30, 50), slice(40, 60))

    completion = completed(pyramid(level_of(image, hole)))

    right = (image.reshape(-1, 3)[completion.sources] == image[hole]).all(axis=1)
    assert right.mean() > 0.95


def test_the_box_of_a_thin_diagonal_is_too_large_for_message_passing() -> None:
    diagonal = cv2.line(np.zeros((200, 200), np.uint8), (0, 0), (199, 199), 1, 5) > 0

    assert not offsets.fits(level_of(speckled(200, 200), diagonal))
    assert offsets.fits(level_of(speckled(200, 200), hole_in(200, 200, slice(0, 30), slice(0, 30))))


# Smooth fills, texture and seams


@settings(max_examples=25, deadline=None)
@given(hole=arrays(np.bool_, st.tuples(st.integers(1, 13), st.integers(1, 13))))
def test_a_membrane_stays_between_the_colours_around_it(hole) -> None:
    if hole.all():
        return
    image = np.random.default_rng(1).uniform(10, 90, (*hole.shape, 3)).astype(np.float32)

    filled = membrane(np.where(hole[..., np.newaxis], np.float32(1e6), image), hole)

    known = image[~hole]
    np.testing.assert_array_equal(filled[~hole], known)
    assert (filled >= known.min() - 0.01).all()
    assert (filled <= known.max() + 0.01).all()


def test_roughness_is_told_from_known_pixels_only() -> None:
    light = np.zeros((60, 60), dtype=np.float32)
    light[:, ::2] = 10
    hole = hole_in(60, 60, slice(15, 45), slice(15, 45))
    light[hole] = 1e6

    told = roughness(light, hole)

    np.testing.assert_allclose(told[..., 0], 10, atol=0.1)
    np.testing.assert_allclose(told[..., 1], 0, atol=0.1)


def test_only_islands_that_are_thin_everywhere_and_lie_apart_are_thin() -> None:
    thick = hole_in(60, 90, slice(10, 30), slice(10, 30))
    touching = hole_in(60, 90, slice(18, 20), slice(32, 60))
    apart = hole_in(60, 90, slice(50, 53), slice(5, 85))

    np.testing.assert_array_equal(thin_parts(thick | touching | apart), apart)


def blended(image: np.ndarray, hole: np.ndarray, sources: np.ndarray) -> np.ndarray:
    filled = image.copy()
    blend(filled, hole, sources)
    return filled


def test_a_step_between_a_fill_and_its_surroundings_is_taken_out_but_the_grain_stays() -> None:
    grain = np.random.default_rng(1).integers(-8, 9, (80, 160, 1))
    image = np.clip(np.where(np.arange(160)[:, np.newaxis] < 80, 100, 120) + grain, 0, 255).astype(np.uint8)
    image = np.repeat(image, 3, axis=2)
    hole = hole_in(80, 160, slice(30, 50), slice(20, 40))
    sources = places(hole) + 80

    filled = blended(image, hole, sources).astype(int)

    copied = image.reshape(-1, 3)[sources].astype(int)
    assert abs(filled[hole].mean() - 100) < 2
    assert np.corrcoef(filled[hole][:, 0], copied[:, 0])[0, 1] > 0.9


def test_a_true_edge_is_no_seam() -> None:
    image = np.full((60, 120, 3), 20, dtype=np.uint8)
    image[:, 60:] = 230
    hole = hole_in(60, 120, slice(20, 40), slice(20, 40))

    filled = blended(image, hole, places(hole) + 60)

    np.testing.assert_array_equal(filled[hole], 230)


def test_long_chains_of_seams_do_not_drift() -> None:
    image = speckled(60, 400)
    hole = hole_in(60, 400, slice(20, 40), slice(10, 390))
    sources = np.random.default_rng(4).integers(4, 15, int(hole.sum())) * 400 + 200

    filled = blended(image, hole, sources.astype(np.int32)).astype(int)

    assert np.abs(filled[hole] - image.reshape(-1, 3)[sources]).max() <= 32


# Confidence


PAIR = st.tuples(st.floats(0, 500), st.floats(0, 500))


@given(worst=PAIR, change=PAIR, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_confidence_never_rises_with_misfit_or_with_what_is_missing(worst, change, shares) -> None:
    better = confidence_of(Fit(1.0, min(worst), min(change)), min(shares))
    worse = confidence_of(Fit(1.0, max(worst), max(change)), max(shares))

    assert 0 <= worse <= better <= 1


@pytest.mark.parametrize(("worst", "change", "share"), [(120.0, 0.0, 0.05), (60.0, 1.0, 0.05), (5.0, 0.0, 0.4)])
def test_a_hopeless_fill_is_not_trusted(worst, change, share) -> None:
    assert confidence_of(Fit(10.0, worst, change), share) < 0.5


def test_a_descriptor_tells_looks_and_place() -> None:
    level = level_of(speckled(40, 40), hole_in(40, 40, slice(10, 20), slice(10, 20)))

    assert Descriptors(level.looks()).values.shape == (40, 40, LOOKS + 2)
