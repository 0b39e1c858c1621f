"""Contact sheets: every case with what each inpainter made of it, to be looked at."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box

CELL_PX: Final = 300
LINE_PX: Final = 16
ROWS: Final = 6
TINT: Final = (255, 0, 160)
SURROUNDINGS: Final = 0.6
"""How much is shown around a hole, as a share of its longer side."""


def write_sheets(folder: Path, outcomes: Iterable[Any]) -> None:
    """Write one PNG per six cases; each row is the hole, the truth and the fills, seen from near."""
    folder.mkdir(parents=True, exist_ok=True)
    by_case: dict[str, list[Any]] = {}
    for outcome in outcomes:
        by_case.setdefault(outcome.case.name, []).append(outcome)
    rows = [_row(several) for several in by_case.values()]
    for start in range(0, len(rows), ROWS):
        write_png(folder / f"fills-{start // ROWS + 1:02}.png", _stacked(rows[start : start + ROWS]))


def write_png(path: Path, image: RgbImage) -> None:
    """Write an image."""
    path.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def cell(image: RgbImage, text: str, side_px: int = CELL_PX) -> RgbImage:
    """A square that holds the image as large as it fits, and a line of text below."""
    scale = side_px / max(image.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)[:side_px, :side_px]
    square = np.zeros((side_px + LINE_PX, side_px, 3), dtype=np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    cv2.putText(square, text, (2, side_px + LINE_PX - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    return square


def tinted(image: RgbImage, mask: Mask) -> RgbImage:
    """The image with its mask shown."""
    shown = image.copy()
    shown[mask] = (0.4 * image[mask] + 0.6 * np.array(TINT)).astype(np.uint8)
    return shown


def _row(outcomes: list[Any]) -> RgbImage:
    case = outcomes[0].case
    window = _near(case.hole).slices(size_of(case.hole))
    cells = [
        cell(tinted(case.image, case.hole)[window], f"{case.name} {case.hole.mean():.1%}"),
        cell(case.image[window], "truth"),
    ]
    for outcome in outcomes:
        sure = "" if outcome.confidence is None else f" sure {outcome.confidence:.2f}"
        measured = outcome.figures
        text = f"{outcome.inpainter} {measured.psnr_db:.1f} dB tex {measured.texture:.2f}{sure}"
        cells.append(cell(outcome.image[window], text))
    return np.hstack(cells)


def _near(hole: Mask) -> Box:
    box = bounding_box(hole)
    if box is None:
        raise ValueError("there is no hole to look at")
    return box.grown(SURROUNDINGS * max(box.width, box.height))


def _stacked(rows: list[RgbImage]) -> RgbImage:
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])
