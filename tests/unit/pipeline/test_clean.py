import io
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from cleanplate.codecs import coefficients
from cleanplate.codecs.container import forbidden_parts
from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.engines.inpainters.opencv import OpenCvInpainter
from cleanplate.engines.protocols import Comfort, Inpainting
from cleanplate.engines.registry import load_inpainter
from cleanplate.errors import CertificateError, EngineError, NothingToRemoveError, SizeMismatchError
from cleanplate.pipeline.certificate import Verdict
from cleanplate.pipeline.clean import CleanCopy, Original, clean_copy, clean_image
from cleanplate.pipeline.encoding import LOSSLESS as LOSSLESS_FILE
from cleanplate.pipeline.encoding import SPLICED, WHOLE
from cleanplate.pipeline.plan import Grid, grid_of, plan_from_mask, touched
from fakes.jpeg_files import HAS_JPEGLIB

LIMITS = ImageLimits()
HEIGHT, WIDTH = 83, 118
TURNS = range(1, 9)


def scene(seed: int = 0) -> np.ndarray:
    """Rough ground, as photographs have it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    ground = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(ground + np.random.default_rng(seed).integers(-9, 10, ground.shape), 0, 255).astype(np.uint8)


def mask() -> np.ndarray:
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    return ((ys - 35) / 14) ** 2 + ((xs - 61) / 19) ** 2 < 1


def file_of(image: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def turned_file(image: np.ndarray, orientation: int, **options: object) -> bytes:
    """A JPEG that is stored turned, so that *image* is what one sees upright."""
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = Image.fromarray(image)
    if orientation in inverse:
        stored = stored.transpose(Image.Transpose(inverse[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "JPEG", exif=exif, **options)
    return file.getvalue()


def cleaned(content: bytes, inpainter=None) -> CleanCopy:
    original = Original.from_bytes(content, LIMITS)
    return clean_image(original, mask(), inpainter or load_inpainter("opencv"), limits=LIMITS)


def verdicts(copy: CleanCopy) -> dict[str, Verdict]:
    return {clause.level: clause.verdict for clause in copy.certificate.clauses}


FILES = {
    "png": file_of,
    "grey png": lambda image: file_of(image[..., 0]),
    "lossless webp": lambda image: file_of(image, "WEBP", lossless=True),
    "jpeg 4:2:0": lambda image: file_of(image, "JPEG", quality=90),
    "jpeg 4:2:2": lambda image: file_of(image, "JPEG", quality=90, subsampling=1),
    "jpeg 4:4:4": lambda image: file_of(image, "JPEG", quality=70, subsampling=0),
    "progressive jpeg": lambda image: file_of(image, "JPEG", quality=90, progressive=True),
    "grey jpeg": lambda image: file_of(image[..., 0], "JPEG", quality=85),
    "webp": lambda image: file_of(image, "WEBP", quality=80),
}
LOSSLESS = ("png", "grey png", "lossless webp")
KEPT = [kind for kind in FILES if kind in LOSSLESS or ("jpeg" in kind and HAS_JPEGLIB)]


@pytest.mark.parametrize("kind", FILES)
def test_what_is_under_the_mask_is_gone_and_the_copy_certified(kind) -> None:
    content = FILES[kind](scene())
    copy = cleaned(content)

    expected = Verdict.PASS if kind in KEPT else Verdict.RE_ENCODED
    assert verdicts(copy) == {"L1": Verdict.PASS, "L2": Verdict.PASS, "L3": expected, "L4": Verdict.PASS}
    assert copy.certificate.re_encoded == (kind not in KEPT)
    before, after = (picture_from_bytes(data, LIMITS).image[mask()].astype(int) for data in (content, copy.content))
    assert np.abs(before - after).mean() > 10
    assert forbidden_parts(copy.content) == ()


@pytest.mark.parametrize("kind", KEPT)
def test_outside_the_mask_a_copy_has_every_sample(kind) -> None:
    content = FILES[kind](scene())

    before, after = (picture_from_bytes(data, LIMITS) for data in (content, cleaned(content).content))

    outside = ~touched(mask(), grid_of(before.container))
    np.testing.assert_array_equal(after.image[outside], before.image[outside])


@pytest.mark.parametrize("kind", FILES)
def test_the_certificate_says_how_much_was_encoded_again(kind) -> None:
    how = cleaned(FILES[kind](scene())).certificate.parameters["encoding"]

    assert how == (LOSSLESS_FILE if kind in LOSSLESS else SPLICED if kind in KEPT else how)
    assert how.startswith(WHOLE) == (kind not in KEPT)


def test_without_jpeglib_a_jpeg_is_encoded_again_and_the_certificate_says_how_that_can_be_helped(monkeypatch) -> None:
    coefficients._library.cache_clear()
    monkeypatch.setattr(coefficients, "find_spec", lambda _name: None)

    certificate = cleaned(FILES["jpeg 4:2:0"](scene())).certificate

    assert certificate.re_encoded
    assert certificate.parameters["encoding"].startswith("the whole image was encoded again: lossless copies")
    assert certificate.parameters["encoding"].endswith("pip install 'cleanplate[jpeg]'")


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "webp"])
def test_the_bytes_of_a_copy_do_not_depend_on_what_was_hidden(kind) -> None:
    copies = set()
    for seed in range(3):
        image = scene()
        image[mask()] = scene(seed + 1)[mask()]
        copies.add(cleaned(FILES[kind](image)).content)

    assert len(copies) == 1


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_nor_do_they_in_a_photograph_that_was_turned(orientation, subsampling) -> None:
    copies = set()
    for seed in range(2):
        image = scene()
        image[mask()] = scene(seed + 1)[mask()]
        copies.add(cleaned(turned_file(image, orientation, quality=85, subsampling=subsampling)).content)

    assert len(copies) == 1


@pytest.mark.parametrize("orientation", TURNS)
def test_in_a_turned_photograph_the_right_pixels_vanish_and_the_copy_is_upright(orientation) -> None:
    image = scene()
    image[mask()] = (255, 0, 0)
    original = turned_file(image, orientation, quality=95, subsampling=0)

    copy = cleaned(original)

    shown = np.asarray(Image.open(io.BytesIO(copy.content))).astype(int)
    assert shown.shape == image.shape
    red = (shown[..., 0] > 200) & (shown[..., 1] < 60) & (shown[..., 2] < 60)
    assert not red[mask()].any()
    grid = grid_of(picture_from_bytes(original, LIMITS).container)
    far = ~touched(touched(mask(), grid), Grid(grid.cell, reach_px=1))
    assert np.abs(shown - image)[far].mean() < 5
    assert 0x0112 not in Image.open(io.BytesIO(copy.content)).getexif()


def test_transparency_under_the_mask_tells_nothing() -> None:
    copies = set()
    for seed in range(2):
        image = np.dstack([scene(), np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)])
        image[:10, :, 3] = 128
        image[:, :10, 3] = 0
        image[mask(), 3] = np.random.default_rng(seed).integers(0, 256, int(mask().sum()))
        copies.add(cleaned(file_of(image)).content)

    assert len(copies) == 1
    alpha = picture_from_bytes(copies.pop(), LIMITS).alpha
    assert (alpha[mask()] == 255).all()
    assert (alpha[:10, 20:] == 128).all()
    assert (alpha[:, :10] == 0).all()


def test_the_certificate_names_the_files_the_engine_and_the_mask_by_digest() -> None:
    content = file_of(scene())
    copy = cleaned(content)

    certificate = copy.certificate.to_json()

    assert certificate["source"] == sha256(content).hexdigest()
    assert certificate["copy"] == sha256(copy.content).hexdigest()
    assert certificate["engine"] == "opencv-telea radius=3px"
    assert certificate["parameters"]["grid"] == [1, 1]
    assert copy.extension == ".png"
    assert cleaned(file_of(scene(), "JPEG")).extension == ".jpg"


def test_the_same_image_and_mask_always_give_the_same_bytes() -> None:
    content = FILES["jpeg 4:2:0"](scene())

    assert cleaned(content).content == cleaned(content).content


def test_each_step_is_reported_before_it_begins() -> None:
    original = Original.from_bytes(file_of(scene()), LIMITS)
    steps: list[str] = []

    plan = plan_from_mask(mask(), grid=Grid())
    clean_copy(original, plan, load_inpainter("opencv"), limits=LIMITS, report=steps.append)

    assert steps == ["erase", "fill", "composite", "encode", "certify"]


class Cheat:
    """Knows the original and gives it back."""

    version = "cheat"
    comfort = Comfort()

    def __init__(self, image: np.ndarray) -> None:
        self.image = image

    def inpaint(self, crop: np.ndarray, mask: np.ndarray, *, avoid: np.ndarray) -> Inpainting:
        assert crop.shape[:2] == mask.shape == avoid.shape
        height, width = crop.shape[:2]
        return Inpainting(self.image[:height, :width])


@pytest.mark.parametrize("kind", ["png", "jpeg 4:4:4"])
def test_an_engine_that_brings_the_object_back_is_not_certified(kind) -> None:
    content = FILES[kind](scene())
    original = Original.from_bytes(content, LIMITS)
    whole = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    whole[5:75, 5:110] = True

    with pytest.raises(CertificateError, match="L2: 1 of 1 objects under the mask are still there"):
        clean_image(original, whole, Cheat(original.picture.image), limits=LIMITS)


class Broken(OpenCvInpainter):
    def inpaint(self, image: np.ndarray, mask: np.ndarray, *, avoid: np.ndarray) -> Inpainting:
        raise EngineError(f"cannot fill {image.shape} {mask.shape} {avoid.shape}")


def test_a_hole_that_cannot_be_filled_makes_no_copy() -> None:
    with pytest.raises(EngineError, match="cannot fill"):
        cleaned(file_of(scene()), Broken())


def test_a_plan_that_erases_nothing_is_refused() -> None:
    original = Original.from_bytes(file_of(scene()), LIMITS)

    with pytest.raises(NothingToRemoveError):
        clean_image(original, np.zeros_like(mask()), load_inpainter("opencv"), limits=LIMITS)


def test_a_mask_of_another_size_is_refused() -> None:
    original = Original.from_bytes(file_of(scene()), LIMITS)

    with pytest.raises(SizeMismatchError):
        clean_image(original, mask().T, load_inpainter("opencv"), limits=LIMITS)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (WIDTH - 1, HEIGHT - 1), (40, 30)])
def test_a_mask_of_one_pixel_is_removed(left, top) -> None:
    one = np.zeros_like(mask())
    one[top, left] = True
    original = Original.from_bytes(file_of(scene()), LIMITS)

    copy = clean_image(original, one, load_inpainter("opencv"), limits=LIMITS)

    shown = picture_from_bytes(copy.content, LIMITS).image
    np.testing.assert_array_equal(shown[~one], original.picture.image[~one])


def test_an_image_that_is_removed_entirely_becomes_grey() -> None:
    original = Original.from_bytes(file_of(scene()), LIMITS)

    copy = clean_image(original, np.ones_like(mask()), load_inpainter("opencv"), limits=LIMITS)

    assert (picture_from_bytes(copy.content, LIMITS).image == 128).all()
