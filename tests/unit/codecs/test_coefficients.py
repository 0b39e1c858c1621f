import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cleanplate.codecs import coefficients, jpeg
from cleanplate.codecs.coefficients import blocks_from_parts, scan_from_blocks
from cleanplate.codecs.container import parts_of
from cleanplate.errors import SpliceError
from fakes.image_files import encoded, photograph
from fakes.jpeg_files import KINDS, jpeg_of, rough, shown, stored_blocks, subsampled_jpeg

pytest.importorskip("jpeglib", reason="needs the extra jpeg")

FACTORS = {
    "4:4:0": ((1, 2), (1, 1), (1, 1)),
    "4:1:1": ((4, 1), (1, 1), (1, 1)),
    "4:1:0": ((4, 2), (1, 1), (1, 1)),
    "chroma unlike": ((2, 2), (2, 1), (1, 2)),
    "all of two": ((2, 1), (2, 1), (2, 1)),
}


def rewritten(content):
    """The file again, put together from its blocks."""
    parts = parts_of(content)
    frame = jpeg.frame(parts)
    tables = jpeg.tables(parts, frame)
    scan = scan_from_blocks(blocks_from_parts(parts), size=frame.size, factors=tables.factors)
    return jpeg.file_of(frame.size, tables, scan)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 48), (61, 35), (1, 1), (9, 17)])
def test_another_reader_finds_the_same_coefficients(kind, size):
    content = jpeg_of(rough(*size), kind)

    found = blocks_from_parts(parts_of(content))

    for mine, theirs in zip(found, stored_blocks(content), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_put_together_from_its_blocks_shows_the_same_pixels(kind):
    content = jpeg_of(rough(61, 35), kind)

    again = rewritten(content)

    np.testing.assert_array_equal(shown(again), shown(content))
    for mine, theirs in zip(stored_blocks(again), stored_blocks(content), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_so_does_one_of_unusual_subsampling(factors):
    content = subsampled_jpeg(rough(75, 43), factors)

    again = rewritten(content)

    assert jpeg.tables(parts_of(again), jpeg.frame(parts_of(again))).factors == factors
    np.testing.assert_array_equal(shown(again), shown(content))


def test_the_same_blocks_always_give_the_same_bytes():
    assert len({rewritten(jpeg_of(rough(61, 35), "4:2:0")) for _ in range(3)}) == 1


def test_coefficients_beyond_what_a_jpeg_can_hold_are_refused(capfd):
    blocks = np.zeros((2, 2, 8, 8), dtype=np.int16)
    blocks[1, 1, 3, 3] = 5000

    with pytest.raises(SpliceError, match="cannot write"):
        scan_from_blocks([blocks], size=jpeg.Size(16, 16), factors=((1, 1),))
    assert "out of range" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: content.replace(b"\xff\xc4\0\x1f\0", b"\xff\xc4\0\x1f\x77"), "cannot read the JPEG's header"),
        (lambda content: content.replace(b"\xff\xda\0\x0c\3", b"\xff\xda\0\x0c\5"), "cannot read the JPEG's header"),
        (lambda content: content.replace(b"\xff\xda\0\x0c\3\1\0", b"\xff\xda\0\x0c\3\1\x33"), "JPEG's coefficients"),
    ],
    ids=["Huffman table", "scan header", "Huffman table of a scan"],
)
def test_a_file_that_libjpeg_refuses_is_an_error_and_never_the_end_of_the_process(spoil, said, capfd):
    content = spoil(encoded(photograph(), "JPEG"))

    with pytest.raises(SpliceError, match=said):
        blocks_from_parts(parts_of(content))
    assert capfd.readouterr().err


def test_many_threads_do_not_mix_their_images_up():
    contents = [jpeg_of(rough(40 + 3 * number, 90 - 2 * number, number), "4:2:0") for number in range(12)]
    expected = [rewritten(content) for content in contents]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(rewritten, contents * 10))

    assert found == expected * 10


def test_nothing_is_written_to_a_disk(tmp_path, monkeypatch):
    content = jpeg_of(rough(61, 35), "4:2:0")
    expected = rewritten(content)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    monkeypatch.setattr(coefficients, "_MEMORY_FOLDER", tmp_path / "missing")

    assert rewritten(content) == expected


def test_where_files_in_memory_are_unknown_a_private_folder_is_used_and_removed(tmp_path, monkeypatch):
    content = jpeg_of(rough(61, 35), "4:2:0")
    expected = rewritten(content)
    made = []

    class Folder(tempfile.TemporaryDirectory):
        def __enter__(self):
            folder = super().__enter__()
            made.append((Path(folder).parent, Path(folder).stat().st_mode & 0o777))
            return folder

    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(coefficients, "_MEMORY_FOLDER", tmp_path)
    monkeypatch.setattr(tempfile, "TemporaryDirectory", Folder)

    assert rewritten(content) == expected
    assert made == [(tmp_path, 0o700)] * 2
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def fresh_library():
    coefficients._library.cache_clear()
    yield
    coefficients._library.cache_clear()


@pytest.mark.usefixtures("fresh_library")
def test_without_jpeglib_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(coefficients, "find_spec", lambda _name: None)

    with pytest.raises(SpliceError, match=r"pip install 'cleanplate\[jpeg\]'"):
        blocks_from_parts(parts_of(encoded(photograph(), "JPEG")))


@pytest.mark.usefixtures("fresh_library")
def test_a_jpeglib_that_cannot_be_loaded_is_an_error(tmp_path, monkeypatch):
    library = tmp_path / "cjpeglib" / "cjpeglib_turbo210.abi3.so"
    library.parent.mkdir()
    library.write_bytes(b"for another machine")

    class Package:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(coefficients, "find_spec", lambda _name: Package)

    with pytest.raises(SpliceError, match="cannot be used"):
        blocks_from_parts(parts_of(encoded(photograph(), "JPEG")))


@pytest.mark.usefixtures("fresh_library")
def test_a_jpeglib_that_lacks_a_function_is_an_error(monkeypatch):
    monkeypatch.setattr(coefficients, "_FUNCTIONS", ("read_jpeg_of_tomorrow",))

    with pytest.raises(SpliceError, match="cannot be used"):
        blocks_from_parts(parts_of(encoded(photograph(), "JPEG")))
