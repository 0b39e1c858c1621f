import numpy as np
import pytest

from cleanplate.errors import SizeMismatchError
from cleanplate.pipeline.composite import ERASED, erase


def test_every_masked_sample_is_overwritten_in_an_image_of_its_own() -> None:
    image = np.random.default_rng(3).integers(0, 100, (20, 30, 3), dtype=np.uint8)
    before = image.copy()
    mask = np.zeros((20, 30), dtype=np.bool_)
    mask[5:9, 5:9] = True

    erased = erase(image, mask)

    assert (erased[mask] == ERASED).all()
    np.testing.assert_array_equal(erased[~mask], before[~mask])
    np.testing.assert_array_equal(image, before)


def test_a_mask_of_another_size_erases_nothing() -> None:
    with pytest.raises(SizeMismatchError):
        erase(np.zeros((20, 30, 3), dtype=np.uint8), np.ones((20, 29), dtype=np.bool_))
