"""A contact sheet as one PNG."""

import io
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from cleanplate.cli.contact_sheet import Card, ContactSheet, Given
from cleanplate.domain.image import RgbImage
from cleanplate.pipeline.comparison import DIFFERENCE_FACTOR

_WIDTH_PX: Final = 1608
_GAP_PX: Final = 24
_MARGIN_PX: Final = 48
_PADDING_PX: Final = 18
_RADIUS_PX: Final = 12

_GROUND: Final = "#f6f5f2"
_SHEET: Final = "#fffefb"
_WELL: Final = "#ecebe6"
_INK: Final = "#23262b"
_SOFT: Final = "#666b73"
_LINE: Final = "#e3e1da"
_MOODS: Final = {"good": "#2e7d55", "warn": "#9a6a00", "bad": "#b3432f"}

_TITLE_PX: Final = 34
_HEAD_PX: Final = 22
_TEXT_PX: Final = 17
_SMALL_PX: Final = 14
_LEADING: Final = 1.4

_PLAIN: Final = str.maketrans({"×": "x", "–": "-", "−": "-", "…": "...", "≈": "~", "’": "'"})
"""Pillow's own font has few signs beyond ASCII, and a machine need not have another."""


class _Line(NamedTuple):
    """A line of text and how it is set."""

    text: str
    size_px: int
    colour: str

    @property
    def height_px(self) -> int:
        return round(self.size_px * _LEADING)


class _Block(NamedTuple):
    """A picture over lines of text over a pair of pictures, as wide as it is told to be."""

    picture: RgbImage | None
    lines: list[_Line]
    pair: tuple[tuple[RgbImage, str], ...] = ()

    def height_px(self, width_px: int) -> int:
        text = sum(line.height_px for line in self.lines) + 2 * _PADDING_PX
        picture = 0 if self.picture is None else _height(self.picture, width_px)
        return picture + text + (self._pair_px(width_px) if self.pair else 0)

    def draw(self, canvas: Image.Image, left: int, top: int, width_px: int, height_px: int) -> None:
        """Draw it onto a sheet of this size."""
        card = Image.new("RGB", (width_px, height_px), _SHEET)
        draw = ImageDraw.Draw(card)
        y = 0
        if self.picture is not None:
            y = _height(self.picture, width_px)
            card.paste(_scaled(self.picture, width_px, y), (0, 0))
        y += _PADDING_PX
        for line in self.lines:
            draw.text((_PADDING_PX, y), line.text, font=_font(line.size_px), fill=line.colour)
            y += line.height_px
        # The pair lies at the bottom, so that those of neighbours are level.
        self._draw_pair(card, draw, height_px - self._pair_px(width_px))
        shape = Image.new("L", card.size, 0)
        ImageDraw.Draw(shape).rounded_rectangle((0, 0, width_px - 1, height_px - 1), _RADIUS_PX, fill=255)
        canvas.paste(card, (left, top), shape)
        border = (left, top, left + width_px - 1, top + height_px - 1)
        ImageDraw.Draw(canvas).rounded_rectangle(border, _RADIUS_PX, outline=_LINE)

    def _pair_px(self, width_px: int) -> int:
        caption = round(_SMALL_PX * _LEADING) + _PADDING_PX // 2
        return max((_height(image, width_px // 2) + caption for image, _ in self.pair), default=0)

    def _draw_pair(self, card: Image.Image, draw: ImageDraw.ImageDraw, top: int) -> None:
        half_px = card.width // 2
        for number, (image, caption) in enumerate(self.pair):
            height = _height(image, half_px)
            left = number * half_px
            card.paste(_scaled(image, half_px - 1, height), (left + number, top))
            line = _Line(caption, _SMALL_PX, _SOFT)
            draw.text(
                (left + _PADDING_PX, top + height + _PADDING_PX // 4),
                line.text,
                font=_font(line.size_px),
                fill=line.colour,
            )


def picture_of(sheet: ContactSheet) -> bytes:
    """The sheet as a PNG file."""
    given_px, card_px = _column_px(len(sheet.givens)), _column_px(sheet.columns)
    blocks = [_card(card, card_px) for card in sheet.cards]
    rows = [([_given(given) for given in sheet.givens], given_px)]
    rows += [(blocks[first : first + sheet.columns], card_px) for first in range(0, len(blocks), sheet.columns)]
    heights = [max(block.height_px(column_px) for block in row) for row, column_px in rows]
    head, foot = _head(sheet), _foot(sheet)
    texts_px = sum(line.height_px for line in head + foot) + _GAP_PX
    size = (_WIDTH_PX + 2 * _MARGIN_PX, texts_px + sum(heights) + _GAP_PX * len(rows) + 2 * _MARGIN_PX)
    canvas = Image.new("RGB", size, _GROUND)
    y = _write(canvas, head, _MARGIN_PX) + _GAP_PX
    for (row, column_px), height in zip(rows, heights, strict=True):
        for number, block in enumerate(row):
            block.draw(canvas, _MARGIN_PX + number * (column_px + _GAP_PX), y, column_px, height)
        y += height + _GAP_PX
    _write(canvas, foot, y)
    file = io.BytesIO()
    canvas.save(file, "PNG", optimize=True)
    return file.getvalue()


def _column_px(count: int) -> int:
    return (_WIDTH_PX - (count - 1) * _GAP_PX) // count


def _head(sheet: ContactSheet) -> list[_Line]:
    private = "Private: this sheet shows the original. Keep it where the original is kept."
    return [
        _Line(sheet.title, _TITLE_PX, _INK),
        _Line(_said(sheet.about), _TEXT_PX, _SOFT),
        _Line(private, _TEXT_PX, _MOODS["bad"]),
    ]


def _foot(sheet: ContactSheet) -> list[_Line]:
    said = [f"{name} is not here: {why}" for name, why in sheet.missing]
    said.append("Times are of one copy on this machine, from the erasure to the certificate.")
    return [line for text in said for line in _lines(text, _SMALL_PX, _SOFT, _WIDTH_PX)]


def _given(given: Given) -> _Block:
    image = given.image
    # A tall picture would push everything else out of sight.
    if image.shape[0] > image.shape[1]:
        image = _on_ground(image)
    return _Block(image, [_Line(_said(f"{given.title}  ({given.about})"), _HEAD_PX, _INK)])


def _on_ground(image: RgbImage) -> RgbImage:
    """A tall picture between two stripes of ground: 4 to 3."""
    height, width = image.shape[:2]
    wide = np.empty((height, max(round(height * 4 / 3), width), 3), dtype=np.uint8)
    wide[:] = ImageColor.getrgb(_WELL)
    left = (wide.shape[1] - width) // 2
    wide[:, left : left + width] = image
    return wide


def _card(card: Card, width_px: int) -> _Block:
    inner_px = width_px - 2 * _PADDING_PX
    lines = [
        _Line(_said(card.name), _HEAD_PX, _INK),
        *_lines(card.figures, _TEXT_PX, _SOFT, inner_px),
        *_lines(card.verdict, _TEXT_PX, _MOODS[card.mood], inner_px),
        *(line for reason in card.reasons for line in _lines(reason, _SMALL_PX, _MOODS["warn"], inner_px)),
        *_lines(card.engine, _SMALL_PX, _SOFT, inner_px),
    ]
    if card.whole is None or card.difference is None:
        return _Block(None, lines)
    pair = ((card.whole, "the whole copy"), (card.difference, f"difference x {DIFFERENCE_FACTOR}"))
    return _Block(card.zoom, lines, pair)


def _lines(text: str, size_px: int, colour: str, width_px: int) -> list[_Line]:
    """The text, broken between words, and within one that is too long, so that no line is wider than it may be."""
    font = _font(size_px)
    lines = [""]
    for word in _said(text).split():
        if font.getlength(f"{lines[-1]} {word}".strip()) <= width_px:
            lines[-1] = f"{lines[-1]} {word}".strip()
            continue
        lines.append("")
        for sign in word:
            if font.getlength(lines[-1] + sign) > width_px:
                lines.append("")
            lines[-1] += sign
    return [_Line(line, size_px, colour) for line in lines if line]


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)


def _write(canvas: Image.Image, lines: list[_Line], top: int) -> int:
    """Write lines below each other; where they end."""
    draw = ImageDraw.Draw(canvas)
    for line in lines:
        draw.text((_MARGIN_PX, top), line.text, font=_font(line.size_px), fill=line.colour)
        top += line.height_px
    return top


def _said(text: str) -> str:
    return text.translate(_PLAIN)


def _height(image: RgbImage, width_px: int) -> int:
    height, width = image.shape[:2]
    return int(max(round(height * width_px / width), 1))


def _scaled(image: RgbImage, width_px: int, height_px: int) -> Image.Image:
    return Image.fromarray(image).resize((width_px, height_px), Image.Resampling.LANCZOS)
