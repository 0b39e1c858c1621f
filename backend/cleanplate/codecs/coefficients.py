"""The quantised coefficients of a JPEG, in and out.

libjpeg does it, as the wheel of jpeglib (extra `jpeg`) brings it. Its C functions are called without jpeglib's Python
side, which writes what it reads into the folder for temporary files, decodes it twice and keeps state for the process.
"""

import ctypes
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from cleanplate.codecs import jpeg
from cleanplate.codecs.jpeg import BLOCK
from cleanplate.codecs.parts import Part
from cleanplate.domain.image import Size
from cleanplate.errors import SpliceError

Blocks: TypeAlias = npt.NDArray[np.int16]
"""(rows, columns, 8, 8), the quantised coefficients of one component; in a block the frequency grows downwards and to
the right."""

MISSING: Final = "lossless copies of JPEGs need jpeglib: pip install 'cleanplate[jpeg]'"

_LIBRARY: Final = "cjpeglib/cjpeglib_turbo210.*"
_FUNCTIONS: Final = ("read_jpeg_markers", "read_jpeg_dct", "write_jpeg_dct")
_MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - only ever a private folder in it
_MEMORY_FILES: Final = Path("/proc/self/fd")
_MAX_COMPONENTS: Final = 4
_COLOUR: Final = 3
_GREY_SPACE, _COLOUR_SPACE = 1, 3
_AS_SET: Final = ctypes.c_short(-1)
_OPTIMISED: Final = ctypes.c_uint(1 << 6)
_ON: Final = ctypes.c_uint(0xFFFFFFFF)


def blocks_from_parts(parts: Sequence[Part]) -> tuple[Blocks, ...]:
    """The blocks of each component, as stored: not turned upright.

    Args:
        parts: of a JPEG that Pillow decodes and that is within the limits: its size is taken at its word here.

    Raises:
        SpliceError: libjpeg is not installed or cannot read the file.
    """
    grids = jpeg.frame(parts).grids
    with _file_in_memory(jpeg.essential(parts)) as (_, path):
        # A header that libjpeg refuses would crash the second function, so it is tried with the first.
        if not _library().read_jpeg_markers(path, ctypes.create_string_buffer(1)):
            raise SpliceError("libjpeg cannot read the JPEG's header")
        blocks = tuple(np.zeros((grid.height, grid.width, BLOCK, BLOCK), dtype=np.int16) for grid in grids)
        if not _library().read_jpeg_dct(path, *_pointers(blocks), None, None):
            raise SpliceError("libjpeg cannot read the JPEG's coefficients")
    return blocks


def scan_from_blocks(blocks: Sequence[Blocks], *, size: Size, factors: Sequence[tuple[int, int]]) -> bytes:
    """Compress blocks into one scan, behind Huffman tables made for it. The same blocks always give the same bytes.

    Args:
        blocks: of one component (grey) or three.
        size: the image's.
        factors: (across, down) of each component.

    Raises:
        SpliceError: libjpeg is not installed, or a baseline JPEG cannot hold such blocks.
    """
    blocks = [np.ascontiguousarray(component, dtype=np.int16) for component in blocks]
    sides = [side for component in blocks for side in component.shape[:2]]
    sampling = [factor for across, down in factors for factor in (down, across)]
    with _file_in_memory() as (file, path):
        written = _library().write_jpeg_dct(
            None,
            path,
            *_pointers(blocks),
            _ints(size.height, size.width),
            _ints(*sides),
            _ints(*sampling),
            _COLOUR_SPACE if len(blocks) == _COLOUR else _GREY_SPACE,
            len(blocks),
            None,
            _AS_SET,
            None,
            0,
            None,
            None,
            None,
            _OPTIMISED,
            _ON,
        )
        if not written:
            raise SpliceError("libjpeg cannot write the JPEG's coefficients")
        parts = jpeg.walk(file.read())
        return b"".join(part.whole for part in parts if part.kind in {"DHT", "SOS", jpeg.SCAN})


@cache
def _library() -> ctypes.CDLL:
    package = find_spec("jpeglib")
    folders = (package and package.submodule_search_locations) or []
    found = [library for folder in folders for library in Path(folder).glob(_LIBRARY)]
    if not found:
        raise SpliceError(MISSING)
    try:
        library = ctypes.CDLL(str(found[0]))
        for function in _FUNCTIONS:
            getattr(library, function)
    except (OSError, AttributeError) as error:
        raise SpliceError("the jpeglib that is installed cannot be used") from error
    return library


@contextmanager
def _file_in_memory(content: bytes = b"") -> Iterator[tuple[IO[bytes], bytes]]:
    """A file and a path to it, for libjpeg knows paths only. No original may lie on a disk.

    Where the system has no such files, it is one in a private folder, in memory if there is a place, and soon gone.
    """
    if hasattr(os, "memfd_create") and _MEMORY_FILES.is_dir():
        with os.fdopen(os.memfd_create("jpeg"), "w+b") as file:
            yield _filled(file, content), os.fsencode(_MEMORY_FILES / str(file.fileno()))
        return
    in_memory = _MEMORY_FOLDER if os.access(_MEMORY_FOLDER, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        path = Path(folder, "jpeg")
        with path.open("w+b") as file:
            yield _filled(file, content), os.fsencode(path)


def _filled(file: IO[bytes], content: bytes) -> IO[bytes]:
    file.write(content)
    file.flush()
    file.seek(0)
    return file


def _pointers(blocks: Sequence[Blocks]) -> list[ctypes.c_void_p | None]:
    absent = [None] * (_MAX_COMPONENTS - len(blocks))
    return [*(component.ctypes.data_as(ctypes.c_void_p) for component in blocks), *absent]


def _ints(*values: int) -> ctypes.Array[ctypes.c_int]:
    return (ctypes.c_int * len(values))(*values)
