import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from cleanplate.domain.image import Size
from cleanplate.errors import MaskError, SizeMismatchError
from cleanplate.label_studio.bitmask import bitmask_from_mask, mask_from_bitmask

SIZE = Size(width=5, height=3)
MASK = np.array([[0, 1, 1, 0, 0], [0, 0, 1, 0, 1], [1, 0, 0, 0, 0]], dtype=np.bool_)


def url_of(picture: Image.Image, **options: object) -> str:
    file = io.BytesIO()
    picture.save(file, format="PNG", **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def picture_of(alpha: np.ndarray, colour: int) -> Image.Image:
    pixels = np.full((*alpha.shape, 4), colour, dtype=np.uint8)
    pixels[..., 3] = alpha
    return Image.fromarray(pixels)


def test_a_mask_comes_back_as_it_was() -> None:
    np.testing.assert_array_equal(mask_from_bitmask(bitmask_from_mask(MASK), SIZE), MASK)


def test_a_bitmask_is_black_and_transparent_as_label_studio_writes_it() -> None:
    file = io.BytesIO(base64.b64decode(bitmask_from_mask(MASK).partition(",")[2]))

    with Image.open(file) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGBA")
        pixels = np.asarray(picture)
    assert not pixels[..., :3].any()
    np.testing.assert_array_equal(pixels[..., 3], np.where(MASK, 255, 0))


@pytest.mark.parametrize("colour", [0, 255])
def test_whatever_is_not_transparent_is_painted_whatever_its_colour(colour) -> None:
    faint = np.where(MASK, 1, 0).astype(np.uint8)

    np.testing.assert_array_equal(mask_from_bitmask(url_of(picture_of(faint, colour)), SIZE), MASK)


def test_a_palette_with_a_transparent_colour_is_read() -> None:
    picture = Image.fromarray(MASK.astype(np.uint8), mode="L").convert("P")

    np.testing.assert_array_equal(mask_from_bitmask(url_of(picture, transparency=0), SIZE), MASK)


def test_a_bitmask_without_transparency_is_refused() -> None:
    with pytest.raises(MaskError, match="no transparency"):
        mask_from_bitmask(url_of(Image.fromarray(np.where(MASK, 255, 0).astype(np.uint8))), SIZE)


def test_a_bitmask_of_another_size_is_refused() -> None:
    with pytest.raises(SizeMismatchError, match="5×3 does not fit an image of 3×5"):
        mask_from_bitmask(bitmask_from_mask(MASK), Size(width=3, height=5))


def test_a_bitmask_that_claims_to_be_huge_is_refused_by_its_header() -> None:
    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + checksum

    header = (30_000).to_bytes(4, "big") * 2 + bytes([8, 6, 0, 0, 0])
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    with pytest.raises(MaskError):
        mask_from_bitmask("data:image/png;base64," + base64.b64encode(png).decode(), SIZE)


def test_a_bitmask_with_several_frames_is_refused() -> None:
    frames = [picture_of(np.where(MASK, 255, 0).astype(np.uint8), shade) for shade in (0, 200)]

    with pytest.raises(MaskError, match="several frames"):
        mask_from_bitmask(url_of(frames[0], save_all=True, append_images=frames[1:]), SIZE)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://elsewhere.example/mask.png",
        "data:image/jpeg;base64,AAAA",
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        "data:image/png;base64,Zm9v",
        "data:image/png;base64,ü",
        "data:image/png,Zm9v",
        bitmask_from_mask(MASK)[:-30],
    ],
)
def test_what_is_no_png_in_a_data_url_is_refused(url) -> None:
    with pytest.raises(MaskError):
        mask_from_bitmask(url, SIZE)
