"""What lies in an image file, found without any image library: the certificate's independent witness."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from types import MappingProxyType
from typing import Final

from cleanplate.codecs import jpeg, png, tiff_directories, tiff_file, webp
from cleanplate.codecs.parts import STRAY, TRAILING, Part
from cleanplate.errors import DamagedImageError, NotAnImageError, UnsupportedImageError

MAX_PARTS: Final = 100_000
"""A file of more pieces is an attack: a photograph has dozens, a large PNG a few thousand."""


class Format(StrEnum):
    """The formats cleanplate reads and writes."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    TIFF = "tiff"

    @property
    def extension(self) -> str:
        """What a new file's name ends with, without the dot."""
        return self.extensions[0]

    @property
    def extensions(self) -> tuple[str, ...]:
        """What a file's name may end with, without the dot."""
        return _EXTENSIONS.get(self, (self.value,))


_EXTENSIONS: Final[Mapping[Format, tuple[str, ...]]] = MappingProxyType(
    {Format.JPEG: ("jpg", "jpeg"), Format.TIFF: ("tif", "tiff")}
)


_OTHER_FORMATS: Final = (
    (0, b"GIF8", "GIF"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"MM\0+", "BigTIFF"),
    (0, b"BM", "BMP"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n\x87\n", "JPEG XL"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"8BPS", "Photoshop"),
)

_FRAME_HEADERS: Final = frozenset(f"SOF{number}" for number in range(16))
_REPEATABLE_SEGMENTS: Final = frozenset({"DQT", "DHT", "DRI", "SOS", jpeg.SCAN})
_PLAIN_JFIF_BYTES: Final = 14
"""A JFIF segment that is longer holds a thumbnail."""

_SEGMENT_NAMES: Final = (
    ("APP0", b"JFIF", "JFIF header with a thumbnail"),
    ("APP0", b"JFXX", "JFIF extension"),
    ("APP1", b"Exif", "EXIF"),
    ("APP1", b"http://ns.adobe.com/xap/", "XMP"),
    ("APP1", b"http://ns.adobe.com/xmp/", "XMP"),
    ("APP2", b"ICC_PROFILE", "ICC profile"),
    ("APP2", b"MPF", "index of further images"),
    ("APP11", b"JP", "JUMBF"),
    ("APP13", b"Photoshop", "IPTC"),
    ("COM", b"", "comment"),
)
_PNG_CHUNK_NAMES: Final = MappingProxyType(
    {
        "tEXt": "text",
        "zTXt": "text",
        "iTXt": "text",
        "eXIf": "EXIF",
        "iCCP": "ICC profile",
        "tIME": "time",
        "acTL": "animation",
        "fcTL": "animation frame",
        "fdAT": "animation frame",
        "PLTE": "palette",
    }
)
_WEBP_CHUNK_NAMES: Final = MappingProxyType(
    {"EXIF": "EXIF", "XMP ": "XMP", "ICCP": "ICC profile", "ANIM": "animation", "ANMF": "animation frame"}
)

_TIFF_FIELD_NAMES: Final = MappingProxyType(
    {
        269: "document name",
        270: "description",
        271: "maker",
        272: "model",
        274: "orientation",
        285: "page name",
        305: "software",
        306: "time",
        315: "artist",
        316: "host computer",
        320: "palette",
        322: "tiles",
        323: "tiles",
        324: "tiles",
        325: "tiles",
        330: "further images",
        513: "thumbnail",
        700: "XMP",
        33432: "copyright",
        33550: "GeoTIFF",
        33922: "GeoTIFF",
        34264: "GeoTIFF",
        34735: "GeoTIFF",
        34736: "GeoTIFF",
        34737: "GeoTIFF",
        33723: "IPTC",
        34377: "Photoshop",
        34665: "EXIF",
        34675: "ICC profile",
        34853: "GPS",
        37724: "Photoshop",
        42112: "GDAL",
    }
)

_WALKERS: Final[Mapping[Format, Callable[[bytes], Iterator[Part]]]] = MappingProxyType(
    {Format.JPEG: jpeg.walk, Format.PNG: png.walk, Format.WEBP: webp.walk, Format.TIFF: tiff_file.walk}
)


def format_of(data: bytes) -> Format:
    """The format by the first bytes; names and content types are not asked.

    Raises:
        NotAnImageError: It is no image, or a drawing such as SVG or PDF.
        UnsupportedImageError: It is an image in another format.
    """
    if data.startswith(jpeg.SIGNATURE):
        return Format.JPEG
    if data.startswith(png.SIGNATURE):
        return Format.PNG
    if webp.is_webp(data):
        return Format.WEBP
    if data.startswith(tiff_file.SIGNATURES):
        return Format.TIFF
    for offset, mark, name in _OTHER_FORMATS:
        if data.startswith(mark, offset):
            raise UnsupportedImageError(f"{name} images cannot be handled: convert it to JPEG or PNG first")
    if not data:
        raise NotAnImageError("the file is empty")
    raise NotAnImageError("the file is no JPEG, PNG, WebP or TIFF image")


def parts_of(data: bytes) -> tuple[Part, ...]:
    """All pieces of an image file in their order, without gaps.

    Raises:
        NotAnImageError: It is no image.
        UnsupportedImageError: It is an image in another format.
        DamagedImageError: It is cut short or broken, or has more than `MAX_PARTS` pieces.
    """
    found = tuple(islice(_WALKERS[format_of(data)](data), MAX_PARTS + 1))
    if len(found) > MAX_PARTS:
        raise DamagedImageError(f"the file is made of more than {MAX_PARTS} pieces")
    return found


def forbidden_parts(data: bytes) -> tuple[str, ...]:
    """The name of everything in the file that is not needed to show its one image; empty for a clean copy.

    Raises:
        NotAnImageError: It is no image.
        UnsupportedImageError: It is an image in another format.
        DamagedImageError: It is cut short or broken.
    """
    return tuple(_FORBIDDEN[format_of(data)](parts_of(data)))


def _forbidden_jpeg(parts: Sequence[Part]) -> Iterator[str]:
    kinds = {part.kind for part in parts}
    if not (kinds & _FRAME_HEADERS and jpeg.SCAN in kinds):
        raise DamagedImageError("the JPEG has no image")
    seen: set[str] = set()
    for part in parts:
        slot = "SOF" if part.kind in _FRAME_HEADERS else part.kind
        if not (part.kind in jpeg.ESSENTIAL or _says_only_colours(part)):
            yield _jpeg_name(part)
        elif slot in seen and slot not in _REPEATABLE_SEGMENTS:
            yield f"second {part.kind} segment"
        seen.add(slot)


def _says_only_colours(part: Part) -> bool:
    expected = _PLAIN_JFIF_BYTES if jpeg.is_jfif(part) else jpeg.ADOBE_BYTES if jpeg.is_adobe(part) else None
    return part.content_bytes == expected


def _jpeg_name(part: Part) -> str:
    for kind, mark, name in _SEGMENT_NAMES:
        if part.kind == kind and part.content.startswith(mark):
            return name
    return _leftover(part) or f"{part.kind} segment"


def _forbidden_png(parts: Sequence[Part]) -> Iterator[str]:
    allowed = {"IHDR", "IDAT", "IEND"}
    if png.header(parts).colour_type in {png.GREY, png.RGB}:
        allowed |= {"tRNS"}
    for part in parts:
        if part.kind not in allowed:
            kind = part.kind.removeprefix(png.DAMAGED)
            yield _PNG_CHUNK_NAMES.get(kind) or _leftover(part) or f"{kind} chunk"
    if png.surplus_bytes(parts) > 0:
        yield "bytes behind the samples"


def _forbidden_webp(parts: Sequence[Part]) -> Iterator[str]:
    images = sum(part.kind in {webp.LOSSY, webp.LOSSLESS} for part in parts)
    if images == 0 and not any(part.kind in webp.ANIMATION for part in parts):
        raise DamagedImageError("the WebP has no image")
    if images > 1:
        yield "second image"
    for part in parts:
        plain_extension = part.kind == webp.EXTENDED and part.content[:4] == webp.ONLY_ALPHA
        if part.kind not in webp.ESSENTIAL and not plain_extension:
            yield _WEBP_CHUNK_NAMES.get(part.kind) or _leftover(part) or f"{part.kind.strip()} chunk"


def _forbidden_tiff(parts: Sequence[Part]) -> Iterator[str]:
    data = parts[0].file
    seen: set[int] = set()
    for field in tiff_directories.first_of(data).fields:
        if field.tag in seen:
            yield f"second field {field.tag}"
        elif field.tag not in tiff_file.NEEDED:
            yield _TIFF_FIELD_NAMES.get(field.tag, f"field {field.tag}")
        elif any(data[slice(*field.unused)]):
            yield f"bytes behind the value of field {field.tag}"
        seen.add(field.tag)
    yield from ("second image" for _ in tiff_file.other_images(data))
    for part in parts:
        # A zero may stand where the next piece must begin at an even place.
        name = _leftover(part)
        if name and part.content.strip(b"\0"):
            yield name
    yield from tiff_file.hidden_behind_samples(data)


def _leftover(part: Part) -> str | None:
    return {TRAILING: f"{part.content_bytes} bytes behind the image", STRAY: f"{part.content_bytes} stray bytes"}.get(
        part.kind
    )


_FORBIDDEN: Final[Mapping[Format, Callable[[Sequence[Part]], Iterator[str]]]] = MappingProxyType(
    {
        Format.JPEG: _forbidden_jpeg,
        Format.PNG: _forbidden_png,
        Format.WEBP: _forbidden_webp,
        Format.TIFF: _forbidden_tiff,
    }
)
