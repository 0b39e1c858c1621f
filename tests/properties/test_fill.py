from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanplate.engines.protocols import Comfort, Inpainter, Inpainting
from cleanplate.engines.registry import load_inpainter
from cleanplate.pipeline.composite import erase
from cleanplate.pipeline.fill import fill

HIDDEN = 4
COMFORTS = {
    "any size": Comfort(context=0.5, min_side_px=16),
    "multiples": Comfort(context=0.75, min_side_px=24, max_side_px=64, multiple=8),
    "much smaller": Comfort(context=0.5, min_side_px=8, max_side_px=24, coarse_side_px=12, multiple=2),
    "small": Comfort(context=1.0, min_side_px=8, max_side_px=16, multiple=4),
}


class Witness:
    """Its answer depends on every pixel, mask and limit it is shown: a leak of a single bit changes all of it."""

    version = "witness"

    def __init__(self, comfort: Comfort, *, blindfold: bool = False) -> None:
        self.comfort = comfort
        self.blindfold = blindfold

    def inpaint(self, image: np.ndarray, mask: np.ndarray, *, avoid: np.ndarray) -> Inpainting:
        seen = np.where(mask[..., np.newaxis], np.uint8(0), image) if self.blindfold else image
        digest = sha256(seen.tobytes() + mask.tobytes() + avoid.tobytes()).digest()
        noise = np.random.default_rng(list(digest)).integers(0, 256, image.shape, dtype=np.uint8)
        return Inpainting(noise)


class Smooth:
    """OpenCV's inpainter in crops of another's comfort."""

    version = "smooth"

    def __init__(self, comfort: Comfort) -> None:
        self.comfort = comfort
        self.inpaint = load_inpainter("opencv").inpaint


@st.composite
def masks(draw) -> np.ndarray:
    """A few blocks, anywhere, the borders included; and sometimes specks."""
    mask = np.zeros((draw(st.integers(1, 70)), draw(st.integers(1, 90))), dtype=np.bool_)
    height, width = mask.shape
    for _ in range(draw(st.integers(1, 5))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[top : top + draw(st.integers(1, 40)), left : left + draw(st.integers(1, 40))] = True
    if draw(st.booleans()):
        mask[:: draw(st.integers(3, 9)), :: draw(st.integers(3, 9))] = True
    return mask


def noise(mask: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)


def originals(mask: np.ndarray) -> list[np.ndarray]:
    """The same photograph with something else under the mask each time."""
    return [np.where(mask[..., np.newaxis], noise(mask, seed), noise(mask, 0)) for seed in range(1, HIDDEN + 1)]


def fills(images: list[np.ndarray], mask: np.ndarray, inpainter: Inpainter) -> list[np.ndarray]:
    avoid = ~mask & (np.add.outer(np.arange(mask.shape[0]), np.arange(mask.shape[1])) % 23 == 0)
    return [fill(image, mask, avoid=avoid, inpainter=inpainter).image for image in images]


@pytest.mark.parametrize("comfort", COMFORTS.values(), ids=COMFORTS.keys())
@pytest.mark.parametrize("engine", [Witness, Smooth])
@settings(max_examples=25)
@given(mask=masks())
def test_a_filled_image_does_not_depend_on_what_was_hidden(engine, comfort, mask) -> None:
    made = fills([erase(image, mask) for image in originals(mask)], mask, engine(comfort))

    for other in made[1:]:
        np.testing.assert_array_equal(other, made[0])


@pytest.mark.parametrize("comfort", COMFORTS.values(), ids=COMFORTS.keys())
@settings(max_examples=25)
@given(mask=masks())
def test_nothing_but_the_engine_would_see_what_was_hidden_even_if_it_had_not_been_erased(comfort, mask) -> None:
    made = fills(originals(mask), mask, Witness(comfort, blindfold=True))

    for other in made[1:]:
        np.testing.assert_array_equal(other[mask], made[0][mask])


@pytest.mark.parametrize("comfort", COMFORTS.values(), ids=COMFORTS.keys())
@settings(max_examples=25)
@given(mask=masks())
def test_outside_the_mask_nothing_changes_whatever_an_engine_answers(comfort, mask) -> None:
    erased = erase(noise(mask, 0), mask)

    for made in fills([erased, erased.copy()], mask, Witness(comfort)):
        np.testing.assert_array_equal(made[~mask], erased[~mask])


@pytest.mark.parametrize("comfort", COMFORTS.values(), ids=COMFORTS.keys())
@settings(max_examples=25)
@given(mask=masks())
def test_the_same_fill_twice_is_the_same(comfort, mask) -> None:
    erased = erase(noise(mask, 0), mask)

    made = fills([erased, erased.copy()], mask, Witness(comfort))

    np.testing.assert_array_equal(made[0], made[1])
