"""Every kind of file: its copy does not depend on what was hidden, and outside the mask nothing changes."""

import hashlib

import numpy as np
import pytest

from cleanplate.codecs.images import ImageLimits, picture_from_bytes, sample_differences
from cleanplate.engines.protocols import Inpainter
from cleanplate.engines.registry import INPAINTERS, load_inpainter
from cleanplate.pipeline.certificate import Verdict
from cleanplate.pipeline.clean import CleanCopy, Original, clean_image
from fakes.image_files import chunk, deep_png, encoded, photograph, png, png_header, png_samples, tiff, tiff_field

LIMITS = ImageLimits()
WIDTH, HEIGHT = 96, 64
MASK = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
MASK[24:40, 30:62] = True
PALETTE = np.random.default_rng(3).permutation(768).astype(np.uint8).tobytes()


def hidden(number: int) -> np.ndarray:
    """(H, W, 4): a photograph in which something else is hidden each time, also in its transparency."""
    image = np.dstack([photograph(WIDTH, HEIGHT), 255 - photograph(WIDTH, HEIGHT)[..., :1] // 2])
    image[MASK] = np.random.default_rng(number).integers(0, 256, (MASK.sum(), 4))
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


def cleaned(content: bytes, inpainter: Inpainter) -> CleanCopy:
    return clean_image(Original.from_bytes(content, LIMITS), MASK, inpainter, limits=LIMITS)


# Not lossy WebP: its encoder decides for the whole image, so that the originals differ outside the mask as well.
@pytest.mark.parametrize("engine", sorted(INPAINTERS))
@pytest.mark.parametrize("variant", [*LOSSLESS, *(name for name in LOSSY if name.startswith("JPEG"))])
def test_four_things_that_were_hidden_give_one_copy(variant, engine, inpainter_called) -> None:
    write = (LOSSLESS | LOSSY)[variant]
    sources = {write(hidden(number)) for number in range(4)}

    copies = {hashlib.sha256(cleaned(source, inpainter_called(engine)).content).hexdigest() for source in sources}

    assert len(sources) == 4
    assert len(copies) == 1


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
    assert verdicts["L3"] in ({Verdict.RE_ENCODED} if "WebP" in variant else {Verdict.RE_ENCODED, Verdict.PASS})
    assert verdicts["L4"] is Verdict.PASS
