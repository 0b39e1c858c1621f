import tracemalloc

import numpy as np
import pytest

from cleanplate.engines.protocols import Comfort, Inpainting
from cleanplate.engines.registry import load_inpainter
from cleanplate.errors import EngineError
from cleanplate.pipeline.composite import ERASED, erase
from cleanplate.pipeline.fill import Fill, fill

HEIGHT, WIDTH = 120, 200
NOWHERE = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
MIB = 1024**2


class Painter:
    """Paints what is masked in one colour, and remembers what it was shown."""

    version = "painter"

    def __init__(self, comfort: Comfort | None = None, *, confidences: tuple[float, ...] = ()) -> None:
        self.comfort = comfort or Comfort(context=0.5, min_side_px=24)
        self.confidences = list(confidences)
        self.images: list[np.ndarray] = []
        self.masks: list[np.ndarray] = []
        self.avoided: list[np.ndarray] = []

    def inpaint(self, image: np.ndarray, mask: np.ndarray, *, avoid: np.ndarray) -> Inpainting:
        self.images.append(image.copy())
        self.masks.append(mask.copy())
        self.avoided.append(avoid.copy())
        painted = np.where(mask[..., np.newaxis], np.uint8(200), image)
        return Inpainting(painted, self.confidences.pop(0) if self.confidences else None)


class Vandal(Painter):
    """Would spoil one of the things that it was given."""

    def __init__(self, spoilt: str) -> None:
        super().__init__()
        self.spoilt = spoilt

    def inpaint(self, image: np.ndarray, mask: np.ndarray, *, avoid: np.ndarray) -> Inpainting:
        answer = super().inpaint(image, mask, avoid=avoid)
        {"image": image, "mask": mask, "avoid": avoid}[self.spoilt][:] = 1
        return answer


class Restless(Painter):
    """Changes what is not masked, too."""

    def inpaint(self, image: np.ndarray, mask: np.ndarray, *, avoid: np.ndarray) -> Inpainting:
        answer = super().inpaint(image, mask, avoid=avoid)
        answer.image[~mask] ^= 1
        return answer


class Tinted(Painter):
    """Gives all pixels back ten levels darker than they should be, as a network does."""

    def inpaint(self, image: np.ndarray, mask: np.ndarray, *, avoid: np.ndarray) -> Inpainting:
        truth = np.where(mask[..., np.newaxis], np.uint8(100), super().inpaint(image, mask, avoid=avoid).image)
        return Inpainting(truth - np.uint8(10))


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
    mask = NOWHERE.copy()
    mask[top:bottom, left:right] = True
    return mask


def filled(mask: np.ndarray, inpainter, *, original: np.ndarray | None = None, avoid: np.ndarray = NOWHERE) -> Fill:
    return fill(erase(image() if original is None else original, mask), mask, avoid=avoid, inpainter=inpainter)


@pytest.mark.parametrize("spoilt", ["image", "mask", "avoid"])
def test_an_engine_that_would_spoil_what_it_was_given_fails_and_spoils_nothing(spoilt) -> None:
    mask = block(40, 40, 60, 60)
    erased, mask_before = erase(image(), mask), mask.copy()

    with pytest.raises(ValueError, match="read-only"):
        fill(erased, mask, avoid=NOWHERE, inpainter=Vandal(spoilt))

    np.testing.assert_array_equal(erased, erase(image(), mask))
    np.testing.assert_array_equal(mask, mask_before)
    assert not NOWHERE.any()


def test_an_engine_that_changes_more_than_the_hole_changes_nothing_outside_the_mask() -> None:
    original, mask = image(), block(40, 40, 60, 60)

    made = filled(mask, Restless()).image

    np.testing.assert_array_equal(made[~mask], original[~mask])
    np.testing.assert_allclose(made[mask].astype(int), 200, atol=1)


def test_an_engine_sees_each_crop_with_the_masked_pixels_overwritten() -> None:
    painter = Painter()

    made = filled(block(40, 40, 60, 60) | block(120, 20, 128, 30), painter)

    assert made.crops == len(painter.images) == 2
    assert made.factors == (1, 1)
    for shown, crop_mask in zip(painter.images, painter.masks, strict=True):
        assert shown.shape[:2] == crop_mask.shape
        assert (shown[crop_mask] == ERASED).all()
    assert [mask.sum() for mask in painter.masks] == [400, 80]


def test_the_fill_of_a_comfortable_hole_is_exactly_the_engines_answer() -> None:
    mask = block(60, 30, 120, 90)
    engine = load_inpainter("opencv")

    made = filled(mask, engine)

    box = np.s_[20:100, 48:132]
    np.testing.assert_array_equal(
        made.image[mask], engine.inpaint(erase(image(), mask)[box], mask[box]).image[mask[box]]
    )


def test_another_crops_hole_is_masked_too_and_not_yet_filled() -> None:
    near = block(40, 40, 48, 48) | block(56, 56, 64, 64)
    painter = Painter(Comfort(context=1, min_side_px=32, max_side_px=64))

    made = filled(near, painter)

    assert made.crops == 2
    for shown, crop_mask in zip(painter.images, painter.masks, strict=True):
        assert crop_mask.sum() > 64
        assert (shown[crop_mask] == ERASED).all()
    assert (made.image[near] == 200).all()


def test_an_engine_that_works_for_what_is_masked_is_shown_a_guess_in_place_of_another_crops_hole() -> None:
    near = block(40, 40, 48, 48) | block(88, 40, 96, 48)
    painter = Painter(Comfort(context=8, min_side_px=32))
    plain = np.full((HEIGHT, WIDTH, 3), 30, dtype=np.uint8)

    made = filled(near, painter, original=plain)

    assert made.crops == 2
    for shown, crop_mask, avoided in zip(painter.images, painter.masks, painter.avoided, strict=True):
        assert crop_mask.sum() == avoided.sum() == 64
        assert (shown[crop_mask] == ERASED).all()
        np.testing.assert_allclose(shown[avoided].astype(int), 30, atol=1)
        assert (shown[~crop_mask & ~avoided] == 30).all()
    assert (made.image[near] == 200).all()


def test_where_the_image_ends_it_is_reflected_with_its_mask_and_what_is_to_be_avoided() -> None:
    painter = Painter(Comfort(context=0.5, min_side_px=24, multiple=64))
    mask, avoid = block(0, 100, 200, 120), block(100, 90, 110, 95)

    filled(mask, painter, avoid=avoid)

    (shown,) = painter.images
    assert shown.shape == (128, 256, 3)
    np.testing.assert_array_equal(shown[120:], shown[112:120][::-1])
    np.testing.assert_array_equal(shown[:, 200:], shown[:, 144:200][:, ::-1])
    np.testing.assert_array_equal(painter.masks[0], np.pad(mask, ((0, 8), (0, 56)), mode="symmetric"))
    np.testing.assert_array_equal(painter.avoided[0], np.pad(avoid, ((0, 8), (0, 56)), mode="symmetric"))


def test_what_is_to_be_avoided_is_cut_like_the_image() -> None:
    painter = Painter()

    filled(block(80, 40, 96, 56), painter, avoid=block(100, 40, 110, 50))

    (avoided,) = painter.avoided
    assert avoided.shape == painter.masks[0].shape
    assert avoided.sum() == 4 * 10


def test_a_fill_that_is_tinted_is_put_right() -> None:
    mask = block(60, 30, 120, 90)

    made = filled(mask, Tinted(), original=np.full((HEIGHT, WIDTH, 3), 100, dtype=np.uint8))

    np.testing.assert_allclose(made.image[mask].astype(int), 100, atol=1)


def test_a_large_hole_is_shown_small_without_the_grey_it_was_overwritten_with() -> None:
    painter = Painter(Comfort(context=0.25, min_side_px=16, max_side_px=32, multiple=8))
    mask, avoid = block(56, 24, 120, 88), block(126, 20, 127, 21)
    plain = np.full((HEIGHT, WIDTH, 3), 30, dtype=np.uint8)

    made = filled(mask, painter, original=plain, avoid=avoid)

    assert made.factors == (3,)
    assert painter.images[0].shape == (32, 32, 3)
    small_mask = painter.masks[0]
    assert (painter.images[0][~small_mask] == 30).all()
    assert (painter.images[0][small_mask] == ERASED).all()
    assert painter.avoided[0].sum() == 1
    np.testing.assert_allclose(made.image[44:68, 76:100].astype(int), 200, atol=2)
    np.testing.assert_array_equal(made.image[~mask], plain[~mask])


def test_a_large_hole_on_grainy_ground_is_grainy() -> None:
    original = np.random.default_rng(0).normal(100, 10, (400, 400, 1)).clip(0, 255).astype(np.uint8).repeat(3, axis=2)
    mask = np.zeros((400, 400), dtype=np.bool_)
    mask[150:250, 150:250] = True
    inpainter = load_inpainter("opencv")
    inpainter.comfort = Comfort(context=1, min_side_px=32, max_side_px=96, multiple=8)

    made = fill(erase(original, mask), mask, avoid=np.zeros_like(mask), inpainter=inpainter)

    assert made.factors == (4,)
    assert made.image[mask].std() == pytest.approx(10, rel=0.3)
    assert made.image[mask].mean() == pytest.approx(100, abs=3)


def test_a_speck_that_vanishes_when_its_crop_is_made_small_is_filled_from_around_it() -> None:
    painter = Painter(Comfort(context=4, min_side_px=8, max_side_px=16))
    plain = np.full((HEIGHT, WIDTH, 3), 30, dtype=np.uint8)

    made = filled(block(100, 60, 101, 61), painter, original=plain)

    assert made.factors == (5,)
    assert painter.images == []
    np.testing.assert_array_equal(made.image, plain)


@pytest.mark.parametrize(
    "mask",
    [block(0, 0, 1, 1), block(WIDTH - 1, HEIGHT - 1, WIDTH, HEIGHT), block(77, 33, 78, 34), block(0, 0, WIDTH, HEIGHT)],
    ids=["first pixel", "last pixel", "a pixel", "everything"],
)
@pytest.mark.parametrize("max_side_px", [None, 64])
def test_holes_of_one_pixel_and_of_everything_are_filled(mask, max_side_px) -> None:
    painter = Painter(Comfort(context=0.5, min_side_px=24, max_side_px=max_side_px, multiple=8))

    made = filled(mask, painter)

    np.testing.assert_allclose(made.image[mask].astype(int), 200, atol=0)
    np.testing.assert_array_equal(made.image[~mask], image()[~mask])


def test_a_mask_that_touches_all_borders_is_filled() -> None:
    frame = ~block(20, 20, WIDTH - 20, HEIGHT - 20)

    for comfort in (Comfort(), Comfort(min_side_px=16, max_side_px=32, multiple=8)):
        made = filled(frame, Painter(comfort), original=np.full((HEIGHT, WIDTH, 3), 200, dtype=np.uint8))

        assert (made.image == 200).all()


def test_the_least_certain_crop_speaks_for_the_whole() -> None:
    mask = block(40, 40, 60, 60) | block(120, 20, 140, 40)

    assert filled(mask, Painter(confidences=(0.8, 0.3))).confidence == pytest.approx(0.3)
    assert filled(mask, Painter()).confidence is None


def test_a_hole_of_a_few_pixels_weighs_less() -> None:
    mask = block(40, 40, 60, 60) | block(120, 20, 124, 22)

    assert filled(mask, Painter(confidences=(0.8, 0.0))).confidence == pytest.approx(0.75)


def test_memory_depends_on_the_crop_and_not_on_the_image() -> None:
    comfort = Comfort(context=0.5, min_side_px=64, multiple=8)
    peaks = []
    for scale in (1, 4):
        size = (500 * scale, 700 * scale)
        mask = np.zeros(size, dtype=np.bool_)
        mask[200:300, 300:420] = True
        erased, nowhere = np.full((*size, 3), 90, dtype=np.uint8), np.zeros_like(mask)
        tracemalloc.start()
        fill(erased, mask, avoid=nowhere, inpainter=Painter(comfort))
        peaks.append(tracemalloc.get_traced_memory()[1] - erased.nbytes)
        tracemalloc.stop()

    # The filled image is made; all else is of the crop's size.
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.parametrize(
    "answer",
    [
        np.zeros((119, 200, 3), dtype=np.uint8),
        np.zeros((120, 200), dtype=np.uint8),
        np.zeros((120, 200, 3), dtype=np.float32),
        np.zeros((120, 200, 4), dtype=np.uint8),
    ],
)
def test_an_engine_that_returns_something_else_is_caught_by_name(answer) -> None:
    with pytest.raises(EngineError, match=r"misfit 3 was given a crop of \(120, 200, 3\) uint8"):
        filled(block(2, 2, 198, 118), Misfit(answer))
