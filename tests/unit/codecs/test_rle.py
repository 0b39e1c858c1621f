import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cleanplate.codecs import rle as codec
from cleanplate.codecs.rle import MAX_BYTES, mask_from_rle, rle_from_mask
from cleanplate.errors import RleError

STROKE = json.loads((Path(__file__).parent / "data" / "brush_stroke.json").read_text())


def stream(*tokens, samples, sample_bits=8, length_bits=(3, 4, 8, 16)):
    """A rle-pack stream written bit by bit: a token is (width choice, length, sample) or (width choice, samples)."""
    bits = f"{samples:032b}{sample_bits - 1:05b}" + "".join(f"{width - 1:04b}" for width in length_bits)
    for choice, *rest in tokens:
        is_run = len(rest) == 2
        length, values = (rest[0], [rest[1]]) if is_run else (len(rest[0]), rest[0])
        bits += f"{is_run:b}{choice:02b}{length - 1:0{length_bits[choice]}b}"
        bits += "".join(f"{value:0{sample_bits}b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def test_one_masked_pixel_becomes_the_bytes_of_label_studios_format():
    assert rle_from_mask(np.ones((1, 1), dtype=bool)) == [0, 0, 0, 4, 57, 27, 252, 127, 224]


def test_the_encoder_writes_the_very_bytes_of_label_studios_converter(converter):
    rng = np.random.default_rng(7)
    ragged = [rng.random((height, width)) < share for height, width, share in ((5, 9, 0.5), (31, 17, 0.1), (8, 8, 0.9))]
    lengths = (1, 2, 4, 5, 64, 65, 16383, 16384, 16385, 32768, 32769, 40000)
    masks = [*ragged, *(np.full((1, length), value) for length in lengths for value in (True, False))]

    theirs = converter(masks=[mask.tolist() for mask in masks])["rles"]

    assert [rle_from_mask(mask) for mask in masks] == theirs


def test_the_decoder_reads_what_label_studios_converter_reads(converter):
    streams = [STROKE["grey"], STROKE["colour"], stream((3, 17, 3), (1, [0, 1, 2, 3, 4, 5, 6]), samples=24)]
    sizes = [(STROKE["width"], STROKE["height"]), (STROKE["width"], STROKE["height"]), (6, 1)]

    theirs = converter(rles=streams)["alphas"]

    for rle, (width, height), alpha in zip(streams, sizes, theirs, strict=True):
        mask = mask_from_rle(rle, width=width, height=height)
        np.testing.assert_array_equal(mask, np.array(alpha).reshape(height, width) > 0)


@pytest.mark.parametrize("colouring", ["grey", "colour"])
def test_a_stroke_drawn_in_a_browser_is_masked_to_the_last_trace_of_its_soft_edge(colouring):
    alpha = np.array(STROKE["alpha"]).reshape(STROKE["height"], STROKE["width"])

    mask = mask_from_rle(STROKE[colouring], width=STROKE["width"], height=STROKE["height"])

    np.testing.assert_array_equal(mask, alpha > 0)
    assert mask.sum() > (alpha > 127).sum()


def test_only_alpha_decides_and_not_the_colour_under_it():
    opaque_black, clear_white = [0, 0, 0, 1], [255, 255, 255, 0]

    mask = mask_from_rle(stream((0, [*clear_white, *opaque_black]), samples=8), width=2, height=1)

    assert mask.tolist() == [[False, True]]


def test_runs_and_literals_may_begin_anywhere_in_a_pixel():
    rle = stream((0, 3, 0), (0, 1, 9), (0, [0, 0]), (0, 6, 5), (0, [0, 0, 0, 7]), samples=16)

    assert mask_from_rle(rle, width=4, height=1).tolist() == [[True, True, True, True]]


def test_other_legal_widths_of_lengths_and_samples_are_read():
    rle = stream((0, 1, 1), (2, 11, 0), (1, [1, 0, 0, 1]), samples=16, sample_bits=1, length_bits=(1, 3, 12, 2))

    assert mask_from_rle(rle, width=2, height=2).tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 64])
def test_the_seams_between_blocks_of_the_stream_do_not_show(block_bytes, monkeypatch):
    size = {"width": STROKE["width"], "height": STROKE["height"]}
    expected = mask_from_rle(STROKE["colour"], **size)
    monkeypatch.setattr(codec, "_BLOCK_BYTES", block_bytes)

    np.testing.assert_array_equal(mask_from_rle(STROKE["colour"], **size), expected)


def test_encoding_refuses_what_is_no_mask():
    for shape in ((0, 4), (4, 0), (16,), (2, 2, 2)):
        with pytest.raises(RleError, match="must be"):
            rle_from_mask(np.zeros(shape, dtype=bool))


@pytest.mark.parametrize(
    ("rle", "said"),
    [
        ([], "0 bytes is too short"),
        ([0], "1 bytes is too short"),
        ([-1], "entry 0 of the brush RLE is -1"),
        ([0, 0.5], "entry 1 of the brush RLE is a float"),
        ([0, 1, 300], "entry 2 of the brush RLE is 300"),
        ([True] * 9, "entry 0 of the brush RLE is a bool"),
        ([0, None], "entry 1 of the brush RLE is a NoneType"),
        ([[0]], "entry 0 of the brush RLE is a list"),
        (["0"], "entry 0 of the brush RLE is a str"),
        ([float("nan")], "entry 0 of the brush RLE is a float"),
        ([10**30], "is 10"),
        ("AAAA", "not str"),
        ({"0": 0}, "not dict"),
        (None, "not NoneType"),
        (7, "not int"),
        ([0] * 10_000_000, "10000000 bytes is longer than the limit"),
    ],
)
def test_what_is_no_list_of_bytes_is_refused_with_what_is_wrong(rle, said):
    with pytest.raises(RleError, match=said):
        mask_from_rle(rle, width=2, height=2)


def test_a_header_that_promises_another_size_is_refused_before_anything_is_allocated():
    huge = stream((3, 65536, 255), samples=4_000_000_000)
    tracemalloc.start()

    with pytest.raises(RleError, match="holds 4000000000 samples, which is not 100×100×4"):
        mask_from_rle(huge, width=100, height=100)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize(("width", "height"), [(0, 4), (4, 0), (-2, -2), (1, 3), (10**9, 10**9)])
def test_a_size_that_is_not_the_images_is_refused(width, height):
    with pytest.raises(RleError, match="samples, which is not"):
        mask_from_rle(rle_from_mask(np.ones((2, 2), dtype=bool)), width=width, height=height)


def test_a_stream_cut_at_any_byte_is_refused():
    rle = STROKE["colour"]

    for end in range(len(rle)):
        with pytest.raises(RleError, match=r"(too|cut) short"):
            mask_from_rle(rle[:end], width=STROKE["width"], height=STROKE["height"])


def test_a_stream_with_more_samples_than_its_header_says_is_refused():
    with pytest.raises(RleError, match="goes past its 16 samples"):
        mask_from_rle(stream((2, 17, 1), samples=16), width=2, height=2)
    with pytest.raises(RleError, match="goes past its 16 samples"):
        mask_from_rle(stream((0, 8, 1), (1, [0] * 9), samples=16), width=2, height=2)
    with pytest.raises(RleError, match="goes on after its 16 samples"):
        mask_from_rle(stream((2, 16, 1), (0, 1, 1), (0, 1, 1), samples=16), width=2, height=2)


def test_a_trailing_zero_byte_is_padding():
    rle = rle_from_mask(np.ones((2, 2), dtype=bool))

    assert mask_from_rle([*rle, 0], width=2, height=2).all()


def test_samples_of_more_than_eight_bits_are_refused():
    with pytest.raises(RleError, match="samples of 16 bits"):
        mask_from_rle(stream((0, 4, 1), samples=4, sample_bits=16), width=1, height=1)


def test_the_longest_stream_of_the_shortest_tokens_is_read_all_the_same():
    tokens = (MAX_BYTES * 8 - 53) // 14 // 4 * 4
    single_opaque_sample = [1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    header = np.unpackbits(np.array(stream((0, 1, 0), samples=tokens)[:8], dtype=np.uint8))[:53]
    rle = np.packbits(np.concatenate([header, np.tile(np.array(single_opaque_sample, dtype=np.uint8), tokens)]))

    assert mask_from_rle(rle.tolist(), width=tokens // 4, height=1).all()
