from typing import Final, NamedTuple

from cleanplate.codecs.container import Format
from cleanplate.codecs.images import Picture, bytes_from_picture
from cleanplate.codecs.splice import spliced_jpeg
from cleanplate.domain.image import Mask
from cleanplate.errors import SpliceError

LOSSLESS: Final = "lossless"
SPLICED: Final = "only what is under the mask was encoded again"
WHOLE: Final = "the whole image was encoded again"
PREDICTED: Final = f"{WHOLE}: already in the source the noise of encoding beside the mask depends on what is under it"
"""Of lossy WebP, which predicts its cells from each other. Beyond the mask the noise leans to no side."""


class Encoded(NamedTuple):
    """A file, and how it was made, for the certificate."""

    content: bytes
    how: str


def encoded(source: bytes, picture: Picture, mask: Mask) -> Encoded:
    """The picture as a file that keeps of its source, outside the mask, all that its format can keep.

    Args:
        source: the file the picture was read from.
        picture: what to show.
        mask: (H, W), the effective mask.
    """
    if picture.container.format is not Format.JPEG:
        return Encoded(bytes_from_picture(picture), LOSSLESS if picture.container.lossless else PREDICTED)
    try:
        return Encoded(spliced_jpeg(source, picture, mask), SPLICED)
    except SpliceError as error:
        return Encoded(bytes_from_picture(picture), f"{WHOLE}: {error}")
