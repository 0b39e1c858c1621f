import numpy as np
import pytest

from cleanplate.engines.protocols import Comfort, Inpainting
from cleanplate.errors import EngineError
from cleanplate.pipeline.composite import ERASED, erase
from cleanplate.pipeline.fill import fill

HEIGHT, WIDTH = 20, 30
NOWHERE = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)


class Painter:
    """Paints the whole crop in one colour, and remembers what it was shown."""

    version = "painter"
    comfort = Comfort(context=0.5, min_side_px=4)

    def __init__(self, value: int = 200, *, in_place: bool = False) -> None:
        self.value = value
        self.in_place = in_place
        self.shown: list[tuple[np.ndarray, np.ndarray]] = []

    def inpaint(self, image: np.ndarray, mask: np.ndarray, *, avoid: np.ndarray) -> Inpainting:
        self.shown.append((image.copy(), mask.copy()))
        painted = image if self.in_place else np.empty_like(image)
        painted[:] = self.value
        if self.in_place:
            mask[:] = True
            avoid[:] = True
        return Inpainting(painted)


class Misfit:
    version = "misfit 3"
    comfort = Comfort()

    def __init__(self, answer: np.ndarray) -> None:
        self.answer = answer

    def inpaint(self, *_: np.ndarray, avoid: np.ndarray) -> Inpainting:
        assert not avoid.any()
        return Inpainting(self.answer)


def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 100, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def block(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("in_place", [False, True])
def test_an_engine_that_paints_outside_the_mask_changes_nothing_there(in_place) -> None:
    original, mask = image(), block(5, 5, 9, 9)
    erased, mask_before = erase(original, mask), mask.copy()

    filled = fill(erased, mask, avoid=NOWHERE, inpainter=Painter(in_place=in_place)).image

    np.testing.assert_array_equal(filled[~mask], original[~mask])
    assert (filled[mask] == 200).all()
    np.testing.assert_array_equal(mask, mask_before)
    assert not NOWHERE.any()


def test_an_engine_sees_each_crop_with_the_masked_pixels_overwritten() -> None:
    original, mask = image(), block(5, 5, 9, 9) | block(22, 5, 24, 9)
    painter = Painter()

    made = fill(erase(original, mask), mask, avoid=NOWHERE, inpainter=painter)

    assert made.crops == len(painter.shown) == 2
    for shown, crop_mask in painter.shown:
        assert (shown[crop_mask] == ERASED).all()
    assert sum(crop_mask.sum() for _, crop_mask in painter.shown) == mask.sum()


@pytest.mark.parametrize(
    "answer",
    [
        np.zeros((19, 30, 3), dtype=np.uint8),
        np.zeros((20, 30), dtype=np.uint8),
        np.zeros((20, 30, 3), dtype=np.float32),
        np.zeros((20, 30, 4), dtype=np.uint8),
    ],
)
def test_an_engine_that_returns_something_else_is_caught_by_name(answer) -> None:
    mask = block(2, 2, 28, 18)

    with pytest.raises(EngineError, match=r"misfit 3 was given a crop of \(20, 30, 3\) uint8"):
        fill(image(), mask, avoid=NOWHERE, inpainter=Misfit(answer))
