import io

import numpy as np
import pytest
from PIL import Image

from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.domain.image import Mask, RgbImage, Size, size_of
from cleanplate.domain.policy import Action, Colour, LabelPolicy, Policy, Way
from cleanplate.domain.region import Region, Shape
from cleanplate.engines.protocols import Comfort, Inpainting
from cleanplate.errors import NothingToRemoveError, PolicyError
from cleanplate.pipeline.certificate import Verdict
from cleanplate.pipeline.clean import CleanCopy, Original, clean_copy, clean_image
from cleanplate.pipeline.plan import Treatment, grid_of, plan_removal
from cleanplate.pipeline.traditional import treat
from cleanplate.pipeline.verification import verify

LIMITS = ImageLimits()
HEIGHT, WIDTH = 90, 130
RED = Colour(200, 30, 40)


def scene(seed: int = 0) -> RgbImage:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def face(left: int = 61) -> Mask:
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    return ((ys - 40) / 16) ** 2 + ((xs - left) / 24) ** 2 < 1


def block(left: int, top: int, right: int, bottom: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def treated(image: RgbImage, action: Action, mask: Mask, *, cells: int = 8, colour: Colour = RED):
    return treat(image, image, [Treatment(Way(action, colour, cells), mask)])


def colours(image: RgbImage, mask: Mask) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in image[mask].tolist()}


# What is done to pixels


@pytest.mark.parametrize("action", [Action.FILL, Action.PIXELATE, Action.BLUR])
def test_nothing_but_the_treated_pixels_changes(action) -> None:
    image = scene()

    result = treated(image, action, face()).image

    np.testing.assert_array_equal(image, scene())
    np.testing.assert_array_equal(result[~face()], image[~face()])
    assert (result[face()] != image[face()]).any(axis=1).mean() > 0.9


def test_a_fill_is_one_colour_and_leaves_nothing() -> None:
    result = treated(scene(), Action.FILL, face())

    assert colours(result.image, face()) == {RED}
    assert result.reduction == (0, 0, 0)


def test_what_is_to_be_removed_is_left_to_the_inpainter() -> None:
    onto = np.full((HEIGHT, WIDTH, 3), 9, dtype=np.uint8)

    result = treat(scene(), onto, [Treatment(Way(Action.REMOVE), face())])

    np.testing.assert_array_equal(result.image, onto)
    assert result.reduction == (0, 0, 0)


@pytest.mark.parametrize(("cells", "side_px"), [(1, 40), (4, 10), (8, 5), (16, 4)])
def test_a_mosaic_is_flat_in_cells_that_begin_at_the_objects_corner(cells, side_px) -> None:
    image, object_ = scene(), block(13, 7, 53, 27)

    result = treated(image, Action.PIXELATE, object_, cells=cells)

    for top in range(7, 27, side_px):
        for left in range(13, 53, side_px):
            cell = block(left, top, left + side_px, top + side_px) & object_
            (colour,) = colours(result.image, cell)
            np.testing.assert_allclose(colour, image[cell].mean(axis=0), atol=8)
    rows, columns = -(-20 // side_px), -(-40 // side_px)
    assert result.reduction == (800, 1, rows * columns * 12)


@pytest.mark.parametrize("action", [Action.PIXELATE, Action.BLUR])
def test_cells_in_which_the_object_has_no_pixel_hold_no_bits(action) -> None:
    corner = block(0, 0, 40, 10) | block(0, 0, 10, 40)

    reduction = treated(scene(), action, corner, cells=4).reduction

    assert reduction.bits == 7 * 12


@pytest.mark.parametrize("action", [Action.PIXELATE, Action.BLUR])
def test_the_averages_know_the_objects_own_pixels_only(action) -> None:
    image, other = scene(), scene(1)
    other[face()] = image[face()]

    one, two = (treated(each, action, face()).image for each in (image, other))

    np.testing.assert_array_equal(one[face()], two[face()])


@pytest.mark.parametrize("action", [Action.PIXELATE, Action.BLUR])
def test_objects_with_the_same_rounded_averages_look_the_same(action) -> None:
    image, other = scene(), scene()
    for top in range(10, 50, 5):
        for left in range(20, 60, 5):
            pixels = other[top : top + 5, left : left + 5].reshape(25, 3)
            other[top : top + 5, left : left + 5] = pixels[::-1].reshape(5, 5, 3)
    object_ = block(20, 10, 60, 50)
    assert (image != other)[object_].any(axis=1).mean() > 0.9

    one, two = (treated(each, action, object_).image for each in (image, other))

    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("action", [Action.PIXELATE, Action.BLUR])
def test_an_object_of_a_few_pixels_does_not_stay_as_it_is(action) -> None:
    image, object_ = scene(), block(50, 50, 56, 56)

    result = treated(image, action, object_, cells=16)

    assert result.reduction.bits == 4 * 12
    if action is Action.PIXELATE:
        assert len(colours(result.image, object_)) == 4


def test_each_object_gets_cells_of_its_own() -> None:
    small, large = block(0, 0, 16, 16), block(30, 0, 110, 80)

    result = treated(scene(), Action.PIXELATE, small | large, cells=4)

    assert result.reduction == (256 + 6400, 2, 2 * 16 * 12)
    np.testing.assert_array_equal(result.image[small], treated(scene(), Action.PIXELATE, small, cells=4).image[small])


def test_specks_close_together_are_one_object() -> None:
    specks = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    specks[::5, ::5] = True

    reduction = treated(scene(), Action.PIXELATE, specks).reduction

    assert reduction.objects == 1
    assert reduction.bits <= 64 * 12


def test_a_pattern_of_thousands_of_dots_keeps_no_sample_for_each() -> None:
    image = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    dots = np.zeros((500, 500), dtype=np.bool_)
    dots[::11, ::11] = True

    reduction = treated(image, Action.PIXELATE, dots).reduction

    assert reduction == (2116, 1, 64 * 12)


@pytest.mark.parametrize("level", [0, 255])
def test_a_flat_black_or_white_object_changes_as_well(level) -> None:
    image = np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8)

    assert (treated(image, Action.PIXELATE, face()).image[face()] != level).all()


def test_a_blur_is_smooth_where_a_mosaic_has_edges() -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:, 65:] = 255
    object_ = block(33, 10, 97, 74)

    mosaic, blur = (
        treated(image, action, object_).image[40, 33:97, 0].astype(int) for action in (Action.PIXELATE, Action.BLUR)
    )

    assert np.abs(np.diff(mosaic)).max() == 240
    assert np.abs(np.diff(blur)).max() <= 14
    assert (np.diff(blur) >= 0).all()
    assert (blur[0], blur[-1]) == (8, 248)


def test_an_image_that_is_treated_entirely() -> None:
    everything = np.ones((HEIGHT, WIDTH), dtype=np.bool_)

    for action in (Action.PIXELATE, Action.BLUR):
        result = treated(scene(), action, everything, cells=16)
        assert result.image.shape == (HEIGHT, WIDTH, 3)
        assert result.reduction.pixels == HEIGHT * WIDTH


# Copies


class Refusing:
    """An inpainter that nobody may ask."""

    version = "refusing"
    comfort = Comfort()

    def inpaint(self, image: RgbImage, mask: Mask, *, avoid: Mask | None = None) -> Inpainting:
        raise AssertionError(f"nothing of {image.shape}, {mask.shape}, {avoid is None} is to be inpainted")


class Plain:
    """Fills with the mean of what it is shown, grey holes and all."""

    version = "plain"
    comfort = Comfort()

    def inpaint(self, image: RgbImage, mask: Mask, *, avoid: Mask | None = None) -> Inpainting:
        filled = image.copy()
        filled[mask] = image.mean(axis=(0, 1))
        return Inpainting(filled, confidence=None if avoid is None else 0.5)


def file_of(image: RgbImage, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def smooth_scene(seed: int) -> RgbImage:
    """Rough ground, as photographs have it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


FILES = {
    "png": file_of,
    "jpeg 4:2:0": lambda image: file_of(image, "JPEG", quality=88),
    "jpeg 4:4:4": lambda image: file_of(image, "JPEG", quality=75, subsampling=0),
    "grey jpeg": lambda image: file_of(image[..., 0], "JPEG", quality=85),
    "webp": lambda image: file_of(image, "WEBP", quality=80),
}


def cleaned(content: bytes, action: Action) -> CleanCopy:
    original = Original.from_bytes(content, LIMITS)
    return clean_image(original, face(), Refusing(), limits=LIMITS, action=action, reversible=True)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(
    ("action", "verdict"),
    [(Action.FILL, Verdict.PASS), (Action.PIXELATE, Verdict.REDUCED), (Action.BLUR, Verdict.REDUCED)],
)
def test_a_copy_is_certified_for_what_it_is_and_needs_no_inpainter(kind, action, verdict) -> None:
    content = FILES[kind](smooth_scene(3))

    copy = cleaned(content, action)

    found = {clause.level: clause for clause in copy.certificate.clauses}
    assert found["L1"].verdict is verdict
    assert found["L2"].verdict is Verdict.PASS
    assert found["L2"].figures["largest_share_left"] < 0.5
    assert found["L3"].verdict in {Verdict.PASS, Verdict.RE_ENCODED}
    assert copy.certificate.engine == "none"
    assert verify(content, copy.content, face(), limits=LIMITS).passed


@pytest.mark.parametrize("action", [Action.PIXELATE, Action.BLUR])
def test_the_certificate_says_how_much_is_left_at_most(action) -> None:
    erasure = cleaned(file_of(smooth_scene(3)), action).certificate.clauses[0]

    assert erasure.figures["bits_left_at_most"] <= 64 * 12
    assert erasure.figures["reduced"] == erasure.figures["pixels"] == int(face().sum())
    assert erasure.figures["reduced_objects"] == 1
    assert f"at most {erasure.figures['bits_left_at_most']:,} bits" in erasure.sentence


@pytest.mark.parametrize("kind", ["png", "jpeg 4:2:0", "jpeg 4:4:4", "grey jpeg"])
def test_the_bytes_under_a_solid_colour_do_not_depend_on_what_was_there(kind) -> None:
    copies = set()
    for seed in range(3):
        image = smooth_scene(9)
        image[face()] = scene(seed)[face()]
        copies.add(cleaned(FILES[kind](image), Action.FILL).content)

    assert len(copies) == 1


@pytest.mark.parametrize("action", [Action.PIXELATE, Action.BLUR])
@pytest.mark.parametrize("kind", ["png", "jpeg 4:2:0", "jpeg 4:4:4", "grey jpeg"])
def test_of_two_textures_with_the_same_averages_the_file_tells_nothing(kind, action) -> None:
    copies = set()
    for seed in range(3):
        image = np.full((HEIGHT, WIDTH, 3), 136, dtype=np.uint8)
        image[24:64, 32:96] += np.random.default_rng(seed).choice([-15, 15], (40, 64, 1)).astype(np.uint8)
        original = Original.from_bytes(FILES[kind](image), LIMITS)
        object_ = block(32, 24, 96, 64)
        copy = clean_image(original, object_, Refusing(), limits=LIMITS, action=action, reversible=True)
        copies.add(copy.content)

    assert len(copies) == 1


@pytest.mark.parametrize("action", [Action.REPLACE, Action.BACKGROUND, Action.BLUR])
def test_what_cannot_be_done_is_refused_by_name(action) -> None:
    with pytest.raises(PolicyError, match=f"^{action} "):
        clean_image(Original.from_bytes(file_of(scene()), LIMITS), face(), Refusing(), limits=LIMITS, action=action)


def test_keeping_makes_no_copy() -> None:
    with pytest.raises(NothingToRemoveError):
        cleaned(file_of(scene()), Action.KEEP)


def mixed(image: RgbImage) -> CleanCopy:
    """One object filled, one removed, one pixelated, each touching the next."""
    original = Original.from_bytes(file_of(image, "JPEG", quality=90), LIMITS)
    regions = [
        Region(label, "brush", label, Shape.BRUSH, mask)
        for label, mask in {"Text": FILLED, "Person": REMOVED, "Face": REDUCED}.items()
    ]
    policy = Policy(
        labels={
            "Text": LabelPolicy(Action.FILL),
            "Person": LabelPolicy(Action.REMOVE),
            "Face": LabelPolicy(Action.PIXELATE),
        }
    )
    plan = plan_removal(
        regions, prompts=(), policy=policy, size=size_of(image), grid=grid_of(original.picture.container)
    )
    return clean_copy(original, plan, Plain(), limits=LIMITS)


FILLED, REMOVED, REDUCED = block(10, 20, 40, 60), block(40, 20, 70, 60), block(70, 20, 100, 60)


def test_several_ways_meet_in_one_copy() -> None:
    copy = mixed(smooth_scene(3))

    assert copy.certificate.engine == "plain"
    assert [clause.verdict for clause in copy.certificate.clauses][:2] == [Verdict.REDUCED, Verdict.PASS]
    assert [treatment["action"] for treatment in copy.certificate.parameters["treatments"]] == [
        "fill",
        "remove",
        "pixelate",
    ]
    shown = picture_from_bytes(copy.content, LIMITS).image
    assert size_of(shown) == Size(WIDTH, HEIGHT)
    assert shown[30:50, 15:35].max() < 12


@pytest.mark.parametrize("hidden", [FILLED, REMOVED])
def test_what_is_filled_or_removed_shows_nowhere_not_even_in_the_mosaic_beside_it(hidden) -> None:
    copies = set()
    for seed in range(3):
        image = smooth_scene(3)
        image[hidden] = scene(seed)[hidden]
        copies.add(mixed(image).content)

    assert len(copies) == 1


def test_what_is_pixelated_does_not_colour_the_fill_beside_it() -> None:
    fills = set()
    for level in (0, 255):
        image = smooth_scene(3)
        image[REDUCED] = level
        shown = picture_from_bytes(mixed(image).content, LIMITS).image
        fills.add(shown[24:56, 50:60].tobytes())

    assert len(fills) == 1
