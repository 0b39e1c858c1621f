import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cleanplate.codecs.container import Format, forbidden_parts
from cleanplate.codecs.images import (
    Container,
    ImageLimits,
    Picture,
    bytes_from_picture,
    mask_from_png,
    picture_from_bytes,
    png_from_mask,
    sample_differences,
    with_fill,
)
from cleanplate.errors import ImageError
from fakes.image_files import (
    chunk,
    deep_png,
    encoded,
    exif,
    exif_segment,
    photograph,
    tiff,
    tiff_field,
    with_chunks,
    with_segments,
)

LIMITS = ImageLimits(max_pixels=1_000_000, max_bytes=1_000_000)
PHOTO = photograph(40, 24)
TRANSPARENT = np.dstack([PHOTO, PHOTO[..., 0]])
FILES = {
    "JPEG": with_segments(encoded(PHOTO, "JPEG", icc_profile=b"junk"), exif_segment(exif(6))),
    "progressive JPEG": encoded(PHOTO, "JPEG", progressive=True),
    "grey JPEG": encoded(PHOTO[..., 0], "JPEG"),
    "PNG": with_chunks(encoded(PHOTO, "PNG"), chunk(b"eXIf", exif(8)), chunk(b"tEXt", b"a\0b")),
    "PNG with alpha": encoded(TRANSPARENT, "PNG"),
    "grey PNG": encoded(PHOTO[..., 0], "PNG"),
    "WebP": encoded(PHOTO, "WEBP"),
    "WebP with alpha": encoded(TRANSPARENT, "WEBP"),
    "lossless WebP": encoded(TRANSPARENT, "WEBP", lossless=True),
    "PNG of 16 bits": deep_png(TRANSPARENT.astype(np.uint16) * 251),
    "TIFF": tiff(PHOTO, tiff_field(315, b"John Doe\0"), compression=5, rows=9, predictor=2),
    "TIFF with alpha": tiff(TRANSPARENT, compression=8, tile=(16, 16), order=">"),
    "TIFF of 16 bits": tiff(PHOTO.astype(np.uint16) * 251, compression=32773, planar=2),
}

images = arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3)))


@pytest.mark.parametrize("kind", ["PNG with alpha", "lossless WebP", "TIFF with alpha"])
@settings(deadline=None)
@given(image=images, data=st.data())
def test_what_is_written_without_loss_is_read_as_it_was_but_for_what_nobody_can_see(kind, image, data):
    alpha = data.draw(arrays(np.uint8, image.shape[:2]))
    container = picture_from_bytes(FILES[kind], LIMITS).container

    written = bytes_from_picture(Picture(image, alpha, container))
    again = picture_from_bytes(written, LIMITS)

    np.testing.assert_array_equal(again.image[alpha > 0], image[alpha > 0])
    assert not again.image[alpha == 0].any()
    np.testing.assert_array_equal(alpha if again.alpha is None else again.alpha, alpha)
    assert forbidden_parts(written) == ()


@pytest.mark.parametrize("kind", FILES)
@settings(deadline=None)
@given(image=images)
def test_no_file_holds_anything_but_its_samples_and_equal_pictures_give_equal_bytes(kind, image):
    container = picture_from_bytes(FILES[kind], LIMITS).container

    written = bytes_from_picture(Picture(image, None, container))

    assert forbidden_parts(written) == ()
    assert bytes_from_picture(Picture(image.copy(), None, container)) == written
    assert picture_from_bytes(written, LIMITS).image.shape == image.shape


@pytest.mark.parametrize("kind", [Format.PNG, Format.TIFF])
@settings(deadline=None)
@given(data=st.data(), channels=st.integers(1, 4))
def test_16_bits_outside_the_mask_are_kept_and_those_under_it_leave_no_trace(kind, data, channels):
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    deep = data.draw(arrays(np.uint16, (height, width, channels)))
    hidden = data.draw(arrays(np.uint16, (height, width, channels)))
    mask = data.draw(arrays(np.bool_, (height, width)))
    fill = data.draw(arrays(np.uint8, (height, width, 3)))
    if channels in {2, 4}:
        for samples in (deep, hidden):
            samples[samples[..., -1] == 0] = 0
    container = Container(kind, grey=channels < 3)

    originals = [Picture.from_deep(samples, container) for samples in (deep, np.where(mask[..., None], hidden, deep))]
    copies = [bytes_from_picture(with_fill(original, fill, mask)) for original in originals]

    copied = picture_from_bytes(copies[0], LIMITS)
    assert copies[0] == copies[1]
    np.testing.assert_array_equal(copied.deep[~mask], deep[~mask])
    assert not sample_differences(originals[0], copied)[~mask].any()
    assert forbidden_parts(copies[0]) == ()


@settings(deadline=None)
@given(mask=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_mask_survives_the_way_into_a_png_and_back(mask):
    np.testing.assert_array_equal(mask_from_png(png_from_mask(mask), LIMITS), mask)


@pytest.mark.parametrize("kind", FILES)
@settings(deadline=None)
@given(data=st.data())
def test_a_file_changed_anywhere_is_read_or_refused_and_nothing_else_happens(kind, data):
    file = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(file) - 1))
        change = data.draw(st.sampled_from(["set", "delete", "insert", "cut", "repeat"]))
        if change == "set":
            file[at] = data.draw(st.integers(0, 255))
        elif change == "delete":
            del file[at : at + data.draw(st.integers(1, 8))]
        elif change == "insert":
            file[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        elif change == "repeat":
            file[at:at] = file[at : at + data.draw(st.integers(1, 64))]
        else:
            del file[at + 1 :]
        if not file:
            return

    for work in (picture_from_bytes, mask_from_png):
        try:
            work(bytes(file), LIMITS)
        except ImageError:
            continue
    try:
        forbidden_parts(bytes(file))
    except ImageError:
        return
