import numpy as np
import pytest

from cleanplate.errors import SizeMismatchError
from cleanplate.pipeline.shadow import Shadow, propose_shadow
from fakes.shadow_scenes import WITH_SHADOW, WITHOUT_SHADOW, Kind, Scene, draw

SEEDS = range(200, 208)
"""None of those that the bounds were found with."""

_WORTH_FINDING = 0.06


def proposal(scene: Scene) -> Shadow | None:
    return propose_shadow(scene.image, scene.mask)


def overlap(scene: Scene, shadow: Shadow) -> float:
    return float((shadow.mask & scene.shadow).sum() / (shadow.mask | scene.shadow).sum())


@pytest.mark.parametrize(("kind", "least_share"), [(Kind.HARD, 0.5), (Kind.SOFT, 0.5), (Kind.FAINT, 0.25)])
def test_most_shadows_are_found_where_they_are(kind, least_share) -> None:
    scenes = [draw(kind, seed) for seed in SEEDS]
    cast = [scene for scene in scenes if scene.shadow.sum() >= _WORTH_FINDING * scene.mask.sum()]
    overlaps = [overlap(scene, found) for scene in cast if (found := proposal(scene)) is not None]

    assert len(overlaps) >= least_share * len(cast)
    assert np.median(overlaps) > 0.7


@pytest.mark.parametrize("kind", WITHOUT_SHADOW)
def test_what_is_no_shadow_is_not_proposed_as_one(kind) -> None:
    assert sum(proposal(draw(kind, seed)) is not None for seed in SEEDS) <= 1


@pytest.mark.parametrize("kind", WITH_SHADOW)
def test_a_shadow_holds_nothing_of_its_object_and_has_a_score(kind) -> None:
    for seed in range(6):
        scene = draw(kind, seed)
        found = proposal(scene)
        if found is not None:
            assert found.mask.any()
            assert not (found.mask & scene.mask).any()
            assert 0 < found.score <= 1


def test_a_shadow_reaches_its_object() -> None:
    scene = draw(Kind.HARD, 4)
    found = proposal(scene)

    touching = np.zeros_like(scene.mask)
    touching[1:] |= scene.mask[:-1]
    touching[:, 1:] |= scene.mask[:, :-1]
    touching[:, :-1] |= scene.mask[:, 1:]
    assert (touching & found.mask).any()


def test_the_same_question_gets_the_same_answer_and_changes_nothing() -> None:
    scene = draw(Kind.HARD, 4)
    image, mask = scene.image.copy(), scene.mask.copy()

    first, second = proposal(scene), proposal(scene)

    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_array_equal(scene.image, image)
    np.testing.assert_array_equal(scene.mask, mask)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_image_has_no_shadow(level) -> None:
    scene = draw(Kind.HARD, 4)

    assert propose_shadow(np.full_like(scene.image, level), scene.mask) is None


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, 0), (100, 100, 110, 110), (0, 0, 360, 480), (0, 0, 360, 20), (340, 0, 360, 480), (0, 460, 360, 480)],
)
def test_an_object_of_any_size_at_any_place_is_fine(box) -> None:
    top, left, bottom, right = box
    image = draw(Kind.HARD, 4).image
    mask = np.zeros(image.shape[:2], dtype=np.bool_)
    mask[top:bottom, left:right] = True

    found = propose_shadow(image, mask)

    assert found is None or not (found.mask & mask).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (17, 17)])
def test_an_image_of_any_size_is_fine(shape) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)

    for mask in (np.ones(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)):
        assert propose_shadow(image, mask) is None


def test_a_mask_of_another_size_is_refused() -> None:
    scene = draw(Kind.HARD, 4)

    with pytest.raises(SizeMismatchError):
        propose_shadow(scene.image, scene.mask.T)
