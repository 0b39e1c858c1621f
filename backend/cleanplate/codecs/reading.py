"""Image files → pictures.

Nothing is decoded before the file's own headers have been found to be within the limits, and the decoder is given only
what it needs: no metadata, no profile, no second image ever reaches it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from cleanplate.codecs import decoding, jpeg, png, tiff, tiff_file, webp
from cleanplate.codecs.colour import CONVERTED, MAX_PROFILE_BYTES, in_srgb
from cleanplate.codecs.container import Format, format_of, parts_of
from cleanplate.codecs.jpeg import ImageKind
from cleanplate.codecs.parts import TRAILING, Part
from cleanplate.codecs.picture import OPAQUE, PIXEL, Container, Picture, Samples, black_where_clear, widened
from cleanplate.codecs.tiff_samples import samples_from_spans
from cleanplate.codecs.turning import TURNS, Turn
from cleanplate.codecs.writing import encoding_notes
from cleanplate.domain.image import Mask, Size
from cleanplate.errors import DamagedImageError, ImageTooLargeError, UnsupportedImageError

MAX_SIDE: Final = 65_535

_DEEP: Final = 16
_COLOUR_DIMENSIONS: Final = 3
_PALETTE_ENTRIES: Final = 256
_NO_PALETTE: Final = "the palette became full colours"
_OTHER_SPACE: Final = "a colour space other than sRGB was left out"
_TILING: Final = 4
"""Tiles may have so many times the pixels of their image: of a small one they have many."""


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
        UnsupportedImageError: It is one that cannot be handled faithfully: another format, several frames, 16 bit …
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
    colour, alpha = _png_samples(parts, _png_header(parts, limits))
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
    colour, alpha = _png_samples(parts, header)
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


def _png_samples(parts: Sequence[Part], header: png.Header) -> tuple[Samples, Samples | None]:
    """(H, W) or (H, W, 3) of colour and (H, W) of alpha, if there is any; palettes and transparent colours applied."""
    file = png.SIGNATURE + b"".join(part.whole for part in parts if part.kind in png.ESSENTIAL)
    samples: Samples = np.asarray(decoding.decoded(PngImagePlugin.PngImageFile, file, header.size))
    # The decoder leaves missing rows black and says nothing; only where that may have happened they are counted.
    if (header.interlaced or not samples[-1].any()) and png.surplus_bytes(parts) < 0:
        raise DamagedImageError("the PNG is cut short: it has fewer rows than its header says")
    if header.bit_depth == _DEEP:
        samples = _deep_samples(file)
    if samples.dtype == np.bool_:
        samples = np.where(samples, np.uint8(OPAQUE), np.uint8(0))
    transparency = png.transparency(parts)
    if header.colour_type == png.PALETTE:
        return _looked_up(samples, png.palette(parts), transparency)
    if header.colour_type == png.GREY_ALPHA:
        return samples[..., 0], samples[..., -1]
    if header.colour_type == png.RGB_ALPHA:
        return samples[..., :3], samples[..., 3]
    return samples, _alpha_by_colour(samples, transparency, header.bit_depth)


def _deep_samples(file: bytes) -> Samples:
    # Pillow gives only the upper half of samples of 16 bits. It has found the file sound, so OpenCV may read it.
    decoded = cv2.imdecode(np.frombuffer(file, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise DamagedImageError("the PNG cannot be decoded")
    if decoded.ndim != _COLOUR_DIMENSIONS:
        return decoded
    return decoded[..., [2, 1, 0, 3][: decoded.shape[2]]]


def _looked_up(indices: Samples, palette: bytes, transparency: bytes) -> tuple[Samples, Samples | None]:
    """Entries that the palette lacks are black, as in browsers."""
    colours = np.zeros((_PALETTE_ENTRIES, 3), dtype=np.uint8)
    entries = np.frombuffer(palette, dtype=np.uint8).reshape(-1, 3)[:_PALETTE_ENTRIES]
    colours[: len(entries)] = entries
    if not transparency:
        return colours[indices], None
    alphas = np.full(_PALETTE_ENTRIES, OPAQUE, dtype=np.uint8)
    given = np.frombuffer(transparency, dtype=np.uint8)[:_PALETTE_ENTRIES]
    alphas[: len(given)] = given
    return colours[indices], alphas[indices]


def _alpha_by_colour(samples: Samples, transparency: bytes, bit_depth: int) -> Samples | None:
    """The alpha of an image in which one colour, given in samples of its own depth, is transparent."""
    channels = samples.shape[2] if samples.ndim == _COLOUR_DIMENSIONS else 1
    if len(transparency) != 2 * channels:
        return None
    highest = (1 << bit_depth) - 1
    colour = (np.frombuffer(transparency, dtype=">u2") & highest).astype(samples.dtype)
    opaque = samples.reshape(*samples.shape[:2], channels) != colour * max(OPAQUE // highest, 1)
    return np.where(opaque.any(axis=2), np.uint8(OPAQUE), np.uint8(0))


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
    colour, alpha = _tiff_colour(file, header, samples_from_spans(file, header, spans))
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


def _tiff_colour(file: bytes, header: tiff_file.Header, samples: Samples) -> tuple[Samples, Samples | None]:
    """(H, W) or (H, W, 3) of colour and (H, W) of alpha, if there is any."""
    alpha = None if header.premultiplied is None else samples[..., -1]
    if alpha is not None and header.premultiplied and not (alpha == np.iinfo(alpha.dtype).max).all():
        message = "a TIFF whose colours were multiplied by alpha cannot be handled: save it with unassociated alpha"
        raise UnsupportedImageError(message)
    if header.photometric == tiff_file.INDEXED:
        return _tiff_palette(file)[samples[..., 0]], alpha
    if header.photometric == tiff_file.RGB:
        return samples[..., :3], alpha
    return ~samples[..., 0] if header.photometric == tiff_file.WHITE_IS_ZERO else samples[..., 0], alpha


def _tiff_palette(file: bytes) -> Samples:
    """In 8 bits if they can say the same, in 16 otherwise."""
    colours = tiff_file.palette(file)
    eight = (colours >> 8).astype(np.uint8)
    exact = np.array_equal(widened(eight), colours) or not (colours & 0xFF).any()
    return eight if exact else colours


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
