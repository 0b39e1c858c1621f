"""Image files → pictures.

Nothing is decoded before the file's own headers have been found to be within the limits, and the decoder is given only
what it needs: no metadata, no profile, no second image ever reaches it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image, JpegImagePlugin, WebPImagePlugin

from cleanplate.codecs import decoding, jpeg, png, tiff, tiff_file, webp
from cleanplate.codecs.colour import CONVERTED, MAX_PROFILE_BYTES, in_srgb
from cleanplate.codecs.container import Format, format_of, parts_of
from cleanplate.codecs.jpeg import ImageKind
from cleanplate.codecs.parts import TRAILING, Part
from cleanplate.codecs.picture import PIXEL, Container, Picture, Samples, black_where_clear, widened
from cleanplate.codecs.png_samples import samples_from_parts
from cleanplate.codecs.tiff_samples import colour_from_samples, samples_from_spans
from cleanplate.codecs.turning import TURNS, Turn
from cleanplate.codecs.writing import encoding_notes
from cleanplate.domain.image import Mask, Size
from cleanplate.errors import ImageTooLargeError, UnsupportedImageError

MAX_SIDE: Final = 65_535

_COLOUR_DIMENSIONS: Final = 3
_NO_PALETTE: Final = "the palette became full colours"
_OTHER_SPACE: Final = "a colour space other than sRGB was left out"
_TILING: Final = 2
"""Tiles may have so many times the pixels of their image, or as many as any image may have."""


@dataclass(frozen=True)
class ImageLimits:
    """What an image file may be at most."""

    max_pixels: int = 50_000_000
    max_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.max_pixels < 1 or self.max_bytes < 1:
            raise ValueError("the limits of an image must be positive")


def picture_from_bytes(data: bytes, limits: ImageLimits) -> Picture:
    """Read a JPEG, PNG, WebP or TIFF, told by its content alone, and turn it upright.

    Raises:
        NotAnImageError: It is no image.
        UnsupportedImageError: It is one that cannot be handled faithfully: another format, several frames …
        ImageTooLargeError: It is beyond a limit; nothing was decoded.
        DamagedImageError: It is cut short or broken.
    """
    _require_bytes_within(data, limits)
    return _READERS[format_of(data)](parts_of(data), limits)


def mask_from_png(data: bytes, limits: ImageLimits) -> Mask:
    """Read a mask that somebody painted: True where a pixel's colour is not black and it is not fully transparent.

    In a palette it is the entry's colour that counts, and of 16 bits all do. A PNG that is black all over and partly
    transparent, as Label Studio writes them, is True where it is not fully transparent.

    Raises:
        NotAnImageError: It is no image.
        UnsupportedImageError: It is no PNG, or has several frames.
        ImageTooLargeError: It is beyond a limit; nothing was decoded.
        DamagedImageError: It is cut short or broken.
    """
    _require_bytes_within(data, limits)
    if format_of(data) is not Format.PNG:
        raise UnsupportedImageError("a mask must be a PNG")
    parts = parts_of(data)
    colour, alpha = samples_from_parts(parts, _png_header(parts, limits))
    painted = np.asarray(colour.reshape(*colour.shape[:2], -1).any(axis=2), dtype=np.bool_)
    if alpha is None:
        return painted
    visible: Mask = alpha > 0
    painted &= visible
    return painted if painted.any() or visible.all() else visible


def _require_bytes_within(data: bytes, limits: ImageLimits) -> None:
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(f"the file has {len(data)} bytes; the limit is {limits.max_bytes}")


def _require_size_within(size: Size, limits: ImageLimits) -> None:
    if size.pixels > limits.max_pixels:
        said = f"{size.width}×{size.height} is {size.pixels} pixels"
        raise ImageTooLargeError(f"the image of {said}; the limit is {limits.max_pixels}")
    if max(size) > MAX_SIDE:
        raise ImageTooLargeError(f"the image of {size.width}×{size.height} has a side of over {MAX_SIDE} pixels")


# Reading


def _read_jpeg(parts: Sequence[Part], limits: ImageLimits) -> Picture:
    frame = jpeg.frame(parts)
    _require_size_within(frame.size, limits)
    if max(frame.size) > jpeg.MAX_SIDE:
        raise UnsupportedImageError(f"a JPEG with a side of over {jpeg.MAX_SIDE} pixels cannot be handled")
    jpeg.require_decodable(parts, frame)
    notes = _require_one_image(parts)
    tables = jpeg.tables(parts, frame)
    kept = (part for part in parts if part.kind in jpeg.ESSENTIAL or jpeg.is_jfif(part) or jpeg.is_adobe(part))
    picture = decoding.decoded(JpegImagePlugin.JpegImageFile, b"".join(part.whole for part in kept), frame.size)
    if picture.mode == "CMYK":
        notes += ("inks (CMYK) became colours (RGB)",)
    picture, changed = in_srgb(picture, jpeg.profile(parts))
    container = Container(
        format=Format.JPEG,
        grey=picture.mode == "L",
        lossless=False,
        jpeg=tables,
        grid=tables.mcu,
        notes=(*notes, *changed),
    )
    return _upright(np.asarray(picture), None, container, jpeg.orientation(parts))


def _require_one_image(parts: Sequence[Part]) -> tuple[str, ...]:
    """Refuse a JPEG of several views; what is left out of one with additions is in the answer.

    Cameras add previews and phones maps of brightness; neither shows what the first image does not, and a copy has
    none of them. A view from another place or moment would need its own masks.
    """
    trailing = sum(part.content_bytes for part in parts if part.kind == TRAILING)
    if not trailing:
        return ()
    others = jpeg.other_images(parts)
    if not others:
        return (f"{trailing} bytes behind the image were left out",)
    additions = {ImageKind.THUMBNAIL, ImageKind.UNKNOWN} if jpeg.has_gain_map(parts) else {ImageKind.THUMBNAIL}
    if additions.issuperset(others):
        return ("previews or a map for brighter screens were left out",)
    message = f"a JPEG of {len(others) + 1} images (MPO) cannot be handled: a copy would need every one of them cleaned"
    raise UnsupportedImageError(message)


def _read_png(parts: Sequence[Part], limits: ImageLimits) -> Picture:
    header = _png_header(parts, limits)
    orientation, everywhere = png.orientation(parts)
    _require_agreed("PNG", tiff.UPRIGHT if everywhere else orientation)
    colour, alpha = samples_from_parts(parts, header)
    notes = _png_notes(parts, header)
    colour, changed = _samples_in_srgb(colour, png.profile(parts, max_bytes=MAX_PROFILE_BYTES))
    container = Container(Format.PNG, grey=colour.ndim != _COLOUR_DIMENSIONS, notes=(*notes, *changed))
    return _upright(colour, alpha, container, orientation)


def _png_notes(parts: Sequence[Part], header: png.Header) -> tuple[str, ...]:
    notes = []
    if header.colour_type == png.PALETTE:
        notes.append(_NO_PALETTE)
    elif header.bit_depth < 8:  # noqa: PLR2004 - a copy has bytes
        notes.append(f"samples of {header.bit_depth} bit became samples of 8")
    if png.has_other_colours(parts):
        notes.append(_OTHER_SPACE)
    return tuple(notes)


def _png_header(parts: Sequence[Part], limits: ImageLimits) -> png.Header:
    header = png.header(parts)
    _require_size_within(header.size, limits)
    if any(part.kind == "acTL" for part in parts):
        raise UnsupportedImageError("an animated PNG cannot be handled: a copy would need every frame cleaned")
    png.require_decodable(parts, header)
    return header


def _read_webp(parts: Sequence[Part], limits: ImageLimits) -> Picture:
    header = webp.header(parts)
    _require_size_within(header.size, limits)
    _require_agreed("WebP", webp.orientation(parts))
    picture = decoding.decoded(WebPImagePlugin.WebPImageFile, webp.essential(parts, header), header.size)
    samples = np.asarray(picture)
    colour, notes = _samples_in_srgb(samples[..., :3], webp.profile(parts))
    container = Container(
        format=Format.WEBP,
        lossless=header.lossless,
        grid=PIXEL if header.lossless else webp.MACROBLOCK,
        notes=notes,
    )
    return _upright(colour, samples[..., 3] if picture.mode == "RGBA" else None, container, tiff.UPRIGHT)


def _read_tiff(parts: Sequence[Part], limits: ImageLimits) -> Picture:
    file = parts[0].file
    header = tiff_file.header(file)
    _require_size_within(header.size, limits)
    if header.stored_size.pixels > max(limits.max_pixels, _TILING * header.size.pixels):
        raise ImageTooLargeError(f"the tiles of the image have {header.stored_size.pixels} pixels, mostly unused")
    spans = tiff_file.spans(file, header)
    notes = _require_one_page(file)
    colour, alpha = colour_from_samples(file, header, samples_from_spans(file, header, spans))
    if header.photometric == tiff_file.INDEXED:
        notes += (_NO_PALETTE,)
    if tiff_file.has_other_colours(file):
        notes += (_OTHER_SPACE,)
    colour, changed = _samples_in_srgb(colour, tiff_file.profile(file))
    container = Container(Format.TIFF, grey=colour.ndim != _COLOUR_DIMENSIONS, notes=(*notes, *changed))
    return _upright(colour, alpha, container, tiff.orientation(file))


def _require_one_page(file: bytes) -> tuple[str, ...]:
    """Refuse a TIFF of several images. Smaller versions of the first are left out: they show nothing else."""
    smaller = tiff_file.other_images(file)
    if not all(smaller):
        message = f"a TIFF of {len(smaller) + 1} images cannot be handled: a copy would need every one of them cleaned"
        raise UnsupportedImageError(message)
    return ("smaller versions were left out",) if smaller else ()


def _require_agreed(name: str, orientation: int) -> None:
    """Refuse a turned image that some browsers turn upright and others do not.

    A mask fits only what was on the annotator's screen, and nobody can tell what that was.
    """
    if orientation != tiff.UPRIGHT:
        raise UnsupportedImageError(f"a {name} that is turned by EXIF cannot be handled: browsers disagree about it")


def _samples_in_srgb(samples: Samples, profile: bytes | None) -> tuple[Samples, tuple[str, ...]]:
    if profile is None:
        return samples, ()
    if samples.dtype == np.uint16:
        return samples, _notes_of_deep_srgb("RGB" if samples.ndim == _COLOUR_DIMENSIONS else "L", profile)
    picture, notes = in_srgb(Image.fromarray(np.ascontiguousarray(samples)), profile)
    return np.asarray(picture), notes


def _notes_of_deep_srgb(mode: str, profile: bytes) -> tuple[str, ...]:
    """Refuse 16-bit samples that are not sRGB's: the colour library converts 8 bits only."""
    _, notes = in_srgb(Image.new(mode, (1, 1)), profile)
    if CONVERTED in notes:
        message = (
            "an image of 16 bits with a colour profile other than sRGB cannot be handled: convert it to sRGB first"
        )
        raise UnsupportedImageError(message)
    return notes


# Turning upright


def _upright(colour: Samples, alpha: Samples | None, container: Container, orientation: int) -> Picture:
    """The picture of (H, W) or (H, W, 3) of colour and (H, W) of alpha, as they are stored."""
    turn = TURNS[orientation]
    image = colour if colour.ndim == _COLOUR_DIMENSIONS else colour[..., np.newaxis]
    if alpha is not None:
        image, alpha = black_where_clear(image, alpha), _turned(alpha, turn)
    image = _turned(image, turn)
    if turn.transposed and container.jpeg is not None:
        tables = container.jpeg.transposed()
        container = replace(container, jpeg=tables, grid=tables.mcu)
    container = replace(container, grid_from_right=turn.from_right, grid_from_bottom=turn.from_bottom)
    container = replace(container, notes=(*container.notes, *encoding_notes(container)))
    if image.dtype == np.uint16:
        return Picture.from_deep(image if alpha is None else np.dstack([image, _deep(alpha)]), container)
    return Picture(image if image.shape[2] == 3 else image.repeat(3, axis=2), alpha, container)  # noqa: PLR2004 - RGB


def _deep(alpha: Samples) -> Samples:
    # A transparent colour, unlike a channel of alpha, is either clear or opaque and was not read in 16 bits.
    return alpha if alpha.dtype == np.uint16 else widened(alpha)


def _turned(array: Samples, turn: Turn) -> Samples:
    if turn.transposed:
        array = array.swapaxes(0, 1)
    array = array[:: -1 if turn.from_bottom else 1, :: -1 if turn.from_right else 1]
    return np.array(array, order="C")


_READERS: Final[Mapping[Format, Callable[[Sequence[Part], ImageLimits], Picture]]] = MappingProxyType(
    {Format.JPEG: _read_jpeg, Format.PNG: _read_png, Format.WEBP: _read_webp, Format.TIFF: _read_tiff}
)
