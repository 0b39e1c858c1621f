"""JPEGs of every make, and what an independent reader finds in them."""

import io
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from fakes.image_files import encoded

HAS_JPEGLIB = find_spec("jpeglib") is not None
"""Whether copies of JPEGs keep the coefficients of their sources; without it they are encoded again, and marked."""

# How an upright image is stored so that EXIF turns it upright again.
_STORED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}

KINDS = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "progressive": {"subsampling": 2, "progressive": True},
    "restart intervals": {"subsampling": 1, "restart_marker_blocks": 2},
    "own tables": {"subsampling": 0, "qtables": [list(range(1, 65)), [3] * 64, [255] * 64]},
    "red, green and blue": {"subsampling": 0, "keep_rgb": True},
    "grey": {},
}


def rough(width, height, seed=0):
    """(H, W, 3), smooth forms with grain on them, as photographs have it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (max(height // 8, 1), max(width // 8, 1), 3), dtype=np.uint8)
    forms = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(forms + rng.integers(-9, 10, forms.shape), 0, 255).astype(np.uint8)


def jpeg_of(image, kind, *, orientation=1, quality=85):
    """A JPEG that shows this image upright."""
    stored = Image.fromarray(image if kind != "grey" else image[..., 0])
    if orientation in _STORED:
        stored = stored.transpose(Image.Transpose(_STORED[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = KINDS[kind] | ({} if "qtables" in KINDS[kind] else {"quality": quality})
    return encoded(np.asarray(stored), "JPEG", exif=exif, **options)


def subsampled_jpeg(image, factors):
    """A JPEG of any sampling factors, (across, down) of each component, as another library writes it."""
    import jpeglib  # noqa: PLC0415 - it is no part of the core

    jpeg = jpeglib.from_spatial(np.ascontiguousarray(image))
    jpeg.samp_factor = [[down, across] for across, down in factors]
    with TemporaryDirectory() as folder:
        path = Path(folder, "jpeg")
        jpeg.write_spatial(str(path), qt=90)
        return path.read_bytes()


def stored_blocks(content):
    """The quantised coefficients of each component, (rows, columns, 8, 8), as another reader finds them."""
    import jpeglib  # noqa: PLC0415 - it is no part of the core

    with TemporaryDirectory() as folder:
        path = Path(folder, "jpeg")
        path.write_bytes(content)
        jpeg = jpeglib.read_dct(str(path))
        found = [jpeg.Y, jpeg.Cb, jpeg.Cr]
        return [np.array(blocks) for blocks in found if blocks is not None]


def shown(content):
    """(H, W, 3), the image as Pillow shows it, not turned."""
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"))
