import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cleanplate.codecs import coefficients, jpeg
from cleanplate.codecs.coefficients import scan_from_blocks
from cleanplate.codecs.images import ImageLimits, bytes_from_picture, picture_from_bytes
from cleanplate.codecs.splice import coefficients_from_jpeg
from cleanplate.domain.policy import Action
from cleanplate.engines.registry import load_inpainter
from cleanplate.errors import NotAnImageError, NothingToRemoveError, SizeMismatchError
from cleanplate.pipeline import verification
from cleanplate.pipeline.certificate import Clause, Verdict, Verification
from cleanplate.pipeline.clean import Original, clean_image
from cleanplate.pipeline.plan import grid_of, touched
from cleanplate.pipeline.verification import Names, names_clause, verify
from fakes import jpeg_files
from fakes.image_files import deep_png, swapped_profile
from fakes.jpeg_files import HAS_JPEGLIB

LIMITS = ImageLimits()
HEIGHT, WIDTH = 96, 128
KINDS = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 90},
    "low jpeg": {"format": "JPEG", "quality": 30},
    "webp": {"format": "WEBP", "quality": 80},
}
JPEGS = ["jpeg", "low jpeg"]
KEPT = ["png", *JPEGS] if HAS_JPEGLIB else ["png"]
ENCODED_AGAIN = [kind for kind in KINDS if kind != "png"]


def photograph() -> np.ndarray:
    """Rough ground with a black and white object on it."""
    noise = np.random.default_rng(5).integers(0, 256, (8, 11, 3), dtype=np.uint8)
    ground = np.asarray(Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).copy()
    ground[40:60:4, 50:80] = 0
    ground[42:60:4, 50:80] = 255
    return ground


def mask() -> np.ndarray:
    result = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    result[38:62, 47:83] = True
    return result


def file_of(image: np.ndarray, kind: str, **more: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, **KINDS[kind], **more)
    return file.getvalue()


def copy_of(content: bytes) -> bytes:
    return clean_image(Original.from_bytes(content, LIMITS), mask(), load_inpainter("opencv"), limits=LIMITS).content


def edited(content: bytes, change) -> bytes:
    """The file with its pixels changed, written as cleanplate writes."""
    picture = picture_from_bytes(content, LIMITS)
    image = picture.image.copy()
    change(image)
    return bytes_from_picture(replace(picture, image=image))


def removed(image: np.ndarray) -> None:
    image[mask()] = 128


def checked(original: bytes, copy: bytes, names: Names | None = None) -> dict[str, Clause]:
    found = verify(original, copy, mask(), limits=LIMITS, names=names)
    return {clause.level: clause for clause in found.clauses}


@pytest.mark.parametrize("kind", KINDS)
def test_a_clean_copy_passes(kind) -> None:
    original = file_of(photograph(), kind)

    found = checked(original, copy_of(original))

    fidelity = Verdict.PASS if kind in KEPT else Verdict.RE_ENCODED
    assert [clause.verdict for clause in found.values()] == [
        Verdict.PASS,
        fidelity,
        Verdict.PASS,
        Verdict.NOT_CHECKED,
    ]
    assert list(found) == ["L2", "L3", "L4", "L5"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_is_still_there_fails(kind) -> None:
    original = file_of(photograph(), kind)

    found = checked(original, bytes_from_picture(picture_from_bytes(original, LIMITS)))

    assert found["L2"].verdict is Verdict.FAIL
    assert found["L2"].figures["largest_share_left"] > 0.9
    assert found["L3"].verdict is not Verdict.FAIL


def test_one_of_two_objects_that_is_still_there_fails() -> None:
    two = photograph()
    two[5:25, 100:120] = photograph()[40:60, 50:70]
    original = file_of(two, "png")
    both = mask()
    both[4:26, 99:121] = True
    first_only = copy_of(original)

    (coverage, *_) = verify(original, first_only, both, limits=LIMITS).clauses

    assert coverage.verdict is Verdict.FAIL
    assert coverage.sentence == "1 of 2 objects under the mask are still there: of one 100% is unchanged"


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_changed_outside_the_mask_fail(kind) -> None:
    original = file_of(photograph(), kind)

    def scribble(image: np.ndarray) -> None:
        image[:12, :20] = 255 - image[:12, :20]

    found = checked(original, edited(copy_of(original), scribble))

    assert found["L3"].verdict is Verdict.FAIL
    assert found["L3"].figures["largest_error_levels"] > 50


def test_one_sample_changed_by_one_level_fails_where_nothing_need_change() -> None:
    original = file_of(photograph(), "png")

    def nudge(image: np.ndarray) -> None:
        image[0, 0, 2] ^= 1

    found = checked(original, edited(copy_of(original), nudge))

    assert found["L3"].verdict is Verdict.FAIL
    assert found["L3"].sentence == "1 of 11,424 pixels outside the mask differ, by up to 1 levels"


def test_one_16_bit_sample_changed_by_one_level_fails() -> None:
    deep = photograph().astype(np.uint16) * 257
    original = deep_png(deep)
    copy = copy_of(original)
    found = picture_from_bytes(copy, LIMITS).deep.copy()
    found[0, 0, 2] ^= 1

    assert checked(original, copy)["L3"].verdict is Verdict.PASS
    fidelity = checked(original, deep_png(found))["L3"]
    assert fidelity.verdict is Verdict.FAIL
    assert fidelity.sentence.endswith("1 of 11,424 pixels outside the mask differ, by up to 1 levels of 16 bits")


@pytest.mark.parametrize("kind", jpeg_files.KINDS)
@pytest.mark.parametrize("orientation", [1, 2, 8])
def test_a_part_of_a_jpeg_comes_out_of_another_encoding_like_the_whole(kind, orientation) -> None:
    original = jpeg_files.jpeg_of(jpeg_files.rough(117, 83), kind, orientation=orientation)
    picture = picture_from_bytes(original, LIMITS)
    again = verification._EncodedAgain(picture, LIMITS)
    grid = grid_of(picture.container)
    for top, left in ((0, 0), (5, 40), (70, 100), (82, 116), (31, 63)):
        approved = np.zeros((83, 117), dtype=np.bool_)
        approved[top : top + 9, left : left + 20] = True
        effective = touched(approved, grid)
        window = verification._window(effective)

        counted = verification._counted(picture, effective[window])

        assert counted.any()
        np.testing.assert_array_equal(again.part(window)[counted], again.whole.image[window][counted])


@pytest.mark.parametrize("kind", ENCODED_AGAIN)
def test_what_encoding_again_costs_is_in_the_figures(kind) -> None:
    original = file_of(photograph(), kind)

    fidelity = checked(original, edited(original, removed))["L3"]

    assert fidelity.verdict is Verdict.RE_ENCODED
    assert 0 < fidelity.figures["mean_error_levels"] < fidelity.figures["largest_error_levels"]
    assert f"up to {fidelity.figures['largest_error_levels']} levels" in fidelity.sentence


def test_a_jpeg_whose_pixels_outside_are_equal_has_no_mark() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
    image[32:64, 48:80] = 200
    cells = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    cells[32:64, 48:80] = True
    original = file_of(image, "jpeg")

    def empty(picture: np.ndarray) -> None:
        picture[32:64, 48:80] = 90

    coverage, fidelity, *_ = verify(original, edited(original, empty), cells, limits=LIMITS).clauses

    assert coverage.verdict is Verdict.PASS
    assert fidelity.verdict is Verdict.PASS


needs_jpeglib = pytest.mark.skipif(not HAS_JPEGLIB, reason="needs the extra jpeg")


@pytest.fixture
def without_jpeglib(monkeypatch) -> Iterator[None]:
    coefficients._library.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(coefficients, "find_spec", lambda _name: None)
        yield


def rewritten(content: bytes, change) -> bytes:
    """The JPEG with its coefficients changed and nothing else."""
    found = coefficients_from_jpeg(content)
    change(found.blocks)
    scan = scan_from_blocks(found.blocks, size=found.size, factors=found.tables.factors)
    return jpeg.file_of(found.size, found.tables, scan)


@needs_jpeglib
@pytest.mark.parametrize("kind", jpeg_files.KINDS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_spliced_jpeg_passes_by_its_coefficients(kind, orientation) -> None:
    original = jpeg_files.jpeg_of(photograph(), kind, orientation=orientation)

    found = checked(original, copy_of(original))

    assert [found[level].verdict for level in ("L2", "L3", "L4")] == [Verdict.PASS] * 3
    figures = found["L3"].figures
    assert figures["differing_blocks"] == 0
    blocks = sum(component.shape[0] * component.shape[1] for component in jpeg_files.stored_blocks(original))
    assert figures["blocks_outside"] + figures["blocks_touched"] == blocks
    assert found["L3"].sentence == (
        f"every quantised coefficient of the {figures['blocks_outside']:,} blocks outside the mask is equal"
    )


@needs_jpeglib
@pytest.mark.parametrize("size", [1, 7, 60])
@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "grey", "progressive"])
def test_one_changed_coefficient_outside_the_mask_is_never_a_pass(kind, size) -> None:
    original = jpeg_files.jpeg_of(photograph(), kind)

    def nudge(blocks) -> None:
        blocks[-1][0, 0, 5, 2] += size

    found = checked(original, rewritten(copy_of(original), nudge))["L3"]

    shown = found.figures.get("largest_error_levels", 0)
    assert found.verdict is (Verdict.FAIL if shown > 5 else Verdict.RE_ENCODED)
    assert shown > 5 or size < 60
    assert found.figures["differing_blocks"] == 1


@needs_jpeglib
def test_a_difference_that_shows_in_no_pixel_is_marked() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8)
    image[40:60, 50:80] = photograph()[40:60, 50:80]
    original = jpeg_files.jpeg_of(image, "own tables")

    def brighten_by_an_eighth(blocks) -> None:
        blocks[0][0, 0, 0, 0] += 1

    found = checked(original, rewritten(copy_of(original), brighten_by_an_eighth))["L3"]

    assert found.verdict is Verdict.RE_ENCODED
    assert found.sentence == "1 of 504 blocks outside the mask differ, but not so much that it can be seen"


@needs_jpeglib
@pytest.mark.parametrize("orientation", range(1, 9))
def test_without_jpeglib_a_spliced_copy_is_compared_by_its_pixels(orientation, request) -> None:
    original = jpeg_files.jpeg_of(photograph(), "4:2:0", orientation=orientation)
    copy = copy_of(original)
    request.getfixturevalue("without_jpeglib")

    found = checked(original, copy)["L3"]

    # Turned, some pixels are rounded in another way.
    assert found.verdict is (Verdict.RE_ENCODED if "differing_pixels" in found.figures else Verdict.PASS)
    assert orientation > 1 or found.verdict is Verdict.PASS
    assert "blocks_outside" not in found.figures
    assert found.figures.get("largest_error_levels", 0) <= 5


@needs_jpeglib
def test_an_original_whose_colours_were_converted_is_compared_by_its_pixels() -> None:
    original = file_of(photograph(), "jpeg", icc_profile=swapped_profile())

    found = checked(original, copy_of(original))["L3"]

    assert found.verdict is Verdict.RE_ENCODED
    assert "blocks_outside" not in found.figures


@needs_jpeglib
def test_what_lies_beside_the_cells_need_not_change() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 200, dtype=np.uint8)
    image[31] = 0
    cells = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    cells[32:64, 48:80] = True
    original = file_of(image, "jpeg", subsampling=0)

    copy = clean_image(Original.from_bytes(original, LIMITS), cells, load_inpainter("opencv"), limits=LIMITS)

    coverage, *_ = verify(original, copy.content, cells, limits=LIMITS).clauses
    assert coverage.verdict is Verdict.PASS


def test_a_jpeg_encoded_with_other_tables_fails() -> None:
    original = file_of(photograph(), "jpeg")
    other = file_of(picture_from_bytes(copy_of(original), LIMITS).image, "low jpeg")

    assert checked(original, other)["L3"].verdict is Verdict.FAIL


def test_transparency_changed_outside_the_mask_fails() -> None:
    image = np.dstack([photograph(), np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)])
    original = file_of(image, "png")
    picture = picture_from_bytes(copy_of(original), LIMITS)
    alpha = picture.alpha.copy()
    alpha[0, :7] = 254

    found = checked(original, bytes_from_picture(replace(picture, alpha=alpha)))

    assert found["L3"].verdict is Verdict.FAIL
    assert found["L3"].figures["differing_pixels"] == 7


def test_colours_that_nobody_can_see_do_not_count() -> None:
    image = np.dstack([photograph(), np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)])
    image[:10, :, 3] = 0
    original = file_of(image, "png")

    assert checked(original, copy_of(original))["L3"].verdict is Verdict.PASS


def test_a_flat_area_under_the_mask_cannot_be_told_apart_and_passes() -> None:
    original = file_of(np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8), "png")

    coverage = checked(original, original)["L2"]

    assert coverage.verdict is Verdict.PASS
    assert coverage.sentence == "nothing under the mask stood out from its surroundings"


def test_ground_that_comes_out_as_it_was_around_a_removed_object_passes() -> None:
    striped = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    striped[::2] = 200
    clean = file_of(striped, "png")
    striped[44:56, 60:70] = (255, 0, 0)

    assert checked(file_of(striped, "png"), clean)["L2"].verdict is Verdict.PASS


def striped(side: int = 120) -> np.ndarray:
    """Stripes without an end: what goes on under a mask comes out as it was."""
    return np.where(np.arange(side)[:, np.newaxis, np.newaxis] // 6 % 2, np.uint8(40), np.uint8(200)).repeat(
        side, axis=1
    )


def verdict_on(original: np.ndarray, copy: np.ndarray, covered: np.ndarray) -> Clause:
    files = (file_of(image.repeat(3, axis=2), "png") for image in (original, copy))
    return next(clause for clause in verify(*files, covered, limits=LIMITS).clauses if clause.level == "L2")


def test_a_pattern_that_goes_on_under_the_mask_is_no_failure_and_no_proof() -> None:
    covered = np.zeros((120, 120), dtype=np.bool_)
    covered[40:80, 40:80] = True
    original = striped()
    original[55:62, 55:62] = 120

    assert verdict_on(original, striped(), covered).verdict is Verdict.NOT_CHECKED
    assert verdict_on(striped(), striped(), covered).verdict is Verdict.NOT_CHECKED


def test_an_object_on_a_pattern_that_is_still_there_fails() -> None:
    covered = np.zeros((120, 120), dtype=np.bool_)
    covered[40:80, 40:80] = True
    original = striped()
    original[55:62, 55:62] = 120

    clause = verdict_on(original, original, covered)

    assert clause.verdict is Verdict.FAIL
    assert clause.figures["repeated_objects"] == 0


def writing() -> np.ndarray:
    """Black strokes on white paper."""
    paper = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    paper[42:58:4, 50:80] = 0
    return paper


@pytest.mark.parametrize("kind", KINDS)
def test_a_bar_of_the_colour_of_the_writing_under_it_passes(kind) -> None:
    original = file_of(writing(), kind)
    fill = {"limits": LIMITS, "action": Action.FILL}

    copy = clean_image(Original.from_bytes(original, LIMITS), mask(), load_inpainter("opencv"), **fill).content

    assert checked(original, copy)["L2"].verdict is Verdict.PASS
    assert checked(original, original)["L2"].verdict is Verdict.FAIL


def test_an_object_of_one_colour_that_fills_the_mask_is_not_taken_for_a_bar() -> None:
    image = photograph()
    image[mask()] = 0
    original = file_of(image, "png")

    assert checked(original, original)["L2"].verdict is Verdict.FAIL


@pytest.mark.parametrize("ground", [0, 90])
def test_an_object_that_only_its_transparency_shows_must_go_as_well(ground) -> None:
    image = np.full((HEIGHT, WIDTH, 4), ground, dtype=np.uint8)
    image[..., 3] = 0 if ground == 0 else 255
    image[42:58:4, 50:80, 3] = 255 if ground == 0 else 40
    original = file_of(image, "png")

    assert checked(original, original)["L2"].verdict is Verdict.FAIL
    assert checked(original, copy_of(original))["L2"].verdict is Verdict.PASS


def with_text(image: np.ndarray) -> bytes:
    text = PngInfo()
    text.add_text("Author", "somebody")
    return file_of(image, "png", pnginfo=text)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda copy: copy + b"more", "4 bytes behind the image"),
        (lambda copy: with_text(picture_from_bytes(copy, LIMITS).image), "text"),
    ],
)
def test_a_container_that_holds_more_fails_by_name(spoil, named) -> None:
    original = file_of(photograph(), "png")

    found = checked(original, spoil(copy_of(original)))

    assert found["L4"].verdict is Verdict.FAIL
    assert named in found["L4"].sentence
    assert found["L3"].verdict is Verdict.PASS


@pytest.mark.parametrize(
    "other",
    [
        file_of(photograph()[:-1], "png"),
        file_of(photograph(), "jpeg"),
        file_of(photograph(), "png")[:-40],
        b"",
        b"no image",
    ],
    ids=["another size", "another format", "cut short", "empty", "no image"],
)
def test_a_file_that_cannot_be_compared_fails(other) -> None:
    found = checked(file_of(photograph(), "png"), other)

    assert found["L2"].verdict is Verdict.NOT_CHECKED
    assert found["L3"].verdict is Verdict.FAIL


def test_an_original_that_is_no_image_is_an_error() -> None:
    with pytest.raises(NotAnImageError):
        checked(b"no image", file_of(photograph(), "png"))


def test_a_mask_of_another_size_is_an_error() -> None:
    original = file_of(photograph(), "png")

    with pytest.raises(SizeMismatchError):
        verify(original, original, mask().T, limits=LIMITS)


def test_an_empty_mask_is_an_error() -> None:
    original = file_of(photograph(), "png")

    with pytest.raises(NothingToRemoveError):
        verify(original, original, np.zeros_like(mask()), limits=LIMITS)


@pytest.mark.parametrize(
    ("original", "copy", "verdict"),
    [
        ("Holiday.jpg", "3f0c.jpg", Verdict.PASS),
        ("Holiday.jpg", "holiday_clean.jpg", Verdict.FAIL),
        ("a/b/holiday.png", "c/holiday.jpg", Verdict.FAIL),
        ("1.jpg", "1.jpg", Verdict.PASS),
    ],
)
def test_the_name_of_a_copy_must_not_contain_the_originals(original, copy, verdict) -> None:
    assert names_clause(Names(original, copy)).verdict is verdict


def test_a_name_that_a_person_chose_is_pointed_out_and_left_to_them() -> None:
    content = file_of(photograph(), "png")

    clause = checked(content, copy_of(content), Names("holiday.png", "holiday_clean.png"))["L5"]

    assert clause.verdict is Verdict.NOT_CHECKED
    assert "contains the original's" in clause.sentence


def test_a_verification_is_passed_unless_a_level_failed() -> None:
    marked = Clause("L3", Verdict.RE_ENCODED, "encoded again")
    failed = Clause("L4", Verdict.FAIL, "more")

    assert Verification((marked, Clause("L5", Verdict.NOT_CHECKED, "no names"))).passed
    assert not Verification((marked, failed)).passed
    assert Verification((failed,)).to_json() == {
        "passed": False,
        "clauses": [{"level": "L4", "verdict": "fail", "sentence": "more", "figures": {}}],
    }
