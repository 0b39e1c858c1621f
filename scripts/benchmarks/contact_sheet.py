"""Contact sheets: every subject with its clicks and masks, to be looked at."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from cleanplate.domain.geometry import Point
from cleanplate.domain.image import Mask, RgbImage

CELL_PX: Final = 200
ROWS: Final = 10
TINT: Final = (255, 0, 160)
CLICK_COLOURS: Final = {True: (0, 255, 0), False: (255, 0, 0)}


def write_sheets(folder: Path, outcomes: Iterable[Any]) -> None:
    """Write one PNG per method and ten subjects; each row is the truth, the masks after each click, and the box's."""
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = tuple(outcomes)
    for method in dict.fromkeys(outcome.method for outcome in outcomes):
        rows = [_row(outcome) for outcome in outcomes if outcome.method == method]
        for start in range(0, len(rows), ROWS):
            sheet = np.vstack(rows[start : start + ROWS])
            path = folder / f"{method}-{start // ROWS + 1:02}.png"
            path.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def _row(outcome: Any) -> RgbImage:
    subject = outcome.subject
    values = [*outcome.overlaps, outcome.box_overlap]
    cells = [_cell(subject.image, subject.truth, (), subject.name)]
    for count, (mask, value) in enumerate(zip(outcome.masks, values, strict=True), start=1):
        is_box = count == len(values)
        points = () if is_box else outcome.clicks[:count]
        cells.append(_cell(subject.image, mask, points, f"{'box' if is_box else count}: {value:.2f}"))
    return np.hstack(cells)


def _cell(image: RgbImage, mask: Mask, points: tuple[Point, ...], text: str) -> RgbImage:
    scale = CELL_PX / max(image.shape[:2])
    tinted = image.astype(np.float32)
    tinted[mask] = 0.5 * tinted[mask] + 0.5 * np.array(TINT)
    edge = mask & ~(cv2.erode(mask.astype(np.uint8), np.ones((3, 3), dtype=np.uint8)) > 0)
    tinted[edge] = TINT
    small = cv2.resize(tinted, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    for point in points:
        place = round((point.x + 0.5) * scale), round((point.y + 0.5) * scale)
        cv2.circle(small, place, 3, CLICK_COLOURS[point.positive], thickness=-1)
    cell = np.zeros((CELL_PX + 16, CELL_PX, 3), dtype=np.uint8)
    cell[: small.shape[0], : small.shape[1]] = small
    cv2.putText(cell, text, (2, CELL_PX + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1)
    return cell
