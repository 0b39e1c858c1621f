"""Drawn street scenes with objects whose shadows are known, and others without a shadow that look as if they had one.

Light is added up in linear values, as in a camera, and rounded, compressed and made noisy only at the end.
"""

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.image import Mask, RgbImage

WIDTH, HEIGHT = 480, 360


class Kind(StrEnum):
    """What a scene shows beside its object."""

    HARD = "hard shadow"
    SOFT = "soft shadow"
    FAINT = "faint shadow"
    NOTHING = "no shadow"
    PATCH = "dark patch that does not touch the object"
    NEIGHBOUR = "dark object beside it"
    STRIPE = "dark stripe through its feet"
    DARK_GROUND = "dark ground below a light wall"


WITH_SHADOW = (Kind.HARD, Kind.SOFT, Kind.FAINT)
WITHOUT_SHADOW = tuple(kind for kind in Kind if kind not in WITH_SHADOW)


@dataclass(frozen=True, eq=False)
class Scene:
    """(H, W, 3) and two (H, W): the image, its object, and the object's shadow; nothing if it casts none."""

    image: RgbImage
    mask: Mask
    shadow: Mask


Light = npt.NDArray[np.float64]


def draw(kind: Kind, seed: int) -> Scene:
    """A scene of this kind; each seed another ground, object, light and noise."""
    random = np.random.default_rng([list(Kind).index(kind), seed])
    light = _ground(random)
    x, y = random.uniform(170, 310), random.uniform(180, 280)
    outline = _outline(random, x, y)
    dimming = np.ones((HEIGHT, WIDTH, 3))
    shadow = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    if kind in WITH_SHADOW:
        cast = _cast(outline, y, slope=random.uniform(-1.6, 1.6), length=random.uniform(0.3, 0.9))
        blur_px = random.uniform(3, 7) if kind is Kind.SOFT else random.uniform(0.5, 1.5)
        strength = random.uniform(0.18, 0.3) if kind is Kind.FAINT else random.uniform(0.4, 0.75)
        share = cv2.GaussianBlur(cast.astype(np.float64), (0, 0), blur_px)
        tint = np.array([1.0, 0.97, 0.88 + random.uniform(-0.04, 0.08)])
        dimming = 1 - strength * share[..., np.newaxis] * tint
        shadow = (share > 0.5) & ~outline
    light = _with_decoy(kind, light, random, x, y) * dimming
    light = np.where(outline[..., np.newaxis], _object(random, y), light)
    return Scene(_photographed(light, random), outline, shadow)


def _noise(random: np.random.Generator, side_px: float) -> Light:
    """(H, W), rough at this scale, with a standard deviation of 1."""
    small = random.normal(size=(max(round(HEIGHT / side_px), 2), max(round(WIDTH / side_px), 2)))
    stretched = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.asarray(stretched / stretched.std())


def _ground(random: np.random.Generator) -> Light:
    """Asphalt, sand, grass or paving, lit a little unevenly."""
    colour = random.choice([[0.30, 0.30, 0.31], [0.42, 0.36, 0.28], [0.16, 0.25, 0.08], [0.45, 0.43, 0.40]])
    grain = random.uniform(0.02, 0.14) * _noise(random, 1.5) + random.uniform(0.02, 0.08) * _noise(random, 9)
    relief = grain + random.uniform(0, 0.08) * _noise(random, 140)
    if random.random() < 0.35:
        side_px = int(random.integers(18, 40))
        rows, columns = np.indices((HEIGHT, WIDTH)) // side_px
        relief = relief + 0.08 * random.normal(size=(HEIGHT, WIDTH))[rows, columns]
        ys, xs = np.indices((HEIGHT, WIDTH)) % side_px
        relief = np.where((ys == 0) | (xs == 0), relief - 0.35, relief)
    return np.exp(relief)[..., np.newaxis] * colour


def _outline(random: np.random.Generator, x: float, y: float) -> Mask:
    """Somebody or something that stands at (x, y)."""
    canvas = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    height = random.uniform(70, 150)
    what = random.integers(3)
    if what == 0:
        head, wide = 0.13 * height, 0.16 * height
        cv2.circle(canvas, (round(x), round(y - height + head)), round(head), 1, -1)
        cv2.ellipse(canvas, (round(x), round(y - 0.58 * height)), (round(wide), round(0.28 * height)), 0, 0, 360, 1, -1)
        for side in (-1, 1):
            foot = (round(x + side * 0.12 * height), round(y))
            cv2.line(canvas, (round(x + side * 0.06 * height), round(y - 0.45 * height)), foot, 1, round(0.1 * height))
    elif what == 1:
        half, tall = 0.75 * height, 0.45 * height
        cv2.rectangle(canvas, (round(x - half), round(y - 0.6 * tall)), (round(x + half), round(y - 4)), 1, -1)
        roof = [(-0.5, -0.55), (-0.3, -1), (0.3, -1), (0.55, -0.55)]
        cv2.fillPoly(canvas, [np.array([(round(x + half * a), round(y + tall * b)) for a, b in roof])], 1)
        for side in (-0.6, 0.6):
            cv2.circle(canvas, (round(x + side * half), round(y - 6)), round(0.22 * tall), 1, -1)
    else:
        cv2.rectangle(
            canvas, (round(x - 0.15 * height), round(y - height)), (round(x + 0.15 * height), round(y)), 1, -1
        )
    return canvas.astype(np.bool_)


def _cast(outline: Mask, y: float, *, slope: float, length: float) -> Mask:
    """The outline laid down on the ground at its feet: away from the viewer, or towards them."""
    towards = 1 if slope > 0 else -0.35
    matrix = np.array([[1.0, slope * length, -slope * length * y], [0.0, -towards * length, y + towards * length * y]])
    laid = cv2.warpAffine(outline.view(np.uint8), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    return np.asarray(laid, dtype=np.bool_)


def _object(random: np.random.Generator, y: float) -> Light:
    """Clothes or paint with folds; darker towards the bottom."""
    colour = random.uniform(0.03, 0.7, 3)
    folds = 0.2 * _noise(random, 25) + 0.08 * _noise(random, 3)
    rows = np.arange(HEIGHT)[:, np.newaxis]
    return np.asarray(np.exp(folds - 0.3 * np.clip((rows - y + 80) / 80, 0, 1))[..., np.newaxis] * colour)


def _with_decoy(kind: Kind, light: Light, random: np.random.Generator, x: float, y: float) -> Light:
    darker = light * random.uniform(0.3, 0.7)
    where = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    if kind is Kind.PATCH:
        centre = (round(x + random.choice([-1, 1]) * random.uniform(100, 130)), round(y + random.uniform(15, 50)))
        cv2.ellipse(where, centre, (round(random.uniform(20, 40)), round(random.uniform(8, 16))), 0, 0, 360, 1, -1)
    elif kind is Kind.NEIGHBOUR:
        side = random.choice([-1, 1])
        left, right = sorted((x + side * random.uniform(5, 25), x + side * random.uniform(60, 100)))
        top = round(y - random.uniform(30, 140))
        cv2.rectangle(where, (round(left), top), (round(right), round(y + random.uniform(-8, 12))), 1, -1)
        darker = np.exp(0.25 * _noise(random, 20))[..., np.newaxis] * random.uniform(0.02, 0.12, 3)
    elif kind is Kind.STRIPE:
        cv2.line(where, (0, round(y + random.uniform(-20, 20))), (WIDTH, round(y + random.uniform(-10, 10))), 1, 14)
    elif kind is Kind.DARK_GROUND:
        where[: round(y - random.uniform(5, 40))] = 1
        darker = light * random.uniform(1.6, 2.6)
    return np.where(where[..., np.newaxis].astype(np.bool_), darker, light)


def _photographed(light: Light, random: np.random.Generator) -> RgbImage:
    exposed = light * random.uniform(0.7, 1.3) + random.normal(scale=0.004, size=light.shape)
    image = np.rint(255 * np.clip(exposed, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    _, file = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(75, 96))])
    return np.ascontiguousarray(cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1])
