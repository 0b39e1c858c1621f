"""Label Studio's brush RLE: the rle-pack bit stream of an image's RGBA samples, as a JSON list of bytes.

The stream: the number of samples (32 bits), bits per sample minus one (5 bits), four widths of lengths minus one
(4 bits each); then tokens. A token: one bit (1: a run of one sample, 0: as many samples as follow, each written out),
two bits that choose a width, the length minus one in that width, and the sample or samples.

Every pixel has four samples; the mask is the fourth, alpha. A hand-drawn stroke has an anti-aliased edge, and a pixel
that the annotator has touched at all counts: any alpha above zero is masked.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask
from cleanplate.errors import RleError

MAX_BYTES: Final = 4 * 1024 * 1024
"""No longer stream is read: noise all over a photograph of 12 MP takes a fifth of it, and nobody draws noise."""

_Ints: TypeAlias = npt.NDArray[np.int64]
_Bytes: TypeAlias = npt.NDArray[np.uint8]

_CHANNELS: Final = 4
_ALPHA: Final = 3
_OPAQUE: Final = 255

_COUNT: Final = struct.Struct(">I")
_MAX_COUNT: Final = (1 << 32) - 1
_HEADER_BYTES: Final = 8
_HEADER_BITS: Final = 32 + 5 + 4 * 4
_KIND_BITS: Final = 3
_SAMPLE_BITS: Final = 8
_LENGTH_BITS: Final = (3, 4, 8, 16)
_LONGEST_RUN: Final = 1 << 16

_WINDOW_BITS: Final = 40
_WINDOW_BYTES: Final = _WINDOW_BITS // 8
_LITERAL_HEAD_BYTES: Final = 4
_BLOCK_BYTES: Final = 1 << 20
_MAX_PADDING_BITS: Final = 15


def rle_from_mask(mask: Mask) -> list[int]:
    """Encode a mask to the very bytes of Label Studio's own converter: all four samples of a True pixel are 255.

    Raises:
        RleError: The mask is not (H, W), is empty, or has more samples than the header can count.
    """
    if mask.ndim != 2 or not mask.size:  # noqa: PLR2004 - height and width
        raise RleError(f"a mask must be (H, W) and not empty, this is {mask.shape}")
    if mask.size * _CHANNELS > _MAX_COUNT:
        raise RleError(f"a mask of {mask.size} pixels has more samples than a brush RLE can count")
    pixels = np.ascontiguousarray(mask, dtype=np.bool_).reshape(-1)
    ends = np.append(np.flatnonzero(pixels[1:] != pixels[:-1]) + 1, pixels.size)
    lengths = np.diff(ends, prepend=0) * _CHANNELS
    samples = np.where(pixels[ends - 1], _OPAQUE, 0)
    return list(_packed(pixels.size * _CHANNELS, *_run_tokens(lengths, samples)).tobytes())


def mask_from_rle(rle: Sequence[int], *, width: int, height: int) -> Mask:
    """Decode any rle-pack stream of an image's RGBA samples: True where alpha is above zero.

    Nothing is allocated before the header has been found to agree with the image's size.

    Raises:
        RleError: It is not a list of bytes, is longer than `MAX_BYTES`, is cut short, or holds more or fewer samples
            than an image of this size has.
    """
    data = _bytes(rle)
    header = _header(data)
    if width < 1 or height < 1 or header.samples != width * height * _CHANNELS:
        message = f"the brush RLE holds {header.samples} samples, which is not {width}×{height}×{_CHANNELS}"
        raise RleError(message)
    tokens = _tokens(data, header)
    mask = _mask_from_runs(tokens)
    _fill_literals(mask, tokens, data, header)
    return mask.reshape(height, width)


# Encoding


def _run_tokens(lengths: _Ints, samples: _Ints) -> tuple[_Ints, _Ints]:
    """(bits, number of bits) of the tokens for these runs; a run longer than a token can say takes several.

    All tokens of such a run have the longest width, also the last and shortest: so does the converter.
    """
    width_choice = np.searchsorted([1 << bits for bits in _LENGTH_BITS[:-1]], lengths)
    copies = (lengths - 1) // _LONGEST_RUN + 1
    token_lengths = np.full(copies.sum(), _LONGEST_RUN)
    token_lengths[np.cumsum(copies) - 1] = lengths - (copies - 1) * _LONGEST_RUN
    width_choice, samples = width_choice.repeat(copies), samples.repeat(copies)
    length_bits = np.array(_LENGTH_BITS)[width_choice]
    kind = (1 << 2) | width_choice
    bits = (((kind << length_bits) | (token_lengths - 1)) << _SAMPLE_BITS) | samples
    return bits, _KIND_BITS + length_bits + _SAMPLE_BITS


def _packed(count: int, bits: _Ints, widths: _Ints) -> _Bytes:
    """Header and tokens as bytes; ends with one to eight zero bits, as the converter's lists do."""
    ends = _HEADER_BITS + np.cumsum(widths)
    starts = ends - widths
    data = np.zeros(int(ends[-1]) // 8 + 1 + _WINDOW_BYTES, dtype=np.uint8)
    header = (count << 5) | (_SAMPLE_BITS - 1)
    for length_bits in _LENGTH_BITS:
        header = (header << 4) | (length_bits - 1)
    data[:_HEADER_BYTES] = list((header << (8 * _HEADER_BYTES - _HEADER_BITS)).to_bytes(_HEADER_BYTES, "big"))
    aligned = bits << (_WINDOW_BITS - widths - starts % 8)
    first = starts // 8
    for place in range(_WINDOW_BYTES):
        # A token is longer than a byte, so no index occurs twice in one of these assignments.
        data[first + place] |= (aligned >> (_WINDOW_BITS - 8 * (place + 1)) & 0xFF).astype(np.uint8)
    return data[:-_WINDOW_BYTES]


# Decoding


class _Header(NamedTuple):
    samples: int
    sample_bits: int
    length_bits: tuple[int, ...]


class _Tokens(NamedTuple):
    """The tokens of a stream, one entry each.

    Attributes:
        is_run: whether it repeats one sample.
        first: the index of its first sample.
        length: how many samples it stands for.
        payload: the position of its first sample's bits in the stream.
        value: its first sample.
    """

    is_run: npt.NDArray[np.bool_]
    first: _Ints
    length: _Ints
    payload: _Ints
    value: _Ints


def _bytes(rle: Sequence[int]) -> _Bytes:
    if not isinstance(rle, list | tuple | bytes):
        raise RleError(f"a brush RLE is a list of bytes, not {type(rle).__name__}")
    if len(rle) > MAX_BYTES:
        raise RleError(f"a brush RLE of {len(rle)} bytes is longer than the limit of {MAX_BYTES}")
    if set(map(type, rle)) - {int}:
        index, entry = next((i, entry) for i, entry in enumerate(rle) if type(entry) is not int)
        raise RleError(f"entry {index} of the brush RLE is a {type(entry).__name__}, not a byte")
    try:
        return np.frombuffer(bytes(rle), dtype=np.uint8)
    except ValueError as error:
        index, entry = next((i, entry) for i, entry in enumerate(rle) if not 0 <= entry <= _OPAQUE)
        raise RleError(f"entry {index} of the brush RLE is {entry}, not a byte") from error


def _header(data: _Bytes) -> _Header:
    if data.size < _HEADER_BYTES:
        raise RleError(f"a brush RLE of {data.size} bytes is too short to have a header")
    bits = int.from_bytes(data[:_HEADER_BYTES].tobytes(), "big") >> (8 * _HEADER_BYTES - _HEADER_BITS)
    length_bits = tuple((bits >> shift & 0xF) + 1 for shift in (12, 8, 4, 0))
    header = _Header(samples=bits >> 21, sample_bits=(bits >> 16 & 0x1F) + 1, length_bits=length_bits)
    if header.sample_bits > _SAMPLE_BITS:
        raise RleError(f"the brush RLE has samples of {header.sample_bits} bits; an image has {_SAMPLE_BITS}")
    return header


def _tokens(data: _Bytes, header: _Header) -> _Tokens:
    """Find and check the tokens: together they are exactly the samples the header promises."""
    starts = _starts(data, header)
    kind = _read(data, starts, np.full_like(starts, _KIND_BITS))
    is_run = kind >= 1 << 2
    length_bits = np.array(header.length_bits)[kind & 3]
    length = _read(data, starts + _KIND_BITS, length_bits) + 1
    payload = starts + _KIND_BITS + length_bits
    token_ends = payload + header.sample_bits * np.where(is_run, 1, length)
    ends = np.cumsum(length)
    whole = int(np.searchsorted(token_ends, data.size * 8, side="right"))
    last = int(np.searchsorted(ends, header.samples))
    if last >= whole:
        samples = int(ends[whole - 1]) if whole else 0
        raise RleError(f"the brush RLE is cut short: {samples} of {header.samples} samples")
    if ends[last] > header.samples:
        raise RleError(f"the brush RLE goes past its {header.samples} samples")
    if data.size * 8 - token_ends[last] > _MAX_PADDING_BITS:
        raise RleError(f"the brush RLE goes on after its {header.samples} samples")
    used = slice(last + 1)
    value = _read(data, payload[used], np.full(last + 1, header.sample_bits))
    return _Tokens(is_run[used], (ends - length)[used], length[used], payload[used], value)


def _starts(data: _Bytes, header: _Header) -> _Ints:
    """The positions in bits at which tokens start; the last may be cut short, or be the padding.

    Where a token ends is only known when it has been read. So how long a token is that starts at any one bit is worked
    out for a whole block at a time, and what is left for the loop is one look-up per token.
    """
    run_widths = [_KIND_BITS + length_bits + header.sample_bits for length_bits in header.length_bits]
    width_of_kind = np.array([0, 0, 0, 0, *run_widths], dtype=np.uint8)
    padded = data.tobytes() + bytes(_LITERAL_HEAD_BYTES)
    starts: list[int] = []
    append = starts.append
    position, end = _HEADER_BITS, data.size * 8
    while position < end:
        block_start = position // 8
        block = data[block_start : block_start + _BLOCK_BYTES + 1]
        bits = np.unpackbits(np.append(block, np.uint8(0)))
        widths = width_of_kind[bits[:-2] << 2 | bits[1:-1] << 1 | bits[2:]].tobytes()
        base, block_end = block_start * 8, min(_BLOCK_BYTES, block.size) * 8
        local = position - base
        while local < block_end:
            append(base + local)
            local += widths[local] or _literal_width(padded, base + local, header)
        position = base + local
    return np.array(starts, dtype=np.int64)


def _literal_width(padded: bytes, start: int, header: _Header) -> int:
    first = start // 8
    head = int.from_bytes(padded[first : first + _LITERAL_HEAD_BYTES], "big")
    left = 8 * _LITERAL_HEAD_BYTES - start % 8 - _KIND_BITS
    length_bits = header.length_bits[head >> left & 3]
    length = (head >> (left - length_bits) & ((1 << length_bits) - 1)) + 1
    return _KIND_BITS + length_bits + length * header.sample_bits


def _read(data: _Bytes, positions: _Ints, widths: _Ints) -> _Ints:
    """The numbers of these *widths* (up to 32 bits) at these positions; behind the end there are zeros."""
    padded = np.append(data, np.zeros(_WINDOW_BYTES, dtype=np.uint8))
    first = np.minimum(positions // 8, data.size)
    window = np.zeros(positions.size, dtype=np.int64)
    for place in range(_WINDOW_BYTES):
        window = window << 8 | padded[first + place]
    return window >> (_WINDOW_BITS - positions % 8 - widths) & ((1 << widths) - 1)


def _mask_from_runs(tokens: _Tokens) -> Mask:
    """True for the pixels whose alpha, every fourth sample, lies in a run that is not zero; (pixels,)."""
    first_pixel, end_pixel = tokens.first // _CHANNELS, (tokens.first + tokens.length) // _CHANNELS
    return np.repeat(tokens.is_run & (tokens.value > 0), end_pixel - first_pixel)


def _fill_literals(mask: Mask, tokens: _Tokens, data: _Bytes, header: _Header) -> None:
    """Mask the pixels whose alpha is written out and is not zero."""
    literal = ~tokens.is_run
    first, length, payload = tokens.first[literal], tokens.length[literal], tokens.payload[literal]
    skipped = (_ALPHA - first) % _CHANNELS
    alphas = np.maximum(length - skipped + _ALPHA, 0) // _CHANNELS
    if not alphas.any():
        return
    step = np.arange(alphas.sum()) - (np.cumsum(alphas) - alphas).repeat(alphas)
    pixel = ((first + skipped) // _CHANNELS).repeat(alphas) + step
    offset = skipped.repeat(alphas) + step * _CHANNELS
    value = _read(data, payload.repeat(alphas) + offset * header.sample_bits, np.full_like(step, header.sample_bits))
    mask[pixel[value > 0]] = True
