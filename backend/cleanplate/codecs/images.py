"""Image files ↔ pictures.

On the way in nothing is decoded before the file's own headers have been found to be within the limits, and the decoder
is given only what it needs: no metadata, no profile, no second image ever reaches it. On the way out nothing but the
samples is written.
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from cleanplate.codecs import jpeg, png, tiff, webp
from cleanplate.codecs.colour import MAX_PROFILE_BYTES, in_srgb
from cleanplate.codecs.container import Format, format_of, parts_of
from cleanplate.codecs.jpeg import ImageKind, JpegTables
from cleanplate.codecs.parts import TRAILING, Part
from cleanplate.domain.image import Mask, RgbImage, Size, require_image, size_of
from cleanplate.errors import DamagedImageError, ImageError, ImageTooLargeError, UnsupportedImageError

Alpha: TypeAlias = npt.NDArray[np.uint8]
"""(H, W), 0 is transparent, 255 opaque."""

_Samples: TypeAlias = npt.NDArray[Any]
"""Of 8 or, in masks, 16 bits."""

MAX_SIDE: Final = 65_535

_PIXEL: Final = Size(1, 1)
_WEBP_QUALITY: Final = 90
# Measured on photographs of 12 MP: higher levels gain under 3 % for three times the time.
_PNG_LEVEL: Final = 4
_WEBP_METHOD: Final = 2
_WEBP_EFFORT: Final = 30
_DEEP: Final = 16
_COLOUR_DIMENSIONS: Final = 3
_OPAQUE: Final = 255
_PALETTE_ENTRIES: Final = 256
_SUBSAMPLINGS: Final[Mapping[tuple[int, int], int]] = MappingProxyType({(1, 1): 0, (2, 1): 1, (2, 2): 2})


@dataclass(frozen=True)
class ImageLimits:
    """What an image file may be at most."""

    max_pixels: int = 50_000_000
    max_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.max_pixels < 1 or self.max_bytes < 1:
            raise ValueError("the limits of an image must be positive")


@dataclass(frozen=True)
class Container:
    """How an image was kept in its file, so that its copy can be kept alike.

    Attributes:
        format: the file's format.
        grey: whether it has one channel of colour.
        lossless: whether its format gives back every sample.
        jpeg: how its samples were compressed, turned upright with it; None if it is no JPEG.
        grid: the cells in which samples were compressed together; (1, 1) if it is lossless.
        grid_from_right: whether whole cells begin at the right border of the upright image, not at the left one.
        grid_from_bottom: whether whole cells begin at the bottom border.
        notes: what a copy will not have of the original, each in a sentence's part.
    """

    format: Format
    grey: bool = False
    lossless: bool = True
    jpeg: JpegTables | None = None
    grid: Size = _PIXEL
    grid_from_right: bool = False
    grid_from_bottom: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.format is Format.JPEG) != (self.jpeg is not None):
            raise ValueError("a JPEG, and nothing else, has JPEG tables")

    @property
    def extension(self) -> str:
        """What the name of a file like this ends with, without the dot."""
        return self.format.extension


@dataclass(frozen=True, eq=False)
class Picture:
    """An image with all that is needed to write it back.

    Attributes:
        image: (H, W, 3), sRGB, upright; black where it is fully transparent.
        alpha: (H, W), or None if the file has no transparency.
        container: how it was and will be kept.
    """

    image: RgbImage
    alpha: Alpha | None
    container: Container

    def __post_init__(self) -> None:
        require_image(self.image)
        if self.alpha is not None and (self.alpha.shape != self.image.shape[:2] or self.alpha.dtype != np.uint8):
            raise ImageError(f"the alpha of an image of {self.image.shape} cannot be {self.alpha.shape}")


def picture_from_bytes(data: bytes, limits: ImageLimits) -> Picture:
    """Read a JPEG, PNG or WebP, told by its content alone, and turn it upright.

    Raises:
        NotAnImageError: It is no image.
        UnsupportedImageError: It is one that cannot be handled faithfully: another format, several frames, 16 bit …
        ImageTooLargeError: It is beyond a limit; nothing was decoded.
        DamagedImageError: It is cut short or broken.
    """
    _require_bytes_within(data, limits)
    return _READERS[format_of(data)](parts_of(data), limits)


def bytes_from_picture(picture: Picture) -> bytes:
    """The picture as a file of its container's format: its samples and nothing else.

    The same picture always gives the same bytes. What is fully transparent is black.

    Raises:
        UnsupportedImageError: The format cannot keep a picture of this size, or JPEG its transparency.
    """
    file = io.BytesIO()
    try:
        _WRITERS[picture.container.format](picture, file)
    except (OSError, ValueError) as error:
        width, height = size_of(picture.image)
        message = f"a picture of {width}×{height} cannot be written as {picture.container.format}"
        raise UnsupportedImageError(message) from error
    return file.getvalue()


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


def png_from_mask(mask: Mask) -> bytes:
    """A grey PNG that is white where the mask is True and black elsewhere."""
    file = io.BytesIO()
    Image.fromarray(np.where(mask, np.uint8(_OPAQUE), np.uint8(0))).save(file, format="PNG")
    return file.getvalue()


# Limits


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
    picture = _decoded(JpegImagePlugin.JpegImageFile, b"".join(part.whole for part in kept), frame.size)
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
    if header.bit_depth == _DEEP:
        raise UnsupportedImageError("a PNG of 16 bits per channel cannot be handled: its copy would have 8")
    orientation, everywhere = png.orientation(parts)
    _require_agreed("PNG", tiff.UPRIGHT if everywhere else orientation)
    colour, alpha = _png_samples(parts, header)
    notes = ("a colour space other than sRGB was left out",) if png.has_other_colours(parts) else ()
    colour, changed = _samples_in_srgb(colour, png.profile(parts, max_bytes=MAX_PROFILE_BYTES))
    container = Container(Format.PNG, grey=colour.ndim != _COLOUR_DIMENSIONS, notes=(*notes, *changed))
    return _upright(colour, alpha, container, orientation)


def _png_header(parts: Sequence[Part], limits: ImageLimits) -> png.Header:
    header = png.header(parts)
    _require_size_within(header.size, limits)
    if any(part.kind == "acTL" for part in parts):
        raise UnsupportedImageError("an animated PNG cannot be handled: a copy would need every frame cleaned")
    png.require_decodable(parts, header)
    return header


def _png_samples(parts: Sequence[Part], header: png.Header) -> tuple[_Samples, _Samples | None]:
    """(H, W) or (H, W, 3) of colour and (H, W) of alpha, if there is any; palettes and transparent colours applied."""
    file = png.SIGNATURE + b"".join(part.whole for part in parts if part.kind in png.ESSENTIAL)
    samples: _Samples = np.asarray(_decoded(PngImagePlugin.PngImageFile, file, header.size))
    # The decoder leaves missing rows black and says nothing; only where that may have happened they are counted.
    if (header.interlaced or not samples[-1].any()) and png.surplus_bytes(parts) < 0:
        raise DamagedImageError("the PNG is cut short: it has fewer rows than its header says")
    if header.bit_depth == _DEEP:
        samples = _deep_samples(file)
    if samples.dtype == np.bool_:
        samples = np.where(samples, np.uint8(_OPAQUE), np.uint8(0))
    transparency = png.transparency(parts)
    if header.colour_type == png.PALETTE:
        return _looked_up(samples, png.palette(parts), transparency)
    if header.colour_type == png.GREY_ALPHA:
        return samples[..., 0], samples[..., -1]
    if header.colour_type == png.RGB_ALPHA:
        return samples[..., :3], samples[..., 3]
    return samples, _alpha_by_colour(samples, transparency, header.bit_depth)


def _deep_samples(file: bytes) -> _Samples:
    # Pillow gives only the upper half of samples of 16 bits. It has found the file sound, so OpenCV may read it.
    decoded = cv2.imdecode(np.frombuffer(file, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise DamagedImageError("the PNG cannot be decoded")
    if decoded.ndim != _COLOUR_DIMENSIONS:
        return decoded
    return decoded[..., [2, 1, 0, 3][: decoded.shape[2]]]


def _looked_up(indices: _Samples, palette: bytes, transparency: bytes) -> tuple[_Samples, _Samples | None]:
    """Entries that the palette lacks are black, as in browsers."""
    colours = np.zeros((_PALETTE_ENTRIES, 3), dtype=np.uint8)
    entries = np.frombuffer(palette, dtype=np.uint8).reshape(-1, 3)[:_PALETTE_ENTRIES]
    colours[: len(entries)] = entries
    if not transparency:
        return colours[indices], None
    alphas = np.full(_PALETTE_ENTRIES, _OPAQUE, dtype=np.uint8)
    given = np.frombuffer(transparency, dtype=np.uint8)[:_PALETTE_ENTRIES]
    alphas[: len(given)] = given
    return colours[indices], alphas[indices]


def _alpha_by_colour(samples: _Samples, transparency: bytes, bit_depth: int) -> _Samples | None:
    """The alpha of an image in which one colour, given in samples of its own depth, is transparent."""
    channels = samples.shape[2] if samples.ndim == _COLOUR_DIMENSIONS else 1
    if len(transparency) != 2 * channels:
        return None
    highest = (1 << bit_depth) - 1
    colour = (np.frombuffer(transparency, dtype=">u2") & highest).astype(samples.dtype)
    opaque = samples.reshape(*samples.shape[:2], channels) != colour * max(_OPAQUE // highest, 1)
    return np.where(opaque.any(axis=2), np.uint8(_OPAQUE), np.uint8(0))


def _read_webp(parts: Sequence[Part], limits: ImageLimits) -> Picture:
    header = webp.header(parts)
    _require_size_within(header.size, limits)
    _require_agreed("WebP", webp.orientation(parts))
    picture = _decoded(WebPImagePlugin.WebPImageFile, webp.essential(parts, header), header.size)
    samples = np.asarray(picture)
    colour, notes = _samples_in_srgb(samples[..., :3], webp.profile(parts))
    container = Container(
        format=Format.WEBP,
        lossless=header.lossless,
        grid=_PIXEL if header.lossless else webp.MACROBLOCK,
        notes=notes,
    )
    return _upright(colour, samples[..., 3] if picture.mode == "RGBA" else None, container, tiff.UPRIGHT)


def _require_agreed(name: str, orientation: int) -> None:
    """Refuse a turned image that some browsers turn upright and others do not.

    A mask fits only what was on the annotator's screen, and nobody can tell what that was.
    """
    if orientation != tiff.UPRIGHT:
        raise UnsupportedImageError(f"a {name} that is turned by EXIF cannot be handled: browsers disagree about it")


_Plugin: TypeAlias = Callable[[io.BytesIO], ImageFile.ImageFile]


def _decoded(plugin: _Plugin, file: bytes, size: Size) -> Image.Image:
    """Decode with one of Pillow's plugins, chosen by us: none of the others is ever asked."""
    try:
        picture = plugin(io.BytesIO(file))
        picture.load()
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(
            f"the image of {size.width}×{size.height} is beyond the decoder's own limit"
        ) from error
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error, zlib.error) as error:
        raise DamagedImageError("the image's samples are cut short or broken") from error
    if picture.size != size:
        raise DamagedImageError("the image's headers contradict each other")
    return picture


def _samples_in_srgb(samples: _Samples, profile: bytes | None) -> tuple[_Samples, tuple[str, ...]]:
    if profile is None:
        return samples, ()
    picture, notes = in_srgb(Image.fromarray(np.ascontiguousarray(samples)), profile)
    return np.asarray(picture), notes


# Turning upright


class _Turn(NamedTuple):
    """What makes a stored image upright: exchange rows and columns, then mirror."""

    transposed: bool
    from_right: bool
    from_bottom: bool


_TURNS: Final[Mapping[int, _Turn]] = MappingProxyType(
    {
        orientation: _Turn(*(bool(flag) for flag in flags))
        for orientation, flags in enumerate(
            ((0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1)), start=1
        )
    }
)


def _upright(colour: _Samples, alpha: _Samples | None, container: Container, orientation: int) -> Picture:
    turn = _TURNS[orientation]
    image = colour if colour.ndim == _COLOUR_DIMENSIONS else colour[..., np.newaxis].repeat(3, axis=2)
    if alpha is not None:
        image, alpha = _black_where_clear(image, alpha), _turned(alpha, turn)
    if turn.transposed and container.jpeg is not None:
        tables = container.jpeg.transposed()
        container = replace(container, jpeg=tables, grid=tables.mcu)
    container = replace(container, grid_from_right=turn.from_right, grid_from_bottom=turn.from_bottom)
    return Picture(_turned(image, turn), alpha, _with_encoding_notes(container))


def _turned(array: _Samples, turn: _Turn) -> _Samples:
    if turn.transposed:
        array = array.swapaxes(0, 1)
    array = array[:: -1 if turn.from_bottom else 1, :: -1 if turn.from_right else 1]
    return np.array(array, order="C")


def _black_where_clear(image: _Samples, alpha: _Samples) -> _Samples:
    return np.where(alpha[..., np.newaxis] > 0, image, np.uint8(0))


# Writing


def _with_encoding_notes(container: Container) -> Container:
    tables = container.jpeg
    if tables is None or tables.rgb or tables.subsampling in _SUBSAMPLINGS:
        return container
    return replace(container, notes=(*container.notes, "chroma is kept at full resolution"))


def _write_jpeg(picture: Picture, file: io.BytesIO) -> None:
    tables = picture.container.jpeg
    if picture.alpha is not None or tables is None:
        raise UnsupportedImageError("a JPEG needs tables and keeps no transparency")
    steps = [list(table) for table in tables.quantisation[:3]]
    while len(steps) > 1 and steps[-1] == steps[-2]:
        # A component without a table of its own takes the last one.
        steps.pop()
    image = Image.fromarray(picture.image)
    if picture.container.grey:
        image.convert("L").save(file, format="JPEG", qtables=steps[:1])
    elif tables.rgb:
        image.save(file, format="JPEG", qtables=steps, subsampling=0, keep_rgb=True)
    else:
        image.save(file, format="JPEG", qtables=steps, subsampling=_SUBSAMPLINGS.get(tables.subsampling, 0))


def _write_png(picture: Picture, file: io.BytesIO) -> None:
    _visible(picture).save(file, format="PNG", compress_level=_PNG_LEVEL)


def _write_webp(picture: Picture, file: io.BytesIO) -> None:
    if picture.container.lossless:
        _visible(picture).save(
            file, format="WEBP", lossless=True, exact=True, method=_WEBP_METHOD, quality=_WEBP_EFFORT
        )
    else:
        _visible(picture).save(file, format="WEBP", quality=_WEBP_QUALITY)


def _visible(picture: Picture) -> Image.Image:
    """The picture for Pillow: grey or in colour, with alpha or without, and black where it is fully transparent."""
    image, alpha = picture.image, picture.alpha
    if alpha is not None:
        image = _black_where_clear(image, alpha)
    colour = Image.fromarray(image)
    if picture.container.grey:
        colour = colour.convert("L")
    if alpha is not None:
        colour.putalpha(Image.fromarray(alpha))
    return colour


_READERS: Final[Mapping[Format, Callable[[Sequence[Part], ImageLimits], Picture]]] = MappingProxyType(
    {Format.JPEG: _read_jpeg, Format.PNG: _read_png, Format.WEBP: _read_webp}
)
_WRITERS: Final[Mapping[Format, Callable[[Picture, io.BytesIO], None]]] = MappingProxyType(
    {Format.JPEG: _write_jpeg, Format.PNG: _write_png, Format.WEBP: _write_webp}
)
