"""A JPEG's copy in which only what is under the mask is compressed anew; every other coefficient stays as it was.

A JPEG that is stored turned is turned upright by moving its coefficients, as lossless editors do: exchanging rows and
columns exchanges those of every block, and mirroring changes the signs of the odd cosines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.codecs import jpeg
from cleanplate.codecs.coefficients import Blocks, blocks_from_parts, scan_from_blocks
from cleanplate.codecs.colour import CONVERTED
from cleanplate.codecs.container import parts_of
from cleanplate.codecs.images import Picture
from cleanplate.codecs.jpeg import BLOCK, JpegTables
from cleanplate.codecs.turning import TURNS, Turn
from cleanplate.domain.image import Mask, RgbImage, Size, size_of
from cleanplate.domain.mask import require_fit
from cleanplate.errors import SpliceError

Cells: TypeAlias = npt.NDArray[np.bool_]
"""(rows, columns), True for a cell of a JPEG's grid."""

_Plane: TypeAlias = npt.NDArray[np.int32]
"""(cells, height, width), a component's samples in some cells."""

_GREY, _COLOUR = 1, 3
_MIDDLE: Final = 128
_LARGEST: Final = 1023
"""A baseline JPEG has no larger coefficients."""

_CELLS_AT_ONCE: Final = 4096
_REACH: Final = np.ones((3, 3), dtype=np.uint8)

# The factors as whole numbers: sums of their products then come out exactly, on every machine and in any order.
_COLOUR_BITS: Final = 16
_COLOUR_HALF: Final = (1 << 15) - 1  # pure blue is 255, not 256
_LUMA_CHROMA: Final = (
    ((19595, 38470, 7471), 0),
    ((-11058, -21710, 32768), _MIDDLE),
    ((32768, -27439, -5329), _MIDDLE),
)
_SCALE: Final = 1 << 13
_FREQUENCIES, _PLACES = np.mgrid[:BLOCK, :BLOCK]
_COSINES: Final = np.rint(
    _SCALE
    * np.cos((2 * _PLACES + 1) * _FREQUENCIES * np.pi / (2 * BLOCK))
    * np.where(_FREQUENCIES == 0, np.sqrt(1 / BLOCK), np.sqrt(2 / BLOCK))
)


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What a JPEG stores of its image, turned upright.

    Attributes:
        size: the image's.
        tables: how it was subsampled and quantised.
        blocks: of each component.
    """

    size: Size
    tables: JpegTables
    blocks: tuple[Blocks, ...]


class Difference(NamedTuple):
    """How the blocks of two JPEGs compare.

    Attributes:
        blocks_outside: how many are not in a cell that the mask covers.
        differing_blocks: how many of these have a coefficient that differs.
        blocks_touched: how many are in covered cells; they may differ.
    """

    blocks_outside: int
    differing_blocks: int
    blocks_touched: int


def spliced_jpeg(source: bytes, picture: Picture, mask: Mask) -> bytes:
    """The picture as a JPEG that has every coefficient of its source but those of the cells that the mask covers.

    Nothing else of the source is in it, and what the covered cells of the source held changes no bit of it.

    Args:
        source: the file the picture was read from.
        picture: what to show; outside the mask as it was read.
        mask: (H, W), upright: whole cells, and up to one pixel around them in which their chroma shows.

    Raises:
        SpliceError: The source's coefficients cannot be kept; the message says why.
        SizeMismatchError: The mask does not fit the picture.
    """
    require_fit(mask, size_of(picture.image))
    if CONVERTED in picture.container.notes:
        raise SpliceError("its colours were converted to sRGB")
    kept = coefficients_from_jpeg(source)
    cells = covered_cells(mask, kept.tables.mcu)
    _require_whole_cells(mask, cells, kept.tables.mcu)
    for index, at, blocks in _encoded(picture.image, cells, kept.tables):
        component = kept.blocks[index]
        inside = (at.rows < component.shape[0]) & (at.columns < component.shape[1])
        component[at.rows[inside], at.columns[inside]] = blocks[inside]
    scan = scan_from_blocks(kept.blocks, size=kept.size, factors=kept.tables.factors)
    return jpeg.file_of(kept.size, kept.tables, scan)


def coefficients_from_jpeg(content: bytes) -> Coefficients:
    """A JPEG's coefficients, turned upright as its EXIF says.

    Args:
        content: a file that was read before and found within the limits.

    Raises:
        SpliceError: They cannot be had, or not be turned.
    """
    parts = parts_of(content)
    frame = jpeg.frame(parts)
    if len(frame.components) not in {_GREY, _COLOUR}:
        raise SpliceError("its inks (CMYK) became colours (RGB)")
    if not jpeg.has_exact_tables(parts):
        raise SpliceError("it has unusual quantisation tables")
    if not jpeg.is_complete(parts, frame):
        raise SpliceError("it is a progressive JPEG that lacks some of its scans")
    turn = TURNS[jpeg.orientation(parts)]
    tables = jpeg.tables(parts, frame)
    if len(tables.factors) == _GREY:
        # The factors of a single component mean nothing.
        tables = replace(tables, factors=((1, 1),))
    size = frame.size
    if turn.transposed:
        tables, size = tables.transposed(), Size(size.height, size.width)
    cell = tables.mcu
    if (turn.from_right and size.width % cell.width) or (turn.from_bottom and size.height % cell.height):
        raise SpliceError("it is stored turned, and its sides are no whole cells")
    return Coefficients(size, tables, tuple(_turned(blocks, turn) for blocks in blocks_from_parts(parts)))


def covered_cells(mask: Mask, cell: Size) -> Cells:
    """The cells of which the mask covers every pixel; those at the right and bottom border may be cut off."""
    height, width = mask.shape
    rows, columns = -(-height // cell.height), -(-width // cell.width)
    padded = np.ones((rows * cell.height, columns * cell.width), dtype=np.bool_)
    padded[:height, :width] = mask
    return np.asarray(padded.reshape(rows, cell.height, columns, cell.width).all(axis=(1, 3)))


def difference(one: Coefficients, other: Coefficients, mask: Mask) -> Difference:
    """Compare two JPEGs outside the cells that the mask covers.

    If they were not subsampled and quantised alike, every block differs.
    """
    cells = covered_cells(mask, one.tables.mcu)
    alike = (one.size, one.tables) == (other.size, other.tables)
    differing = outside = blocks = 0
    for index, (mine, (across, down)) in enumerate(zip(one.blocks, one.tables.factors, strict=True)):
        rows, columns = mine.shape[:2]
        compared = ~cells.repeat(down, axis=0).repeat(across, axis=1)[:rows, :columns]
        differs = (mine != other.blocks[index]).any(axis=(2, 3)) & compared if alike else compared
        differing += int(np.count_nonzero(differs))
        outside += int(np.count_nonzero(compared))
        blocks += compared.size
    return Difference(outside, differing, blocks - outside)


def _turned(blocks: Blocks, turn: Turn) -> Blocks:
    if turn.transposed:
        blocks = blocks.transpose(1, 0, 3, 2)
    signs = np.array([1, -1] * (BLOCK // 2), dtype=np.int16)
    if turn.from_right:
        blocks = blocks[:, ::-1] * signs
    if turn.from_bottom:
        blocks = blocks[::-1] * signs[:, np.newaxis]
    return np.ascontiguousarray(blocks)


def _require_whole_cells(mask: Mask, cells: Cells, cell: Size) -> None:
    # A cell of which a part were left would show what is under the mask.
    height, width = mask.shape
    covered = cells.repeat(cell.height, axis=0).repeat(cell.width, axis=1)[:height, :width]
    reached = cv2.dilate(np.ascontiguousarray(covered).view(np.uint8), _REACH).view(np.bool_)
    if (mask & ~reached).any():
        raise SpliceError("the mask is not made of whole cells")


class _Places(NamedTuple):
    """Where blocks belong: the row and column of each."""

    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]


def _encoded(image: RgbImage, cells: Cells, tables: JpegTables) -> Iterator[tuple[int, _Places, Blocks]]:
    """A component's index, places, and the blocks that belong there, for a few thousand of the cells at a time."""
    cell = tables.mcu
    height, width = image.shape[:2]
    all_rows, all_columns = np.nonzero(cells)
    for start in range(0, all_rows.size, _CELLS_AT_ONCE):
        rows, columns = (places[start : start + _CELLS_AT_ONCE] for places in (all_rows, all_columns))
        # Beyond the border the last pixel is repeated.
        ys = np.minimum(_within(rows, cell.height), height - 1)
        xs = np.minimum(_within(columns, cell.width), width - 1)
        planes = _planes(image[ys[:, :, np.newaxis], xs[:, np.newaxis, :]], tables)
        components = zip(planes, tables.factors, tables.quantisation, strict=True)
        for index, (plane, (across, down), steps) in enumerate(components):
            grid = np.broadcast_arrays(
                _within(rows, down)[:, :, np.newaxis], _within(columns, across)[:, np.newaxis, :]
            )
            yield index, _Places(*grid), _quantised(plane, Size(across, down), steps)


def _within(cells: npt.NDArray[np.intp], side: int) -> npt.NDArray[np.intp]:
    """(cells, side), the places in each cell along one side."""
    return cells[:, np.newaxis] * side + np.arange(side)


def _planes(samples: npt.NDArray[np.uint8], tables: JpegTables) -> tuple[_Plane, ...]:
    """Each component at full resolution: red, green and blue, or luma and chroma, of which grey is the first."""
    red, green, blue = (samples[..., channel].astype(np.int32) for channel in range(3))
    if tables.rgb:
        return red, green, blue
    return tuple(
        (of_red * red + of_green * green + of_blue * blue + (middle << _COLOUR_BITS) + _COLOUR_HALF) >> _COLOUR_BITS
        for (of_red, of_green, of_blue), middle in _LUMA_CHROMA[: len(tables.factors)]
    )


def _quantised(plane: _Plane, factors: Size, steps: Sequence[int]) -> Blocks:
    """(cells, down, across, 8, 8) of a component's samples (cells, height, width), averaged down to its factors."""
    across, down = factors
    count, height, width = plane.shape
    shape = (count, down * BLOCK, height // (down * BLOCK), across * BLOCK, width // (across * BLOCK))
    averaged = np.rint(plane.reshape(shape).mean(axis=(2, 4)))
    blocks = (averaged - _MIDDLE).reshape(count, down, BLOCK, across, BLOCK).swapaxes(2, 3)
    transformed = _COSINES @ blocks @ _COSINES.T
    quantised = np.rint(transformed / (np.reshape(steps, (BLOCK, BLOCK)) * float(_SCALE**2)))
    return np.asarray(np.clip(quantised, -_LARGEST, _LARGEST), dtype=np.int16)
