import base64
import io
import itertools
import struct
import threading
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from cleanplate.codecs import decoding
from cleanplate.codecs.colour import CONVERTED, IGNORED
from cleanplate.codecs.container import Format, forbidden_parts
from cleanplate.codecs.images import (
    Container,
    ImageLimits,
    Picture,
    bytes_from_picture,
    mask_from_png,
    picture_from_bytes,
    png_from_mask,
)
from cleanplate.domain.mask import rounded_out
from cleanplate.errors import DamagedImageError, ImageError, ImageTooLargeError, NotAnImageError, UnsupportedImageError
from fakes.image_files import (
    chunk,
    encoded,
    exif,
    exif_segment,
    linear_grey_profile,
    multi_picture_index,
    photograph,
    png,
    png_header,
    png_samples,
    segment,
    swapped_profile,
    webp_chunk,
    with_chunks,
    with_segments,
    with_webp_chunks,
)

LIMITS = ImageLimits()
PHOTO = photograph()
FORMATS = {
    "JPEG": encoded(PHOTO, "JPEG", quality=90),
    "PNG": encoded(PHOTO, "PNG"),
    "WEBP": encoded(PHOTO, "WEBP"),
    "WEBP lossless": encoded(PHOTO, "WEBP", lossless=True),
    "TIFF": encoded(PHOTO, "TIFF", compression="tiff_lzw"),
}

# 32×8 pixels, left half #c02040, right half #2040c0, written by ImageMagick as YCCK with Adobe's inverted inks.
YCCK = base64.b64decode(
    """
/9j/7gAOQWRvYmUAZAAAAAAC/9sAQwACAQEBAQECAQEBAgICAgIEAwICAgIFBAQDBAYFBgYGBQYGBgcJCAYHCQcGBggLCAkKCgoK
CgYICwwLCgwJCgoK/9sAQwECAgICAgIFAwMFCgcGBwoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoK
CgoKCgoK/8AAFAgACAAgBAERAAIRAQMRAQQRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAHCf/EABQQAQAAAAAAAAAAAAAAAAAAAAD/
xAAXAQEBAQEAAAAAAAAAAAAAAAAACQYK/8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAA4EAQACEQMRBAAAPwCgNwjG0AAFMRXdFAAP
/9k=
    """
)


@pytest.fixture
def no_decoder(monkeypatch):
    """Whatever is decoded fails the test."""

    def decode(*_):
        pytest.fail("something was decoded")

    monkeypatch.setattr(decoding, "decoded", decode)


def read(data, limits=LIMITS):
    return picture_from_bytes(data, limits)


def pixels(data):
    """The RGB samples as Pillow gives them."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


# What an image is


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_is_read_to_the_samples_that_its_decoder_gives(kind):
    picture = read(FORMATS[kind])

    np.testing.assert_array_equal(picture.image, pixels(FORMATS[kind]))
    assert picture.image.flags.writeable
    assert picture.alpha is None
    assert picture.container.format == kind.split()[0].lower()
    assert picture.container.lossless == (kind in {"PNG", "WEBP lossless", "TIFF"})
    assert picture.container.notes == ()


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")])
def test_a_container_knows_what_its_files_are_called(kind, extension):
    assert read(FORMATS[kind]).container.extension == extension


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\xff\xd8",
        b"hello",
        b"<!doctype html><title>Log in</title>",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"push graphic-context\nviewbox 0 0 640 480\n",
        b"\0" * 128 + b"DICM",
        b"RIFF\x10\0\0\0WAVEfmt ",
        b"\x89PNG\r\n\x1a",
    ],
)
def test_what_is_no_image_is_refused_whatever_its_name_says(data):
    with pytest.raises(NotAnImageError):
        read(data)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"GIF89a", "GIF"),
        (b"BM" + bytes(8), "BMP"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"\0\0\0\x1cftypavis", "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftyphevc", "HEIC"),
        (b"\0\0\0\x18ftypmif1", "HEIC"),
        (b"\0\0\0\x18ftypmsf1", "HEIC"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a", "JPEG XL"),
        (b"II+\0\x08\0\0\0", "BigTIFF"),
        (b"II\xbc\1", "JPEG XR"),
        (b"8BPS", "Photoshop"),
    ],
)
def test_images_of_other_formats_are_refused_by_name_and_told_what_to_do(start, name):
    with pytest.raises(UnsupportedImageError) as refusal:
        read(start + bytes(100))

    assert str(refusal.value) == f"{name} images cannot be handled: convert it to JPEG or PNG first"


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("kind", ["GIF", "BMP", "AVIF", "JPEG2000"])
def test_what_pillow_writes_in_other_formats_is_refused(kind):
    with pytest.raises(UnsupportedImageError, match="convert it to JPEG or PNG first"):
        read(encoded(PHOTO, kind))


# Limits


def test_the_limits_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        ImageLimits(max_pixels=0)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("kind", FORMATS)
def test_more_bytes_or_pixels_than_allowed_are_refused_before_anything_is_decoded(kind):
    data = FORMATS[kind]

    with pytest.raises(ImageTooLargeError, match=f"{len(data)} bytes; the limit is {len(data) - 1}"):
        read(data, ImageLimits(max_bytes=len(data) - 1))
    with pytest.raises(ImageTooLargeError, match="64×48 is 3072 pixels; the limit is 3071"):
        read(data, ImageLimits(max_pixels=3071))


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_at_the_limit_is_read(kind):
    limits = ImageLimits(max_pixels=64 * 48, max_bytes=len(FORMATS[kind]))

    assert read(FORMATS[kind], limits).image.shape == (48, 64, 3)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("width", "height", "bit_depth", "colour_type"),
    [
        (30_000, 30_000, 8, 2),
        (20_000, 20_000, 1, 0),
        (13_000, 13_000, 8, 2),
        (2**31 - 1, 2**31 - 1, 8, 6),
        (65_536, 1, 8, 2),
    ],
)
def test_a_png_that_claims_to_be_huge_is_refused_by_its_header(width, height, bit_depth, colour_type):
    header = png_header(width, height, bit_depth=bit_depth, colour_type=colour_type)

    with pytest.raises(ImageTooLargeError, match=f"{width}×{height}"):
        read(png(header, chunk(b"IDAT", zlib.compress(bytes(1000)))))


@pytest.mark.usefixtures("no_decoder")
def test_a_png_of_48_kb_that_unpacks_to_400_megapixels_is_refused():
    samples = zlib.compress(bytes(20_000 * 2_501), 9)
    assert len(samples) < 50_000

    with pytest.raises(ImageTooLargeError):
        read(png(png_header(20_000, 20_000, bit_depth=1, colour_type=0), chunk(b"IDAT", samples)))


@pytest.mark.usefixtures("no_decoder")
def test_the_frame_header_of_a_jpeg_and_the_canvas_of_a_webp_are_checked_too():
    jpeg, lossy, lossless = FORMATS["JPEG"], FORMATS["WEBP"], FORMATS["WEBP lossless"]
    frame = jpeg.index(b"\xff\xc0")
    huge_jpeg = jpeg[: frame + 5] + struct.pack(">HH", 60_000, 60_000) + jpeg[frame + 9 :]
    start = lossy.index(b"\x9d\x01\x2a")
    huge_lossy = lossy[: start + 3] + struct.pack("<HH", 16_383, 16_383) + lossy[start + 7 :]
    huge_lossless = lossless[:21] + struct.pack("<I", 16_382 | 16_382 << 14) + lossless[25:]

    for data in (huge_jpeg, huge_lossy, huge_lossless):
        with pytest.raises(ImageTooLargeError):
            read(data)


@pytest.mark.usefixtures("no_decoder")
def test_headers_that_promise_more_than_the_data_can_hold_are_refused_before_anything_is_decoded():
    jpeg = FORMATS["JPEG"]
    frame = jpeg.index(b"\xff\xc0")
    with pytest.raises(DamagedImageError, match="less data than its size needs"):
        read(jpeg[: frame + 5] + struct.pack(">HH", 7000, 7000) + jpeg[frame + 9 :])
    with pytest.raises(DamagedImageError, match="less data than its size needs"):
        read(png(png_header(7000, 7000), chunk(b"IDAT", zlib.compress(bytes(1000)))))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 65_535), (65_535, 1)])
def test_the_smallest_and_the_narrowest_images_survive(width, height):
    image = np.full((height, width, 3), (10, 20, 30), dtype=np.uint8)

    again = read(bytes_from_picture(read(encoded(image, "PNG"))))

    np.testing.assert_array_equal(again.image, image)


@pytest.mark.usefixtures("no_decoder")
def test_a_jpeg_too_long_for_its_library_is_refused_in_words():
    jpeg = FORMATS["JPEG"]
    frame = jpeg.index(b"\xff\xc0")

    with pytest.raises(UnsupportedImageError, match="over 65500 pixels"):
        read(jpeg[: frame + 5] + struct.pack(">HH", 65_535, 1) + jpeg[frame + 9 :])


# Damage


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_is_cut_anywhere_is_refused(kind):
    data = FORMATS[kind]

    for end in {*range(0, len(data), max(len(data) // 60, 1)), len(data) - 2, len(data) - 1}:
        with pytest.raises((DamagedImageError, NotAnImageError)):
            read(data[:end])


def test_a_png_whose_samples_end_early_is_refused_though_the_file_is_whole():
    for colour_type, channels in ((0, 1), (2, 3), (6, 4)):
        whole = [bytes(range(1, 1 + 40)) * channels] * 40
        header = png_header(40, 40, colour_type=colour_type)
        for rows in (whole[:39], whole[:20], [*whole[:39], whole[39][:-1]]):
            with pytest.raises(DamagedImageError):
                read(png(header, png_samples(*rows)))


@pytest.mark.parametrize("height", [1, 2, 5, 8])
def test_an_interlaced_png_whose_last_pass_is_missing_is_refused(height):
    rows = [
        bytes([9] * 3 * len(range(x, 8, dx)))
        for x, y, dx, dy in (
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        )
        for _ in range(y, height, dy)
    ]
    header = png_header(8, height, interlaced=1)

    assert read(png(header, png_samples(*rows))).image.all()
    with pytest.raises(DamagedImageError):
        read(png(header, png_samples(*rows[:-1])))


def test_an_image_may_be_black_at_the_bottom():
    rows = [bytes([1] * 120)] * 20 + [bytes(120)] * 20

    assert not read(png(png_header(40, 40), png_samples(*rows))).image[20:].any()


def test_a_jpeg_without_its_tables_is_refused():
    jpeg = FORMATS["JPEG"]
    without = {
        marker: jpeg.replace(jpeg[at : at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")], b"")
        for marker in (b"\xff\xdb", b"\xff\xc0")
        for at in [jpeg.index(marker)]
    }

    with pytest.raises(DamagedImageError, match="quantisation table"):
        read(without[b"\xff\xdb"])
    with pytest.raises(DamagedImageError, match="frame header"):
        read(without[b"\xff\xc0"])
    with pytest.raises(DamagedImageError, match="no Huffman tables"):
        read(jpeg.replace(b"\xff\xc4", b"\xff\xec"))


@pytest.mark.usefixtures("no_decoder")
def test_a_jpeg_of_thousands_of_scans_is_refused_before_anything_is_decoded():
    jpeg = encoded(PHOTO, "JPEG", progressive=True)
    scan = jpeg.rindex(b"\xff\xda")

    with pytest.raises(UnsupportedImageError, match="scans is beyond the limit"):
        read(jpeg[:-2] + jpeg[scan:-2] * 10_000 + b"\xff\xd9")


def test_ten_thousand_comments_do_no_harm():
    data = with_segments(FORMATS["JPEG"], *[segment(0xFE, b"x" * 100)] * 10_000)

    np.testing.assert_array_equal(read(data).image, pixels(FORMATS["JPEG"]))


def test_bytes_between_the_segments_of_a_jpeg_are_left_out():
    jpeg = FORMATS["JPEG"]
    at = jpeg.index(b"\xff\xdb")

    np.testing.assert_array_equal(read(jpeg[:at] + b"\0\0" + jpeg[at:]).image, pixels(jpeg))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("bits", [12, 16])
def test_jpegs_of_more_than_eight_bits_are_refused(bits):
    jpeg = FORMATS["JPEG"]
    frame = jpeg.index(b"\xff\xc0")

    with pytest.raises(UnsupportedImageError, match=f"{bits} bits"):
        read(jpeg[: frame + 4] + bytes([bits]) + jpeg[frame + 5 :])


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA, 0xCB])
def test_lossless_hierarchical_and_arithmetic_jpegs_are_refused(marker):
    with pytest.raises(UnsupportedImageError, match="lossless, arithmetic-coded or hierarchical"):
        read(FORMATS["JPEG"].replace(b"\xff\xc0", bytes([0xFF, marker])))


# Several frames


def frames():
    return [Image.fromarray(np.roll(PHOTO, shift, axis=1)) for shift in range(3)]


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("GIF", "GIF"),
        ("PNG", "animated PNG"),
        ("WEBP", "animated WebP"),
        ("MPO", "3 images \\(MPO\\)"),
        ("TIFF", "a TIFF of 3 images"),
    ],
)
def test_files_of_several_frames_are_refused_and_none_is_silently_kept(kind, said):
    first, *others = frames()
    file = io.BytesIO()
    first.save(file, kind, save_all=True, append_images=others)

    with pytest.raises(UnsupportedImageError, match=said):
        read(file.getvalue())


@pytest.mark.usefixtures("no_decoder")
def test_an_animated_png_of_one_frame_is_refused_too():
    data = with_chunks(FORMATS["PNG"], chunk(b"acTL", struct.pack(">II", 1, 0)))

    with pytest.raises(UnsupportedImageError, match="animated PNG"):
        read(data)


@pytest.mark.usefixtures("no_decoder")
def test_two_images_in_one_webp_are_refused():
    with pytest.raises(UnsupportedImageError, match="2 images"):
        read(with_webp_chunks(FORMATS["WEBP"], FORMATS["WEBP"][12:]))


def test_the_previews_that_cameras_add_are_left_out_and_said_so():
    primary, preview, large_preview = 0x030000, 0x010001, 0x010002
    data = with_segments(
        FORMATS["JPEG"], multi_picture_index(*(kind >> 16 for kind in (primary, preview, large_preview)))
    )

    picture = read(data + FORMATS["JPEG"])

    assert picture.container.notes == ("previews or a map for brighter screens were left out",)
    assert forbidden_parts(bytes_from_picture(picture)) == ()


def test_the_gain_map_of_a_phone_is_left_out_but_another_view_is_not():
    gain_map = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>')
    undefined, view = 0, 2

    kept = read(with_segments(FORMATS["JPEG"], gain_map, multi_picture_index(3, undefined)) + FORMATS["JPEG"])

    assert kept.container.notes == ("previews or a map for brighter screens were left out",)
    for index in (multi_picture_index(3, view), multi_picture_index(3, undefined, view)):
        with pytest.raises(UnsupportedImageError, match="MPO"):
            read(with_segments(FORMATS["JPEG"], gain_map, index) + FORMATS["JPEG"])


def test_an_index_that_is_broken_or_of_images_that_are_not_there_is_ignored():
    for content in (b"MPF\0", b"MPF\0II*\0\xff\xff\xff\xff", b"MPF\0" + bytes(40)):
        picture = read(with_segments(FORMATS["JPEG"], segment(0xE2, content)) + b"tail")
        assert picture.container.notes == ("4 bytes behind the image were left out",)
    assert read(with_segments(FORMATS["JPEG"], multi_picture_index(3, 2))).container.notes == ()


def test_a_film_behind_the_photograph_is_left_out_and_said_so():
    picture = read(FORMATS["JPEG"] + b"\0\0\0\x18ftypmp42" + bytes(100))

    assert picture.container.notes == ("112 bytes behind the image were left out",)


# Metadata


def test_a_bomb_in_a_text_chunk_is_never_unpacked():
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    bombs = [chunk(b"zTXt", b"k\0\0" + bomb), chunk(b"iTXt", b"k\0\1\0\0\0" + bomb), chunk(b"iCCP", b"p\0\0" + bomb)]
    data = with_chunks(FORMATS["PNG"], *bombs)
    tracemalloc.start()

    picture = read(data)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000
    np.testing.assert_array_equal(picture.image, PHOTO)
    assert picture.container.notes == (IGNORED,)


def broken_exif():
    block = exif(6)
    itself = block[:14] + struct.pack("<HHI", 0x8769, 4, 1) + block[4:8] + struct.pack("<I", 8)
    return {
        "empty": b"",
        "no TIFF": b"XX" + block[2:],
        "wrong number": b"II+\0" + block[4:],
        "directory in the header": block[:4] + struct.pack("<I", 0) + block[8:],
        "directory behind the end": block[:4] + struct.pack("<I", 2**32 - 2) + block[8:],
        "directory cut short": block[:12],
        "directory that holds itself": itself,
        "maker note of 60 KB": block[:8] + struct.pack("<HHHII", 1, 0x927C, 7, 60_000, 26) + bytes(60_000),
        "orientation 0": exif(0),
        "orientation 9": exif(9),
        "orientation as a long": exif(6, kind=4),
        "orientation as a byte": exif(6, kind=1),
        "two orientations in one": exif(6, count=2),
    }


@pytest.mark.parametrize("broken", broken_exif())
def test_broken_exif_turns_nothing_and_goes(broken):
    block = broken_exif()[broken]
    files = {
        "JPEG": with_segments(FORMATS["JPEG"], exif_segment(block)),
        "PNG": with_chunks(FORMATS["PNG"], chunk(b"eXIf", block)),
        "WEBP": with_webp_chunks(FORMATS["WEBP"], webp_chunk(b"EXIF", block)),
    }

    for kind, data in files.items():
        picture = read(data)
        np.testing.assert_array_equal(picture.image, pixels(FORMATS[kind]))
        assert forbidden_parts(bytes_from_picture(picture)) == ()


def test_a_directory_that_claims_more_entries_than_it_has_is_read_as_far_as_it_goes():
    block = exif(6)
    lying = block[:8] + struct.pack("<H", 60_000) + block[10:]

    assert read(with_segments(FORMATS["JPEG"], exif_segment(lying))).image.shape == (64, 48, 3)


# Orientation


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_is_turned_as_its_exif_says(kind, orientation, order):
    block = exif(orientation, order=order)
    if kind == "JPEG":
        data = with_segments(FORMATS["JPEG"], exif_segment(block))
    else:
        data = with_chunks(FORMATS["PNG"], chunk(b"eXIf", block))

    picture = read(data)

    with Image.open(io.BytesIO(data)) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(picture.image, expected)
    np.testing.assert_array_equal(pixels(bytes_from_picture(picture)).shape, expected.shape)


def test_alpha_is_turned_with_the_image():
    image = np.dstack([PHOTO, np.tile(np.arange(1, 65, dtype=np.uint8), (48, 1))])

    picture = read(with_chunks(encoded(image, "PNG"), chunk(b"eXIf", exif(6))))

    np.testing.assert_array_equal(picture.alpha, np.rot90(image[..., 3], -1))


# What follows was seen in Chromium 156; an annotator's mask fits only what that shows.


def test_the_first_exif_segment_counts_even_if_it_says_nothing():
    for first in (exif(1), exif(5, tag=0x0100), b"XX", exif(9)):
        data = with_segments(FORMATS["JPEG"], exif_segment(first), exif_segment(exif(6)))
        assert read(data).image.shape == (48, 64, 3)


def test_of_several_orientations_in_a_directory_the_first_valid_one_counts():
    invalid, six, one = (exif(orientation)[10:22] for orientation in (9, 6, 1))

    def directory(*entries):
        return exif(1)[:8] + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)

    for entries, shape in (((invalid, six), (64, 48, 3)), ((one, six), (48, 64, 3)), ((six, one), (64, 48, 3))):
        assert read(with_segments(FORMATS["JPEG"], exif_segment(directory(*entries)))).image.shape == shape


def test_exif_between_frame_header_and_scan_counts():
    jpeg = FORMATS["JPEG"]
    at = jpeg.index(b"\xff\xc4")

    assert read(jpeg[:at] + exif_segment(exif(6)) + jpeg[at:]).image.shape == (64, 48, 3)


def test_an_orientation_in_xmp_or_in_a_damaged_chunk_counts_for_nothing():
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation='6'/>")
    damaged = chunk(b"eXIf", exif(6))[:-1] + b"?"

    assert read(with_segments(FORMATS["JPEG"], xmp)).image.shape == (48, 64, 3)
    assert read(with_chunks(FORMATS["PNG"], damaged)).image.shape == (48, 64, 3)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("orientation", range(2, 9))
def test_an_orientation_that_only_some_browsers_apply_is_refused(orientation):
    webp = with_webp_chunks(FORMATS["WEBP"], webp_chunk(b"EXIF", b"Exif\0\0" + exif(orientation)))
    late = with_chunks(FORMATS["PNG"], chunk(b"eXIf", exif(orientation)), before=b"IEND")

    for data in (webp, late):
        with pytest.raises(UnsupportedImageError, match="browsers disagree"):
            read(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_what_is_hidden_in_a_cell_of_the_grid_shows_in_no_other_after_turning(subsampling, orientation):
    image = photograph(75, 53)
    hidden = np.zeros((53, 75), dtype=bool)
    hidden[20:23, 40:44] = True
    other = np.where(hidden[..., np.newaxis], 255 - image, image)

    one, two = (
        read(encoded(stored, "JPEG", subsampling=subsampling, quality=70, exif=b"Exif\0\0" + exif(orientation)))
        for stored in (image, other)
    )

    differs = (one.image != two.image).any(axis=2)
    marked = read(with_chunks(encoded(hidden * np.uint8(255), "PNG"), chunk(b"eXIf", exif(orientation))))
    mirror = np.s_[:: -1 if one.container.grid_from_bottom else 1, :: -1 if one.container.grid_from_right else 1]
    cells = rounded_out((marked.image[..., 0] > 0)[mirror], one.container.grid)[mirror]
    near = np.pad(cells, 1)
    ringed = np.logical_or.reduce(
        [near[y : y + cells.shape[0], x : x + cells.shape[1]] for y in range(3) for x in range(3)]
    )
    assert differs.any()
    assert not (differs & ~ringed).any()
    if subsampling == "4:4:4":
        assert not (differs & ~cells).any()


# Colours


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8])
def test_grey_pngs_of_any_depth_stay_grey(bit_depth):
    levels = 2**bit_depth
    row = np.arange(8) % levels
    packed = int("".join(f"{value:0{bit_depth}b}" for value in row), 2).to_bytes(bit_depth, "big")

    picture = read(png(png_header(8, 1, bit_depth=bit_depth, colour_type=0), png_samples(packed)))

    assert picture.image[0, :, 1].tolist() == (row * 255 // (levels - 1)).tolist()
    assert picture.container.grey
    assert picture.container.notes == (() if bit_depth == 8 else (f"samples of {bit_depth} bit became samples of 8",))
    with Image.open(io.BytesIO(bytes_from_picture(picture))) as written:
        assert written.mode == "L"


@pytest.mark.parametrize("bit_depth", [1, 2, 4])
@pytest.mark.parametrize("transparency", [b"", b"\x00\x80"])
def test_palettes_of_any_depth_become_the_colours_they_stand_for(bit_depth, transparency):
    entries = np.arange(3 * 2**bit_depth, dtype=np.uint8).reshape(-1, 3) * 5 + 1
    indices = np.arange(8) % 2**bit_depth
    packed = int("".join(f"{value:0{bit_depth}b}" for value in indices), 2).to_bytes(bit_depth, "big")
    chunks = [chunk(b"tRNS", transparency)] if transparency else []

    picture = read(
        png(
            png_header(8, 1, bit_depth=bit_depth, colour_type=3),
            chunk(b"PLTE", entries.tobytes()),
            *chunks,
            png_samples(packed),
        )
    )

    alphas = np.array([0, 128, *[255] * 14])[indices] if transparency else None
    visible = np.ones(8, dtype=bool) if alphas is None else alphas > 0
    np.testing.assert_array_equal(picture.image[0], np.where(visible[:, np.newaxis], entries[indices], 0))
    assert (picture.alpha is None) if alphas is None else picture.alpha[0].tolist() == alphas.tolist()
    assert b"PLTE" not in bytes_from_picture(picture)


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8])
def test_the_transparent_colour_of_a_grey_png_is_meant_in_its_own_depth(bit_depth):
    highest = 2**bit_depth - 1
    packed = int(f"{highest:0{bit_depth}b}{0:0{bit_depth}b}" * 4, 2).to_bytes(bit_depth, "big")

    picture = read(
        png(
            png_header(8, 1, bit_depth=bit_depth, colour_type=0),
            chunk(b"tRNS", struct.pack(">H", highest)),
            png_samples(packed),
        )
    )

    assert picture.alpha.tolist() == [[0, 255] * 4]


def test_the_transparent_colour_of_a_png_hides_exactly_that_colour():
    rows = [[1, 2, 3, 1, 2, 4, 1, 2, 3]]
    data = png(png_header(3, 1), chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)), png_samples(*rows))

    picture = read(data)

    assert picture.alpha.tolist() == [[0, 255, 0]]
    assert picture.image.tolist() == [[[0, 0, 0], [1, 2, 4], [0, 0, 0]]]


def test_a_palette_becomes_colours_and_its_unused_entries_vanish():
    secret = bytes([77, 88, 99])
    data = png(
        png_header(4, 1, colour_type=3),
        chunk(b"PLTE", bytes([1, 2, 3, 4, 5, 6]) + secret),
        chunk(b"tRNS", bytes([255, 128])),
        png_samples([0, 1, 0, 9]),
    )

    picture = read(data)
    written = bytes_from_picture(picture)

    assert picture.image.tolist() == [[[1, 2, 3], [4, 5, 6], [1, 2, 3], [0, 0, 0]]]
    assert picture.alpha.tolist() == [[255, 128, 255, 255]]
    assert picture.container.notes == ("the palette became full colours",)
    assert b"PLTE" not in written
    assert read(written).alpha.tolist() == [[255, 128, 255, 255]]


def test_a_grey_image_with_alpha_keeps_both():
    image = np.dstack([PHOTO[..., 0], np.maximum(PHOTO[..., 1], 1)])

    again = read(bytes_from_picture(read(encoded(image, "PNG"))))

    np.testing.assert_array_equal(again.image[..., 2], image[..., 0])
    np.testing.assert_array_equal(again.alpha, image[..., 1])
    assert again.container.grey


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_colours_under_full_transparency_reach_neither_the_image_nor_the_file(kind):
    image = np.dstack([PHOTO, np.where(np.arange(64) < 32, 0, 200).astype(np.uint8)[np.newaxis].repeat(48, axis=0)])
    options = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}}[kind]

    picture = read(encoded(image, kind, **options))

    assert not picture.image[:, :32].any()
    np.testing.assert_array_equal(picture.image[:, 32:], PHOTO[:, 32:])
    hidden = Picture(image[..., :3].copy(), image[..., 3].copy(), picture.container)
    with Image.open(io.BytesIO(bytes_from_picture(hidden))) as written:
        samples = np.asarray(written)
    assert not samples[:, :32].any()
    np.testing.assert_array_equal(samples[:, 32:], image[:, 32:])


def test_interlaced_pngs_are_read():
    with Image.open(io.BytesIO(FORMATS["PNG"])) as picture:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        samples = np.asarray(picture)
    rows = itertools.chain.from_iterable(
        samples[y::dy, x::dx].reshape(-1, len(range(x, 64, dx)) * 3) for x, y, dx, dy in passes
    )

    picture = read(png(png_header(64, 48, interlaced=1), png_samples(*(row.tobytes() for row in rows))))

    np.testing.assert_array_equal(picture.image, PHOTO)


def test_inks_become_the_colours_that_browsers_show():
    with Image.fromarray(PHOTO).convert("CMYK") as inks:
        file = io.BytesIO()
        inks.save(file, "JPEG", quality=95)

    picture = read(file.getvalue())

    assert np.abs(picture.image.astype(int) - PHOTO).mean() < 4
    assert picture.container.notes == ("inks (CMYK) became colours (RGB)",)
    assert read(bytes_from_picture(picture)).image.shape == PHOTO.shape


def test_inverted_inks_behind_luma_and_chroma_become_the_right_colours():
    picture = read(YCCK)

    np.testing.assert_allclose(picture.image[4, [4, 28]], [[0xC0, 0x20, 0x40], [0x20, 0x40, 0xC0]], atol=3)


def test_an_adobe_segment_with_something_behind_it_still_says_which_colours_the_samples_are():
    start = YCCK.index(b"\xff\xee")
    longer = YCCK[:start] + segment(0xEE, YCCK[start + 4 : start + 16] + b"more") + YCCK[start + 16 :]

    np.testing.assert_array_equal(read(longer).image, read(YCCK).image)


def test_a_profile_that_means_srgb_goes_without_changing_a_sample():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    for kind in ("JPEG", "PNG", "WEBP"):
        picture = read(encoded(PHOTO, kind, icc_profile=srgb))
        np.testing.assert_array_equal(picture.image, pixels(encoded(PHOTO, kind)))
        assert picture.container.notes == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_another_profile_is_applied_and_said_so(kind):
    options = {"JPEG": {"subsampling": 0, "quality": 100}, "PNG": {}, "WEBP": {"lossless": True}}[kind]

    picture = read(encoded(PHOTO, kind, icc_profile=swapped_profile(), **options))

    assert np.abs(picture.image.astype(int) - PHOTO[..., [1, 0, 2]]).max() < 14
    assert picture.container.notes == (CONVERTED,)
    assert forbidden_parts(bytes_from_picture(picture)) == ()


def test_a_grey_profile_is_applied_and_grey_stays_grey():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)

    picture = read(encoded(ramp, "PNG", icc_profile=linear_grey_profile()))

    assert picture.container.grey
    assert picture.container.notes == (CONVERTED,)
    assert picture.image[8, 0, 0] == pytest.approx(188, abs=2)


@pytest.mark.parametrize(
    "profile",
    [b"junk", bytes(200), swapped_profile()[:150], linear_grey_profile(), bytes(16) + b"RGB " + bytes(5_000_000)],
)
def test_a_profile_that_cannot_be_used_goes_and_is_said_so(profile):
    for kind in ("JPEG", "PNG"):
        picture = read(encoded(PHOTO, kind, icc_profile=profile))
        np.testing.assert_array_equal(picture.image, pixels(encoded(PHOTO, kind)))
        assert picture.container.notes == (IGNORED,)


def test_a_profile_with_a_piece_missing_goes_and_is_said_so():
    pieces = [segment(0xE2, b"ICC_PROFILE\0" + bytes([number, 3]) + swapped_profile()) for number in (1, 3)]

    assert read(with_segments(FORMATS["JPEG"], *pieces)).container.notes == (IGNORED,)


@pytest.mark.parametrize(
    ("chunks", "noted"),
    [
        ([chunk(b"gAMA", struct.pack(">I", 45455))], False),
        ([chunk(b"gAMA", struct.pack(">I", 100_000))], True),
        ([chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 100_000))], False),
        ([chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))], False),
        ([chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000))], True),
        ([chunk(b"cICP", bytes([1, 13, 0, 1]))], False),
        ([chunk(b"cICP", bytes([9, 16, 0, 1]))], True),
    ],
)
def test_colour_chunks_that_do_not_mean_srgb_are_said_to_be_left_out(chunks, noted):
    picture = read(with_chunks(FORMATS["PNG"], *chunks))

    assert picture.container.notes == (("a colour space other than sRGB was left out",) if noted else ())


# Writing


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_holds_its_samples_and_nothing_else(kind):
    written = bytes_from_picture(read(FORMATS[kind]))

    assert forbidden_parts(written) == ()
    assert read(written).container == read(FORMATS[kind]).container
    if kind in {"PNG", "WEBP lossless", "TIFF"}:
        np.testing.assert_array_equal(read(written).image, PHOTO)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_picture_gives_the_same_bytes_in_every_thread(kind):
    written: list[bytes] = []

    def work():
        written.append(bytes_from_picture(read(FORMATS[kind])))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(written) == 4
    assert len(set(written)) == 1


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_written_with_the_tables_and_subsampling_of_its_source(subsampling, progressive):
    tables = [[1 + place % 50 for place in range(64)], [2 + place % 90 for place in range(64)]]
    data = encoded(PHOTO, "JPEG", qtables=tables, subsampling=subsampling, progressive=progressive)

    picture = read(data)
    written = bytes_from_picture(picture)

    assert picture.container.grid == {"4:4:4": (8, 8), "4:2:2": (16, 8), "4:2:0": (16, 16)}[subsampling]
    with Image.open(io.BytesIO(data)) as source, Image.open(io.BytesIO(written)) as copy:
        assert copy.quantization == source.quantization
        assert copy.layer == source.layer


def test_a_grey_jpeg_stays_grey_on_a_grid_of_eight():
    picture = read(encoded(PHOTO[..., 0], "JPEG", quality=80))

    assert picture.container.grey
    assert picture.container.grid == (8, 8)
    with Image.open(io.BytesIO(bytes_from_picture(picture))) as written:
        assert written.mode == "L"


def test_a_jpeg_of_red_green_and_blue_stays_one():
    picture = read(encoded(PHOTO, "JPEG", keep_rgb=True, quality=95))
    written = bytes_from_picture(picture)

    assert picture.container.jpeg.rgb
    assert np.abs(read(written).image.astype(int) - PHOTO).max() < 12
    assert forbidden_parts(written) == ()


def test_a_turned_photograph_has_turned_tables_and_cells():
    upright = [[1 + place for place in range(64)], [100 - place for place in range(64)]]
    data = encoded(PHOTO, "JPEG", qtables=upright, subsampling="4:2:2", exif=b"Exif\0\0" + exif(6))

    picture = read(data)
    written = read(bytes_from_picture(picture))

    assert picture.container.grid == (8, 16)
    assert (picture.container.grid_from_right, picture.container.grid_from_bottom) == (True, False)
    assert picture.container.notes == ("chroma is kept at full resolution",)
    turned = tuple(np.array(upright[0]).reshape(8, 8).T.reshape(-1).tolist())
    assert written.container.jpeg.quantisation[0] == turned
    assert written.container.jpeg.subsampling == (1, 1)
    assert written.container.grid == (8, 8)


def test_noise_at_the_finest_quantisation_is_written_whole():
    noise = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    picture = read(encoded(noise, "JPEG", qtables=[[1] * 64], subsampling=0))

    np.testing.assert_allclose(read(bytes_from_picture(picture)).image.astype(int), picture.image, atol=4)


def test_a_jpeg_refuses_transparency_and_a_size_it_cannot_keep():
    container = read(FORMATS["JPEG"]).container

    with pytest.raises(UnsupportedImageError, match="transparency"):
        bytes_from_picture(Picture(PHOTO, np.zeros(PHOTO.shape[:2], dtype=np.uint8), container))
    with pytest.raises(UnsupportedImageError, match="65501×1 cannot be written as jpeg"):
        bytes_from_picture(Picture(np.zeros((1, 65_501, 3), dtype=np.uint8), None, container))


def test_a_picture_and_a_container_check_themselves():
    container = Container(Format.PNG)

    with pytest.raises(ImageError, match="must be"):
        Picture(PHOTO[..., :2], None, container)
    with pytest.raises(ImageError, match="alpha"):
        Picture(PHOTO, np.zeros((3, 3), dtype=np.uint8), container)
    with pytest.raises(ValueError, match="JPEG tables"):
        Container(Format.JPEG)


# Masks


@pytest.mark.parametrize("bit_depth", [1, 2, 4, 8, 16])
def test_in_a_grey_mask_every_sample_above_zero_counts(bit_depth):
    packed = int(f"{0:0{bit_depth}b}{1:0{bit_depth}b}" * 4, 2).to_bytes(bit_depth, "big")
    data = png(png_header(8, 1, bit_depth=bit_depth, colour_type=0), png_samples(packed))

    assert mask_from_png(data, LIMITS).tolist() == [[False, True] * 4]


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_in_a_mask_of_colours_every_colour_but_black_counts(bit_depth):
    one, zero = (1).to_bytes(bit_depth // 8, "big"), bytes(bit_depth // 8)
    data = png(png_header(3, 1, bit_depth=bit_depth), png_samples(zero * 3 + zero * 2 + one + one + zero * 2))

    assert mask_from_png(data, LIMITS).tolist() == [[False, True, True]]


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("colour_type", [4, 6])
def test_what_is_fully_transparent_in_a_mask_does_not_count(colour_type, bit_depth):
    sample = bit_depth // 8
    channels = {4: 1, 6: 3}[colour_type]
    white, black, faint, clear = (
        b"\xff" * sample * channels,
        bytes(sample * channels),
        bytes(sample - 1) + b"\1",
        bytes(sample),
    )
    row = white + faint + white + clear + black + faint
    data = png(png_header(3, 1, bit_depth=bit_depth, colour_type=colour_type), png_samples(row))

    assert mask_from_png(data, LIMITS).tolist() == [[True, False, False]]


def test_in_a_mask_with_a_palette_the_colour_counts_and_not_the_index():
    data = png(
        png_header(4, 1, colour_type=3),
        chunk(b"PLTE", bytes([9, 0, 0, 0, 0, 0, 0, 0, 1, 5, 5, 5])),
        chunk(b"tRNS", bytes([255, 255, 255, 0])),
        png_samples([0, 1, 2, 3]),
    )

    assert mask_from_png(data, LIMITS).tolist() == [[True, False, True, False]]


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_the_transparent_colour_of_a_mask_does_not_count(bit_depth):
    samples = [(1, 2, 3), (3, 2, 1)]
    row = b"".join(value.to_bytes(bit_depth // 8, "big") for sample in samples for value in sample)
    data = png(png_header(2, 1, bit_depth=bit_depth), chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)), png_samples(row))

    assert mask_from_png(data, LIMITS).tolist() == [[False, True]]


def test_a_mask_painted_in_black_on_nothing_counts_where_it_is_painted():
    data = png(png_header(3, 1, colour_type=6), png_samples([0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 1]))

    assert mask_from_png(data, LIMITS).tolist() == [[True, False, True]]


def test_a_mask_that_is_black_and_opaque_all_over_is_empty():
    data = png(png_header(2, 1, colour_type=6), png_samples([0, 0, 0, 255, 0, 0, 0, 255]))

    assert not mask_from_png(data, LIMITS).any()


@pytest.mark.usefixtures("no_decoder")
def test_a_mask_obeys_the_limits_and_must_be_a_png():
    with pytest.raises(ImageTooLargeError):
        mask_from_png(FORMATS["PNG"], ImageLimits(max_pixels=100))
    with pytest.raises(ImageTooLargeError):
        mask_from_png(FORMATS["PNG"], ImageLimits(max_bytes=100))
    with pytest.raises(UnsupportedImageError, match="must be a PNG"):
        mask_from_png(FORMATS["JPEG"], LIMITS)
    with pytest.raises(UnsupportedImageError, match="animated"):
        mask_from_png(with_chunks(FORMATS["PNG"], chunk(b"acTL", struct.pack(">II", 2, 0))), LIMITS)
    with pytest.raises(NotAnImageError):
        mask_from_png(b"", LIMITS)


def test_a_mask_survives_the_way_into_a_png_and_back():
    mask = PHOTO[..., 0] > 128

    data = png_from_mask(mask)

    np.testing.assert_array_equal(mask_from_png(data, LIMITS), mask)
    assert forbidden_parts(data) == ()
    assert read(data).image.max() == 255
