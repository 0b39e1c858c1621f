import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cleanplate.codecs.container import forbidden_parts, parts_of
from cleanplate.codecs.images import ImageLimits, bytes_from_picture, picture_from_bytes
from cleanplate.codecs.splice import coefficients_from_jpeg, covered_cells, difference, spliced_jpeg
from cleanplate.domain.image import Size
from cleanplate.errors import SizeMismatchError, SpliceError
from cleanplate.pipeline.plan import grid_of, plan_from_mask
from fakes.image_files import encoded, exif, exif_segment, segment, swapped_profile, with_segments
from fakes.jpeg_files import KINDS, jpeg_of, rough, shown, stored_blocks, subsampled_jpeg

pytest.importorskip("jpeglib", reason="needs the extra jpeg")

LIMITS = ImageLimits()
WIDTH, HEIGHT = 117, 83
WHOLE = (128, 96)
TURNS = range(1, 9)
FACTORS = {
    "4:4:0": ((1, 2), (1, 1), (1, 1)),
    "4:1:1": ((4, 1), (1, 1), (1, 1)),
    "chroma unlike": ((2, 2), (2, 1), (1, 2)),
}


def disc(width=WIDTH, height=HEIGHT):
    ys, xs = np.mgrid[:height, :width]
    return ((ys - 35) / 14) ** 2 + ((xs - 61) / 19) ** 2 < 1


def prepared(content, approved, colour=(40, 160, 90)):
    """What `spliced_jpeg` is given: the picture with the effective mask painted over, and that mask."""
    picture = picture_from_bytes(content, LIMITS)
    mask = plan_from_mask(approved, grid=grid_of(picture.container)).mask
    return replace(picture, image=np.where(mask[..., np.newaxis], np.uint8(colour), picture.image)), mask


def spliced(content, approved=None, colour=(40, 160, 90)):
    return spliced_jpeg(content, *prepared(content, disc() if approved is None else approved, colour))


def cells_of(mask, width, height):
    """(rows, columns), the cells that lie in the mask as far as they lie in the image."""
    rows, columns = -(-mask.shape[0] // height), -(-mask.shape[1] // width)
    return np.array(
        [
            [mask[r * height : (r + 1) * height, c * width : (c + 1) * width].all() for c in range(columns)]
            for r in range(rows)
        ]
    )


def assert_only_the_cells_differ(copy, original, cells, factors):
    for mine, theirs, (across, down) in zip(stored_blocks(copy), stored_blocks(original), factors, strict=True):
        for row, column in np.argwhere((mine != theirs).any(axis=(2, 3))):
            assert cells[row // down, column // across]


@pytest.mark.parametrize("kind", KINDS)
def test_every_coefficient_beside_the_touched_cells_is_the_sources_own(kind):
    original = jpeg_of(rough(WIDTH, HEIGHT), kind)
    _, mask = prepared(original, disc())

    copy = spliced(original)

    tables = picture_from_bytes(original, LIMITS).container.jpeg
    assert picture_from_bytes(copy, LIMITS).container.jpeg == tables
    assert_only_the_cells_differ(copy, original, cells_of(mask, *tables.mcu), tables.factors)
    np.testing.assert_array_equal(shown(copy)[~mask], shown(original)[~mask])


@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_so_it_is_with_unusual_subsampling(factors):
    original = subsampled_jpeg(rough(WIDTH, HEIGHT), factors)
    picture, mask = prepared(original, disc())

    copy = spliced(original)

    assert picture.container.jpeg.factors == factors
    assert_only_the_cells_differ(copy, original, cells_of(mask, *picture.container.jpeg.mcu), factors)
    np.testing.assert_array_equal(shown(copy)[~mask], shown(original)[~mask])
    assert np.abs(shown(copy)[disc()].astype(int) - (40, 160, 90)).mean() < 3


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "own tables"])
def test_the_touched_cells_show_the_picture(kind):
    colour = (90, 90, 90) if kind == "grey" else (40, 160, 90)

    copy = spliced(jpeg_of(rough(WIDTH, HEIGHT), kind), colour=colour)

    deep_inside = np.zeros_like(disc())
    deep_inside[34:37, 55:68] = True
    assert np.abs(shown(copy)[deep_inside].astype(int) - colour).max() <= 6


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "red, green and blue", "grey", "own tables"])
def test_a_cell_is_compressed_as_any_jpeg_library_would(kind):
    original = jpeg_of(rough(WIDTH, HEIGHT), kind)
    other = picture_from_bytes(jpeg_of(rough(WIDTH, HEIGHT, 7), kind), LIMITS)
    picture = replace(picture_from_bytes(original, LIMITS), image=other.image)

    copy = spliced_jpeg(original, picture, np.ones((HEIGHT, WIDTH), dtype=np.bool_))

    for mine, theirs in zip(stored_blocks(copy), stored_blocks(bytes_from_picture(picture)), strict=True):
        steps_off = np.abs(mine.astype(int) - theirs)
        assert steps_off.max() <= 1
        assert (steps_off > 0).mean() < 0.02


@pytest.mark.parametrize("kind", ["4:2:2", "grey"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_photograph_that_was_stored_turned_is_turned_by_its_coefficients(kind, orientation):
    image = rough(*WHOLE)
    original = jpeg_of(image, kind, orientation=orientation, quality=97)
    picture, mask = prepared(original, disc(*WHOLE))

    copy = spliced(original, disc(*WHOLE))

    assert shown(copy).shape == image.shape
    # Decoders round differently in turned images, but encoding again would cost more.
    assert np.abs(shown(copy).astype(int) - picture.image)[~mask].max() <= (0 if orientation == 1 else 4)
    assert forbidden_parts(copy) == ()
    for mine, theirs in zip(stored_blocks(copy), stored_blocks(original), strict=True):
        assert sorted(mine.shape[:2]) == sorted(theirs.shape[:2])
    assert difference(coefficients_from_jpeg(original), coefficients_from_jpeg(copy), mask).differing_blocks == 0


@pytest.mark.parametrize("orientation", TURNS)
def test_one_is_turned_only_if_the_sides_that_are_mirrored_are_whole_cells(orientation):
    mirrored = {1: "", 2: "x", 3: "xy", 4: "y", 5: "", 6: "x", 7: "xy", 8: "y"}[orientation]
    for width, height in ((128, 96), (128, 90), (120, 96), (120, 90)):
        original = jpeg_of(rough(width, height), "4:2:0", orientation=orientation)
        broken = ("x" if width % 16 else "") + ("y" if height % 16 else "")

        if set(mirrored) & set(broken):
            with pytest.raises(SpliceError, match="stored turned, and its sides are no whole cells"):
                spliced(original, disc(width, height))
        else:
            assert shown(spliced(original, disc(width, height))).shape == (height, width, 3)


def test_nothing_of_the_source_but_its_samples_is_in_the_copy():
    secrets = [b"EXIF-CANARY", b"XMP-CANARY", b"IPTC-CANARY", b"COMMENT-CANARY", b"ICC-CANARY", b"TAIL-CANARY"]
    original = with_segments(
        jpeg_of(rough(WIDTH, HEIGHT), "restart intervals"),
        exif_segment(exif(1) + secrets[0]),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + secrets[1]),
        segment(0xED, b"Photoshop 3.0\0" + secrets[2]),
        segment(0xFE, secrets[3]),
        segment(0xE2, b"ICC_PROFILE\0\1\1" + secrets[4]),
    )

    copy = spliced(original + secrets[5])

    assert forbidden_parts(copy) == ()
    assert not any(secret in copy for secret in secrets)
    assert b"\xff\xdd" not in copy


@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0"])
def test_what_a_cell_held_changes_no_bit_of_the_copy(kind):
    copies = set()
    for seed in range(4):
        image = rough(WIDTH, HEIGHT)
        image[disc()] = rough(WIDTH, HEIGHT, seed + 1)[disc()]
        copies.add(spliced(jpeg_of(image, kind)))

    assert len(copies) == 1


def inks():
    file = io.BytesIO()
    Image.fromarray(rough(WIDTH, HEIGHT)).convert("CMYK").save(file, "JPEG")
    return file.getvalue()


def without_last_scan():
    parts = parts_of(jpeg_of(rough(WIDTH, HEIGHT), "progressive"))
    last = max(at for at, part in enumerate(parts) if part.kind == "SOS")
    return b"".join(part.whole for part in (*parts[:last], *parts[last + 2 :]))


def with_late_table():
    content = jpeg_of(rough(WIDTH, HEIGHT), "4:2:0")
    return content[:-2] + segment(0xDB, bytes([0, *[9] * 64])) + content[-2:]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (encoded(rough(WIDTH, HEIGHT), "JPEG", icc_profile=swapped_profile()), "its colours were converted to sRGB"),
        (inks(), "its inks .* became colours"),
        (encoded(rough(WIDTH, HEIGHT), "JPEG", qtables=[[300] * 63 + [7]]), "unusual quantisation tables"),
        (with_late_table(), "unusual quantisation tables"),
        (without_last_scan(), "lacks some of its scans"),
    ],
    ids=["profile", "inks", "coarse tables", "late tables", "missing scan"],
)
def test_a_source_whose_coefficients_cannot_be_kept_is_named(content, said):
    with pytest.raises(SpliceError, match=said):
        spliced(content)


def test_a_mask_that_leaves_a_part_of_a_cell_is_refused():
    content = jpeg_of(rough(WIDTH, HEIGHT), "4:2:0")
    picture, mask = prepared(content, disc())
    mask[1, 1] = True

    with pytest.raises(SpliceError, match="not made of whole cells"):
        spliced_jpeg(content, picture, mask)


def test_a_mask_of_another_size_is_refused():
    content = jpeg_of(rough(WIDTH, HEIGHT), "4:2:0")
    picture, mask = prepared(content, disc())

    with pytest.raises(SizeMismatchError):
        spliced_jpeg(content, picture, mask[:-1])


def test_a_mask_that_covers_no_cell_leaves_all_as_it_was():
    content = jpeg_of(rough(WIDTH, HEIGHT), "4:2:0")
    picture = picture_from_bytes(content, LIMITS)

    copy = spliced_jpeg(content, picture, np.zeros((HEIGHT, WIDTH), dtype=np.bool_))

    np.testing.assert_array_equal(shown(copy), shown(content))


def test_a_cell_at_the_border_is_covered_if_all_of_it_in_the_image_is():
    mask = np.zeros((20, 19), dtype=np.bool_)
    mask[:8, :8] = True
    mask[16:, 15:] = True

    np.testing.assert_array_equal(
        covered_cells(mask, Size(8, 8)), [[True, False, False], [False, False, False], [False, False, True]]
    )


def test_the_sampling_factors_of_a_grey_jpeg_mean_nothing():
    plain = jpeg_of(rough(WIDTH, HEIGHT), "grey")
    at = plain.index(b"\xff\xc0") + 11
    odd = plain[:at] + b"\x22" + plain[at + 1 :]
    assert plain[at] == 0x11

    assert spliced(odd) == spliced(plain)


def test_blocks_are_counted_inside_and_outside_of_the_mask():
    content = jpeg_of(rough(64, 48), "4:2:0")
    one = coefficients_from_jpeg(content)
    mask = np.zeros((48, 64), dtype=np.bool_)
    mask[16:32, 16:48] = True

    assert difference(one, coefficients_from_jpeg(content), mask) == (72 - 12, 0, 12)
    for row, column, differing in ((0, 0, 1), (2, 2, 0), (2, 5, 0), (3, 6, 1)):
        other = coefficients_from_jpeg(content)
        other.blocks[0][row, column, 7, 7] += 1
        assert difference(one, other, mask) == (60, differing, 12)


def test_images_that_were_compressed_in_other_ways_differ_in_every_block():
    one = coefficients_from_jpeg(jpeg_of(rough(64, 48), "4:2:0"))
    mask = np.zeros((48, 64), dtype=np.bool_)
    for other in (
        jpeg_of(rough(64, 48), "4:2:2"),
        jpeg_of(rough(64, 48), "4:2:0", quality=84),
        jpeg_of(rough(48, 64), "4:2:0"),
        jpeg_of(rough(64, 48), "grey"),
    ):
        assert difference(one, coefficients_from_jpeg(other), mask) == (72, 72, 0)
