import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cleanplate.engines.segmenters.graphcut_parts.upsampling import mask_from_logits

numbers = st.floats(-4, 4, width=32)


def shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    return image.reshape(height, factor, width, factor, 3).mean(axis=(1, 3)).astype(np.uint8)


@given(logits=arrays(np.float32, (6, 7), elements=numbers))
def test_at_the_same_size_the_mask_is_the_threshold(logits) -> None:
    image = np.zeros((6, 7, 3), dtype=np.uint8)

    np.testing.assert_array_equal(mask_from_logits(logits, image, image), logits > 0)


@settings(deadline=None)
@given(
    logits=arrays(np.float32, (5, 6), elements=numbers),
    less=arrays(np.float32, (5, 6), elements=st.floats(0, 3, width=32)),
    size=st.tuples(st.integers(6, 23), st.integers(7, 29)),
    seed=st.integers(0, 5),
)
def test_lower_logits_never_give_a_larger_mask(logits, less, size, seed) -> None:
    random = np.random.default_rng(seed)
    small, image = (random.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in ((5, 6), size))

    higher, lower = mask_from_logits(logits, small, image), mask_from_logits(logits - less, small, image)

    assert higher.shape == size
    assert not (lower & ~higher).any()


def test_the_edge_follows_the_image() -> None:
    image = np.zeros((40, 40, 3), dtype=np.uint8)
    image[:, 18:] = 220
    logits = np.where(np.arange(10) <= 4, -3, 3).astype(np.float32)[np.newaxis].repeat(10, axis=0)

    mask = mask_from_logits(logits, shrunk(image, 4), image)

    np.testing.assert_array_equal(mask, image[..., 0] > 0)


def test_all_and_nothing_stay_so_at_odd_sizes() -> None:
    small, image = np.zeros((1, 3, 3), dtype=np.uint8), np.zeros((4, 11, 3), dtype=np.uint8)

    assert mask_from_logits(np.full((1, 3), 2, dtype=np.float32), small, image).all()
    assert not mask_from_logits(np.full((1, 3), -2, dtype=np.float32), small, image).any()
