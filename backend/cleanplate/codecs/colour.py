"""Colour profiles. A copy carries none, so its samples are brought to sRGB, which is what viewers then assume."""

import io
from typing import Final

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES: Final = 4 * 1024 * 1024

CONVERTED: Final = "the colours were converted from the embedded profile to sRGB"
IGNORED: Final = "the embedded colour profile cannot be used and was left out"

_INK: Final = "CMYK"
_SPACES: Final = {"L": b"GRAY", "RGB": b"RGB ", _INK: b"CMYK"}
_SPACE: Final = slice(16, 20)
_CUBE_SIDE: Final = 17
_SRGB_LEVELS: Final = 2
"""Profiles that all call themselves sRGB differ from each other by less."""


def in_srgb(picture: Image.Image, profile: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """A picture of mode `L`, `RGB` or `CMYK` as sRGB, and notes of what that changed or left out.

    Grey stays grey. Where the profile's colours are those of sRGB, not a sample changes. CMYK without a profile is
    converted by the plain formula that browsers use.
    """
    if profile is None:
        return _plain(picture), ()
    if profile[_SPACE] != _SPACES[picture.mode] or len(profile) > MAX_PROFILE_BYTES:
        return _plain(picture), (IGNORED,)
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), picture.mode, "RGB")
        if picture.mode != _INK and _is_srgb(transform, picture.mode):
            return picture, ()
        converted = ImageCms.applyTransform(picture, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return _plain(picture), (IGNORED,)
    if converted is None:
        return _plain(picture), (IGNORED,)
    return (converted.getchannel("G") if picture.mode == "L" else converted), (CONVERTED,)


def _plain(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB") if picture.mode == _INK else picture


def _is_srgb(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the transform leaves a cube of colours, or the scale of greys, as it is."""
    levels = np.linspace(0, 255, _CUBE_SIDE).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(_CUBE_SIDE, -1, 3)
    sample = Image.fromarray(cube if mode == "RGB" else cube[..., 0])
    result = np.asarray(ImageCms.applyTransform(sample, transform))
    expected = np.asarray(sample.convert("RGB"))
    return bool(np.abs(result.astype(np.int16) - expected).max() <= _SRGB_LEVELS)
