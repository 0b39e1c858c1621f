import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from cleanplate.codecs.container import MAX_PARTS, Format, forbidden_parts, format_of, parts_of
from cleanplate.errors import DamagedImageError, NotAnImageError, UnsupportedImageError
from fakes.image_files import (
    PNG_SIGNATURE,
    chunk,
    encoded,
    exif,
    exif_segment,
    multi_picture_index,
    photograph,
    png,
    png_header,
    segment,
    webp,
    webp_chunk,
    with_chunks,
    with_segments,
    with_webp_chunks,
)

PHOTO = photograph()
JPEG = encoded(PHOTO, "JPEG")
PNG = encoded(PHOTO, "PNG")
WEBP = encoded(PHOTO, "WEBP")
TRANSPARENT = np.dstack([PHOTO, PHOTO[..., 0]])


def test_the_first_bytes_tell_the_format():
    assert [format_of(data) for data in (JPEG, PNG, WEBP)] == [Format.JPEG, Format.PNG, Format.WEBP]
    assert [format_of(start + bytes(99)) for start in (b"II*\0", b"MM\0*")] == [Format.TIFF, Format.TIFF]


def test_a_format_knows_how_its_files_names_may_end():
    assert {kind: kind.extensions for kind in Format} == {
        Format.JPEG: ("jpg", "jpeg"),
        Format.PNG: ("png",),
        Format.WEBP: ("webp",),
        Format.TIFF: ("tif", "tiff"),
    }


@pytest.mark.parametrize(
    "data",
    [
        JPEG,
        encoded(PHOTO, "JPEG", progressive=True, restart_marker_rows=1),
        encoded(PHOTO[..., 0], "JPEG"),
        encoded(PHOTO, "JPEG", keep_rgb=True),
        PNG,
        encoded(PHOTO[..., 0], "PNG"),
        encoded(TRANSPARENT, "PNG"),
        WEBP,
        encoded(PHOTO, "WEBP", lossless=True),
        encoded(TRANSPARENT, "WEBP"),
        encoded(TRANSPARENT, "WEBP", lossless=True),
    ],
)
def test_a_plain_file_holds_nothing_forbidden_and_its_parts_have_no_gaps(data):
    parts = parts_of(data)

    assert forbidden_parts(data) == ()
    start = {"png": 8, "webp": 12}.get(format_of(data), 0)
    assert data[:start] + b"".join(part.whole for part in parts) == data


def test_everything_that_a_jpeg_may_carry_is_found_and_named():
    data = with_segments(
        JPEG,
        exif_segment(exif(1)),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0<x/>"),
        segment(0xE2, b"ICC_PROFILE\0\1\1profile"),
        multi_picture_index(3, 1),
        segment(0xED, b"Photoshop 3.0\0"),
        segment(0xEB, b"JP\0\1"),
        segment(0xE0, b"JFXX\0\x10"),
        segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1" + b"\1\2\3"),
        segment(0xEE, b"Adobe\0d\0\0\0\0\1hidden"),
        segment(0xEC, b"Ducky"),
        segment(0xFE, b"my secret"),
        segment(0xF3, b"?"),
        b"stray",
    )

    assert forbidden_parts(data + b"film") == (
        "EXIF",
        "XMP",
        "XMP",
        "ICC profile",
        "index of further images",
        "IPTC",
        "JUMBF",
        "JFIF extension",
        "JFIF header with a thumbnail",
        "APP14 segment",
        "APP12 segment",
        "comment",
        "0xFFF3 segment",
        "5 stray bytes",
        "second APP0 segment",
        "4 bytes behind the image",
    )


def test_a_second_image_in_or_behind_a_jpeg_is_found():
    frame = JPEG.index(b"\xff\xc0")
    frame_header = JPEG[frame : frame + 19]

    assert forbidden_parts(JPEG + JPEG) == (f"{len(JPEG)} bytes behind the image",)
    assert forbidden_parts(JPEG[:-2] + JPEG)[0] == "second SOI segment"
    assert forbidden_parts(JPEG[:frame] + frame_header + JPEG[frame:]) == ("second SOF0 segment",)


def test_a_comment_between_the_scans_of_a_jpeg_is_found():
    data = encoded(PHOTO, "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")

    assert forbidden_parts(data[:scan] + segment(0xFE, b"secret") + data[scan:]) == ("comment",)


def test_everything_that_a_png_may_carry_is_found_and_named():
    chunks = [
        chunk(b"tEXt", b"Author\0me"),
        chunk(b"zTXt", b"Author\0\0" + zlib.compress(b"me")),
        chunk(b"iTXt", b"Author\0\0\0\0\0me"),
        chunk(b"eXIf", exif(1)),
        chunk(b"iCCP", b"p\0\0" + zlib.compress(b"profile")),
        chunk(b"tIME", bytes(7)),
        chunk(b"gAMA", bytes(4)),
        chunk(b"acTL", struct.pack(">II", 2, 0)),
        chunk(b"fcTL", bytes(26)),
        chunk(b"PLTE", bytes(3)),
        chunk(b"prVt", b"secret"),
        chunk(b"tEXt", b"Author\0me")[:-1] + b"?",
    ]
    data = with_chunks(PNG, *chunks)

    assert forbidden_parts(with_chunks(data, chunk(b"fdAT", bytes(9)), before=b"IEND") + b"zip") == (
        "text",
        "text",
        "text",
        "EXIF",
        "ICC profile",
        "time",
        "gAMA chunk",
        "animation",
        "animation frame",
        "palette",
        "prVt chunk",
        "text",
        "animation frame",
        "3 bytes behind the image",
    )


def test_a_palette_is_found_since_its_unused_colours_could_tell():
    indices = chunk(b"IDAT", zlib.compress(b"\0\0"))
    data = png(png_header(1, 1, colour_type=3), chunk(b"PLTE", bytes(6)), chunk(b"tRNS", b"\1"), indices)

    assert forbidden_parts(data) == ("palette", "tRNS chunk")


def test_transparency_that_a_png_does_not_need_is_found():
    assert forbidden_parts(with_chunks(encoded(TRANSPARENT, "PNG"), chunk(b"tRNS", bytes(6)))) == ("tRNS chunk",)


@pytest.mark.parametrize(
    ("interlaced", "rows_bytes"), [(0, [6, 6]), (1, [3, 3, 6])], ids=["row after row", "interlaced"]
)
def test_bytes_hidden_behind_the_samples_of_a_png_are_found(interlaced, rows_bytes):
    samples = b"".join(bytes(1 + size) for size in rows_bytes)

    def found(compressed):
        return forbidden_parts(png(png_header(2, 2, interlaced=interlaced), chunk(b"IDAT", compressed)))

    assert found(zlib.compress(samples)) == ()
    assert found(zlib.compress(samples + b"!")) == ("bytes behind the samples",)
    assert found(zlib.compress(samples) + b"!") == ("bytes behind the samples",)
    assert found(zlib.compress(samples) + bytes(1 << 20)) == ("bytes behind the samples",)
    with pytest.raises(DamagedImageError, match="not properly compressed"):
        found(b"junk" + zlib.compress(samples))


def test_a_bomb_behind_the_samples_of_a_png_is_not_unpacked():
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    tracemalloc.start()

    found = forbidden_parts(png(png_header(2, 2), chunk(b"IDAT", bomb)))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == ("bytes behind the samples",)
    assert peak < 1_000_000


def test_everything_that_a_webp_may_carry_is_found_and_named():
    data = with_webp_chunks(
        WEBP,
        webp_chunk(b"EXIF", exif(1)),
        webp_chunk(b"XMP ", b"<x/>"),
        webp_chunk(b"ICCP", b"profile"),
        webp_chunk(b"ANIM", bytes(6)),
        webp_chunk(b"ANMF", bytes(16)),
        webp_chunk(b"abcd", b"secret"),
        WEBP[12:],
    )

    assert forbidden_parts(data + b"tail") == (
        "second image",
        "VP8X chunk",
        "EXIF",
        "XMP",
        "ICC profile",
        "animation",
        "animation frame",
        "abcd chunk",
        "4 bytes behind the image",
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xd8\xff", "no end marker"),
        (JPEG[:-2], "no end marker"),
        (JPEG[:30], "reaches beyond its end"),
        (b"\xff\xd8" + segment(0xE0) + b"\xff\xd9", "no image"),
        (b"\xff\xd8\xff\xe0\0\1\xff\xd9", "reaches beyond its end"),
        (PNG_SIGNATURE, "no end chunk"),
        (PNG[:-12], "no end chunk"),
        (PNG[:-1], "reaches beyond its end"),
        (PNG_SIGNATURE + struct.pack(">I", 2**32 - 1) + b"IHDR", "reaches beyond its end"),
        (png(chunk(b"IDAT")), "does not begin with its header"),
        (png(png_header(0, 4), chunk(b"IDAT")), "header is broken"),
        (png(png_header(4, 4, bit_depth=3), chunk(b"IDAT")), "header is broken"),
        (png(png_header(4, 4, bit_depth=4, colour_type=2), chunk(b"IDAT")), "header is broken"),
        (png(png_header(4, 4), chunk(b"ID@T")), "no proper name"),
        (PNG[:-4] + b"????", "checksum of IEND is wrong"),
        (WEBP[:-2], "cut short"),
        (webp(), "no image"),
        (webp(b"VP8"), "no header"),
        (webp(b"VP8 \xff\xff\0\0"), "reaches beyond its end"),
    ],
)
def test_what_is_cut_short_or_broken_is_refused(data, said):
    with pytest.raises((DamagedImageError, UnsupportedImageError), match=said):
        forbidden_parts(data)


def test_a_png_that_needs_an_unknown_chunk_is_refused():
    with pytest.raises(UnsupportedImageError, match="critical chunk CgBI"):
        forbidden_parts(with_chunks(PNG, chunk(b"CgBI", bytes(4)), before=b"IHDR"))


def test_a_file_of_too_many_pieces_is_refused():
    with pytest.raises(DamagedImageError, match=f"more than {MAX_PARTS} pieces"):
        parts_of(with_segments(JPEG, segment(0xFE) * MAX_PARTS))
    with pytest.raises(DamagedImageError, match=f"more than {MAX_PARTS} pieces"):
        parts_of(with_chunks(PNG, chunk(b"teXt") * MAX_PARTS))


def test_what_is_no_image_has_no_parts():
    with pytest.raises(NotAnImageError):
        forbidden_parts(b"%PDF-1.7")
    with pytest.raises(UnsupportedImageError, match="GIF"):
        forbidden_parts(encoded(PHOTO, "GIF"))
