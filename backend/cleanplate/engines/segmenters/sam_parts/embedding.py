"""What SAM keeps of an image, and the bytes it can be kept as."""

import hashlib
import struct
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Size
from cleanplate.errors import EngineError

_DTYPE: Final = np.dtype("<f2")

_FORMAT: Final = b"cleanplate sam 1"
_HEADER: Final = struct.Struct("<16s32sII")
"""The format; the SHA-256 of the segmenter's version; the image's width and height."""

_DIGEST_BYTES: Final = 32

_MOST_PIXELS: Final = 1 << 30
"""More than any image has: a mask is as large as the image, and bytes must not make us take memory at will."""


@dataclass(frozen=True, eq=False)
class SamEmbedding:
    """An image, prepared.

    Half precision moves logits by some 1e-4 of their size, and is kept in memory, too: an answer does not depend on
    whether its embedding has been on a disk meanwhile.

    Attributes:
        size: the image's.
        features: float16, read-only; finite. Of SAM (256, 64, 64); of others all levels, one after the other.
        maker: the SHA-256 of the version of the segmenter that made it.
    """

    size: Size
    features: npt.NDArray[np.float16]
    maker: bytes

    @property
    def size_bytes(self) -> int:
        """How much memory it holds."""
        return self.features.nbytes


def embedding_of(features: npt.NDArray[np.float32], size: Size, maker: bytes) -> SamEmbedding:
    """Round *features* to half precision.

    Raises:
        EngineError: They are not finite.
    """
    largest = float(np.finfo(np.float16).max)
    rounded = features.clip(-largest, largest).astype(np.float16)
    if not np.isfinite(rounded).all():
        raise EngineError(f"the network made numbers that are not finite of an image of {size.width}×{size.height}")
    rounded.flags.writeable = False
    return SamEmbedding(size, rounded, maker)


def packed(embedding: SamEmbedding) -> bytes:
    """The same: a header, the features, and a digest of both."""
    header = _HEADER.pack(_FORMAT, embedding.maker, embedding.size.width, embedding.size.height)
    content = header + embedding.features.astype(_DTYPE).tobytes()
    return content + hashlib.sha256(content).digest()


def unpacked(content: bytes, maker: bytes, shape: tuple[int, ...]) -> SamEmbedding:
    """What was packed, if *maker* made it, whose features have this *shape*.

    Raises:
        EngineError: The bytes are damaged, or hold something else.
    """
    count = prod(shape)
    length = _HEADER.size + count * _DTYPE.itemsize + _DIGEST_BYTES
    if len(content) != length:
        raise EngineError(f"a packed embedding of these weights has {length} bytes, this has {len(content)}")
    kind, made_by, width, height = _HEADER.unpack_from(content)
    if kind != _FORMAT:
        raise EngineError("this is no embedding of sam, or one of another version of cleanplate")
    if hashlib.sha256(content[:-_DIGEST_BYTES]).digest() != content[-_DIGEST_BYTES:]:
        raise EngineError("the packed embedding is damaged")
    if made_by != maker:
        raise EngineError("the embedding was made with other weights or another precision; embed the image again")
    if not 0 < width * height <= _MOST_PIXELS:
        raise EngineError(f"no image has {width}×{height} pixels")
    features = np.frombuffer(content, _DTYPE, count=count, offset=_HEADER.size).reshape(shape)
    return embedding_of(features.astype(np.float32), Size(width, height), maker)
