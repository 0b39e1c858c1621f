import io
import struct

import numpy as np
import pytest
from PIL import Image

from cleanplate.codecs import jpeg
from cleanplate.codecs.container import forbidden_parts, parts_of
from cleanplate.codecs.jpeg import JpegTables
from cleanplate.domain.image import Size
from cleanplate.errors import DamagedImageError, UnsupportedImageError
from fakes.image_files import encoded, photograph, segment

STEPS = tuple(range(1, 65))


def tables(*factors):
    return JpegTables(factors=factors, quantisation=(STEPS,) * len(factors))


def pixels(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def with_frame(content):
    """The parts of a JPEG whose frame header has this content."""
    data = encoded(photograph(), "JPEG")
    at = data.index(b"\xff\xc0")
    return parts_of(data[:at] + segment(0xC0, content) + data[at + 19 :])


@pytest.mark.parametrize(
    ("factors", "cell", "subsampling"),
    [
        ([(1, 1)], (8, 8), (1, 1)),
        ([(2, 2)], (8, 8), (1, 1)),
        ([(1, 1), (1, 1), (1, 1)], (8, 8), (1, 1)),
        ([(2, 1), (1, 1), (1, 1)], (16, 8), (2, 1)),
        ([(1, 2), (1, 1), (1, 1)], (8, 16), (1, 2)),
        ([(2, 2), (1, 1), (1, 1)], (16, 16), (2, 2)),
        ([(4, 1), (1, 1), (1, 1)], (32, 8), (4, 1)),
        ([(2, 2), (1, 1), (2, 1)], (16, 16), (1, 2)),
        ([(2, 2), (2, 2), (2, 2)], (16, 16), (1, 1)),
        ([(1, 1), (2, 2), (1, 1)], (16, 16), (1, 1)),
        ([(2, 2), (1, 1), (1, 1), (2, 2)], (16, 16), (1, 1)),
    ],
)
def test_the_cells_hold_whole_blocks_of_every_component(factors, cell, subsampling):
    assert tables(*factors).mcu == cell
    assert tables(*factors).subsampling == subsampling


def test_exchanging_rows_and_columns_exchanges_all_of_it_and_twice_is_as_before():
    wide = tables((2, 1), (1, 1), (1, 1))

    tall = wide.transposed()

    assert tall.mcu == (8, 16)
    assert tall.quantisation[0][:3] == (1, 9, 17)
    assert tall.transposed() == wide


def test_tables_are_read_row_by_row_and_by_component():
    luma, chroma = list(range(1, 65)), list(range(101, 165))
    parts = parts_of(encoded(photograph(), "JPEG", qtables=[luma, chroma], subsampling=2))

    found = jpeg.tables(parts, jpeg.frame(parts))

    assert found.quantisation == (tuple(luma), tuple(chroma), tuple(chroma))
    assert found.factors == ((2, 2), (1, 1), (1, 1))


def test_steps_of_sixteen_bits_are_read_as_the_largest_a_plain_jpeg_can_have(capfd):
    parts = parts_of(encoded(photograph(), "JPEG", qtables=[[300] * 63 + [7]]))
    capfd.readouterr()

    assert jpeg.tables(parts, jpeg.frame(parts)).quantisation[0] == (255,) * 63 + (7,)


def test_a_table_that_is_cut_short_is_refused():
    data = encoded(photograph(), "JPEG")
    at = data.index(b"\xff\xdb")
    parts = parts_of(data[:at] + segment(0xDB, bytes(40)) + data[at:])

    with pytest.raises(DamagedImageError, match="table of the JPEG is cut short"):
        jpeg.tables(parts, jpeg.frame(parts))


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", DamagedImageError, "no frame header"),
        (struct.pack(">BHHB", 8, 48, 0, 1) + b"\1\x11\0", DamagedImageError, "frame header is broken"),
        (struct.pack(">BHHB", 8, 0, 64, 1) + b"\1\x11\0", UnsupportedImageError, "does not say its height"),
        (struct.pack(">BHHB", 8, 48, 64, 3) + b"\1\x11\0", DamagedImageError, "frame header is broken"),
        (struct.pack(">BHHB", 8, 48, 64, 2) + b"\1\x11\0" * 2, UnsupportedImageError, "2 components"),
        (struct.pack(">BHHB", 8, 48, 64, 0), UnsupportedImageError, "0 components"),
        (struct.pack(">BHHB", 8, 48, 64, 1) + b"\1\x01\0", DamagedImageError, "sampling factors"),
        (struct.pack(">BHHB", 8, 48, 64, 1) + b"\1\x15\0", DamagedImageError, "sampling factors"),
    ],
)
def test_an_impossible_frame_header_is_refused(content, error, said):
    with pytest.raises(error, match=said):
        jpeg.frame(with_frame(content))


def test_two_frames_are_refused():
    data = encoded(photograph(), "JPEG")
    at = data.index(b"\xff\xc0")

    with pytest.raises(UnsupportedImageError, match="hierarchical"):
        jpeg.frame(parts_of(data[:at] + data[at : at + 19] + data[at:]))


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (1, 1), (17, 33)])
def test_the_number_of_blocks_is_that_of_the_smallest_possible_scan(size):
    parts = parts_of(encoded(photograph(*size), "JPEG", subsampling=2))

    width, height = size
    halves = -(-width // 2), -(-height // 2)
    assert jpeg.frame(parts).blocks == -(-width // 8) * -(-height // 8) + 2 * -(-halves[0] // 8) * -(-halves[1] // 8)


@pytest.mark.parametrize(("subsampling", "progressive"), [(0, False), (0, True), (2, False), (2, True)])
def test_the_flattest_jpeg_has_enough_data_for_its_blocks(subsampling, progressive):
    flat = np.zeros((400, 600, 3), dtype=np.uint8)
    parts = parts_of(encoded(flat, "JPEG", subsampling=subsampling, progressive=progressive, optimize=True, quality=1))

    jpeg.require_decodable(parts, jpeg.frame(parts))


@pytest.mark.parametrize(
    ("size", "factors", "grids"),
    [
        ((64, 48), ((2, 2), (1, 1), (1, 1)), [(8, 6), (4, 3), (4, 3)]),
        ((65, 49), ((2, 2), (1, 1), (1, 1)), [(9, 7), (5, 4), (5, 4)]),
        ((1, 1), ((4, 1), (1, 1), (1, 1)), [(1, 1), (1, 1), (1, 1)]),
        ((33, 9), ((4, 1), (1, 1), (2, 1)), [(5, 2), (2, 2), (3, 2)]),
        ((17, 8), ((2, 2),), [(3, 1)]),
    ],
)
def test_each_component_has_the_blocks_that_its_factors_leave(size, factors, grids):
    components = tuple(jpeg.Component(number, *factor, 0) for number, factor in enumerate(factors))

    assert list(jpeg.Frame(Size(*size), components).grids) == grids


@pytest.mark.parametrize(
    ("tables", "exact"),
    [([[1] * 64], True), ([[255] * 64], True), ([[300] * 64], False), ([[7] * 64, [7] * 63 + [256]], False)],
)
def test_tables_are_exact_if_no_step_had_to_be_cut_down(tables, exact, capfd):
    parts = parts_of(encoded(photograph(), "JPEG", qtables=tables))
    capfd.readouterr()

    assert jpeg.has_exact_tables(parts) is exact


def test_tables_that_change_between_scans_are_not_exact():
    data = encoded(photograph(), "JPEG")

    assert jpeg.has_exact_tables(parts_of(data))
    assert not jpeg.has_exact_tables(parts_of(data[:-2] + segment(0xDB, bytes([0, *[9] * 64])) + data[-2:]))


@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_progressive_jpeg_is_complete_with_its_last_scan(subsampling):
    parts = parts_of(encoded(photograph(), "JPEG", progressive=True, subsampling=subsampling))
    scans = [at for at, part in enumerate(parts) if part.kind == "SOS"]

    assert jpeg.is_complete(parts, jpeg.frame(parts))
    for at in scans:
        fewer = (*parts[:at], parts[-1])
        assert not jpeg.is_complete(fewer, jpeg.frame(fewer))


def test_a_baseline_jpeg_is_always_complete():
    parts = parts_of(encoded(photograph(), "JPEG"))

    assert jpeg.is_complete(parts, jpeg.frame(parts))


def test_what_a_decoder_needs_is_no_metadata():
    data = encoded(photograph(), "JPEG")
    more = data[:2] + segment(0xE1, b"Exif\0\0secret") + segment(0xFE, b"secret") + data[2:] + b"secret"

    needed = jpeg.essential(parts_of(more))

    assert b"secret" not in needed
    np.testing.assert_array_equal(pixels(needed), pixels(data))


@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 2},
        {"subsampling": 0, "qtables": [list(range(1, 65)), [3] * 64, [5] * 64]},
        {"subsampling": 0, "keep_rgb": True},
    ],
)
def test_a_file_of_compressed_samples_is_read_with_the_same_tables_and_pixels(options):
    data = encoded(photograph(61, 35), "JPEG", restart_marker_blocks=0, **options)
    parts = parts_of(data)
    tables = jpeg.tables(parts, jpeg.frame(parts))
    scan = b"".join(part.whole for part in parts if part.kind in {"DHT", "SOS", jpeg.SCAN})
    if tables.rgb:
        scan = scan.replace(b"\xff\xda\0\x0c\3R\0G\0B\0", b"\xff\xda\0\x0c\3\1\0\2\0\3\0")

    file = jpeg.file_of(Size(61, 35), tables, scan)

    again = parts_of(file)
    assert jpeg.tables(again, jpeg.frame(again)) == tables
    assert forbidden_parts(file) == ()
    np.testing.assert_array_equal(pixels(file), pixels(data))
