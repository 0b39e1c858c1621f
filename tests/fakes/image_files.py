"""Image files put together byte by byte, so that a test sees what is odd about them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def photograph(width=64, height=48):
    """(H, W, 3), smooth and colourful, the same each time."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7 + phase) + np.cos(y / 5 - phase) for phase in (0.0, 1.0, 2.5)]
    return np.stack([(wave * 60 + 128) for wave in waves], axis=2).astype(np.uint8)


def encoded(image, kind, **options):
    """An array as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def exif(orientation, *, order="<", tag=0x0112, kind=3, count=1):
    """A TIFF block with one entry."""
    value = struct.pack(order + {1: "B3x", 3: "H2x", 4: "I"}[kind], orientation)
    header = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8)
    return header + struct.pack(order + "HHHI", 1, tag, kind, count) + value + bytes(4)


# JPEG


def segment(marker, content=b""):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg, *segments):
    """A JPEG with further segments behind its first two bytes."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def exif_segment(block):
    return segment(0xE1, b"Exif\0\0" + block)


def multi_picture_index(*kinds):
    """The segment that lists the images in a file, each of one kind; the first is the one that viewers show."""
    entries = b"".join(struct.pack("<IIIHH", kind << 16, 100, 0, 0, 0) for kind in kinds)
    directory = struct.pack("<HHHII", 2, 0xB001, 4, 1, len(kinds))
    directory += struct.pack("<HHIII", 0xB002, 7, len(entries), 8 + 2 + 24 + 4, 0)
    return segment(0xE2, b"MPF\0II*\0" + struct.pack("<I", 8) + directory + entries)


# PNG


def chunk(name, content=b""):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_header(width, height, *, bit_depth=8, colour_type=2, interlaced=0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, interlaced))


def png(*chunks):
    return PNG_SIGNATURE + b"".join(chunks) + chunk(b"IEND")


def png_samples(*rows):
    """The chunk of compressed samples; each row is unfiltered bytes."""
    return chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row) for row in rows)))


def deep_png(samples):
    """A PNG of 16 bits per sample from (H, W, C): grey or colours, and alpha behind them."""
    height, width, channels = samples.shape
    header = png_header(width, height, bit_depth=16, colour_type={1: 0, 2: 4, 3: 2, 4: 6}[channels])
    return png(header, png_samples(*(row.astype(">u2").tobytes() for row in samples)))


def with_chunks(file, *chunks, before=b"IDAT"):
    """A PNG with further chunks before the first of a name."""
    at = file.index(before) - 4
    return file[:at] + b"".join(chunks) + file[at:]


# WebP


def webp_chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def webp(*chunks):
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def with_webp_chunks(file, *chunks):
    """A simple WebP with further chunks behind its image, under an extended header that announces none of them."""
    with Image.open(io.BytesIO(file)) as picture:
        width, height = picture.size
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(webp_chunk(b"VP8X", bytes(4) + sides), file[12:], *chunks)


# TIFF


def tiff_field(tag, values, *, order="<", kind=None):
    """A field of a directory: its tag, type, number of values and their bytes. Text is of type 2, numbers of type 4."""
    if isinstance(values, bytes):
        return tag, kind or 2, len(values), values
    numbers = values if isinstance(values, tuple) else (values,)
    letter = {1: "B", 3: "H", 4: "I"}[kind or 4]
    return tag, kind or 4, len(numbers), struct.pack(f"{order}{len(numbers)}{letter}", *numbers)


def tiff_of(fields, strips, *, order="<", offsets=273, sizes=279, next_directory=0, behind=b""):
    """A TIFF: header, samples, values, directory. *behind* comes last; `next_directory` is where a second image is."""
    content, places = b"", []
    for strip in strips:
        places.append(8 + len(content))
        content += strip
    fields = [*fields]
    if strips:
        fields.append(tiff_field(offsets, tuple(places), order=order))
        fields.append(tiff_field(sizes, tuple(len(strip) for strip in strips), order=order))
    content += b"\0" * (len(content) % 2)
    entries = b""
    for tag, kind, count, value in sorted(fields, key=lambda field: field[0]):
        entry = struct.pack(order + "HHI", tag, kind, count)
        if len(value) > 4:
            entry += struct.pack(order + "I", 8 + len(content))
            content += value + b"\0" * (len(value) % 2)
        else:
            entry += value.ljust(4, b"\0")
        entries += entry
    header = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8 + len(content))
    count, tail = struct.pack(order + "H", len(fields)), struct.pack(order + "I", next_directory)
    return header + content + count + entries + tail + behind


def packed(content, compression):
    """Bytes as TIFF's compression of this number has them."""
    if compression == 1:
        return content
    if compression in {8, 32946}:
        return zlib.compress(content)
    name = {5: "tiff_lzw", 32773: "packbits"}[compression]
    file = encoded(np.frombuffer(content, dtype=np.uint8)[np.newaxis], "TIFF", compression=name)
    with Image.open(io.BytesIO(file)) as picture:
        (offset,), (size,) = picture.tag_v2[273], picture.tag_v2[279]
    return file[offset : offset + size]


def tiff(
    samples,
    *more,
    order="<",
    compression=1,
    photometric=None,
    predictor=1,
    planar=1,
    rows=None,
    tile=None,
    alpha=2,
    left_out=(),
    **how,
):
    """A TIFF from (H, W, C) of 8 or 16 bits, in strips of so many *rows* or in tiles of (height, width).

    *more* are further fields; of the same tag they replace what would be there. *left_out* are tags that are missing.
    """
    height, width, channels = samples.shape
    colours = 1 if channels < 3 else 3
    how_many = {
        256: width,
        257: height,
        258: (samples.itemsize * 8,) * channels,
        259: compression,
        262: {1: 1, 3: 2}[colours] if photometric is None else photometric,
        277: channels,
        284: planar,
        317: predictor,
    }
    if tile is None:
        how_many[278] = rows or height
    else:
        how_many |= {322: tile[1], 323: tile[0]}
        how |= {"offsets": 324, "sizes": 325}
    if channels > colours:
        how_many[338] = alpha
    fields = {tag: tiff_field(tag, values, order=order, kind=3) for tag, values in how_many.items()}
    fields |= {field[0]: field for field in more}
    planes = [samples] if planar == 1 else [samples[..., [channel]] for channel in range(channels)]
    pieces = [
        piece
        for plane in planes
        for piece in (
            _tiles(plane, *tile)
            if tile
            else (plane[y : y + (rows or height)] for y in range(0, height, rows or height))
        )
    ]
    if predictor == 2:
        pieces = [np.diff(piece, axis=1, prepend=piece.dtype.type(0)) for piece in pieces]
    strips = [packed(piece.astype(f"{order}u{piece.itemsize}").tobytes(), compression) for piece in pieces]
    return tiff_of([field for tag, field in fields.items() if tag not in left_out], strips, order=order, **how)


def _tiles(plane, height, width):
    down, across = -plane.shape[0] % height, -plane.shape[1] % width
    whole = np.pad(plane, ((0, down), (0, across), (0, 0)), constant_values=99)
    for y in range(0, len(whole), height):
        for x in range(0, whole.shape[1], width):
            yield whole[y : y + height, x : x + width]


# Colour profiles


def profile(space, **tags):
    """A display profile from the contents of its tags."""
    offset = 128 + 4 + 12 * len(tags)
    table, contents = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", offset + len(contents), len(content))
        contents += content
    size = 128 + len(table) + len(contents)
    header = struct.pack(">I4sI4s4s4s12x4s", size, b"\0" * 4, 0x02400000, b"mntr", space, b"XYZ ", b"acsp")
    return header + bytes(28) + struct.pack(">III", 63190, 65536, 54061) + bytes(48) + table + contents


def _xyz(x, y, z):
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(value * 65536) for value in (x, y, z)))


def _gamma(exponent):
    return b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(exponent * 256))


def swapped_profile(**more):
    """Colours like sRGB's, with red and green exchanged; and the contents of further tags."""
    curve = _gamma(2.2)
    return profile(
        b"RGB ",
        **more,
        wtpt=_xyz(0.9642, 1, 0.8249),
        rXYZ=_xyz(0.3851, 0.7169, 0.0971),
        gXYZ=_xyz(0.4361, 0.2225, 0.0139),
        bXYZ=_xyz(0.1431, 0.0606, 0.7141),
        rTRC=curve,
        gTRC=curve,
        bTRC=curve,
    )


def linear_grey_profile():
    """Greys whose samples are proportional to light."""
    return profile(b"GRAY", wtpt=_xyz(0.9642, 1, 0.8249), kTRC=_gamma(1))
