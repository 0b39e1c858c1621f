"""Drawn grounds to make holes in: nobody stands there, and everything is drawn from the scene's own seed."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from draw_samples import Canvas, draw_crossing, draw_houses, draw_street, draw_tree
from PIL import Image, ImageDraw, ImageFont

from cleanplate.domain.image import RgbImage

Floats: TypeAlias = npt.NDArray[np.float32]
Random: TypeAlias = np.random.Generator

WIDTH: Final = 640
HEIGHT: Final = 448
TEXT: Final = (
    "the plate is wound back to the first mark and exposed once more with nobody on the set so that what stood "
    "behind the actor is known line by line and may be laid over whatever has to go"
)


def street(_random: Random) -> RgbImage:
    """Houses with shops, a pavement of slabs, a road."""
    canvas = Canvas(WIDTH, HEIGHT, seed=51)
    canvas.gradient(0, 200, (112, 164, 214), (222, 230, 232))
    canvas.clouds(150, 0.8)
    draw_houses(canvas, top=60, ground=262, floor_height=78)
    draw_street(canvas, pavement=260, kerb=360)
    return canvas.finished(grain=2.4, warmth=0.02)


def crossing(_random: Random) -> RgbImage:
    """A zebra crossing in front of a row of houses and a tree."""
    canvas = Canvas(WIDTH, HEIGHT, seed=52)
    canvas.gradient(0, 150, (164, 178, 190), (226, 224, 218))
    draw_houses(canvas, top=20, ground=172, floor_height=52)
    draw_street(canvas, pavement=170, kerb=215)
    draw_tree(canvas, x=90, ground=212, height=190)
    draw_crossing(canvas, top=240, bottom=HEIGHT)
    return canvas.finished(grain=2.4, warmth=0)


def facade(random: Random) -> RgbImage:
    """A plastered wall with rows of windows, all alike but for their curtains."""
    canvas = np.full((HEIGHT, WIDTH, 3), (198, 178, 150), np.float32)
    canvas += 9 * _noise(random, HEIGHT, WIDTH, coarsest=6)[..., np.newaxis]
    for top in range(12, HEIGHT - 70, 90):
        canvas[top + 72 : top + 76] *= 0.86
        for left in range(26, WIDTH - 40, 76):
            canvas[top - 5 : top + 65, left - 5 : left + 45] = (232, 226, 214)
            glass = canvas[top : top + 60, left : left + 40]
            glass[:] = np.array((62, 80, 98)) * np.linspace(1.35, 0.8, 60)[:, np.newaxis, np.newaxis]
            for curtain in (slice(0, 11), slice(29, 40)):
                glass[:, curtain] = np.array((214, 208, 196)) * random.uniform(0.85, 1.05)
            glass[20:23] = glass[:, 19:21] = (226, 222, 212)
            canvas[top + 65 : top + 70, left - 8 : left + 48] = (150, 136, 116)
    return _photographed(random, canvas)


def bricks(random: Random) -> RgbImage:
    """Running bond: no two bricks of quite the same red."""
    length, height, joint = 44, 18, 3
    canvas = np.full((HEIGHT, WIDTH, 3), (176, 168, 158), np.float32)
    for row, top in enumerate(range(0, HEIGHT, height + joint)):
        for left in range(-(row % 2) * (length + joint) // 2, WIDTH, length + joint):
            colour = np.array((158, 78, 58)) * random.uniform(0.78, 1.15) + random.normal(0, 4, 3)
            canvas[top : top + height, max(left, 0) : max(left + length, 0)] = colour
    canvas += 12 * _noise(random, HEIGHT, WIDTH, coarsest=4)[..., np.newaxis]
    return _photographed(random, canvas)


def horizon(random: Random) -> RgbImage:
    """Sky that brightens towards wooded hills, and a mown field in front of them."""
    field_top = 290
    rows = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, np.newaxis, np.newaxis]
    canvas = np.array((86, 138, 206)) * (1 - rows) + np.array((226, 232, 236)) * rows + np.zeros((1, WIDTH, 1))
    skyline = 245 - 20 * np.sin(np.linspace(0, 5, WIDTH)) - 6 * np.abs(_noise(random, 1, WIDTH, coarsest=5)[0])
    below = np.arange(HEIGHT)[:, np.newaxis] - skyline[np.newaxis]
    woods = np.array((58, 84, 60)) + 26 * _noise(random, HEIGHT, WIDTH, coarsest=3)[..., np.newaxis]
    field = np.array((126, 142, 74)) + 20 * _noise(random, HEIGHT, WIDTH, coarsest=3, stretch=4)[..., np.newaxis]
    canvas = np.where((below > 0)[..., np.newaxis], woods, canvas)
    canvas[field_top:] = field[field_top:]
    return _photographed(random, canvas)


def fence(random: Random) -> RgbImage:
    """Diamonds of wire before leaves that are out of focus."""
    leaves = 1.6 * _noise(random, HEIGHT, WIDTH, coarsest=6)[..., np.newaxis]
    canvas = np.array((78, 108, 62)) + leaves * np.array((30, 34, 24))
    canvas = np.asarray(cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 4))
    for start in range(-HEIGHT, WIDTH + HEIGHT, 40):
        for end in (start + HEIGHT, start - HEIGHT):
            cv2.line(canvas, (start + 1, 1), (end + 1, HEIGHT + 1), (44, 52, 46), 3, cv2.LINE_AA)
            cv2.line(canvas, (start, 0), (end, HEIGHT), (186, 190, 188), 2, cv2.LINE_AA)
    return _photographed(random, canvas)


def letter(random: Random) -> RgbImage:
    """Lines of print on paper that is not quite white."""
    paper = Image.new("RGB", (WIDTH, HEIGHT), (236, 230, 216))
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(size=18)
    words = TEXT.split()
    for top in range(18, HEIGHT - 20, 27):
        line = " ".join(words[int(number)] for number in random.integers(len(words), size=11))
        pen.text((34, top), line, fill=(48, 44, 52), font=font)
    shadow = 5 * _noise(random, HEIGHT, WIDTH, coarsest=7)[..., np.newaxis]
    return _photographed(random, np.asarray(paper, np.float32) + shadow)


def tiles(random: Random) -> RgbImage:
    """A floor of two colours of tiles that runs to a skirting board and a papered wall."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    wall = 130
    depth = 60 / np.maximum(rows - wall + 40, 1)
    across, along = (columns - WIDTH / 2) * depth / 24, 40 * depth
    odd = (np.floor(across) + np.floor(along)) % 2 > 0
    floor = np.where(odd[..., np.newaxis], (206, 198, 184), (124, 92, 78))
    floor = floor + 8 * _noise(random, HEIGHT, WIDTH, coarsest=4)[..., np.newaxis]
    joint = (np.minimum(across % 1, along % 1) < 0.04)[..., np.newaxis]  # noqa: PLR2004 - a share of a tile
    canvas = np.where(joint, 96, floor)
    stripes = np.where((np.arange(WIDTH) // 9 % 3 == 0)[:, np.newaxis], (196, 204, 190), (222, 222, 206))
    canvas = np.where((rows < wall)[..., np.newaxis], stripes[np.newaxis], canvas)
    canvas[wall - 16 : wall] = (240, 238, 232)
    return _photographed(random, canvas)


SCENES: Final[Mapping[str, Callable[[Random], RgbImage]]] = MappingProxyType(
    {
        "street": street,
        "crossing": crossing,
        "facade": facade,
        "bricks": bricks,
        "horizon": horizon,
        "fence": fence,
        "letter": letter,
        "tiles": tiles,
    }
)


def scene(name: str) -> RgbImage:
    """Draw the scene of this name; always the same pixels."""
    return SCENES[name](np.random.default_rng([*name.encode()]))


def _photographed(random: Random, canvas: npt.NDArray[np.floating]) -> RgbImage:
    """As a lens and a sensor would have it: a little soft, with grain."""
    soft = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 0.6)
    grain = random.normal(0, 2.4, soft.shape[:2])[..., np.newaxis]
    return np.clip(soft + grain, 0, 255).round().astype(np.uint8)


def _noise(random: Random, height: int, width: int, *, coarsest: int, stretch: int = 1) -> Floats:
    """Uneven light around 0, of about 1: spots of every size up to 2^coarsest pixels."""
    total = np.zeros((height, width), np.float32)
    for octave in range(coarsest):
        cell = 2**octave
        spots = random.normal(size=(height // cell + 2, width // (cell * stretch) + 2)).astype(np.float32)
        total += cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC)
    return total / np.float32(np.sqrt(coarsest))
