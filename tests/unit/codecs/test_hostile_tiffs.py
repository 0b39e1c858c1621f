"""TIFFs made to break their reader: refused with a reason, before anything is unpacked and without taking much room."""

import io
import struct
import time
import tracemalloc
import zlib
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from PIL import Image

from cleanplate.codecs import decoding, reading, tiff_file
from cleanplate.codecs.container import MAX_PARTS, forbidden_parts, parts_of
from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.codecs.tiff_directories import directories
from cleanplate.errors import DamagedImageError, ImageError, ImageTooLargeError
from fakes.image_files import encoded, photograph, tiff, tiff_field, tiff_of

LIMITS = ImageLimits()
PHOTO = photograph(41, 37)
SMALL = ImageLimits(max_pixels=100_000, max_bytes=1_000_000)


@pytest.fixture
def no_decoder(monkeypatch):
    """Whatever is unpacked fails the test."""

    def decode(*_):
        pytest.fail("something was unpacked")

    monkeypatch.setattr(decoding, "decoded", decode)
    monkeypatch.setattr(reading, "samples_from_spans", decode)


@contextmanager
def peak_of(most_bytes):
    """Fails the test if more memory is taken."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most_bytes


def read(data, limits=LIMITS):
    return picture_from_bytes(data, limits)


def short(tag, *values):
    return tiff_field(tag, values, kind=3)


# Sizes


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rows": 1}])
@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (2**32 - 1, 2**32 - 1), (1, 65_536), (7072, 7071)])
def test_an_image_that_claims_to_be_huge_is_refused_by_its_header(width, height, layout):
    with peak_of(1_000_000), pytest.raises(ImageTooLargeError, match=f"{width}×{height}"):
        read(tiff(PHOTO, tiff_field(256, width), tiff_field(257, height), **layout))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("tag", [256, 257])
def test_an_image_without_a_size_is_refused(tag):
    with pytest.raises(DamagedImageError, match="has no size"):
        read(tiff(PHOTO, tiff_field(tag, 0)))
    with pytest.raises(DamagedImageError, match=f"lacks its field {tag}"):
        read(tiff(PHOTO, left_out=[tag]))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(("tag", "layout"), [(278, {}), (322, {"tile": (16, 16)}), (323, {"tile": (16, 16)})])
def test_strips_and_tiles_without_a_size_are_refused(tag, layout):
    with pytest.raises(DamagedImageError, match="strips or tiles have no size"):
        read(tiff(PHOTO, tiff_field(tag, 0), **layout))


@pytest.mark.usefixtures("no_decoder")
def test_tiles_that_are_much_larger_than_their_image_are_refused():
    for side in (20_000, 2**31):
        tiles = [tiff_field(322, side), tiff_field(323, side)]
        with peak_of(1_000_000), pytest.raises(ImageTooLargeError, match="mostly unused"):
            read(tiff(PHOTO, *tiles, tile=(48, 48)))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_a_header_that_promises_more_than_the_data_can_hold_is_refused(compression):
    sides = [tiff_field(tag, 7000) for tag in (256, 257, 278)]

    with pytest.raises(DamagedImageError, match="less data than its size needs"):
        read(tiff(PHOTO[:1, :1], *sides, compression=compression))


# Directories


@pytest.mark.usefixtures("no_decoder")
def test_directories_in_a_loop_are_refused():
    file = tiff(PHOTO)
    start = struct.unpack_from("<I", file, 4)[0]
    other = struct.pack("<HI", 0, start)

    for looped in (file[:-4] + struct.pack("<I", start), file[:-4] + struct.pack("<I", len(file)) + other):
        for work in (read, parts_of, forbidden_parts):
            with pytest.raises(DamagedImageError, match="loop"):
                work(looped)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("offset", "said"),
    [(0, "no image"), (1, "outside the file"), (7, "outside the file"), (2**32 - 1, "outside"), (10**6, "outside")],
)
def test_a_directory_in_an_impossible_place_is_refused(offset, said):
    file = tiff(PHOTO)

    for work in (read, forbidden_parts):
        with pytest.raises(DamagedImageError, match=said):
            work(file[:4] + struct.pack("<I", offset) + file[8:])


@pytest.mark.usefixtures("no_decoder")
def test_a_directory_that_reaches_beyond_the_file_is_refused():
    file = tiff(PHOTO)
    start = struct.unpack_from("<I", file, 4)[0]

    with pytest.raises(DamagedImageError, match="reaches beyond the file"):
        read(file[:start] + struct.pack("<H", 60_000) + file[start + 2 :])
    with pytest.raises(DamagedImageError, match="outside the file"):
        read(file[:-4] + struct.pack("<I", len(file) - 1))


@pytest.mark.usefixtures("no_decoder")
def test_thousands_of_pages_and_of_fields_are_refused_soon():
    pages = b"".join(struct.pack("<HI", 0, 8 + 6 * (number + 1)) for number in range(MAX_PARTS))
    fields = tiff(PHOTO, *(tiff_field(tag, 1) for tag in range(1000, 61_000)))
    start = struct.unpack_from("<I", fields, 4)[0]
    # A directory that begins inside another one has the fields of that once more.
    nested = fields[: start + 26] + struct.pack("<H", 59_000) + fields[start + 28 : -4] + struct.pack("<I", start + 26)
    begun = time.process_time()

    for file in (b"II*\0" + struct.pack("<I", 8) + pages, nested):
        with pytest.raises(DamagedImageError, match="more than 100000"):
            read(file)
    assert time.process_time() - begun < 5


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("tag", [270, 33432, 34665])
def test_a_value_outside_the_file_is_refused(tag):
    for offset in (10**6, 2**32 - 1):
        value = (tag, 2, 1000, struct.pack("<I", offset))
        with pytest.raises(DamagedImageError, match=f"value of its field {tag} lies outside"):
            read(tiff(PHOTO, value))
    with pytest.raises(DamagedImageError, match=f"value of its field {tag} lies outside"):
        read(tiff(PHOTO, (tag, 12, 2**32 - 1, struct.pack("<I", 8))))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("tag", [256, 258, 259, 262, 277, 278, 284, 317])
def test_a_needed_number_that_is_none_is_refused(tag):
    for kind, value in ((2, b"seven"), (12, bytes(8)), (99, b"\1\0\0\0"), (5, bytes(8))):
        with pytest.raises(DamagedImageError, match=f"field {tag} is no number"):
            read(tiff(PHOTO, (tag, kind, 1, value)))
    with pytest.raises(DamagedImageError, match=f"lacks its field {tag}"):
        read(tiff(PHOTO, (tag, 3, 0, b"")))


@pytest.mark.usefixtures("no_decoder")
def test_a_number_that_is_given_a_million_times_is_refused():
    bits = tiff_of([short(256, 41), short(257, 37), short(258, *[8] * 1_000_000), short(262, 2)], [PHOTO.tobytes()])

    with peak_of(20_000_000), pytest.raises(DamagedImageError, match="field 258 is no number, or too many"):
        read(bits)


# Strips


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("layout", [{"rows": 5}, {"tile": (16, 16)}, {"rows": 5, "planar": 2}])
def test_another_number_of_strips_than_the_size_needs_is_refused(layout):
    offsets = 324 if "tile" in layout else 273
    for count in (1, 5, 100):
        lists = [tiff_field(offsets, (8,) * count), tiff_field(offsets + (1 if offsets == 324 else 6), (1,) * count)]
        fields = [field for field in parts_of_directory(tiff(PHOTO, **layout)) if field[0] not in {273, 279, 324, 325}]
        with pytest.raises(DamagedImageError, match="another number of strips or tiles"):
            read(tiff_of([*fields, *lists], []) + PHOTO.tobytes())


def parts_of_directory(file):
    """The fields of a TIFF as `tiff_of` takes them."""
    (directory,) = directories(file)
    return [(field.tag, field.kind, field.values, file[field.start : field.end]) for field in directory.fields]


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("offset", "size"), [(10**7, 10), (2**32 - 1, 2**32 - 1), (8, 10**7), (2**32 - 4, 10)], ids=str
)
def test_strips_outside_the_file_are_refused(offset, size):
    fields = [field for field in parts_of_directory(tiff(PHOTO)) if field[0] not in {273, 279}]

    with pytest.raises(DamagedImageError, match="samples lie outside the file"):
        read(tiff_of([*fields, tiff_field(273, offset), tiff_field(279, size)], []) + PHOTO.tobytes())


@pytest.mark.usefixtures("no_decoder")
def test_places_without_sizes_are_refused():
    fields = [field for field in parts_of_directory(tiff(PHOTO, rows=9)) if field[0] != 279]

    with pytest.raises(DamagedImageError, match="no place or no size"):
        read(tiff_of(fields, []) + PHOTO.tobytes())


@pytest.mark.usefixtures("no_decoder")
def test_thousands_of_strips_that_are_all_the_whole_file_are_refused_soon():
    height = 50_000
    fields = [short(256, 10), tiff_field(257, height), short(258, 8), short(262, 1), short(278, 1), short(259, 8)]
    content = zlib.compress(bytes(1000)) + bytes(1_000_000)
    lists = [tiff_field(273, (8,) * height), tiff_field(279, (1_000_000,) * height)]
    begun = time.process_time()

    with pytest.raises(DamagedImageError, match="on top of each other"):
        read(tiff_of([*fields, *lists], []) + content)

    assert time.process_time() - begun < 5


@pytest.mark.parametrize("compression", [1, 5, 8, 32946, 32773])
def test_samples_that_end_early_or_are_no_stream_are_refused(compression):
    whole = tiff(PHOTO, compression=compression, rows=10)
    fields = [field for field in parts_of_directory(whole) if field[0] not in {273, 279}]
    strips = [part.content for part in parts_of(whole) if part.kind == tiff_file.SAMPLES]

    np.testing.assert_array_equal(read(tiff_of(fields, strips)).image, PHOTO)
    for broken in (strips[1][:-9], strips[1][: len(strips[1]) // 2], b"", b"\xff" * 40):
        with pytest.raises(DamagedImageError):
            read(tiff_of(fields, [strips[0], broken, *strips[2:]]))


def test_a_plain_strip_that_is_short_is_refused_though_another_one_is_long():
    whole = tiff(PHOTO, rows=10)
    fields = [field for field in parts_of_directory(whole) if field[0] not in {273, 279}]
    strips = [part.content for part in parts_of(whole) if part.kind == tiff_file.SAMPLES]

    with pytest.raises(DamagedImageError, match="fewer samples than it should"):
        read(tiff_of(fields, [strips[0][:-1], strips[1] + b"!", *strips[2:]]))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("tag", [256, 257, 259, 262, 277, 278, 284, 317])
def test_a_number_behind_which_others_hide_is_refused(tag):
    (value, *_) = next(numbers for found, numbers in whole_numbers(tiff(PHOTO)) if found == tag)

    for hidden in ((7,), tuple(range(1000, 1100))):
        for work in (read, forbidden_parts):
            with pytest.raises(DamagedImageError, match=f"field {tag} has {1 + len(hidden)} values instead of one"):
                work(tiff(PHOTO, short(tag, value, *hidden)))


def whole_numbers(file):
    """The fields of 16-bit numbers of a little-endian TIFF."""
    for tag, kind, count, value in parts_of_directory(file):
        if kind == 3:
            yield tag, struct.unpack(f"<{count}H", value)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("meaning", [0, 1, 2])
def test_the_meaning_of_a_channel_that_is_not_there_is_refused(meaning):
    with pytest.raises(DamagedImageError, match="no channels besides its colours"):
        read(tiff(PHOTO, short(338, meaning)))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("tags", [(322, 323), (322,), (323,), (324, 325)])
def test_strips_that_are_said_to_be_tiles_as_well_are_refused(tags):
    with pytest.raises(DamagedImageError, match="that it has strips, and that it has tiles"):
        read(tiff(PHOTO, *(short(tag, 48) for tag in tags)))


@pytest.mark.usefixtures("no_decoder")
def test_fewer_channels_than_colours_are_refused():
    with pytest.raises(DamagedImageError, match="fewer channels than its colours need"):
        read(tiff(PHOTO, short(277, 1)))


@pytest.mark.parametrize("compression", [8, 5, 32773])
def test_a_bomb_in_a_strip_is_unpacked_only_as_far_as_the_image_reaches(compression):
    fields = [field for field in parts_of_directory(tiff(PHOTO, compression=compression)) if field[0] not in {273, 279}]
    if compression == 8:
        packer = zlib.compressobj(9)
        bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    else:
        zeros = encoded(
            np.zeros((8000, 8000), dtype=np.uint8), "TIFF", compression={5: "tiff_lzw", 32773: "packbits"}[compression]
        )
        with Image.open(io.BytesIO(zeros)) as picture:
            start, size = picture.tag_v2[273][0], picture.tag_v2[279][0]
        bomb = zeros[start : start + size]
    file = tiff_of(fields, [bomb])

    with peak_of(2_000_000):
        assert not read(file).image.any()
        assert forbidden_parts(file)


def test_a_file_of_more_tiles_than_any_image_needs_is_refused():
    tiles = [tiff_field(324, (8,) * 100_001), tiff_field(325, (1,) * 100_001)]
    fields = [field for field in parts_of_directory(tiff(PHOTO, tile=(16, 16))) if field[0] not in {324, 325}]

    with pytest.raises(DamagedImageError, match="too many"):
        read(tiff_of([*fields, *tiles], []))


# Everything else


def files_of_many_kinds():
    grey, colour = photograph(23, 17)[..., :1], photograph(23, 17)
    deep = colour.astype(np.uint16) * 201
    palette = tiff_field(320, tuple(range(768)), kind=3)
    return [
        tiff(colour, rows=5),
        tiff(grey, compression=5, rows=4, predictor=2),
        tiff(deep, compression=8, tile=(16, 16), predictor=2, order=">"),
        tiff(np.dstack([deep, deep[..., :1]]), compression=32773, planar=2),
        tiff(grey, palette, tiff_field(315, b"John Doe\0"), photometric=3),
        encoded(colour, "TIFF", compression="tiff_lzw"),
    ]


FILES = files_of_many_kinds()


def test_a_tiff_changed_anywhere_is_read_or_refused_and_nothing_else_happens():
    random = np.random.default_rng(20)
    outcomes = {"read": 0, "refused": 0}
    with peak_of(30_000_000):
        for number in range(500):
            file = bytearray(FILES[number % len(FILES)])
            for _ in range(random.integers(1, 4)):
                at = int(random.integers(len(file)))
                match random.integers(5):
                    case 0:
                        file[at] = random.integers(256)
                    case 1:
                        file[at : at + 4] = random.choice([b"\xff\xff\xff\xff", bytes(4), b"\0\0\0\x80", b"\x08\0\0\0"])
                    case 2:
                        file[at] ^= 1 << random.integers(8)
                    case 3:
                        del file[at : at + int(random.integers(1, 9))]
                    case _:
                        file[at:at] = file[at : at + int(random.integers(1, 60))]
            outcomes[outcome(bytes(file))] += 1

    assert min(outcomes.values()) > 50


def outcome(file):
    with suppress(ImageError):
        forbidden_parts(file)
    try:
        picture = read(file, SMALL)
    except ImageError:
        return "refused"
    assert picture.image.size <= 3 * SMALL.max_pixels
    return "read"


@pytest.mark.parametrize("file", FILES, ids=range(len(FILES)))
def test_a_tiff_that_is_cut_anywhere_is_refused(file):
    for end in range(0, len(file), 7):
        with pytest.raises(ImageError):
            read(file[:end])
