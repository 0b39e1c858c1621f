import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cleanplate.codecs.container import forbidden_parts
from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.codecs.splice import coefficients_from_jpeg, difference
from cleanplate.errors import ImageError
from cleanplate.pipeline.encoding import SPLICED, WHOLE, encoded
from cleanplate.pipeline.plan import grid_of, plan_from_mask
from fakes.jpeg_files import KINDS, jpeg_of, rough, stored_blocks

pytest.importorskip("jpeglib", reason="needs the extra jpeg")

LIMITS = ImageLimits(max_pixels=1_000_000, max_bytes=1_000_000)
TURNED_LEVELS = 5
sides = st.one_of(st.sampled_from([16, 32, 64]), st.integers(9, 70))


def upright(content):
    """(H, W, 3), the image as Pillow shows and turns it."""
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert("RGB")).astype(int)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(size=st.tuples(sides, sides), orientation=st.integers(1, 8), quality=st.integers(30, 100), data=st.data())
def test_a_copy_tells_nothing_of_what_was_hidden_and_keeps_all_else(kind, size, orientation, quality, data):
    width, height = size
    left, right = sorted(data.draw(st.tuples(st.integers(0, width - 1), st.integers(0, width - 1))))
    top, bottom = sorted(data.draw(st.tuples(st.integers(0, height - 1), st.integers(0, height - 1))))
    approved = np.zeros((height, width), dtype=np.bool_)
    approved[top : bottom + 1, left : right + 1] = True
    fill = rough(width, height, 99)

    copies = set()
    for seed in range(4):
        image = np.where(approved[..., np.newaxis], rough(width, height, seed + 1), rough(width, height))
        original = jpeg_of(image, kind, orientation=orientation, quality=quality)
        picture = picture_from_bytes(original, LIMITS)
        mask = plan_from_mask(approved, grid=grid_of(picture.container)).mask
        cleaned = replace(picture, image=np.where(mask[..., np.newaxis], fill, picture.image))
        copies.add(encoded(original, cleaned, mask))

    assert len(copies) == 1
    copy, how = copies.pop()
    assert forbidden_parts(copy) == ()
    cell = picture.container.grid
    mirrored = (picture.container.grid_from_right, picture.container.grid_from_bottom)
    whole = (width % cell.width == 0, height % cell.height == 0)
    if any(flag and not fits for flag, fits in zip(mirrored, whole, strict=True)):
        assert how.startswith(WHOLE)
        return
    assert how == SPLICED
    levels = np.abs(upright(copy) - upright(original))[~mask]
    assert levels.max(initial=0) <= (0 if orientation == 1 else TURNED_LEVELS)
    assert difference(coefficients_from_jpeg(original), coefficients_from_jpeg(copy), mask).differing_blocks == 0
    if orientation == 1:
        assert_blocks_outside_equal(copy, original, mask, picture.container.jpeg.factors)


def assert_blocks_outside_equal(copy, original, mask, factors):
    """By another reader: a block may differ only if the mask covers all of the image that the block is of."""
    most = np.max(factors, axis=0)
    for mine, theirs, factor in zip(stored_blocks(copy), stored_blocks(original), factors, strict=True):
        across, down = 8 * most // factor
        for row, column in np.argwhere((mine != theirs).any(axis=(2, 3))):
            assert mask[row * down : (row + 1) * down, column * across : (column + 1) * across].all()


@settings(deadline=None, max_examples=40)
@given(width=sides, height=sides, kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_one_changed_coefficient_is_found(width, height, kind, data):
    original = jpeg_of(rough(width, height), kind)
    one, other = coefficients_from_jpeg(original), coefficients_from_jpeg(original)
    component = data.draw(st.integers(0, len(one.blocks) - 1))
    place = tuple(data.draw(st.integers(0, side - 1)) for side in one.blocks[component].shape)
    other.blocks[component][place] ^= data.draw(st.sampled_from([1, 2, 64]))

    assert difference(one, other, np.zeros((height, width), dtype=np.bool_)).differing_blocks == 1


@settings(deadline=None, max_examples=80)
@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_a_damaged_jpeg_is_refused_or_copied_as_it_shows(kind, data):
    spoilt = bytearray(jpeg_of(rough(40, 40), kind))
    for at in data.draw(st.lists(st.integers(2, len(spoilt) - 1), min_size=1, max_size=4)):
        spoilt[at] = data.draw(st.sampled_from([0x00, 0x7F, 0x80, 0xC4, 0xD0, 0xDA, 0xFF]))
    try:
        picture = picture_from_bytes(bytes(spoilt), LIMITS)
    except ImageError:
        return
    mask = np.zeros(picture.image.shape[:2], dtype=np.bool_)

    copy, how = encoded(bytes(spoilt), picture, mask)

    shown = picture_from_bytes(copy, LIMITS)
    if how == SPLICED:
        np.testing.assert_array_equal(shown.image, picture.image)
    assert shown.image.shape == picture.image.shape
