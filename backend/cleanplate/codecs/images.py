"""Image files ↔ pictures: the door of what the modules beside it do."""

from cleanplate.codecs.picture import (
    Alpha,
    Container,
    DeepSamples,
    Picture,
    sample_differences,
    with_fill,
)
from cleanplate.codecs.reading import MAX_SIDE, ImageLimits, mask_from_png, picture_from_bytes
from cleanplate.codecs.writing import bytes_from_picture, png_from_mask

__all__ = [
    "MAX_SIDE",
    "Alpha",
    "Container",
    "DeepSamples",
    "ImageLimits",
    "Picture",
    "bytes_from_picture",
    "mask_from_png",
    "picture_from_bytes",
    "png_from_mask",
    "sample_differences",
    "with_fill",
]
