import struct

import numpy as np
import pytest

from cleanplate.codecs import jpeg
from cleanplate.codecs.container import parts_of
from cleanplate.codecs.jpeg import JpegTables
from cleanplate.errors import DamagedImageError, UnsupportedImageError
from fakes.image_files import encoded, photograph, segment

STEPS = tuple(range(1, 65))


def tables(*factors):
    return JpegTables(factors=factors, quantisation=(STEPS,) * len(factors))


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
