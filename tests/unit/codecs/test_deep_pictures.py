"""Files of 16 bits per sample: engines see 8 of them, copies keep all."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageCms

from cleanplate.codecs.colour import IGNORED
from cleanplate.codecs.container import Format, forbidden_parts
from cleanplate.codecs.images import (
    Container,
    ImageLimits,
    Picture,
    bytes_from_picture,
    picture_from_bytes,
    sample_differences,
    with_fill,
)
from cleanplate.codecs.picture import narrowed, widened
from cleanplate.errors import DamagedImageError, ImageError, SizeMismatchError, UnsupportedImageError
from fakes.image_files import (
    chunk,
    deep_png,
    encoded,
    exif,
    linear_grey_profile,
    photograph,
    png,
    png_header,
    png_samples,
    swapped_profile,
    with_chunks,
)

LIMITS = ImageLimits()
KINDS = {"grey": 1, "grey and alpha": 2, "colour": 3, "colour and alpha": 4}
MASK = np.zeros((24, 32), dtype=np.bool_)
MASK[5:12, 8:20] = True


def deep_samples(channels, *, height=24, width=32):
    """(H, W, C), all their bits in use; alpha is 0 in the first column and 1 in the second."""
    samples = np.random.default_rng(channels).integers(0, 65_536, (height, width, channels)).astype(np.uint16)
    if channels in {2, 4}:
        samples[:, 2:, -1] |= 0x100
        samples[:, 0] = 0
        samples[:, 1, -1] = 1
    return samples


def read(data):
    return picture_from_bytes(data, LIMITS)


# What engines see


def test_every_16_bit_sample_is_rounded_to_the_nearest_of_8_and_every_8_bit_sample_comes_back():
    every = np.arange(65_536, dtype=np.uint16)

    assert narrowed(every).tolist() == [round(value / 257) for value in range(65_536)]
    assert narrowed(widened(np.arange(256, dtype=np.uint8))).tolist() == list(range(256))


@pytest.mark.parametrize("kind", KINDS)
def test_a_png_of_16_bits_is_seen_in_8_and_kept_in_16(kind):
    samples = deep_samples(KINDS[kind])

    picture = read(deep_png(samples))

    np.testing.assert_array_equal(picture.deep, samples)
    seen = narrowed(samples)[..., : 1 if "grey" in kind else 3]
    np.testing.assert_array_equal(picture.image, np.broadcast_to(seen, picture.image.shape))
    assert picture.container == Container(Format.PNG, grey="grey" in kind)
    assert (picture.alpha is not None) == ("alpha" in kind)


def test_what_is_almost_transparent_is_not_seen_as_if_it_were():
    picture = read(deep_png(np.array([[[9000, 0], [9000, 1], [9000, 127], [9000, 65_535]]], dtype=np.uint16)))

    assert picture.alpha.tolist() == [[0, 1, 1, 255]]
    assert picture.image[0, :, 0].tolist() == [0, 35, 35, 35]
    assert picture.deep.tolist() == [[[0, 0], [9000, 1], [9000, 127], [9000, 65_535]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_16_bits_are_turned_upright(orientation):
    samples = deep_samples(3)
    turned = chunk(b"eXIf", exif(orientation))

    picture = read(with_chunks(deep_png(samples), turned))
    lower = read(with_chunks(encoded(samples.astype(np.uint8), "PNG"), turned))

    np.testing.assert_array_equal(picture.deep.astype(np.uint8), lower.image)
    np.testing.assert_array_equal(narrowed(picture.deep), picture.image)


@pytest.mark.parametrize("colour_type", [0, 2])
def test_a_transparent_colour_of_16_bits_becomes_alpha_of_16(colour_type):
    channels = {0: 1, 2: 3}[colour_type]
    colour, almost = [0x1234] * channels, [0x1235] * channels
    rows = struct.pack(f">{2 * channels}H", *colour, *almost)
    transparent = chunk(b"tRNS", struct.pack(f">{channels}H", *colour))

    picture = read(png(png_header(2, 1, bit_depth=16, colour_type=colour_type), transparent, png_samples(rows)))

    assert picture.deep.tolist() == [[[0] * channels + [0], [*almost, 65_535]]]
    np.testing.assert_array_equal(read(bytes_from_picture(picture)).deep, picture.deep)


def test_16_bits_are_read_through_seven_passes_too():
    samples = deep_samples(3)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = [row.astype(">u2").tobytes() for x, y, dx, dy in passes for row in samples[y::dy, x::dx]]

    picture = read(png(png_header(32, 24, bit_depth=16, interlaced=1), png_samples(*rows)))

    np.testing.assert_array_equal(picture.deep, samples)


def test_16_bits_that_end_early_are_refused():
    rows = [row.astype(">u2").tobytes() for row in deep_samples(3)]

    with pytest.raises(DamagedImageError):
        read(png(png_header(32, 24, bit_depth=16), png_samples(*rows[:-1])))


# What is written


@pytest.mark.parametrize("height", [1, 24, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_16_bits_are_written_as_they_were_read_and_nothing_else_is(kind, height):
    samples = deep_samples(KINDS[kind], height=height)

    written = bytes_from_picture(read(deep_png(samples)))

    np.testing.assert_array_equal(read(written).deep, samples)
    assert forbidden_parts(written) == ()
    assert bytes_from_picture(read(deep_png(samples))) == written


@pytest.mark.parametrize("kind", KINDS)
def test_the_copy_of_16_bits_has_the_fill_under_the_mask_and_every_sample_outside_it(kind):
    samples = deep_samples(KINDS[kind])
    picture = read(deep_png(samples))
    fill = photograph(32, 24)

    copied = read(bytes_from_picture(with_fill(picture, fill, MASK)))

    np.testing.assert_array_equal(copied.deep[~MASK], samples[~MASK])
    under = copied.deep[MASK]
    if "grey" in kind:
        luma = fill[MASK] @ (0.299, 0.587, 0.114)
        np.testing.assert_allclose(under[:, 0] / 257, luma, atol=0.51)
    else:
        np.testing.assert_array_equal(under[:, :3], fill[MASK].astype(np.uint16) * 257)
    if "alpha" in kind:
        assert (under[:, -1] == 65_535).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_copy_of_16_bits_does_not_depend_on_what_the_mask_hides(kind):
    samples = deep_samples(KINDS[kind])
    copies = set()
    for seed in range(4):
        samples[MASK] = np.random.default_rng(seed).integers(0, 65_536, (MASK.sum(), KINDS[kind]))
        copies.add(bytes_from_picture(with_fill(read(deep_png(samples)), photograph(32, 24), MASK)))

    assert len(copies) == 1


def test_a_picture_whose_16_bits_show_something_else_is_refused_instead_of_written():
    picture = read(deep_png(deep_samples(4)))
    opaque = np.full_like(picture.alpha, 255)

    for change in ({"image": photograph(32, 24)}, {"alpha": opaque}):
        with pytest.raises(ImageError, match="must show the same"):
            replace(picture, **change)
    for deep in (picture.deep[..., :3], picture.deep[:-1], picture.deep.astype(np.int32)):
        with pytest.raises(ImageError, match="cannot be"):
            replace(picture, deep=deep)


# The picture of a copy


def test_a_fill_replaces_what_is_under_the_mask_and_nothing_else():
    image, fill = photograph(32, 24), photograph(40, 24)[:, 8:] // 2
    picture = read(encoded(image, "PNG"))

    copied = with_fill(picture, fill, MASK)

    np.testing.assert_array_equal(copied.image, np.where(MASK[..., np.newaxis], fill, image))
    np.testing.assert_array_equal(picture.image, image)
    assert copied.alpha is None
    assert copied.container == picture.container


def test_a_fill_is_opaque_for_transparency_would_show_an_outline():
    image = np.dstack([photograph(32, 24), np.where(MASK, 0, 90).astype(np.uint8)])

    copied = with_fill(read(encoded(image, "PNG")), photograph(32, 24), MASK)

    np.testing.assert_array_equal(copied.alpha, np.where(MASK, 255, 90))


def test_a_fill_of_a_grey_picture_is_grey():
    copied = with_fill(read(encoded(photograph(32, 24)[..., 0], "PNG")), photograph(32, 24), MASK)

    red, green, blue = np.moveaxis(copied.image, 2, 0)
    np.testing.assert_array_equal(red, green)
    np.testing.assert_array_equal(red, blue)


def test_an_empty_mask_leaves_a_picture_as_it_is():
    picture = read(deep_png(deep_samples(2)))

    assert bytes_from_picture(with_fill(picture, photograph(32, 24), ~MASK & MASK)) == bytes_from_picture(picture)


def test_a_fill_or_a_mask_of_another_size_is_refused():
    picture = read(encoded(photograph(32, 24), "PNG"))

    with pytest.raises(SizeMismatchError):
        with_fill(picture, photograph(32, 25), MASK)
    with pytest.raises(SizeMismatchError):
        with_fill(picture, photograph(32, 24), MASK[:-1])


# Comparing


@pytest.mark.parametrize("kind", KINDS)
def test_a_difference_of_one_16_bit_sample_is_found_though_8_bits_do_not_show_it(kind):
    samples = deep_samples(KINDS[kind])
    for channel in range(KINDS[kind]):
        changed = samples.copy()
        changed[9, 9, channel] ^= 1
        differences = sample_differences(read(deep_png(samples)), read(deep_png(changed)))
        assert np.argwhere(differences).tolist() == [[9, 9]]
        assert differences[9, 9] == 1


def test_differences_of_8_bits_count_every_channel_and_alpha_that_is_missing_is_opaque():
    image = photograph(32, 24)
    changed = np.dstack([image, np.full((24, 32), 255, dtype=np.uint8)])
    changed[0, 0, 3], changed[1, 1, 0], changed[2, 2, 2] = 250, changed[1, 1, 0] - 7, changed[2, 2, 2] + 9

    differences = sample_differences(read(encoded(image, "PNG")), read(encoded(changed, "PNG")))

    assert {(y, x): int(differences[y, x]) for y, x in np.argwhere(differences)} == {(0, 0): 5, (1, 1): 7, (2, 2): 9}


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_lost_its_16_bits_is_told_from_one_that_only_has_more_room(kind):
    samples = deep_samples(KINDS[kind])
    widened_samples = widened(narrowed(samples))
    if "alpha" in kind:
        widened_samples[:, 1, -1] = 257
    picture, eight = read(deep_png(samples)), read(deep_png(widened_samples))
    lost = Picture(picture.image, picture.alpha, picture.container)

    assert sample_differences(picture, lost).any()
    assert not sample_differences(eight, lost).any()
    assert not sample_differences(lost, eight).any()


# Colours


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_of_another_colour_space_are_refused_and_of_srgb_are_not(channels):
    file = deep_png(deep_samples(channels))

    def with_profile(content):
        return with_chunks(file, chunk(b"iCCP", b"p\0\0" + zlib.compress(content)))

    with pytest.raises(UnsupportedImageError, match="convert it to sRGB first"):
        read(with_profile({1: linear_grey_profile(), 3: swapped_profile()}[channels]))
    assert read(with_profile(b"junk")).container.notes == (IGNORED,)
    if channels == 3:
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        np.testing.assert_array_equal(read(with_profile(srgb)).deep, read(file).deep)
