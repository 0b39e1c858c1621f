"""Secrets planted wherever a file can hide one: no copy has a trace of any, or none is made and the reason is said."""

import base64
import io
import itertools
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence

from cleanplate.codecs.container import Format, forbidden_parts, format_of
from cleanplate.codecs.images import ImageLimits, mask_from_png
from cleanplate.engines.registry import load_inpainter
from cleanplate.errors import ImageError
from cleanplate.pipeline.clean import Original, clean_image
from cleanplate.settings import Settings
from fakes.image_files import (
    chunk,
    deep_png,
    encoded,
    exif_segment,
    multi_picture_index,
    packed,
    photograph,
    png,
    png_header,
    png_samples,
    segment,
    swapped_profile,
    tiff,
    tiff_field,
    webp_chunk,
    with_chunks,
    with_segments,
    with_webp_chunks,
)

LIMITS = ImageLimits()
ENGINES = sorted({"opencv", Settings.model_fields["inpainter"].default})
WIDTH, HEIGHT = 96, 64
BACKEND = Path(__file__).parents[2] / "backend"

UNDER = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
UNDER[24:40, 30:62] = True
MASK = encoded(np.where(UNDER, 255, 0).astype(np.uint8), "PNG")

GPS = struct.pack("<6I", 48_137_193, 1_000_003, 11_575_489, 1_000_033, 51_931_117, 1_000_037)
TIME = struct.pack(">HBBBBB", 1987, 11, 23, 4, 56, 7)


def marker(name: str) -> bytes:
    """What is planted for a secret: 24 bytes that occur nowhere else."""
    return f"<zq{name[:18]:.<18}qz>".encode()


# Where secrets can be planted


def directory(at: int, *fields: tuple[int, int, int, bytes], following: int = 0) -> bytes:
    """A directory that begins at a place of its block, with the values that do not fit behind it."""
    entries, values = b"", b""
    behind = at + 2 + 12 * len(fields) + 4
    for tag, kind, count, value in fields:
        entries += struct.pack("<HHI", tag, kind, count)
        if len(value) > 4:
            entries += struct.pack("<I", behind + len(values))
            values += value + b"\0" * (len(value) % 2)
        else:
            entries += value.ljust(4, b"\0")
    return struct.pack("<H", len(fields)) + entries + struct.pack("<I", following) + values


def camera_exif() -> bytes:
    """What a camera and its programs write: who, with what, when, where, and a picture of the picture."""

    def text(tag: int, name: str) -> tuple[int, int, int, bytes]:
        return tag, 2, 25, marker(name) + b"\0"

    def number(tag: int, value: int) -> tuple[int, int, int, bytes]:
        return tag, 4, 1, struct.pack("<I", value)

    thumbnail = with_segments(encoded(photograph(16, 16), "JPEG"), segment(0xFE, marker("thumbnail")))
    places = {"camera": 0, "gps": 0, "thumbnail": 0, "preview": 0}
    for _ in range(2):  # first to learn how long the parts are, then to say where they lie
        main = directory(
            8,
            text(270, "description"),
            text(271, "maker"),
            text(315, "artist"),
            text(316, "host computer"),
            number(0x8769, places["camera"]),
            number(0x8825, places["gps"]),
            following=places["thumbnail"],
        )
        places["camera"] = 8 + len(main)
        camera = directory(
            places["camera"],
            (0x9003, 2, 20, b"1987:11:23 04:56:07\0"),
            (0x927C, 7, 24, marker("maker note")),
            (0x9286, 7, 32, b"ASCII\0\0\0" + marker("comment of a user")),
            text(0xA431, "serial number"),
        )
        places["gps"] = places["camera"] + len(camera)
        where = directory(places["gps"], (1, 2, 2, b"N\0"), (2, 5, 3, GPS), (3, 2, 2, b"E\0"), (4, 5, 3, GPS))
        places["thumbnail"] = places["gps"] + len(where)
        preview = directory(
            places["thumbnail"],
            (259, 3, 1, struct.pack("<H", 6)),
            number(0x0201, places["preview"]),
            number(0x0202, len(thumbnail)),
        )
        places["preview"] = places["thumbnail"] + len(preview)
    return b"II*\0\x08\0\0\0" + main + camera + where + preview + thumbnail


EXIF = camera_exif()
IN_EXIF = {
    name: marker(name)
    for name in (
        "description",
        "maker",
        "artist",
        "host computer",
        "maker note",
        "comment of a user",
        "serial number",
        "thumbnail",
    )
} | {"GPS": GPS, "time of the picture": b"1987:11:23 04:56:07"}


def xmp() -> bytes:
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="'
        + marker("XMP").replace(b"<", b"(").replace(b">", b")")
        + b'"/></rdf:RDF></x:xmpmeta>'
    )


def iptc() -> bytes:
    """Photoshop's block with a by-line."""
    line = b"\x1c\x02\x50" + struct.pack(">H", 24) + marker("IPTC")
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(line)) + line + b"\0" * (len(line) % 2)


def described_profile() -> bytes:
    """A colour profile that is used and tells something."""
    words = marker("ICC description") + b"\0"
    return swapped_profile(desc=b"desc\0\0\0\0" + struct.pack(">I", len(words)) + words + bytes(78))


XMP = {"XMP": marker("XMP")[1:-1]}
IPTC = {"IPTC": marker("IPTC")}
PROFILE = {"ICC description": marker("ICC description")}


def scene() -> np.ndarray:
    """(H, W, 3), in which what is to be removed spells a secret."""
    image = photograph(WIDTH, HEIGHT)
    words = np.resize(np.frombuffer(marker("under the mask"), dtype=np.uint8), (16, 32, 3))
    image[24:40, 30:62] = words
    return image


def spelled(name: str, height: int, width: int, channels: int = 3) -> np.ndarray:
    """(height, width, channels) of samples that spell a secret."""
    return np.resize(np.frombuffer(marker(name), dtype=np.uint8), (height, width, channels))


REMOVED = {"under the mask": marker("under the mask")}


# The files


@dataclass(frozen=True, eq=False)
class Planted:
    """A file with secrets in it.

    Attributes:
        content: the file.
        secrets: by name; of each the bytes that give it away.
        refusal: what the refusal says, if no copy can be made of it.
    """

    content: bytes
    secrets: dict[str, bytes]
    refusal: str | None = None


def jpegs() -> Iterator[tuple[str, Planted]]:
    segments = [
        segment(0xE0, b"JFXX\0\x13\x02\x02" + marker("second thumbnail")[:12]),
        exif_segment(EXIF),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp()),
        segment(0xE2, b"ICC_PROFILE\0\1\1" + described_profile()),
        segment(0xED, b"Photoshop 3.0\0" + iptc()),
        segment(0xEB, b"JP\0\1\0\0\0\1" + marker("JUMBF")),
        segment(0xEC, marker("own segment")),
        segment(0xFE, marker("comment")),
    ]
    names = ("JUMBF", "own segment", "comment", "behind the image")
    secrets = IN_EXIF | XMP | IPTC | PROFILE | {name: marker(name) for name in names}
    secrets["second thumbnail"] = marker("second thumbnail")[:12]
    tail = marker("behind the image")
    for kind, file in (
        ("JPEG", encoded(scene(), "JPEG", quality=92)),
        ("progressive JPEG", encoded(scene(), "JPEG", progressive=True, subsampling="4:2:2")),
    ):
        yield kind, Planted(with_segments(file, *segments) + tail, secrets)
    content = with_segments(encoded(scene()[..., 1], "JPEG"), *(part for part in segments if part[1] != 0xE2)) + tail
    yield "grey JPEG", Planted(content, {name: secrets[name] for name in secrets.keys() - PROFILE.keys()})
    preview = with_segments(encoded(photograph(48, 32), "JPEG"), segment(0xFE, marker("preview")))
    primary = with_segments(encoded(scene(), "JPEG"), multi_picture_index(3, 1))
    yield "JPEG with a preview", Planted(primary + preview, {"preview": marker("preview")})
    view = with_segments(encoded(scene(), "JPEG"), multi_picture_index(3, 2))
    yield "MPO", Planted(view + preview, {"second view": marker("preview")}, "2 images \\(MPO\\)")


def png_chunks(*, colour: bool = True) -> list[bytes]:
    return [
        *([chunk(b"iCCP", b"p\0\0" + zlib.compress(described_profile()))] if colour else []),
        chunk(b"eXIf", EXIF),
        chunk(b"tIME", TIME),
        chunk(b"tEXt", b"Author\0" + marker("tEXt")),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(marker("zTXt"))),
        chunk(b"iTXt", b"Title\0\1\0\0\0" + zlib.compress(marker("iTXt"))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp()),
        chunk(b"prVt", marker("private chunk")),
    ]


def pngs() -> Iterator[tuple[str, Planted]]:
    names = ("tEXt", "zTXt", "iTXt", "private chunk", "behind the image")
    secrets = IN_EXIF | XMP | REMOVED | {name: marker(name) for name in names} | {"tIME": TIME}
    image, tail = scene(), marker("behind the image")
    yield "PNG", Planted(with_chunks(encoded(image, "PNG"), *png_chunks()) + tail, secrets | PROFILE)
    alpha = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    alpha[:9] = 0
    hidden = image.copy()
    hidden[:9] = spelled("hidden colours", 9, WIDTH)
    for kind, samples, write in (
        ("PNG with alpha", np.dstack([hidden, alpha]), lambda samples: encoded(samples, "PNG")),
        ("grey PNG with alpha", np.dstack([hidden[..., 1], alpha]), lambda samples: encoded(samples, "PNG")),
        ("PNG of 16 bits", deep(image), deep_png),
        ("PNG of 16 bits with alpha", np.dstack([deep(hidden), alpha.astype(np.uint16) * 257]), deep_png),
    ):
        content = with_chunks(write(samples), *png_chunks(colour=False)) + tail
        clear = {"hidden colours": marker("hidden colours")} if kind.endswith("alpha") and "grey" not in kind else {}
        kept = secrets if "grey" not in kind else {name: secrets[name] for name in secrets if name != "under the mask"}
        yield kind, Planted(content, kept | clear)
    palette = np.arange(768, dtype=np.uint8).reshape(256, 3)
    palette[200:208] = spelled("palette", 1, 8)[0]
    palette[208:216] = np.frombuffer(marker("removed colours"), dtype=np.uint8).reshape(8, 3)
    indices = (image[..., 0] // 2).astype(np.uint8)
    indices[UNDER] = 208 + np.arange(UNDER.sum()) % 8
    content = png(
        png_header(WIDTH, HEIGHT, colour_type=3),
        chunk(b"PLTE", palette.tobytes()),
        chunk(b"tRNS", marker("unused alphas").rjust(256, b"\xff")),
        png_samples(*indices),
    )
    in_palette = {name: marker(name) for name in ("palette", "removed colours", "unused alphas")}
    yield "PNG with a palette", Planted(content, in_palette)
    surplus = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in image) + marker("behind samples")))
    content = png(png_header(WIDTH, HEIGHT), surplus)
    yield "PNG with bytes behind its samples", Planted(content, {"behind samples": marker("behind samples")} | REMOVED)
    second = chunk(b"fdAT", bytes(4) + zlib.compress(b"\0" + marker("second frame")))
    animated = with_chunks(encoded(image, "PNG"), chunk(b"acTL", struct.pack(">II", 2, 0)))
    content = with_chunks(animated, chunk(b"fcTL", bytes(26)), second, before=b"IEND")
    yield "animated PNG", Planted(content, {"second frame": marker("second frame")}, "animated PNG")


def deep(samples: np.ndarray) -> np.ndarray:
    """8-bit samples in 16 bits of which the upper half says the same."""
    return samples.astype(np.uint16) * 256 + 77


def webps() -> Iterator[tuple[str, Planted]]:
    chunks = [
        webp_chunk(b"EXIF", EXIF),
        webp_chunk(b"XMP ", xmp()),
        webp_chunk(b"ICCP", described_profile()),
        webp_chunk(b"prVt", marker("private chunk")),
    ]
    names = ("private chunk", "behind the image")
    secrets = IN_EXIF | XMP | PROFILE | {name: marker(name) for name in names}
    for kind, options in (("WebP", {"quality": 90}), ("lossless WebP", {"lossless": True})):
        content = with_webp_chunks(encoded(scene(), "WEBP", **options), *chunks) + marker("behind the image")
        yield kind, Planted(content, secrets | (REMOVED if "lossless" in kind else {}))
    hidden = np.dstack([scene(), np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)])
    hidden[:9, :, :3], hidden[:9, :, 3] = spelled("hidden colours", 9, WIDTH), 0
    content = encoded(hidden, "WEBP", lossless=True, exact=True)
    yield "lossless WebP with alpha", Planted(content, {"hidden colours": marker("hidden colours")} | REMOVED)
    file = io.BytesIO()
    frames = [Image.fromarray(scene()), Image.fromarray(spelled("second frame", HEIGHT, WIDTH))]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    yield "animated WebP", Planted(file.getvalue(), {"second frame": marker("second frame")}, "animated WebP")


def tiffs() -> Iterator[tuple[str, Planted]]:
    texts = {
        "document name": 269,
        "description": 270,
        "maker": 271,
        "model": 272,
        "software": 305,
        "artist": 315,
        "host computer": 316,
        "copyright": 33432,
        "GeoTIFF": 34737,
        "GDAL": 42112,
        "private field": 65000,
    }
    fields = [tiff_field(tag, marker(name) + b"\0") for name, tag in texts.items()]
    fields += [
        tiff_field(700, xmp(), kind=1),
        tiff_field(33723, b"\x1c\x02\x50\0\x18" + marker("IPTC"), kind=7),
        tiff_field(37724, b"Adobe Photoshop Document Data Block\0" + marker("layers"), kind=7),
        tiff_field(306, b"1987:11:23 04:56:07\0"),
        (282, 5, 1, GPS[:8]),
    ]
    secrets = {name: marker(name) for name in (*texts, "layers", "behind the image")} | XMP | IPTC | REMOVED
    secrets |= {"time of the picture": b"1987:11:23 04:56:07", "resolution": GPS[:8]}
    profile = tiff_field(34675, described_profile(), kind=7)
    tail = marker("behind the image")
    image = scene()
    for kind, how in (
        ("TIFF", {}),
        ("TIFF in LZW strips", {"compression": 5, "rows": 9, "predictor": 2}),
        ("TIFF in tiles", {"compression": 8, "tile": (48, 48)}),
        ("big-endian TIFF", {"order": ">", "planar": 2}),
    ):
        yield kind, Planted(tiff(image, *fields, profile, behind=tail, **how), secrets | PROFILE)
    alpha = np.full((HEIGHT, WIDTH), 255, dtype=np.uint8)
    alpha[:9] = 0
    hidden = image.copy()
    hidden[:9] = spelled("hidden colours", 9, WIDTH)
    samples = np.dstack([deep(hidden), alpha.astype(np.uint16) * 257])
    content = tiff(samples, *fields, compression=32773, behind=tail)
    yield "TIFF of 16 bits with alpha", Planted(content, secrets | {"hidden colours": marker("hidden colours")})
    yield "TIFF with a thumbnail and secrets between its pieces", of_several_pieces(image)
    palette = np.arange(768, dtype=np.uint16).reshape(256, 3) % 256 * 257
    palette[200:208] = spelled("palette", 1, 8)[0].astype(np.uint16) * 257
    colours = tiff_field(320, tuple(palette.T.reshape(-1).tolist()), kind=3)
    content = tiff((image[..., :1] // 2), colours, photometric=3)
    yield "TIFF with a palette", Planted(content, {"palette": bytes(palette.T.astype("<u2").tobytes()[400:416])})
    page = tiff(spelled("second page", 8, 8), tiff_field(254, 0))
    yield "TIFF of two pages", Planted(*joined(tiff(image), page, "second page"), "a TIFF of 2 images")


def of_several_pieces(image: np.ndarray) -> Planted:
    """A TIFF with a smaller version of itself, EXIF that lies elsewhere, and bytes in gaps and strips."""
    strips = [packed(image[:32].tobytes(), 8) + marker("behind a strip"), packed(image[32:].tobytes(), 8)]
    content = bytearray(b"II*\0\0\0\0\0")
    places = []
    for strip in strips:
        places.append(len(content))
        content += strip + marker("gap")
    exif_at = len(content)
    content += directory(exif_at, (0xA431, 2, 25, marker("serial number") + b"\0"))
    gps_at = len(content)
    content += directory(gps_at, (2, 5, 3, GPS))
    thumbnail_at = len(content)
    content += spelled("thumbnail", 8, 8).tobytes()
    content += b"\0" * (len(content) % 2)
    second_at = len(content)
    content += directory(
        second_at,
        (254, 4, 1, struct.pack("<I", 1)),
        (256, 3, 1, struct.pack("<H", 8)),
        (257, 3, 1, struct.pack("<H", 8)),
        (258, 3, 3, struct.pack("<3H", 8, 8, 8)),
        (262, 3, 1, struct.pack("<H", 2)),
        (273, 4, 1, struct.pack("<I", thumbnail_at)),
        (277, 3, 1, struct.pack("<H", 3)),
        (279, 4, 1, struct.pack("<I", 192)),
    )
    first_at = len(content)
    content += directory(
        first_at,
        (256, 3, 1, struct.pack("<H", WIDTH)),
        (257, 3, 1, struct.pack("<H", HEIGHT)),
        (258, 3, 3, struct.pack("<3H", 8, 8, 8)),
        (259, 3, 1, struct.pack("<H", 8)),
        (262, 3, 1, struct.pack("<H", 2)),
        (273, 4, 2, struct.pack("<2I", *places)),
        (277, 3, 1, struct.pack("<H", 3)),
        (278, 3, 1, struct.pack("<H", 32)),
        (279, 4, 2, struct.pack("<2I", *(len(strip) for strip in strips))),
        (34665, 4, 1, struct.pack("<I", exif_at)),
        (34853, 4, 1, struct.pack("<I", gps_at)),
        following=second_at,
    )
    content[4:8] = struct.pack("<I", first_at)
    names = ("behind a strip", "gap", "serial number", "thumbnail")
    return Planted(bytes(content), {name: marker(name) for name in names} | {"GPS": GPS} | REMOVED)


def joined(first: bytes, second: bytes, name: str) -> tuple[bytes, dict[str, bytes]]:
    """Two TIFFs as two pages of one; the places in the second are moved along."""
    base = len(first)
    moved = bytearray(second)
    start = struct.unpack_from("<I", second, 4)[0]
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", second, start)[0], 12):
        tag, kind, count, offset = struct.unpack_from("<HHII", second, at)
        if tag == 273 or count * {3: 2, 4: 4}[kind] > 4:
            struct.pack_into("<I", moved, at + 8, base + offset)
    return first[:-4] + struct.pack("<I", base + start) + bytes(moved), {name: marker(name)}


@cache
def files() -> dict[str, Planted]:
    return dict(itertools.chain(jpegs(), pngs(), webps(), tiffs()))


COPIED = [name for name, planted in files().items() if planted.refusal is None]
REFUSED = [name for name, planted in files().items() if planted.refusal is not None]


@cache
def copy_of(name: str, engine: str) -> bytes:
    original = Original.from_bytes(files()[name].content, LIMITS)
    return clean_image(original, mask_from_png(MASK, LIMITS), load_inpainter(engine), limits=LIMITS).content


# Looking for them


def views(content: bytes) -> Iterator[bytes]:
    """A file as it lies there, everything in it that is deflated, and all its samples."""
    yield content
    if content.startswith(b"\x89PNG"):
        yield inflated(b"".join(idats(content)))
    for found in re.finditer(rb"[\x08-\x78][\x01\x5e\x9c\xda]", content):
        if int.from_bytes(found.group(), "big") % 31 == 0:
            yield inflated(content[found.start() :])
    yield from samples(content)


def idats(content: bytes) -> Iterator[bytes]:
    """The chunks of a PNG's samples."""
    at = 8
    while content[at + 4 : at + 8].isalpha():
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            yield content[at + 8 : end]
        at = end + 4


def inflated(content: bytes) -> bytes:
    inflater = zlib.decompressobj()
    found = b""
    try:
        for start in range(0, len(content), 256):
            found += inflater.decompress(content[start : start + 256], 1 << 20)
    except zlib.error:
        pass
    return found


def samples(content: bytes) -> Iterator[bytes]:
    """As two libraries decode them, interleaved and each channel by itself."""
    arrays = [cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)]
    with Image.open(io.BytesIO(content)) as picture:
        frames = ImageSequence.Iterator(picture) if picture.format == "WEBP" else [picture]
        arrays += [np.asarray(frame) for frame in frames]
    for array in arrays:
        if array is None:
            continue
        wide = array.reshape(*array.shape[:2], -1)
        upper = (wide >> 8).astype(np.uint8) if wide.dtype == np.uint16 else wide.astype(np.uint8)
        for halves in (upper, wide.astype(np.uint8)):
            colour = halves[..., :3]
            yield from (
                colour.tobytes(),
                colour[..., ::-1].tobytes(),
                *(plane.tobytes() for plane in np.moveaxis(halves, 2, 0)),
            )


def spellings(secret: bytes) -> Iterator[bytes]:
    """The ways in which programs write bytes into other bytes."""
    yield from (secret, secret[::-1], secret.hex().encode(), secret.hex().upper().encode())
    words = secret.decode("latin-1")
    yield from (words.encode("utf-16-le"), words.encode("utf-16-be"))
    for shift in range(3):
        yield base64.b64encode(bytes(shift) + secret + bytes(3))[4 : 4 * ((len(secret) + shift) // 3)]


def traces(content: bytes, secrets: dict[str, bytes]) -> set[str]:
    """The names of the secrets of which something is found."""
    looked_at = list(views(content))
    return {
        name
        for name, secret in secrets.items()
        if any(spelling in view for spelling in spellings(secret) for view in looked_at)
    }


# What has to be true


def test_every_secret_is_found_where_it_was_planted():
    missed = {
        name: planted.secrets.keys() - traces(planted.content, planted.secrets) for name, planted in files().items()
    }

    assert {name: sorted(secrets) for name, secrets in missed.items() if secrets} == {}
    assert len(set(itertools.chain.from_iterable(planted.secrets for planted in files().values()))) >= 20


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", COPIED)
def test_no_copy_has_a_trace_of_a_secret(name, engine):
    copy = copy_of(name, engine)

    assert traces(copy, files()[name].secrets) == set()
    assert forbidden_parts(copy) == ()


@pytest.mark.parametrize("name", REFUSED)
def test_of_what_cannot_be_cleaned_no_copy_is_made_and_the_reason_is_said(name):
    planted = files()[name]

    with pytest.raises(ImageError, match=planted.refusal):
        copy_of(name, ENGINES[0])


SHOWN_BY_EXIFTOOL = {
    Format.JPEG: {
        "BitsPerSample",
        "ColorComponents",
        "ColorTransform",
        "APP14Flags0",
        "APP14Flags1",
        "DCTEncodeVersion",
        "EncodingProcess",
        "ImageHeight",
        "ImageWidth",
        "JFIFVersion",
        "ResolutionUnit",
        "XResolution",
        "YResolution",
        "YCbCrSubSampling",
    },
    Format.PNG: {"BitDepth", "ColorType", "Compression", "Filter", "ImageHeight", "ImageWidth", "Interlace"},
    Format.WEBP: {
        "AlphaIsUsed",
        "HorizontalScale",
        "ImageHeight",
        "ImageWidth",
        "VP8Version",
        "VerticalScale",
        "WebP_Flags",
        "AlphaPreprocessing",
        "AlphaFiltering",
        "AlphaCompression",
    },
    Format.TIFF: {
        "BitsPerSample",
        "Compression",
        "ExtraSamples",
        "ImageHeight",
        "ImageWidth",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "Predictor",
        "RowsPerStrip",
        "SamplesPerPixel",
        "StripByteCounts",
        "StripOffsets",
    },
}
"""What is needed to show an image. Anything else in a copy is one thing too many."""

ABOUT_THE_FILE = {"SourceFile", "ExifTool", "System", "Composite"}
OF_EVERY_FORMAT = {"FileType", "FileTypeExtension", "MIMEType", "ExifByteOrder"}


def exiftool(path: Path) -> dict[str, dict[str, object]]:
    """What exiftool finds, group by group."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed; on Debian and Ubuntu: apt install libimage-exiftool-perl")
    command = ["exiftool", "-json", "-g1", "-a", "-u", "-U", "-ee", "-struct", path]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    (found,) = json.loads(answer.stdout)
    return {group: tags for group, tags in found.items() if isinstance(tags, dict)}


@pytest.mark.parametrize("name", COPIED)
def test_exiftool_finds_nothing_in_a_copy_but_how_its_samples_are_kept(tmp_path, name):
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.write_bytes(files()[name].content)
    copy.write_bytes(copy_of(name, ENGINES[0]))

    found, shown = exiftool(copy), SHOWN_BY_EXIFTOOL[format_of(copy.read_bytes())]

    assert tags_of(found) <= shown
    assert "Warning" not in found["ExifTool"]
    if "serial number" in files()[name].secrets:
        assert not tags_of(exiftool(original)) <= shown


def tags_of(found: dict[str, dict[str, object]]) -> set[str]:
    return {tag for group, tags in found.items() if group not in ABOUT_THE_FILE for tag in tags} - OF_EVERY_FORMAT


# The command


@pytest.mark.parametrize("engine", [[], ["--inpainter", "opencv"]], ids=["default", "opencv"])
def test_the_command_gives_a_copy_nothing_of_the_files_name_time_or_attributes(tmp_path, engine):
    name = marker("name").decode().strip("<>")
    source, mask, copy = tmp_path / f"{name}.png", tmp_path / "mask.png", tmp_path / "copy.png"
    source.write_bytes(files()["PNG"].content)
    mask.write_bytes(MASK)
    os.utime(source, (563_000_000, 563_000_000))
    source.chmod(0o640)

    answer = clean(source, mask, copy, *engine)

    assert answer.returncode == 0, answer.stderr
    secrets = files()["PNG"].secrets | {"name": name.encode(), "folder": str(tmp_path).encode()}
    assert traces(copy.read_bytes(), secrets) == set()
    assert copy.stat().st_mtime > 1_000_000_000
    assert not hasattr(os, "listxattr") or os.listxattr(copy) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, "mask.png", "copy.png"])


@pytest.mark.parametrize("name", REFUSED)
def test_the_command_writes_nothing_if_it_refuses(tmp_path, name):
    planted = files()[name]
    suffix = {Format.JPEG: ".jpg", Format.TIFF: ".tif"}.get(
        format_of(planted.content)
    ) or f".{format_of(planted.content)}"
    source, mask, copy = tmp_path / f"source{suffix}", tmp_path / "mask.png", tmp_path / f"copy{suffix}"
    source.write_bytes(planted.content)
    mask.write_bytes(MASK)

    answer = clean(source, mask, copy)

    assert answer.returncode != 0
    assert re.search(planted.refusal, " ".join((answer.stdout + answer.stderr).split()))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, "mask.png"])


def clean(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLEANPLATE_")}
    command = [sys.executable, "-m", "cleanplate", "clean", *(str(argument) for argument in arguments)]
    environment |= {"PYTHONPATH": str(BACKEND), "COLUMNS": "200"}
    return subprocess.run(
        command, env=environment, cwd=Path(arguments[0]).parent, capture_output=True, text=True, check=False
    )
