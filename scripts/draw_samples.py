"""Draws the street scenes in samples/: passers-by, faces and licence plates that belong to nobody.

    .venv/bin/python scripts/draw_samples.py

Everything is drawn from the seed of its scene, so the same code draws the same pixels.
"""

import colorsys
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SAMPLES: Final = Path(__file__).resolve().parent.parent / "samples"
# Everything is drawn this much larger and then made smaller, for smooth edges.
OVERSAMPLING: Final = 2
CURTAINED: Final = 0.5
ORIENTATION_TAG: Final = 0x0112
TURN_RIGHT_TO_VIEW: Final = 6

Colour = tuple[float, float, float]
Xy = tuple[float, float]
Box = tuple[float, float, float, float]
Floats = npt.NDArray[np.float32]
Painter = Callable[[ImageDraw.ImageDraw], None]

SKIN: Final[Sequence[Colour]] = ((233, 190, 165), (214, 160, 128), (168, 114, 84), (112, 74, 54), (241, 205, 184))
HAIR: Final[Sequence[Colour]] = (
    (52, 38, 30),
    (96, 64, 40),
    (30, 27, 28),
    (176, 134, 82),
    (150, 150, 152),
    (120, 52, 30),
)
CLOTHES: Final[Sequence[Colour]] = (
    (44, 72, 112),
    (158, 58, 52),
    (66, 98, 78),
    (208, 166, 74),
    (84, 76, 88),
    (186, 186, 180),
    (52, 54, 60),
    (122, 86, 120),
)
FACADES: Final[Sequence[Colour]] = (
    (206, 178, 142),
    (188, 120, 96),
    (216, 206, 188),
    (152, 164, 168),
    (222, 192, 130),
    (176, 148, 134),
)


class Canvas:
    """Paint on pixels, in coordinates of the finished picture."""

    def __init__(self, width: int, height: int, *, seed: int) -> None:
        self.width = width
        self.height = height
        self.random = np.random.default_rng(seed)
        self._pixels = np.zeros((height * OVERSAMPLING, width * OVERSAMPLING, 3), np.float32)

    def polygon(self, points: Sequence[Xy], colour: Colour, **look: float) -> None:
        """Fill a polygon."""
        self._fill(lambda draw: draw.polygon(_scaled(points), fill=255), colour, **look)

    def rectangle(self, box: Box, colour: Colour, *, radius: float = 0, **look: float) -> None:
        """Fill a rectangle with round corners."""
        left, top, right, bottom = box
        corners = _scaled(((left, top), (right, bottom)))
        self._fill(lambda draw: draw.rounded_rectangle(corners, radius * OVERSAMPLING, fill=255), colour, **look)

    def ellipse(self, box: Box, colour: Colour, **look: float) -> None:
        """Fill an ellipse."""
        left, top, right, bottom = box
        self._fill(lambda draw: draw.ellipse(_scaled(((left, top), (right, bottom))), fill=255), colour, **look)

    def line(self, points: Sequence[Xy], width: float, colour: Colour, **look: float) -> None:
        """Draw a line with round ends."""
        scaled = _scaled(points)
        thickness = max(1, round(width * OVERSAMPLING))

        def draw_line(draw: ImageDraw.ImageDraw) -> None:
            draw.line(scaled, fill=255, width=thickness, joint="curve")
            for x, y in (scaled[0], scaled[-1]):
                half = thickness / 2
                draw.ellipse((x - half, y - half, x + half, y + half), fill=255)

        self._fill(draw_line, colour, **look)

    def text(self, centre: Xy, text: str, height: float, colour: Colour) -> None:
        """Write text around its centre."""
        font = ImageFont.load_default(size=height * OVERSAMPLING)
        (place,) = _scaled((centre,))
        self._fill(lambda draw: draw.text(place, text, fill=255, font=font, anchor="mm"), colour)

    def shadow(self, box: Box, strength: float = 0.45) -> None:
        """Darken the ground softly."""
        self.ellipse(box, (16, 18, 28), opacity=strength, blur=(box[3] - box[1]) * 0.35)

    def gradient(self, top: float, bottom: float, upper: Colour, lower: Colour) -> None:
        """Fill a band of the whole width, from one colour at its top to another at its bottom."""
        first, last = round(top * OVERSAMPLING), round(bottom * OVERSAMPLING)
        share = np.linspace(0, 1, last - first, dtype=np.float32)[:, None, None]
        self._pixels[first:last] = _array(upper) * (1 - share) + _array(lower) * share

    def clouds(self, bottom: float, strength: float) -> None:
        """Lighten the sky in drifts."""
        last = round(bottom * OVERSAMPLING)
        drifts = np.clip(self._noise(last, self._pixels.shape[1], coarse=5, stretch=3) * 1.6 + 0.1, 0, 1)
        share = (drifts * strength)[..., None]
        self._pixels[:last] = self._pixels[:last] * (1 - share) + _array((250, 248, 244)) * share

    def finished(self, *, grain: float, warmth: float) -> npt.NDArray[np.uint8]:
        """The picture as a camera would have taken it: light falling off to the corners, a soft lens, some grain."""
        size = (self.width, self.height)
        soft = cv2.GaussianBlur(cv2.resize(self._pixels, size, interpolation=cv2.INTER_AREA), (0, 0), 0.55)
        rows, columns = np.mgrid[-1 : 1 : self.height * 1j, -1 : 1 : self.width * 1j]
        falloff = (1.06 - 0.1 * (rows**2 + columns**2) ** 1.2)[..., None]
        lit = soft * falloff * _array((1 + warmth, 1, 1 - warmth))
        noise = self.random.normal(0, 1, (self.height, self.width, 1)) * grain
        return np.asarray(np.clip(lit + noise, 0, 255), np.uint8)

    def _fill(
        self,
        paint: Painter,
        colour: Colour,
        *,
        shade: float = 0,
        side: float = 0,
        texture: float = 0,
        opacity: float = 1,
        blur: float = 0,
    ) -> None:
        """Fill what is painted. *shade* darkens towards the bottom, *side* towards the right, *texture* is uneven."""
        stencil = Image.new("L", (self._pixels.shape[1], self._pixels.shape[0]))
        paint(ImageDraw.Draw(stencil))
        box = stencil.getbbox()
        if box is None:
            return
        margin = math.ceil(blur * OVERSAMPLING * 3)
        left, top = max(box[0] - margin, 0), max(box[1] - margin, 0)
        right = min(box[2] + margin, self._pixels.shape[1])
        bottom = min(box[3] + margin, self._pixels.shape[0])
        share: Floats = np.array(stencil.crop((left, top, right, bottom)), np.float32) * (opacity / 255)
        if blur:
            share = np.asarray(cv2.GaussianBlur(share, (0, 0), blur * OVERSAMPLING), np.float32)
        height, width = share.shape
        light = 1 - shade * np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
        light = light - side * np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
        if texture:
            light = light + texture * self._noise(height, width, coarse=4)
        target = self._pixels[top:bottom, left:right]
        target += share[..., None] * (_array(colour) * light[..., None] - target)

    def _noise(self, height: int, width: int, *, coarse: int, stretch: int = 1) -> Floats:
        """Uneven light around 0: coarse and fine spots on top of each other."""
        total = np.zeros((height, width), np.float32)
        for octave in range(coarse):
            cell = 2 ** (octave + 1)
            shape = (height // cell + 2, width // (cell * stretch) + 2)
            spots = self.random.normal(0, 1, shape).astype(np.float32)
            total += cv2.resize(spots, (width, height), interpolation=cv2.INTER_CUBIC) * (0.5 + octave / coarse)
        return np.asarray(total / coarse, np.float32)


@dataclass(frozen=True)
class Person:
    """A passer-by. *x* and *ground* are where the feet are, *height* is from there to the crown."""

    x: float
    ground: float
    height: float
    skin: Colour
    hair: Colour
    coat: Colour
    trousers: Colour
    long_hair: bool = False
    bag: bool = False
    hat: bool = False
    stride: float = 0.5

    def draw(self, canvas: Canvas) -> None:
        """Draw from the back to the front."""
        unit = self.height / 100
        canvas.shadow((self.x - 20 * unit, self.ground - 3 * unit, self.x + 34 * unit, self.ground + 5 * unit))
        self._legs(canvas, unit)
        if self.long_hair:
            self._hair_behind(canvas, unit)
        self._arms_and_coat(canvas, unit)
        draw_head(canvas, (self.x, self.ground - 91 * unit), 18 * unit, skin=self.skin, hair=self.hair)
        if self.hat:
            self._hat(canvas, unit)

    def _legs(self, canvas: Canvas, unit: float) -> None:
        hip = self.ground - 46 * unit
        for side in (-1, 1):
            foot = self.x + side * (3 + 7 * self.stride) * unit
            colour = self.trousers if side < 0 else darker(self.trousers, 0.85)
            knee = (self.x + side * 5.5 * unit, self.ground - 24 * unit)
            ankle = (foot, self.ground - 4 * unit)
            canvas.line(((self.x + side * 4 * unit, hip), knee, ankle), 8.5 * unit, colour, shade=0.25, texture=0.05)
            shoe = (foot - 4 * unit, self.ground - 4.5 * unit, foot + 6 * unit, self.ground + 0.5 * unit)
            canvas.rectangle(shoe, (44, 38, 36), radius=2 * unit, shade=0.4)

    def _hair_behind(self, canvas: Canvas, unit: float) -> None:
        top = self.ground - 99 * unit
        fall = (self.x - 9 * unit, top, self.x + 9 * unit, top + 30 * unit)
        canvas.rectangle(fall, darker(self.hair, 0.8), radius=8 * unit, texture=0.1)

    def _arms_and_coat(self, canvas: Canvas, unit: float) -> None:
        shoulder = self.ground - 77 * unit
        for side in (-1, 1):
            swing = side * (3 + 4 * self.stride) * unit
            elbow = (self.x + side * 14 * unit, shoulder + 17 * unit)
            hand = (elbow[0] + swing * 0.4, shoulder + 33 * unit)
            canvas.ellipse(
                (hand[0] - 2.8 * unit, hand[1] - 2 * unit, hand[0] + 2.8 * unit, hand[1] + 5 * unit), self.skin
            )
            sleeve = darker(self.coat, 0.9 if side < 0 else 0.75)
            canvas.line(((self.x + side * 10 * unit, shoulder + 2 * unit), elbow, hand), 7 * unit, sleeve, texture=0.06)
        left, right = self.x - 13 * unit, self.x + 13 * unit
        hem = self.ground - 38 * unit
        outline = (
            (self.x - 5 * unit, shoulder - 3 * unit),
            (self.x + 5 * unit, shoulder - 3 * unit),
            (right - 1 * unit, shoulder + 1 * unit),
            (right, shoulder + 10 * unit),
            (right - 2 * unit, hem),
            (left + 2 * unit, hem),
            (left, shoulder + 10 * unit),
            (left + 1 * unit, shoulder + 1 * unit),
        )
        canvas.polygon(outline, self.coat, shade=0.2, side=0.35, texture=0.08)
        canvas.line(((self.x, shoulder + 4 * unit), (self.x, hem)), 0.7 * unit, darker(self.coat, 0.6))
        for number in range(4):
            y = shoulder + (9 + 7 * number) * unit
            canvas.ellipse((self.x + 1 * unit, y, self.x + 2.6 * unit, y + 1.6 * unit), darker(self.coat, 0.45))
        collar = (
            (self.x - 6 * unit, shoulder - 3 * unit),
            (self.x, shoulder + 7 * unit),
            (self.x + 6 * unit, shoulder - 3 * unit),
        )
        canvas.polygon(collar, darker(self.coat, 1.25), side=0.3)
        if self.bag:
            strap = ((self.x - 11 * unit, shoulder), (self.x + 13 * unit, hem - 6 * unit))
            canvas.line(strap, 1.6 * unit, (72, 48, 34))
            pouch = (self.x + 7 * unit, hem - 9 * unit, self.x + 21 * unit, hem + 5 * unit)
            canvas.rectangle(pouch, (112, 72, 46), radius=2 * unit, shade=0.3, texture=0.1)

    def _hat(self, canvas: Canvas, unit: float) -> None:
        brim = self.ground - 96 * unit
        colour = darker(self.coat, 0.7)
        canvas.rectangle(
            (self.x - 8 * unit, brim - 8 * unit, self.x + 8 * unit, brim), colour, radius=4 * unit, side=0.3
        )
        canvas.rectangle(
            (self.x - 11 * unit, brim - 1.5 * unit, self.x + 11 * unit, brim + 1 * unit), colour, radius=unit
        )


def draw_head(canvas: Canvas, middle: Xy, height: float, *, skin: Colour, hair: Colour) -> None:
    """Draw a head that looks at the viewer and smiles."""
    x, y = middle
    unit = height / 18
    canvas.rectangle((x - 3 * unit, y + 5 * unit, x + 3 * unit, y + 14 * unit), darker(skin, 0.78), side=0.25)
    canvas.ellipse((x - 7.6 * unit, y - 9.6 * unit, x + 7.6 * unit, y + 5 * unit), hair, texture=0.12, side=0.2)
    for side in (-1, 1):
        ear = x + side * 6.7 * unit
        canvas.ellipse((ear - 1.3 * unit, y - 1.6 * unit, ear + 1.3 * unit, y + 2.6 * unit), darker(skin, 0.88))
    face = (x - 6.4 * unit, y - 8 * unit, x + 6.4 * unit, y + 9 * unit)
    canvas.ellipse(face, skin, side=0.28, shade=0.12, texture=0.03)
    for side in (-1, 1):
        _draw_eye(canvas, (x + side * 2.7 * unit, y - 0.4 * unit), unit)
        brow = ((1.2, -2.7), (2.6, -3.2), (4.3, -2.4))
        canvas.line([(x + side * out * unit, y + up * unit) for out, up in brow], 0.65 * unit, darker(hair, 0.9))
        cheek = x + side * 3.7 * unit
        flush = (skin[0], skin[1] * 0.72, skin[2] * 0.68)
        canvas.ellipse(
            (cheek - 1.7 * unit, y + 1.8 * unit, cheek + 1.7 * unit, y + 4.4 * unit),
            flush,
            opacity=0.4,
            blur=0.7 * unit,
        )
    nose = ((x + 0.2 * unit, y - 0.5 * unit), (x + 1.3 * unit, y + 2.6 * unit), (x - 0.5 * unit, y + 3.1 * unit))
    canvas.line(nose, 0.55 * unit, darker(skin, 0.7), opacity=0.8)
    smile = [(x + out * unit, y + down * unit) for out, down in ((-2.3, 4.9), (-1, 5.6), (1, 5.6), (2.3, 4.9))]
    canvas.line(smile, 1.1 * unit, (skin[0] * 0.84, skin[1] * 0.52, skin[2] * 0.52))
    canvas.line(smile, 0.3 * unit, darker(skin, 0.42))
    fringe = (
        (x - 7 * unit, y - 1.5 * unit),
        (x - 6.4 * unit, y - 6.5 * unit),
        (x - 2 * unit, y - 9.4 * unit),
        (x + 4 * unit, y - 9 * unit),
        (x + 6.8 * unit, y - 6 * unit),
        (x + 7 * unit, y - 1.8 * unit),
        (x + 5.6 * unit, y - 4.6 * unit),
        (x + 1 * unit, y - 6.2 * unit),
        (x - 4.6 * unit, y - 4.4 * unit),
    )
    canvas.polygon(fringe, hair, texture=0.12, side=0.25)


def _draw_eye(canvas: Canvas, middle: Xy, unit: float) -> None:
    x, y = middle
    canvas.ellipse((x - 1.5 * unit, y - 0.9 * unit, x + 1.5 * unit, y + 0.9 * unit), (244, 242, 238))
    canvas.ellipse((x - 0.85 * unit, y - 0.85 * unit, x + 0.85 * unit, y + 0.85 * unit), (82, 64, 44))
    canvas.ellipse((x - 0.4 * unit, y - 0.4 * unit, x + 0.4 * unit, y + 0.4 * unit), (16, 14, 14))
    canvas.ellipse((x - 0.5 * unit, y - 0.5 * unit, x - 0.1 * unit, y - 0.1 * unit), (255, 255, 255))
    lid = ((x - 1.6 * unit, y - 0.4 * unit), (x, y - 1.1 * unit), (x + 1.6 * unit, y - 0.4 * unit))
    canvas.line(lid, 0.4 * unit, (50, 36, 30))


@dataclass(frozen=True)
class CarFromBehind:
    """A parked car as one sees it from behind, with its licence plate. *x* is its middle, *ground* where it stands."""

    x: float
    ground: float
    width: float
    paint: Colour
    plate: str

    def draw(self, canvas: Canvas) -> None:
        """Draw from the ground up."""
        unit, x, ground = self.width / 100, self.x, self.ground
        canvas.shadow((x - 58 * unit, ground - 7 * unit, x + 58 * unit, ground + 8 * unit), 0.65)
        for side in (-1, 1):
            wheel = x + side * 37 * unit
            canvas.rectangle(
                (wheel - 8 * unit, ground - 20 * unit, wheel + 8 * unit, ground), (26, 26, 28), radius=4 * unit
            )
        self._cabin(canvas, unit)
        body = (x - 50 * unit, ground - 52 * unit, x + 50 * unit, ground - 10 * unit)
        canvas.rectangle(body, self.paint, radius=10 * unit, shade=0.35, side=0.12, texture=0.015)
        crease = (x - 48 * unit, ground - 40 * unit, x + 48 * unit, ground - 38.6 * unit)
        canvas.rectangle(crease, darker(self.paint, 1.35), opacity=0.6)
        bumper = (x - 49 * unit, ground - 22 * unit, x + 49 * unit, ground - 8 * unit)
        canvas.rectangle(bumper, darker(self.paint, 0.62), radius=6 * unit, shade=0.5)
        for side in (-1, 1):
            self._lamp(canvas, x + side * 40 * unit, unit)
        self._plate(canvas, unit)

    def _cabin(self, canvas: Canvas, unit: float) -> None:
        x, ground = self.x, self.ground
        roof, belt = ground - 82 * unit, ground - 48 * unit
        cabin = ((x - 46 * unit, belt), (x - 35 * unit, roof + 4 * unit), (x - 29 * unit, roof))
        mirrored = tuple((2 * x - left, y) for left, y in reversed(cabin))
        canvas.polygon((*cabin, *mirrored), self.paint, shade=0.15, side=0.12)
        glass = ((x - 38 * unit, belt - 3 * unit), (x - 29 * unit, roof + 7 * unit))
        mirrored = tuple((2 * x - left, y) for left, y in reversed(glass))
        canvas.polygon((*glass, *mirrored), (58, 74, 88), shade=-0.5, side=-0.3)
        glint = (
            (x - 26 * unit, roof + 8 * unit),
            (x - 14 * unit, roof + 8 * unit),
            (x - 26 * unit, belt - 4 * unit),
            (x - 36 * unit, belt - 4 * unit),
        )
        canvas.polygon(glint, (206, 222, 232), opacity=0.28)
        for side in (-1, 1):
            seat = x + side * 15 * unit
            canvas.rectangle(
                (seat - 6 * unit, belt - 17 * unit, seat + 6 * unit, belt - 3 * unit),
                (30, 34, 40),
                radius=3 * unit,
                opacity=0.7,
            )

    def _lamp(self, canvas: Canvas, x: float, unit: float) -> None:
        top = self.ground - 47 * unit
        canvas.rectangle((x - 8 * unit, top, x + 8 * unit, top + 13 * unit), (164, 26, 28), radius=3 * unit, shade=0.4)
        canvas.rectangle((x - 6 * unit, top + 8 * unit, x + 6 * unit, top + 11 * unit), (236, 150, 60), radius=unit)
        canvas.rectangle((x - 6 * unit, top + 2 * unit, x, top + 4 * unit), (255, 150, 140), radius=unit, opacity=0.7)

    def _plate(self, canvas: Canvas, unit: float) -> None:
        middle = self.ground - 31 * unit
        box = (self.x - 20 * unit, middle - 5 * unit, self.x + 20 * unit, middle + 5 * unit)
        canvas.rectangle(grown(box, 0.8 * unit), (40, 40, 42), radius=1.5 * unit)
        canvas.rectangle(box, (240, 240, 234), radius=unit, shade=0.08)
        canvas.text((self.x, middle), self.plate, 8 * unit, (22, 22, 26))


@dataclass(frozen=True)
class CarFromTheSide:
    """A passing car as one sees it from the side; it drives to the left."""

    x: float
    ground: float
    length: float
    paint: Colour

    def draw(self, canvas: Canvas) -> None:
        """Draw from the ground up."""
        unit, x, ground = self.length / 100, self.x, self.ground
        canvas.shadow((x - 54 * unit, ground - 3 * unit, x + 54 * unit, ground + 5 * unit), 0.6)
        cabin = self._points(((-24, -19), (-12, -32), (18, -32), (36, -20)))
        canvas.polygon(cabin, self.paint, shade=0.1)
        body = self._points(
            ((-50, -9), (-49, -15), (-44, -19), (-26, -21), (36, -21), (48, -18), (50, -9), (48, -5), (-48, -5))
        )
        canvas.polygon(body, self.paint, shade=0.4, texture=0.015)
        for pane in (((-20, -20.5), (-10, -30), (2, -30), (2, -20.5)), ((5, -20.5), (5, -30), (17, -30), (30, -20.5))):
            canvas.polygon(self._points(pane), (60, 78, 92), shade=-0.5, side=-0.4)
        canvas.line(self._points(((3.5, -20), (4, -8))), 0.4 * unit, darker(self.paint, 0.6))
        canvas.line(self._points(((-46, -15.5), (47, -16))), 0.5 * unit, darker(self.paint, 1.4), opacity=0.6)
        canvas.rectangle(self._box((8, -17, 13, -15.6)), darker(self.paint, 0.5), radius=0.5 * unit)
        canvas.ellipse(self._box((-49, -16, -43, -12)), (250, 244, 214))
        canvas.rectangle(self._box((46, -17, 50, -12)), (168, 30, 30), radius=unit)
        for wheel in (-30, 30):
            canvas.ellipse(self._box((wheel - 9.4, -17, wheel + 9.4, 1)), darker(self.paint, 0.35))
            canvas.ellipse(self._box((wheel - 8, -16, wheel + 8, 0)), (28, 28, 30))
            canvas.ellipse(self._box((wheel - 5, -13, wheel + 5, -3)), (168, 172, 178), shade=0.4)
            canvas.ellipse(self._box((wheel - 1.4, -9.4, wheel + 1.4, -6.6)), (70, 72, 76))

    def _points(self, points: Sequence[Xy]) -> tuple[Xy, ...]:
        unit = self.length / 100
        return tuple((self.x + x * unit, self.ground + y * unit) for x, y in points)

    def _box(self, box: Box) -> Box:
        (left, top), (right, bottom) = self._points((box[:2], box[2:]))
        return (left, top, right, bottom)


def draw_houses(canvas: Canvas, *, top: float, ground: float, floor_height: float) -> None:
    """Draw a row of houses across the picture, with a shop here and there."""
    left = -canvas.random.uniform(10, 60)
    previous = -1
    while left < canvas.width:
        width = canvas.random.uniform(3.2, 4.4) * floor_height
        previous = (previous + 1 + int(canvas.random.integers(len(FACADES) - 1))) % len(FACADES)
        roof = top + canvas.random.uniform(-0.5, 0.5) * floor_height
        _draw_house(canvas, (left, roof, left + width, ground), FACADES[previous], floor_height)
        left += width


def _draw_house(canvas: Canvas, box: Box, colour: Colour, floor_height: float) -> None:
    left, top, right, bottom = box
    canvas.polygon(
        (
            (left - 4, top),
            (left + 10, top - 0.45 * floor_height),
            (right - 10, top - 0.45 * floor_height),
            (right + 4, top),
        ),
        (112, 74, 62),
        shade=-0.3,
        texture=0.16,
    )
    canvas.rectangle(box, colour, shade=0.14, side=0.06, texture=0.05)
    canvas.rectangle((left - 3, top - 4, right + 3, top + 5), darker(colour, 1.12), shade=0.5)
    shop_top = bottom - 1.15 * floor_height
    count = max(2, round((right - left) / (1.15 * floor_height)))
    pitch = (right - left) / count
    row = top + 0.3 * floor_height
    while row + 0.75 * floor_height < shop_top:
        for number in range(count):
            middle = left + (number + 0.5) * pitch
            _draw_window(
                canvas,
                (middle - 0.22 * floor_height, row, middle + 0.22 * floor_height, row + 0.66 * floor_height),
                colour,
            )
        row += floor_height
    _draw_ground_floor(canvas, (left, shop_top, right, bottom), colour)


def _draw_window(canvas: Canvas, box: Box, wall: Colour) -> None:
    left, top, right, bottom = box
    canvas.rectangle(grown(box, 3.5), darker(wall, 1.18))
    canvas.rectangle(box, (74, 92, 108), shade=canvas.random.uniform(-0.9, -0.2), side=canvas.random.uniform(-0.4, 0.4))
    if canvas.random.random() < CURTAINED:
        width = (right - left) * 0.3
        canvas.rectangle((left, top, left + width, bottom), (226, 220, 206), side=0.25, opacity=0.75)
        canvas.rectangle((right - width, top, right, bottom), (226, 220, 206), side=-0.25, opacity=0.75)
    middle, bar = (left + right) / 2, (top + (bottom - top) * 0.36)
    canvas.rectangle((middle - 1, top, middle + 1, bottom), (236, 232, 224))
    canvas.rectangle((left, bar - 1, right, bar + 1), (236, 232, 224))
    canvas.rectangle((left - 6, bottom + 3, right + 6, bottom + 8), darker(wall, 0.8), shade=0.6)


def _draw_ground_floor(canvas: Canvas, box: Box, wall: Colour) -> None:
    left, top, right, bottom = box
    height = bottom - top
    canvas.rectangle((left, top + 0.02 * height, right, bottom), darker(wall, 0.86), texture=0.06)
    door = (left + 0.1 * (right - left), top + 0.24 * height, left + 0.1 * (right - left) + 0.42 * height, bottom)
    canvas.rectangle(grown(door, 3), darker(wall, 1.1))
    canvas.rectangle(door, hue(canvas.random.uniform(0, 1), 0.45, 0.36), shade=0.2, texture=0.04)
    canvas.rectangle((door[0] + 5, door[1] + 6, door[2] - 5, door[1] + 0.3 * height), (96, 116, 128), shade=-0.5)
    canvas.ellipse((door[2] - 9, (door[1] + bottom) / 2, door[2] - 5, (door[1] + bottom) / 2 + 4), (214, 186, 110))
    pane = (door[2] + 0.18 * height, top + 0.28 * height, right - 0.12 * height, bottom - 0.16 * height)
    canvas.rectangle(grown(pane, 4), (58, 54, 52))
    canvas.rectangle(pane, (86, 100, 108), shade=-0.6, side=0.4)
    for _ in range(5):
        x = canvas.random.uniform(pane[0] + 8, pane[2] - 14)
        tall = canvas.random.uniform(0.12, 0.3) * height
        canvas.rectangle(
            (x, pane[3] - tall, x + 10, pane[3]), hue(canvas.random.uniform(0, 1), 0.3, 0.7), radius=3, opacity=0.6
        )
    canvas.polygon(
        (
            (pane[0], pane[1]),
            (pane[0] + (pane[2] - pane[0]) * 0.35, pane[1]),
            (pane[0] + (pane[2] - pane[0]) * 0.1, pane[3]),
            (pane[0], pane[3]),
        ),
        (236, 242, 246),
        opacity=0.16,
    )
    _draw_awning(canvas, pane, 0.2 * height)


def _draw_awning(canvas: Canvas, pane: Box, depth: float) -> None:
    stripe = hue(canvas.random.uniform(0, 1), 0.55, 0.62)
    count = 8
    width = (pane[2] - pane[0] + 16) / count
    for number in range(count):
        left = pane[0] - 8 + number * width
        colour = stripe if number % 2 else (240, 234, 222)
        upper = (
            (left + 3, pane[1] - depth * 0.6),
            (left + width + (3 if number < count - 1 else -3), pane[1] - depth * 0.6),
        )
        canvas.polygon(
            (*upper, (left + width, pane[1] + depth * 0.4), (left, pane[1] + depth * 0.4)), colour, shade=0.25
        )
        canvas.ellipse((left, pane[1] + depth * 0.2, left + width, pane[1] + depth * 0.62), darker(colour, 0.92))


def draw_street(canvas: Canvas, *, pavement: float, kerb: float) -> None:
    """Draw the pavement from its upper edge to the kerb, and the road from there to the bottom."""
    canvas.rectangle((0, pavement, canvas.width, kerb), (172, 166, 158), shade=-0.14, texture=0.07)
    middle = canvas.width / 2
    for number in range(-14, 15):
        bottom = middle + number * canvas.width / 9
        top = middle + number * canvas.width / 13
        canvas.line(((top, pavement), (bottom, kerb)), 0.9, (128, 122, 116), opacity=0.7)
    for share in (0.28, 0.62):
        y = pavement + (kerb - pavement) * share
        canvas.line(((0, y), (canvas.width, y)), 0.9, (128, 122, 116), opacity=0.7)
    canvas.rectangle((0, kerb, canvas.width, kerb + 9), (196, 192, 184), shade=0.2, texture=0.05)
    canvas.rectangle((0, kerb + 9, canvas.width, canvas.height), (92, 93, 97), shade=-0.16, texture=0.11)
    canvas.rectangle((0, kerb + 9, canvas.width, kerb + 15), (58, 58, 62), opacity=0.6)


def draw_crossing(canvas: Canvas, *, top: float, bottom: float) -> None:
    """Draw a zebra crossing towards the viewer."""
    middle = canvas.width / 2
    for number in range(-8, 9):
        upper, lower = middle + number * canvas.width / 11, middle + number * canvas.width / 6.4
        points = ((upper - 17, top), (upper + 17, top), (lower + 30, bottom), (lower - 30, bottom))
        canvas.polygon(points, (224, 222, 214), texture=0.1, opacity=0.92)


def draw_tree(canvas: Canvas, *, x: float, ground: float, height: float) -> None:
    """Draw a street tree."""
    canvas.shadow((x - 0.22 * height, ground - 5, x + 0.3 * height, ground + 9), 0.35)
    width = 0.035 * height
    trunk = (
        (x - width, ground),
        (x - 0.6 * width, ground - 0.5 * height),
        (x + 0.6 * width, ground - 0.5 * height),
        (x + width, ground),
    )
    canvas.polygon(trunk, (92, 72, 56), side=0.5, texture=0.2)
    for number in range(170):
        angle, distance = canvas.random.uniform(0, math.tau), canvas.random.uniform(0, 1) ** 0.6
        leaf_x = x + math.cos(angle) * distance * 0.27 * height
        leaf_y = ground - 0.72 * height + math.sin(angle) * distance * 0.25 * height
        size = canvas.random.uniform(0.035, 0.07) * height
        light = 0.55 + 0.5 * number / 170 - 0.25 * math.sin(angle) * distance
        colour = hue(canvas.random.uniform(0.24, 0.31), 0.48, min(0.62 * light, 0.72))
        canvas.ellipse(
            (leaf_x - size, leaf_y - 0.8 * size, leaf_x + size, leaf_y + 0.8 * size), colour, opacity=0.85, texture=0.2
        )


def draw_lamp_post(canvas: Canvas, *, x: float, ground: float, height: float) -> None:
    """Draw a street lamp."""
    canvas.line(((x, ground), (x, ground - height)), 5, (56, 62, 64), side=0.6)
    canvas.line(((x, ground - height), (x + 34, ground - height - 12)), 4, (56, 62, 64))
    canvas.ellipse((x + 22, ground - height - 16, x + 54, ground - height - 2), (246, 236, 200), shade=0.4)
    canvas.rectangle((x - 6, ground - 22, x + 6, ground), (56, 62, 64), radius=2, side=0.5)


def darker(colour: Colour, share: float) -> Colour:
    """The colour in another light; above 1 it is brighter."""
    red, green, blue = (min(part * share, 255.0) for part in colour)
    return (red, green, blue)


def hue(angle: float, saturation: float, value: float) -> Colour:
    """A colour by its place on the colour wheel, all between 0 and 1."""
    red, green, blue = colorsys.hsv_to_rgb(angle, saturation, value)
    return (red * 255, green * 255, blue * 255)


def grown(box: Box, margin: float) -> Box:
    """The box, larger on every side."""
    left, top, right, bottom = box
    return (left - margin, top - margin, right + margin, bottom + margin)


def _array(colour: Colour) -> Floats:
    return np.array(colour, np.float32)


def _scaled(points: Sequence[Xy]) -> list[Xy]:
    return [(x * OVERSAMPLING, y * OVERSAMPLING) for x, y in points]


def draw_afternoon() -> npt.NDArray[np.uint8]:
    """A sunny street with two parked cars and people on the pavement."""
    canvas = Canvas(1280, 853, seed=11)
    canvas.gradient(0, 470, (112, 164, 214), (222, 230, 232))
    canvas.clouds(400, 0.8)
    draw_houses(canvas, top=105, ground=505, floor_height=150)
    draw_street(canvas, pavement=500, kerb=640)
    draw_tree(canvas, x=1150, ground=560, height=430)
    draw_lamp_post(canvas, x=612, ground=600, height=420)
    Person(690, 598, 205, SKIN[3], HAIR[2], CLOTHES[3], CLOTHES[6], bag=True).draw(canvas)
    Person(560, 612, 218, SKIN[0], HAIR[3], CLOTHES[1], CLOTHES[0], long_hair=True).draw(canvas)
    Person(1010, 600, 210, SKIN[2], HAIR[0], CLOTHES[4], CLOTHES[6], hat=True, stride=0.9).draw(canvas)
    CarFromBehind(280, 742, 330, (62, 104, 150), "CP 4711").draw(canvas)
    CarFromBehind(880, 770, 372, (176, 52, 46), "KL 285 X").draw(canvas)
    return canvas.finished(grain=2.6, warmth=0.03)


def draw_zebra_crossing() -> npt.NDArray[np.uint8]:
    """People who come towards the viewer over a crossing; a car waits."""
    canvas = Canvas(1280, 853, seed=23)
    canvas.gradient(0, 360, (164, 178, 190), (226, 224, 218))
    canvas.clouds(330, 0.9)
    draw_houses(canvas, top=60, ground=385, floor_height=94)
    draw_street(canvas, pavement=382, kerb=450)
    draw_tree(canvas, x=120, ground=440, height=380)
    draw_crossing(canvas, top=500, bottom=853)
    CarFromTheSide(960, 520, 420, (214, 212, 204)).draw(canvas)
    Person(300, 720, 470, SKIN[1], HAIR[1], CLOTHES[2], CLOTHES[6], long_hair=True, bag=True).draw(canvas)
    Person(560, 690, 440, SKIN[4], HAIR[4], CLOTHES[0], CLOTHES[4], stride=0.8).draw(canvas)
    Person(850, 770, 540, SKIN[3], HAIR[2], CLOTHES[7], CLOTHES[0], hat=True).draw(canvas)
    return canvas.finished(grain=3.0, warmth=-0.01)


def draw_parked_cars() -> npt.NDArray[np.uint8]:
    """Three cars and two people in the evening light; the plates can be read. Without grain: a small PNG."""
    canvas = Canvas(720, 480, seed=37)
    canvas.gradient(0, 260, (96, 112, 156), (244, 190, 140))
    draw_houses(canvas, top=70, ground=285, floor_height=64)
    draw_street(canvas, pavement=282, kerb=330)
    Person(230, 330, 112, SKIN[0], HAIR[1], CLOTHES[0], CLOTHES[6]).draw(canvas)
    Person(504, 329, 94, SKIN[0], HAIR[5], CLOTHES[1], CLOTHES[6], long_hair=True).draw(canvas)
    CarFromBehind(112, 415, 192, (226, 222, 214), "HH 902").draw(canvas)
    CarFromBehind(358, 425, 208, (48, 92, 82), "ZW 36 P").draw(canvas)
    CarFromBehind(622, 418, 190, (222, 168, 60), "MR 518").draw(canvas)
    return canvas.finished(grain=0, warmth=0.06)


def draw_doorway() -> npt.NDArray[np.uint8]:
    """Upright: somebody in front of a shop, as a telephone takes it."""
    canvas = Canvas(720, 960, seed=41)
    canvas.gradient(0, 300, (128, 174, 214), (226, 232, 230))
    canvas.clouds(260, 0.7)
    draw_houses(canvas, top=150, ground=690, floor_height=168)
    draw_street(canvas, pavement=684, kerb=900)
    Person(520, 742, 380, SKIN[2], HAIR[0], CLOTHES[5], CLOTHES[0], stride=0.9).draw(canvas)
    Person(265, 835, 560, SKIN[0], HAIR[5], CLOTHES[3], CLOTHES[6], long_hair=True, bag=True).draw(canvas)
    return canvas.finished(grain=2.6, warmth=0.02)


def main() -> None:
    """Draw all scenes into samples/."""
    _save_jpeg(draw_afternoon(), "1-afternoon.jpg")
    _save_jpeg(draw_zebra_crossing(), "2-zebra-crossing.jpg")
    Image.fromarray(draw_parked_cars()).save(SAMPLES / "3-parked-cars.png", optimize=True)
    _save_jpeg(np.rot90(draw_doorway()), "4-doorway.jpg", orientation=TURN_RIGHT_TO_VIEW)


def _save_jpeg(pixels: npt.NDArray[np.uint8], name: str, *, orientation: int | None = None) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION_TAG] = orientation
    Image.fromarray(np.ascontiguousarray(pixels)).save(SAMPLES / name, quality=90, subsampling="4:2:0", exif=exif)


if __name__ == "__main__":
    main()
