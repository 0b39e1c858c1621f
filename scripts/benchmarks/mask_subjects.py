"""The things to segment: outlined objects in photographs that packages bring along, and composites of them.

The outlines in `masks_set/` were drawn by hand for this benchmark. The photographs stay in their packages. Nothing
of the segmenter was fitted to `held_out` photographs and the composites made of their objects.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from cleanplate.domain.image import Mask, RgbImage

OUTLINES: Final = Path(__file__).parent / "masks_set"
FOLDERS: Final[Mapping[str, str]] = {"skimage": "data", "sklearn": "datasets/images"}
COMPOSITES: Final = 24
SEED: Final = 20240229


@dataclass(frozen=True, eq=False)
class Subject:
    """One object in one image, with its true outline."""

    name: str
    kind: str
    held_out: bool
    image: RgbImage
    truth: Mask


def photographed() -> tuple[Subject, ...]:
    """The outlined objects, in the order of their files."""
    return tuple(subject for path in sorted(OUTLINES.glob("*.json")) for subject in _subjects_of(path))


def composites(subjects: tuple[Subject, ...], *, seed: int = SEED) -> tuple[Subject, ...]:
    """Cut-outs of *subjects*, scaled, mirrored and soft at the edge, pasted on other photographs of the same half."""
    random = np.random.default_rng(seed)
    made = []
    for index in range(COMPOSITES):
        half = [subject for subject in subjects if subject.held_out == (index % 2 == 1)]
        pasted = half[int(random.integers(len(half)))]
        others = [other for other in half if other.image is not pasted.image]
        ground = others[int(random.integers(len(others)))]
        image, truth = _pasted(pasted, ground.image, random)
        made.append(Subject(f"{index:02} {pasted.name}", "composite", pasted.held_out, image, truth))
    return tuple(made)


def enlarged(subject: Subject, *, width: int, height: int) -> Subject:
    """The same object in an image of another size."""
    image = np.asarray(cv2.resize(subject.image, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    truth = cv2.resize(subject.truth.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return Subject(subject.name, subject.kind, subject.held_out, image, truth > 1 / 2)


@cache
def photograph(package: str, name: str) -> RgbImage:
    """A photograph that came along with a package; not to be written to."""
    decoded = cv2.imdecode(np.frombuffer(file_of(package, name).read_bytes(), dtype=np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[..., ::-1], dtype=np.uint8)


def file_of(package: str, name: str) -> Path:
    """The file of a photograph in its package, which need not be imported for it: that takes seconds."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed", name=package)
    (source,) = (Path(found.origin).parent / FOLDERS[package]).glob(f"{name}.??g")
    return source


def _subjects_of(path: Path) -> Iterator[Subject]:
    outlines: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    image = photograph(outlines["package"], outlines["photograph"])
    for name, rings in outlines["objects"].items():
        canvas = np.zeros(image.shape[:2], dtype=np.uint8)
        cv2.fillPoly(canvas, [np.array(ring, dtype=np.int32) for ring in rings], 1)
        yield Subject(f"{outlines['photograph']}: {name}", "real", outlines["held_out"], image, canvas > 0)


def _pasted(subject: Subject, ground: RgbImage, random: np.random.Generator) -> tuple[RgbImage, Mask]:
    rows, columns = np.flatnonzero(subject.truth.any(axis=1)), np.flatnonzero(subject.truth.any(axis=0))
    cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    colours, alpha = subject.image[cut].astype(np.float32), subject.truth[cut].astype(np.float32)
    height, width = ground.shape[:2]
    scale = random.uniform(0.2, 0.6) * min(height, width) / max(alpha.shape)
    size = max(round(alpha.shape[1] * scale), 8), max(round(alpha.shape[0] * scale), 8)
    colours = cv2.resize(colours, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if random.random() < 1 / 2:
        colours, alpha = colours[:, ::-1], alpha[:, ::-1]
    top, left = int(random.integers(height - size[1])), int(random.integers(width - size[0]))
    canvas, soft = ground.astype(np.float32), np.zeros((height, width), dtype=np.float32)
    canvas[top : top + size[1], left : left + size[0]] = colours
    soft[top : top + size[1], left : left + size[0]] = alpha
    truth = soft > 1 / 2
    edge = cv2.GaussianBlur(soft, (0, 0), random.uniform(0.6, 1.5))[..., np.newaxis] * soft[..., np.newaxis]
    return np.clip(edge * canvas + (1 - edge) * ground, 0, 255).round().astype(np.uint8), truth
