import numpy as np
import pytest

from cleanplate.domain.image import Size, require_image, size_of
from cleanplate.errors import ImageError


def test_the_size_of_an_array_is_its_width_and_height() -> None:
    assert size_of(np.zeros((3, 5, 3), dtype=np.uint8)) == Size(width=5, height=3)
    assert size_of(np.zeros((3, 5), dtype=np.bool_)) == Size(width=5, height=3)
    assert Size(width=5, height=3).pixels == 15


def test_an_image_made_small_keeps_a_pixel_a_side() -> None:
    assert Size(width=300, height=10).scaled(0.01) == Size(width=3, height=1)
    assert Size(width=300, height=10).scaled(2) == Size(width=600, height=20)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 5), dtype=np.uint8),
        np.zeros((3, 5, 4), dtype=np.uint8),
        np.zeros((3, 5, 3), dtype=np.float32),
        np.zeros((0, 5, 3), dtype=np.uint8),
    ],
)
def test_an_array_that_is_no_rgb_image_is_refused(array) -> None:
    with pytest.raises(ImageError, match="must be"):
        require_image(array)


def test_an_rgb_image_is_accepted() -> None:
    require_image(np.zeros((1, 1, 3), dtype=np.uint8))
