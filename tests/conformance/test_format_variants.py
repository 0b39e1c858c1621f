"""Every kind of file: its copy does not depend on what was hidden, and outside the mask nothing changes."""

import hashlib
import struct

import numpy as np
import pytest

from cleanplate.codecs.images import ImageLimits, picture_from_bytes, sample_differences
from cleanplate.codecs.tiff_directories import directories
from cleanplate.engines.protocols import Inpainter
from cleanplate.engines.registry import INPAINTERS, load_inpainter
from cleanplate.pipeline.certificate import Verdict
from cleanplate.pipeline.clean import CleanCopy, Original, clean_image
from cleanplate.pipeline.plan import grid_of, plan_from_mask
from cleanplate.pipeline.verification import verify
from fakes.image_files import chunk, deep_png, encoded, photograph, png, png_header, png_samples, tiff, tiff_field

LIMITS = ImageLimits()
WIDTH, HEIGHT = 96, 64
MASK = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
MASK[24:40, 30:62] = True
CORNER = np.zeros_like(MASK)
"""The last cells of a WebP: nothing is predicted from them."""
CORNER[48:, 64:] = True
PALETTE = np.random.default_rng(3).permutation(768).astype(np.uint8).tobytes()


def hidden(number: int, mask: np.ndarray = MASK) -> np.ndarray:
    """(H, W, 4): a photograph in which something else is hidden each time, also in its transparency."""
    image = np.dstack([photograph(WIDTH, HEIGHT), 255 - photograph(WIDTH, HEIGHT)[..., :1] // 2])
    image[mask] = np.random.default_rng(number).integers(0, 256, (mask.sum(), 4))
    return image


def deep(image: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(5).integers(0, 256, image.shape)
    noise[MASK] = image[MASK] // 2
    return (image.astype(np.uint16) << 8) + noise.astype(np.uint16)


def bits_png(image: np.ndarray, bit_depth: int, colour_type: int) -> bytes:
    indices = image[..., 0] >> (8 - bit_depth)
    packed = np.packbits(np.unpackbits(indices[..., np.newaxis], axis=2)[..., -bit_depth:].reshape(HEIGHT, -1), axis=1)
    colours = [chunk(b"PLTE", PALETTE[: 3 << bit_depth]), chunk(b"tRNS", b"\x80")] if colour_type == 3 else []
    return png(png_header(WIDTH, HEIGHT, bit_depth=bit_depth, colour_type=colour_type), *colours, png_samples(*packed))


CHANNELS = {"grey": [1], "grey with alpha": [1, 3], "colour": [0, 1, 2], "colour with alpha": [0, 1, 2, 3]}
LOSSLESS = {
    **{f"PNG {kind}": lambda image, of=of: encoded(image[..., of].squeeze(), "PNG") for kind, of in CHANNELS.items()},
    **{f"PNG 16 bits {kind}": lambda image, of=of: deep_png(deep(image[..., of])) for kind, of in CHANNELS.items()},
    **{f"PNG {bits} bits": lambda image, bits=bits: bits_png(image, bits, 0) for bits in (1, 2, 4)},
    **{f"PNG palette {bits} bits": lambda image, bits=bits: bits_png(image, bits, 3) for bits in (1, 2, 4, 8)},
    "WebP lossless": lambda image: encoded(image[..., :3], "WEBP", lossless=True),
    "WebP lossless with alpha": lambda image: encoded(image, "WEBP", lossless=True, exact=True),
    **{
        f"TIFF {kind}": lambda image, of=of: tiff(image[..., of], rows=9, compression=5)
        for kind, of in CHANNELS.items()
    },
    **{
        f"TIFF 16 bits {kind}": lambda image, of=of: tiff(deep(image[..., of]), tile=(32, 32), compression=8, order=">")
        for kind, of in CHANNELS.items()
    },
    "TIFF palette": lambda image: tiff(
        image[..., :1], tiff_field(320, tuple(value * 250 for value in PALETTE), kind=3), photometric=3
    ),
    "TIFF white is zero": lambda image: tiff(image[..., :1], photometric=0, compression=32773),
}
LOSSY = {
    "WebP": lambda image: encoded(image[..., :3], "WEBP"),
    "WebP with alpha": lambda image: encoded(image, "WEBP"),
    "JPEG grey": lambda image: encoded(image[..., 0], "JPEG"),
    **{
        f"JPEG {subsampling}{' progressive' * progressive}": lambda image, how=(subsampling, progressive): encoded(
            image[..., :3], "JPEG", subsampling=how[0], progressive=how[1]
        )
        for subsampling in ("4:4:4", "4:2:2", "4:2:0")
        for progressive in (False, True)
    },
}


def cleaned(content: bytes, inpainter: Inpainter, mask: np.ndarray = MASK) -> CleanCopy:
    return clean_image(Original.from_bytes(content, LIMITS), mask, inpainter, limits=LIMITS)


@pytest.mark.parametrize("engine", sorted(INPAINTERS))
@pytest.mark.parametrize("variant", [*LOSSLESS, *(name for name in LOSSY if name.startswith("JPEG"))])
def test_four_things_that_were_hidden_give_one_copy(variant, engine, inpainter_called) -> None:
    write = (LOSSLESS | LOSSY)[variant]
    sources = {write(hidden(number)) for number in range(4)}

    copies = {hashlib.sha256(cleaned(source, inpainter_called(engine)).content).hexdigest() for source in sources}

    assert len(sources) == 4
    assert len(copies) == 1


# A lossy WebP predicts each cell from those before it. What is hidden in the last ones therefore changes no pixel that
# is not under the grown mask; what is hidden elsewhere changes the noise behind it in the originals themselves.
@pytest.mark.parametrize("engine", sorted(INPAINTERS))
@pytest.mark.parametrize("variant", [name for name in LOSSY if name.startswith("WebP")])
def test_four_things_that_were_hidden_where_a_webp_ends_give_one_copy(variant, engine, inpainter_called) -> None:
    sources = {LOSSY[variant](hidden(number, CORNER)) for number in range(4)}
    pictures = [picture_from_bytes(source, LIMITS) for source in sources]
    grown = plan_from_mask(CORNER, grid=grid_of(pictures[0].container)).mask

    copies = {
        hashlib.sha256(cleaned(source, inpainter_called(engine), CORNER).content).hexdigest() for source in sources
    }

    assert len(sources) == 4
    assert np.count_nonzero(grown) < 2 * np.count_nonzero(CORNER)
    for picture in pictures[1:]:
        differences = sample_differences(pictures[0], picture)
        assert differences[CORNER].mean() > 20
        assert not differences[~grown].any()
    assert len(copies) == 1


def test_the_noise_of_a_webp_leans_to_no_side_beyond_the_grown_mask() -> None:
    """The next pixels to what is hidden show its colours, those that a copy keeps on average nothing of them."""
    cell, cells, reach_px = 16, 8, 8
    side = cell * cells
    mask = np.zeros((3 * side, 3 * side), dtype=np.bool_)
    mask[side : 2 * side, side : 2 * side] = True
    leaning = []
    for number in range(24):
        random = np.random.default_rng(number)
        noise = random.normal(0, 2, (*mask.shape, 3))
        image = np.clip(photograph(*mask.shape)[::-1, ::-1] / 2 + 60 + noise, 0, 255).astype(np.uint8)
        # Each cell under the mask is red or blue.
        sides = random.choice([-1, 1], (cells, cells))
        colours = np.where(sides[..., np.newaxis] > 0, [250, 40, 40], [40, 40, 250]).astype(np.uint8)
        whole = image.copy()
        whole[mask] = colours.repeat(cell, axis=0).repeat(cell, axis=1).reshape(-1, 3)

        picture = picture_from_bytes(encoded(whole, "WEBP", quality=80), LIMITS)

        assert grid_of(picture.container).reach_px == reach_px
        errors = picture.image.astype(np.int16) - image
        right = errors[side : 2 * side, 2 * side : 2 * side + 2 * cell].reshape(cells, cell, 2 * cell, 3).mean(axis=1)
        leaning.append(right * sides[:, -1, np.newaxis, np.newaxis])
    lean = np.concatenate(leaning).mean(axis=0)

    assert lean[0, 0] > 10
    assert lean[0, 2] < -10
    assert np.abs(lean[reach_px:].mean(axis=0)).max() < 0.25
    assert np.abs(lean[reach_px:]).max() < 1


@pytest.mark.parametrize("variant", LOSSLESS)
def test_every_sample_outside_the_mask_is_kept_and_its_certificate_says_so(variant) -> None:
    source = LOSSLESS[variant](hidden(0))

    copy = cleaned(source, load_inpainter("opencv"))

    original, copied = picture_from_bytes(source, LIMITS), picture_from_bytes(copy.content, LIMITS)
    assert not sample_differences(original, copied)[~MASK].any()
    assert (copied.deep is None) == (original.deep is None)
    assert (copied.alpha is None) == (original.alpha is None)
    assert copied.container.grey == original.container.grey
    assert copied.container.notes == ()
    verdicts = {clause.level: clause.verdict for clause in copy.certificate.clauses}
    assert verdicts["L3"] is Verdict.PASS
    assert verdicts["L4"] is Verdict.PASS


@pytest.mark.parametrize("variant", LOSSY)
def test_a_copy_that_had_to_be_encoded_again_says_so(variant) -> None:
    copy = cleaned(LOSSY[variant](hidden(0)), load_inpainter("opencv"))

    verdicts = {clause.level: clause.verdict for clause in copy.certificate.clauses}
    assert ("depends on what is under it" in copy.certificate.parameters["encoding"]) == ("WebP" in variant)
    assert verdicts["L3"] in ({Verdict.RE_ENCODED} if "WebP" in variant else {Verdict.RE_ENCODED, Verdict.PASS})
    assert verdicts["L4"] is Verdict.PASS


@pytest.mark.parametrize(("tag", "value"), [(284, 20), (284, 0), (317, 9), (262, 77), (259, 0), (277, 2)])
def test_a_tiff_that_says_what_no_tiff_means_is_not_verified(tag, value) -> None:
    source = LOSSLESS["TIFF colour"](hidden(0))
    copy = bytearray(cleaned(source, load_inpainter("opencv")).content)
    (directory,) = directories(bytes(copy))
    place = next(field.start for field in directory.fields if field.tag == tag)
    assert verify(source, bytes(copy), MASK, limits=LIMITS).passed

    struct.pack_into("<H", copy, place, value)
    found = verify(source, bytes(copy), MASK, limits=LIMITS)

    assert not found.passed
    verdicts = {clause.level: clause.verdict for clause in found.clauses}
    assert verdicts["L3"] is Verdict.FAIL
    assert verdicts["L4"] is Verdict.FAIL
