import cv2
import numpy as np
import pytest

from cleanplate.domain.image import Size, size_of
from cleanplate.pipeline.overview import MAX_SIDE_PX, Overview
from cleanplate.pipeline.shadow import propose_shadow
from fakes.shadow_scenes import HEIGHT, WIDTH, Kind, draw


@pytest.mark.parametrize(
    ("size", "small"),
    [
        (Size(4000, 3000), Size(1024, 768)),
        (Size(300, 5000), Size(61, 1024)),
        (Size(9000, 2), Size(1024, 1)),
        (Size(1024, 7), Size(1024, 7)),
    ],
)
def test_an_overview_is_small_and_remembers_the_size_of_its_image(size, small) -> None:
    overview = Overview.of(np.zeros((size.height, size.width, 3), dtype=np.uint8))

    assert size_of(overview.image) == small
    assert max(small) <= MAX_SIDE_PX
    assert overview.size == size


def test_an_overview_does_not_change_with_the_image_it_was_made_from() -> None:
    image = np.zeros((5, 6, 3), dtype=np.uint8)
    overview = Overview.of(image)

    image[:] = 9

    assert not overview.image.any()


def test_in_a_large_image_the_shadow_has_that_image_s_size() -> None:
    scene = draw(Kind.HARD, 4)
    size = (5 * WIDTH, 5 * HEIGHT)
    large = cv2.resize(scene.image, size, interpolation=cv2.INTER_CUBIC)
    mask, shadow = (
        cv2.resize(each.view(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(np.bool_)
        for each in (scene.mask, scene.shadow)
    )

    found = Overview.of(large).shadow_of(mask)

    assert found is not None
    assert found.mask.shape == mask.shape
    assert not (found.mask & mask).any()
    assert (found.mask & shadow).sum() / (found.mask | shadow).sum() > 0.7


def test_in_a_small_image_the_shadow_is_the_one_found_in_the_image_itself() -> None:
    scene = draw(Kind.HARD, 4)
    direct, found = propose_shadow(scene.image, scene.mask), Overview.of(scene.image).shadow_of(scene.mask)

    np.testing.assert_array_equal(direct.mask, found.mask)
    assert direct.score == found.score


def test_an_object_without_a_shadow_has_none() -> None:
    scene = draw(Kind.NOTHING, 0)

    assert Overview.of(scene.image).shadow_of(scene.mask) is None
    assert (
        Overview.of(np.zeros((3000, 3000, 3), dtype=np.uint8)).shadow_of(np.ones((3000, 3000), dtype=np.bool_)) is None
    )
