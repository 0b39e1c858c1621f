import numpy as np
import pytest

from cleanplate.domain.geometry import Box
from cleanplate.errors import EngineError, SizeMismatchError
from cleanplate.pipeline.composite import ERASED, erase, fill

HEIGHT, WIDTH = 20, 30


class Painter:
    """Paints the whole crop in one colour, and remembers what it was shown."""

    version = "painter"

    def __init__(self, value: int = 200, *, in_place: bool = False) -> None:
        self.value = value
        self.in_place = in_place
        self.shown: list[tuple[np.ndarray, np.ndarray]] = []

    def inpaint(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        self.shown.append((image.copy(), mask.copy()))
        painted = image if self.in_place else np.empty_like(image)
        painted[:] = self.value
        if self.in_place:
            mask[:] = True
        return painted


class Misfit:
    version = "misfit 3"

    def __init__(self, answer: np.ndarray) -> None:
        self.answer = answer

    def inpaint(self, *_: np.ndarray) -> np.ndarray:
        return self.answer


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

    filled = fill(erased, mask, crops=[Box(2, 2, 12, 12)], inpainter=Painter(in_place=in_place))

    np.testing.assert_array_equal(filled[~mask], original[~mask])
    assert (filled[mask] == 200).all()
    np.testing.assert_array_equal(mask, mask_before)


def test_an_engine_sees_each_crop_with_the_masked_pixels_overwritten() -> None:
    original, mask = image(), block(5, 5, 9, 9) | block(20, 5, 22, 9)
    painter = Painter()

    fill(erase(original, mask), mask, crops=[Box(2, 2, 12, 12), Box(18, 3, 30, 20)], inpainter=painter)

    assert [shown.shape for shown, _ in painter.shown] == [(10, 10, 3), (17, 12, 3)]
    for shown, crop_mask in painter.shown:
        assert (shown[crop_mask] == ERASED).all()
    np.testing.assert_array_equal(painter.shown[0][1], mask[2:12, 2:12])


@pytest.mark.parametrize(
    "answer",
    [
        np.zeros((9, 10, 3), dtype=np.uint8),
        np.zeros((10, 10), dtype=np.uint8),
        np.zeros((10, 10, 3), dtype=np.float32),
        np.zeros((10, 10, 4), dtype=np.uint8),
    ],
)
def test_an_engine_that_returns_something_else_is_caught_by_name(answer) -> None:
    mask = block(5, 5, 9, 9)

    with pytest.raises(EngineError, match=r"misfit 3 was given a crop of \(10, 10, 3\) uint8"):
        fill(image(), mask, crops=[Box(2, 2, 12, 12)], inpainter=Misfit(answer))


def test_a_mask_of_another_size_erases_nothing() -> None:
    with pytest.raises(SizeMismatchError):
        erase(image(), np.ones((HEIGHT, WIDTH - 1), dtype=np.bool_))
