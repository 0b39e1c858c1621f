"""PNGs are written in the quickest way that makes them about as short as any; the samples are the same in all."""

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from cleanplate.codecs.container import forbidden_parts, parts_of
from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.codecs.picture import samples_of
from cleanplate.codecs.png_writing import png_from_samples

LIMITS = ImageLimits()
HEIGHT, WIDTH = 600, 1000
CHANNELS = {"grey": 1, "grey and alpha": 2, "colour": 3, "colour and alpha": 4}


def photograph(height=HEIGHT, width=WIDTH):
    """(H, W, 4), soft and with a camera's noise; its last channel is nowhere zero."""
    y, x = np.mgrid[:height, :width]
    soft = np.stack([np.sin(x / 40 + phase) * 50 + np.cos(y / 60 - phase) * 50 + 128 for phase in range(4)], axis=2)
    noisy = soft + np.random.default_rng(1).normal(0, 4, soft.shape)
    return np.clip(np.rint(noisy), 1, 255).astype(np.uint8)


def drawing():
    """(H, W, 4), plain shapes and lines of writing."""
    image = Image.new("RGBA", (WIDTH, HEIGHT), (255, 255, 255, 255))
    draw = ImageDraw.Draw(image)
    random = np.random.default_rng(2)
    for x, y, size, *colour in random.integers(0, [WIDTH, HEIGHT, 200, 256, 256, 256], (150, 6)).tolist():
        draw.ellipse([x, y, x + size, y + size], fill=(*colour, 200))
        draw.text((x, y), "some words that stand here again", fill=(*colour, 255))
    return np.asarray(image)


def pattern():
    """(H, W, 4), noise that comes back every 16 pixels."""
    tile = np.random.default_rng(3).integers(1, 256, (16, 16, 4)).astype(np.uint8)
    return np.tile(tile, (HEIGHT // 16, WIDTH // 16, 1))


def ramp():
    """(H, W, 4), lighter from left to right, all rows alike."""
    return np.broadcast_to(np.linspace(1, 255, WIDTH).astype(np.uint8)[np.newaxis, :, np.newaxis], (HEIGHT, WIDTH, 4))


def half():
    """(H, W, 4), a photograph beside a drawing."""
    return np.where(np.arange(WIDTH)[np.newaxis, :, np.newaxis] < WIDTH // 2, photograph(), drawing())


def deep(samples, seed=5):
    """The same in 16 bits, the lower of them noise."""
    noise = np.random.default_rng(seed).integers(0, 256, samples.shape)
    return (samples.astype(np.uint16) << 8) + noise.astype(np.uint16)


def of(samples, channels):
    """The first colours and, where there is to be alpha, the last channel."""
    return np.ascontiguousarray(samples[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]])


def by_pillow(samples):
    """As a drawing is written best."""
    file = io.BytesIO()
    Image.fromarray(samples.squeeze()).save(file, "PNG", compress_level=4)
    return file.getvalue()


def filters(file, row_bytes):
    """The numbers of the filters of a PNG's rows."""
    rows = zlib.decompress(b"".join(part.content for part in parts_of(file) if part.kind == "IDAT"))
    return set(rows[:: 1 + row_bytes])


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("content", [photograph, drawing, pattern, ramp, half])
def test_samples_are_read_as_they_were_written(content, kind):
    samples = of(content(), CHANNELS[kind])

    for values in (samples, samples.astype(np.uint16) * 257, deep(samples)):
        written = png_from_samples(values)

        np.testing.assert_array_equal(
            samples_of(picture_from_bytes(written, LIMITS)), np.where(values[..., -1:] > 0, values, 0)
        )
        assert forbidden_parts(written) == ()
        assert png_from_samples(values.copy()) == written


@pytest.mark.parametrize("kind", CHANNELS)
def test_another_library_reads_the_same(kind):
    samples = of(photograph(), CHANNELS[kind])
    order = {1: [0], 2: [0, 0, 0, 1], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[CHANNELS[kind]]

    for values in (samples, deep(samples)):
        decoded = cv2.imdecode(np.frombuffer(png_from_samples(values), dtype=np.uint8), cv2.IMREAD_UNCHANGED)

        np.testing.assert_array_equal(decoded.reshape(HEIGHT, WIDTH, -1), values[..., order])


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 65_535), (65_535, 1), (63, 9000), (64, 9000), (9000, 64), (65, 8192)]
)
def test_the_smallest_the_narrowest_and_the_widest_images_survive(height, width):
    samples = of(photograph(height, width), 3)

    for values in (samples, deep(samples)):
        np.testing.assert_array_equal(samples_of(picture_from_bytes(png_from_samples(values), LIMITS)), values)


@pytest.mark.parametrize("kind", CHANNELS)
def test_a_photograph_is_written_the_quick_way_which_makes_it_no_longer(kind):
    samples = of(photograph(), CHANNELS[kind])

    written = png_from_samples(samples)

    assert filters(written, samples[0].nbytes) == {3}
    assert len(written) <= len(by_pillow(samples))
    assert filters(png_from_samples(deep(samples)), 2 * samples[0].nbytes) == {3}


@pytest.mark.parametrize("content", [drawing, pattern, ramp, half])
@pytest.mark.parametrize("kind", CHANNELS)
def test_no_picture_becomes_longer_by_more_than_two_percent_for_being_written_sooner(kind, content):
    samples = of(content(), CHANNELS[kind])

    assert len(png_from_samples(samples)) <= 1.02 * len(by_pillow(samples))


def test_what_repeats_itself_in_16_bits_is_written_by_its_repetitions():
    samples = of(pattern(), 3).astype(np.uint16) * 257

    assert len(png_from_samples(samples)) < samples.nbytes / 30
