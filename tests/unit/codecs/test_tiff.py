"""TIFFs: every way of keeping samples that is read, every one that is refused, and what a copy is made of."""

import io
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from cleanplate.codecs.colour import CONVERTED, IGNORED
from cleanplate.codecs.container import Format, forbidden_parts, format_of, parts_of
from cleanplate.codecs.images import (
    Container,
    ImageLimits,
    Picture,
    bytes_from_picture,
    picture_from_bytes,
    sample_differences,
    with_fill,
)
from cleanplate.codecs.picture import samples_of
from cleanplate.codecs.tiff_directories import directories
from cleanplate.codecs.tiff_file import NEEDED
from cleanplate.errors import DamagedImageError, UnsupportedImageError
from fakes.image_files import (
    encoded,
    exif,
    linear_grey_profile,
    photograph,
    swapped_profile,
    tiff,
    tiff_field,
    tiff_of,
)

LIMITS = ImageLimits()
HEIGHT, WIDTH = 37, 41
COMPRESSIONS = {"none": 1, "LZW": 5, "deflate": 8, "old deflate": 32946, "PackBits": 32773}
OF_DIFFERENCES = ("LZW", "deflate", "old deflate")
PACKINGS = [*((name, 1) for name in COMPRESSIONS), *((name, 2) for name in OF_DIFFERENCES)]
LAYOUTS = {
    "one strip": {},
    "strips of 7": {"rows": 7},
    "strips of 1": {"rows": 1},
    "tiles": {"tile": (16, 32)},
    "tiles in planes": {"tile": (16, 16), "planar": 2},
    "planes": {"planar": 2, "rows": 9},
}
KINDS = {"grey": 1, "grey and alpha": 2, "colour": 3, "colour and alpha": 4}
PHOTO = photograph(WIDTH, HEIGHT)


def samples(channels, dtype=np.uint8):
    """(H, W, C), with long runs and all bits in use; nowhere quite transparent."""
    values = np.random.default_rng(channels).integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, channels), endpoint=True)
    values[10:20] = values[10:11, :1]
    if channels in {2, 4}:
        values[..., -1] |= 1
    return values.astype(dtype)


def read(data):
    return picture_from_bytes(data, LIMITS)


# Reading


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("compression", "predictor"), PACKINGS)
def test_samples_are_read_however_they_are_kept(compression, layout, predictor, order, dtype):
    how = {"order": order, "predictor": predictor, "compression": COMPRESSIONS[compression]} | LAYOUTS[layout]
    for channels in KINDS.values():
        values = samples(channels, dtype)

        picture = read(tiff(values, **how))

        np.testing.assert_array_equal(samples_of(picture), values)
        assert picture.container == Container(Format.TIFF, grey=channels < 3)
        assert (picture.deep is not None) == (dtype is np.uint16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [1, 5, 8, 32946, 32773])
@pytest.mark.parametrize("predictor", [1, 2])
def test_what_another_library_wrote_is_read(compression, predictor, dtype):
    for values in (samples(1, dtype)[..., 0], samples(3, dtype)):
        options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
        _, file = cv2.imencode(".tif", values if values.ndim == 2 else values[..., ::-1], options)

        np.testing.assert_array_equal(samples_of(read(file.tobytes())).squeeze(), values)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_what_pillow_wrote_is_read(mode, compression):
    with Image.fromarray(PHOTO).convert("P" if mode == "P" else "RGB").convert(mode) as picture:
        file = io.BytesIO()
        picture.save(file, "TIFF", compression=compression)
        expected = np.asarray(picture.convert("RGB"))

    np.testing.assert_array_equal(read(file.getvalue()).image, expected)


def test_where_white_is_zero_the_samples_are_turned_round():
    for dtype in (np.uint8, np.uint16):
        values = samples(1, dtype)
        np.testing.assert_array_equal(samples_of(read(tiff(values, photometric=0))), ~values)


@pytest.mark.parametrize(
    ("scale", "deep"), [(257, False), (256, False), (1, False), (251, True)], ids=["×257", "×256", "bytes", "16 bits"]
)
def test_a_palette_becomes_the_colours_it_stands_for(scale, deep):
    indices = samples(1)
    entries = np.random.default_rng(5).integers(0, 256, (256, 3)).astype(np.uint16)
    entries[7] = 255
    colours = tiff_field(320, tuple((entries * scale).T.reshape(-1).tolist()), kind=3)

    picture = read(tiff(indices, colours, photometric=3))

    if deep:
        np.testing.assert_array_equal(picture.deep, (entries * scale)[indices[..., 0]])
    else:
        np.testing.assert_array_equal(picture.image, entries[indices[..., 0]])
    assert picture.container.notes == ("the palette became full colours",)
    assert read(bytes_from_picture(picture)).container.notes == ()
    assert "palette" not in forbidden_parts(bytes_from_picture(picture))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [tiff_field(320, (1, 2, 3), kind=3)],
        [tiff_field(320, (0,) * 767, kind=3)],
        [tiff_field(320, (65_536,) * 768)],
        [tiff_field(320, b"x" * 768)],
    ],
)
def test_a_palette_that_is_missing_or_broken_is_refused(fields):
    with pytest.raises(DamagedImageError, match=r"palette is broken|field 320"):
        read(tiff(samples(1), *fields, photometric=3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_orientation_says(orientation, dtype):
    values = samples(3, dtype)

    picture = read(tiff(values, tiff_field(274, orientation, kind=3)))

    file = io.BytesIO()
    marked = Image.Exif()
    marked[0x0112] = orientation
    Image.fromarray(values.astype(np.uint8)).save(file, "PNG", exif=marked)
    with Image.open(file) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(samples_of(picture).astype(np.uint8), expected)
    assert read(bytes_from_picture(picture)).image.shape == picture.image.shape


def test_what_is_fully_transparent_is_black():
    for dtype in (np.uint8, np.uint16):
        values = samples(4, dtype)
        values[:5, :, 3] = 0

        picture = read(tiff(values))
        written = bytes_from_picture(picture)

        assert not samples_of(picture)[:5].any()
        np.testing.assert_array_equal(samples_of(read(written)), samples_of(picture))
        np.testing.assert_array_equal(samples_of(picture)[5:], values[5:])


def test_a_strip_may_be_longer_than_it_needs_to_be():
    values = samples(3)
    fields = [
        tiff_field(tag, value, kind=3)
        for tag, value in ((256, WIDTH), (257, HEIGHT), (258, (8, 8, 8)), (262, 2), (277, 3))
    ]

    for compression, content in ((1, values.tobytes()), (8, zlib.compress(values.tobytes()))):
        file = tiff_of([*fields, tiff_field(259, compression, kind=3)], [content + b"more"])
        np.testing.assert_array_equal(read(file).image, values)
        assert "bytes behind the samples" in forbidden_parts(file)


def test_smaller_versions_are_left_out_and_said_so_but_another_page_is_refused():
    page = tiff(samples(3), tiff_field(254, 0))
    smaller = tiff(samples(3)[:8, :8], tiff_field(254, 1))
    mask = tiff(samples(1), tiff_field(254, 4))

    assert read(pages(page, smaller, smaller)).container.notes == ("smaller versions were left out",)
    for others in ((page,), (smaller, page), (mask,)):
        with pytest.raises(UnsupportedImageError, match=f"a TIFF of {len(others) + 1} images"):
            read(pages(page, *others))


def pages(*files):
    """Little-endian TIFFs, one behind the other, each the next page of the one before."""
    joined, directory_end = bytearray(), 0
    for file in files:
        base = len(joined)
        moved = bytearray(file)
        start = struct.unpack_from("<I", file, 4)[0]
        count = struct.unpack_from("<H", file, start)[0]
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values, offset = struct.unpack_from("<HHII", file, at)
            outside = values * {2: 1, 3: 2, 4: 4}[kind] > 4
            if outside or tag == 273:
                struct.pack_into("<I", moved, at + 8, base + offset)
        joined += moved
        if base:
            struct.pack_into("<I", joined, directory_end, base + start)
        directory_end = base + start + 2 + 12 * count
    return bytes(joined)


# Colours


def test_profiles_are_applied_in_8_bits_and_refused_in_16():
    def with_profile(values, content):
        return read(tiff(values, tiff_field(34675, content, kind=7)))

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = with_profile(PHOTO, swapped_profile())
    assert np.abs(swapped.image.astype(int) - PHOTO[..., [1, 0, 2]]).max() < 14
    assert swapped.container.notes == (CONVERTED,)
    assert with_profile(samples(1), linear_grey_profile()).container.grey
    assert with_profile(PHOTO, b"junk").container.notes == (IGNORED,)
    deep = samples(3, np.uint16)
    np.testing.assert_array_equal(with_profile(deep, srgb).deep, deep)
    with pytest.raises(UnsupportedImageError, match="convert it to sRGB first"):
        with_profile(deep, swapped_profile())


def test_fields_that_say_what_colours_mean_are_said_to_be_left_out():
    white = tiff_field(318, struct.pack("<4I", 1, 1, 1, 1), kind=5)
    file = tiff(PHOTO, (318, 5, 2, white[3]))

    assert read(file).container.notes == ("a colour space other than sRGB was left out",)


# What is refused


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([tiff_field(259, 7, kind=3)], "compressed by JPEG"),
        ([tiff_field(259, 4, kind=3)], "compressed by fax"),
        ([tiff_field(259, 50000, kind=3)], "compressed by Zstandard"),
        ([tiff_field(259, 999, kind=3)], "compressed by method 999"),
        ([tiff_field(262, 5, kind=3)], "inks"),
        ([tiff_field(262, 6, kind=3)], "luma and chroma"),
        ([tiff_field(262, 32803, kind=3)], "raw samples"),
        ([tiff_field(262, 77, kind=3)], "colours of kind 77"),
        ([tiff_field(258, (32, 32, 32), kind=3)], "32 bits per sample"),
        ([tiff_field(258, (4, 4, 4), kind=3)], "4 bits per sample"),
        ([tiff_field(258, (5, 6, 5), kind=3)], "5 and 6 bits per sample"),
        ([tiff_field(339, (3, 3, 3), kind=3)], "floating-point"),
        ([tiff_field(339, (2, 2, 2), kind=3)], "signed"),
        ([tiff_field(266, 2, kind=3)], "reversed bits"),
        ([tiff_field(317, 3, kind=3)], "predictor 3"),
        ([tiff_field(317, 2, kind=3)], "differences that neither LZW nor deflate compressed"),
        ([tiff_field(284, 20, kind=3)], "planar configuration 20"),
        ([tiff_field(284, 0, kind=3)], "planar configuration 0"),
        ([tiff_field(50706, b"\1\4\0\0", kind=1)], "raw file"),
        ([tiff_field(254, 1)], "raw file"),
        ([tiff_field(277, 5, kind=3), tiff_field(338, (2, 0), kind=3)], "besides colour and alpha"),
        ([tiff_field(262, 3, kind=3), tiff_field(277, 1, kind=3), tiff_field(258, 16, kind=3)], "16 bits per index"),
    ],
)
def test_a_kind_of_tiff_that_cannot_be_handled_faithfully_is_refused_in_words(fields, said):
    with pytest.raises(UnsupportedImageError, match=said) as refusal:
        read(tiff(PHOTO, *fields))

    assert "first" in str(refusal.value)


def test_differences_that_are_packed_as_runs_are_refused_because_programs_disagree_about_them():
    file = tiff(PHOTO, compression=COMPRESSIONS["PackBits"], predictor=2)

    with Image.open(io.BytesIO(file)) as picture:
        assert not np.array_equal(np.asarray(picture), PHOTO)
    with pytest.raises(UnsupportedImageError, match="differences that neither LZW nor deflate compressed"):
        read(file)


@pytest.mark.parametrize("alpha", [0, 1])
def test_a_fourth_channel_that_may_not_be_plain_alpha_is_refused(alpha):
    said = {0: "besides colour and alpha", 1: "multiplied by alpha"}[alpha]

    with pytest.raises(UnsupportedImageError, match=said):
        read(tiff(samples(4), alpha=alpha))
    with pytest.raises(UnsupportedImageError, match="besides colour and alpha"):
        read(tiff(samples(4), left_out=[338]))


def test_colours_multiplied_by_an_alpha_that_is_opaque_all_over_are_as_they_were():
    for dtype in (np.uint8, np.uint16):
        values = samples(4, dtype)
        values[..., 3] = np.iinfo(dtype).max

        np.testing.assert_array_equal(samples_of(read(tiff(values, alpha=1))), values)


def test_a_bigtiff_is_refused_by_name():
    for start in (b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"):
        with pytest.raises(UnsupportedImageError, match="BigTIFF images cannot be handled: convert it"):
            read(start + bytes(100))


# Writing


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_read_alike_by_two_other_libraries(kind, dtype):
    values = samples(KINDS[kind], dtype)

    written = bytes_from_picture(read(tiff(values)))

    np.testing.assert_array_equal(samples_of(read(written)), values)
    decoded = cv2.imdecode(np.frombuffer(written, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    # OpenCV knows no alpha of grey, and multiplies colours of 8 bits by it.
    if "alpha" not in kind or (kind == "colour and alpha" and dtype is np.uint16):
        order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[KINDS[kind]]
        np.testing.assert_array_equal(decoded.reshape(HEIGHT, WIDTH, -1), values[..., order])
    if dtype is np.uint8 or kind == "grey":
        with Image.open(io.BytesIO(written)) as picture:
            np.testing.assert_array_equal(np.asarray(picture).reshape(values.shape), values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 65_535), (3000, 1), (700, 400)])
def test_the_smallest_the_narrowest_and_larger_images_survive(height, width, dtype):
    values = np.arange(height * width * 3).reshape(height, width, 3).astype(dtype)

    again = read(bytes_from_picture(read(tiff(values, rows=max(height // 3, 1)))))

    np.testing.assert_array_equal(samples_of(again), values)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_holds_the_fields_it_needs_and_not_a_byte_between_its_pieces(kind, dtype):
    written = bytes_from_picture(read(tiff(samples(KINDS[kind], dtype), tiff_field(315, b"John Doe\0"), order=">")))

    assert format_of(written) is Format.TIFF
    assert forbidden_parts(written) == ()
    parts = parts_of(written)
    assert b"".join(part.whole for part in parts) == written
    (directory,) = directories(written)
    assert {field.tag for field in directory.fields} <= NEEDED
    assert [field.tag for field in directory.fields] == sorted(field.tag for field in directory.fields)


def test_the_same_picture_gives_the_same_bytes_in_every_thread():
    file, written = tiff(samples(3, np.uint16)), []
    threads = [threading.Thread(target=lambda: written.append(bytes_from_picture(read(file)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(written) == 4
    assert len(set(written)) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_has_every_sample_outside_the_mask_and_nothing_of_what_was_under_it(kind, dtype):
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    mask[5:25, 8:30] = True
    values, copies = samples(KINDS[kind], dtype), set()
    for seed in range(4):
        random = np.random.default_rng(seed)
        values[mask] = random.integers(0, np.iinfo(dtype).max, (mask.sum(), KINDS[kind]), endpoint=True)
        copies.add(bytes_from_picture(with_fill(read(tiff(values)), PHOTO, mask)))

    (copy,) = copies
    np.testing.assert_array_equal(samples_of(read(copy))[~mask], values[~mask])
    assert not sample_differences(read(copy), read(tiff(values)))[~mask].any()


def test_a_tiff_that_would_be_longer_than_its_offsets_reach_is_refused(monkeypatch):
    monkeypatch.setattr("cleanplate.codecs.tiff_writing._MAX_BYTES", 1000)

    with pytest.raises(UnsupportedImageError, match="longer than 4 GiB"):
        bytes_from_picture(Picture(PHOTO, None, Container(Format.TIFF)))


# What else a file may hold


def test_everything_that_a_tiff_may_carry_is_found_and_named():
    texts = {
        270: "description",
        271: "maker",
        272: "model",
        305: "software",
        306: "time",
        315: "artist",
        316: "host computer",
        700: "XMP",
        33432: "copyright",
        33723: "IPTC",
        34377: "Photoshop",
        34675: "ICC profile",
        34735: "GeoTIFF",
    }
    numbers = {274: "orientation", 330: "further images", 34665: "EXIF", 34853: "GPS", 282: "field 282"}
    fields = [tiff_field(tag, b"secret") for tag in texts] + [tiff_field(tag, 1) for tag in numbers]

    found = forbidden_parts(tiff(PHOTO, *fields))

    assert set(found) == {*texts.values(), *numbers.values()}
    assert len(found) == len(fields)


def test_what_hides_between_behind_and_inside_the_pieces_is_found():
    file = tiff(PHOTO)
    short = tiff_field(284, 1, kind=3)
    numbers = ((256, WIDTH), (257, HEIGHT), (258, (8, 8, 8)), (262, 2), (277, 3), (277, 3))
    doubled = tiff_of([tiff_field(tag, values, kind=3) for tag, values in numbers], [PHOTO.tobytes()])

    assert forbidden_parts(file) == ()
    assert forbidden_parts(file + b"film") == ("4 bytes behind the image",)
    assert forbidden_parts(tiff(PHOTO, behind=b"\0\0")) == ()
    assert forbidden_parts(tiff(PHOTO, (*short[:3], b"\1\0hi"))) == ("bytes behind the value of field 284",)
    assert forbidden_parts(doubled) == ("second field 277",)
    assert forbidden_parts(pages(file, file)) == ("second image", "8 stray bytes")
    at = struct.unpack_from("<I", file, 4)[0]
    moved = file[:4] + struct.pack("<I", at + 6) + file[8:at] + b"secret" + file[at:]
    assert forbidden_parts(moved) == ("6 stray bytes",)


def test_bytes_and_streams_behind_a_deflated_strip_are_found():
    numbers = [(256, WIDTH), (257, HEIGHT), (258, (8, 8, 8)), (259, 8), (262, 2), (277, 3)]
    fields = [tiff_field(tag, values, kind=3) for tag, values in numbers]
    noise = np.random.default_rng(1).integers(0, 256, PHOTO.shape, dtype=np.uint8).tobytes()
    whole = zlib.compress(noise)
    hidden = [whole + b"!", whole + bytes(40_000), whole + whole, zlib.compress(noise + b"!"), whole[:-1]]

    assert forbidden_parts(tiff_of(fields, [whole])) == ()
    for strip in hidden:
        assert forbidden_parts(tiff_of(fields, [strip])) == ("bytes behind the samples",)
    with pytest.raises(DamagedImageError, match="not properly compressed"):
        forbidden_parts(tiff_of(fields, [b"junk" + whole]))


def test_tiles_and_packings_in_which_more_could_hide_are_found():
    assert forbidden_parts(tiff(PHOTO, tile=(16, 16))) == ("tiles", "tiles", "tiles", "tiles")
    for compression in (5, 32773):
        assert forbidden_parts(tiff(PHOTO, compression=compression)) == (
            "samples that are packed in a way in which more could hide",
        )


def test_a_palette_is_found_since_its_unused_colours_could_tell():
    colours = tiff_field(320, tuple(range(768)), kind=3)

    assert forbidden_parts(tiff(samples(1), colours, photometric=3)) == ("palette",)


def test_the_exif_of_a_photograph_is_still_only_a_block():
    assert format_of(exif(6)) is Format.TIFF
    with pytest.raises(DamagedImageError):
        read(exif(6))
    assert format_of(encoded(PHOTO, "TIFF")) is Format.TIFF
