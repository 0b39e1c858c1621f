"""Pictures with one thing to remove, whose place is known."""

import io

import cv2
import numpy as np
from PIL import Image

ORIENTATION_TAG = 0x0112


def wall_with_disc(
    size: tuple[int, int], *, middle: tuple[int, int], radius: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A bluish wall with a red disc on it: the image (H, W, 3) and where the disc is (H, W)."""
    width, height = size
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    wall = np.stack([90 + 30 * rows / height, 120 + 30 * columns / width, 150 + 0 * rows], axis=-1)
    image = np.clip(wall + random.normal(0, 2, wall.shape), 0, 255).astype(np.uint8)
    disc = np.zeros((height, width), np.uint8)
    cv2.circle(disc, middle, radius, 1, thickness=-1)
    image[disc > 0] = (205, 40, 40)
    return image, disc > 0


def png(image: np.ndarray) -> bytes:
    return _encoded(Image.fromarray(image), "PNG")


def jpeg_from_a_turned_telephone(image: np.ndarray) -> bytes:
    """The same picture stored on its side, with EXIF orientation 6: it has to be turned clockwise to be upright."""
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    return _encoded(Image.fromarray(np.ascontiguousarray(np.rot90(image))), "JPEG", quality=95, exif=exif)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
