"""Holes in images of which it is known what was in them: photographs that packages bring along, and drawn scenes.

A hole is never made in what was outlined as an object, because nobody could know what it looked like: it lies on the
ground, the sky, a wall, where the right fill is about what was there. Thin things were not outlined, so a hole may cut
through a mast, a tripod or a flag. Every case follows from its name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import exp, log, sqrt
from types import MappingProxyType
from typing import Final, TypeAlias

import cv2
import numpy as np
from draw_samples import Canvas, CarFromTheSide, Person
from fill_scenes import SCENES, scene
from mask_subjects import Subject, photograph, photographed

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, size_of

Random: TypeAlias = np.random.Generator

PHOTOGRAPHS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "astronaut": "skimage",
        "brick": "skimage",
        "camera": "skimage",
        "chelsea": "skimage",
        "china": "sklearn",
        "coffee": "skimage",
        "flower": "sklearn",
        "grass": "skimage",
        "gravel": "skimage",
        "ihc": "skimage",
        "moon": "skimage",
        "motorcycle_left": "skimage",
        "rocket": "skimage",
    }
)
GROUND: Final = frozenset({"chelsea: cat"})
"""Outlined, but so large that holes are made in it."""

MORE_OBJECTS: Final[Mapping[str, tuple[Box, ...]]] = MappingProxyType(
    {"motorcycle_left": (Box(120, 100, 680, 440),), "moon": (Box(70, 40, 180, 140),)}
)
"""What nobody outlined for the segmenters."""

LEAST_SHARE: Final = 0.01
LARGEST_SHARE: Final = 0.09
SHRUNK: Final = 0.85
PLACES_TRIED: Final = 300
OUTSIDE: Final = 0.15
"""So much of a shape's width or height may lie beyond the image's border: people walk out of pictures."""

AWAY_PX: Final = 4
STENCIL_PX: Final = 400

SMALL_GROUNDS: Final = ("astronaut", "china", "coffee", "bricks")


@dataclass(frozen=True, eq=False)
class Case:
    """One hole.

    Attributes:
        name: the ground and the shape.
        group: `photograph` or `drawn`, with holes of 1 to 9 %; `small`: thin or tiny holes in either.
        image: (H, W, 3), with nothing missing: the truth.
        hole: (H, W).
        objects: (H, W), where no hole may be.
    """

    name: str
    group: str
    image: RgbImage
    hole: Mask
    objects: Mask


def cases() -> tuple[Case, ...]:
    """Every case, in a fixed order."""
    return (*_of("photograph", PHOTOGRAPHS), *_of("drawn", SCENES), *_small())


def blob(random: Random) -> Mask:
    """A round thing with bumps, as a brush leaves it."""
    rows, columns = np.mgrid[-1 : 1 : STENCIL_PX * 1j, -1 : 1 : STENCIL_PX * 1j]
    angle = np.arctan2(rows, columns * random.uniform(0.7, 1.3))
    edge = 0.7 + sum(random.uniform(-0.09, 0.09) * np.sin(wave * angle + random.uniform(0, 7)) for wave in (2, 3, 4, 5))
    return np.hypot(rows, columns) < edge


def rectangle(random: Random) -> Mask:
    """A box, as a licence plate or a sign has it."""
    aspect = random.uniform(0.6, 2.4)
    return np.ones((round(STENCIL_PX / sqrt(aspect)), round(STENCIL_PX * sqrt(aspect))), dtype=np.bool_)


def silhouette(random: Random) -> Mask:
    """A passer-by or a car, with its shadow."""
    canvas = Canvas(STENCIL_PX, STENCIL_PX, seed=int(random.integers(1 << 30)))
    white = (255, 255, 255)
    if random.random() < 2 / 3:
        person = Person(170, 380, 360, white, white, white, white, bag=True, hat=random.random() < 1 / 2)
        person.draw(canvas)
    else:
        CarFromTheSide(200, 300, 350, white).draw(canvas)
    seen = (canvas.finished(grain=0, warmth=0) > 3).any(axis=2)  # noqa: PLR2004 - fainter shadow is no shadow
    return np.asarray(cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0)


def wire(random: Random) -> Mask:
    """A cable across the picture, sagging a little."""
    stencil = np.zeros((STENCIL_PX, 2 * STENCIL_PX), dtype=np.uint8)
    across = np.linspace(0, 1, 50)
    drop = random.uniform(0.1, 0.9) * across + 0.2 * across * (1 - across)
    points = np.stack([across * 2 * STENCIL_PX, (drop * 0.9 + 0.02) * STENCIL_PX], axis=1)
    cv2.polylines(stencil, [points.round().astype(np.int32)], isClosed=False, color=1, thickness=5)
    return stencil > 0


def writing(random: Random) -> Mask:
    """A watermark."""
    stencil = np.zeros((STENCIL_PX // 4, 2 * STENCIL_PX), dtype=np.uint8)
    text = "".join(chr(ord("A") + int(number)) for number in random.integers(26, size=12))
    cv2.putText(stencil, text, (10, 75), cv2.FONT_HERSHEY_DUPLEX, 2.4, 1, 7)
    return stencil > 0


def specks(random: Random) -> Mask:
    """Dust on the sensor."""
    stencil = np.zeros((STENCIL_PX, STENCIL_PX), dtype=np.uint8)
    for x, y in random.integers(20, STENCIL_PX - 20, size=(9, 2)):
        cv2.circle(stencil, (int(x), int(y)), int(random.integers(7, 15)), 1, thickness=-1)
    return stencil > 0


SHAPES: Final[tuple[Callable[[Random], Mask], ...]] = (blob, rectangle, silhouette)
SMALL_SHAPES: Final[Mapping[Callable[[Random], Mask], float]] = MappingProxyType(
    {wire: 0.006, writing: 0.006, specks: 0.003}
)
"""And how much of the image they cover."""


def placed(shape: Mask, share: float, objects: Mask, random: Random) -> Mask | None:
    """The shape so large that it covers *share* of the image, somewhere on the ground; None if there is no room."""
    height, width = objects.shape
    scale = sqrt(share * height * width / shape.sum())
    size = max(round(shape.shape[1] * scale), 2), max(round(shape.shape[0] * scale), 2)
    stamp = cv2.resize(shape.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 1 / 3
    margin_x, margin_y = round(OUTSIDE * size[0]), round(OUTSIDE * size[1])
    if size[0] > width + 2 * margin_x or size[1] > height + 2 * margin_y:
        return None
    for _ in range(PLACES_TRIED):
        left = int(random.integers(-margin_x, width - size[0] + margin_x + 1))
        top = int(random.integers(-margin_y, height - size[1] + margin_y + 1))
        hole = np.zeros_like(objects)
        rows, columns = slice(max(top, 0), top + size[1]), slice(max(left, 0), left + size[0])
        seen = hole[rows, columns]
        seen[:] = stamp[rows.start - top :, columns.start - left :][: seen.shape[0], : seen.shape[1]]
        if not (hole & objects).any():
            return hole
    return None


def _of(group: str, grounds: Iterable[str]) -> Iterator[Case]:
    for ground in grounds:
        for shape in SHAPES:
            random = _random(ground, shape.__name__)
            share = exp(random.uniform(log(LEAST_SHARE), log(LARGEST_SHARE)))
            yield _case(group, ground, shape, share)


def _small() -> Iterator[Case]:
    for ground in SMALL_GROUNDS:
        for shape, share in SMALL_SHAPES.items():
            yield _case("small", ground, shape, share)


def _case(group: str, ground: str, shape: Callable[[Random], Mask], share: float) -> Case:
    image = _image(ground)
    # A cable or a watermark runs across everything; other holes leave alone what stands there.
    objects = np.zeros(image.shape[:2], dtype=np.bool_) if group == "small" else _objects(ground)
    random = _random(shape.__name__, ground)
    stencil = shape(random)
    least = SHRUNK * min(share, LEAST_SHARE)
    while share >= least:
        hole = placed(stencil, share, objects, random)
        if hole is not None and hole.mean() >= least:
            return Case(f"{ground}: {shape.__name__}", group, image, hole, objects)
        share *= SHRUNK
    raise ValueError(f"{ground} has no room for a {shape.__name__}")


def _random(*words: object) -> Random:
    return np.random.default_rng([*repr(words).encode()])


@cache
def _outlined() -> tuple[Subject, ...]:
    return photographed()


@cache
def _image(ground: str) -> RgbImage:
    return photograph(PHOTOGRAPHS[ground], ground) if ground in PHOTOGRAPHS else scene(ground)


@cache
def _objects(ground: str) -> Mask:
    """What stands on a ground, and a few pixels around it."""
    image = _image(ground)
    objects = np.zeros(image.shape[:2], dtype=np.uint8)
    for subject in _outlined():
        if subject.name.startswith(f"{ground}: ") and subject.name not in GROUND:
            objects |= subject.truth.astype(np.uint8)
    for box in MORE_OBJECTS.get(ground, ()):
        objects[box.slices(size_of(image))] = 1
    return np.asarray(cv2.dilate(objects, np.ones((2 * AWAY_PX + 1,) * 2, np.uint8)) > 0)
