"""Draw docs/img/5-removals.jpg: things before and after, as the product removes them with the engines of the first run.

Run it where the test tools are installed: .venv/bin/python scripts/benchmarks/draw_removals.py
"""

from pathlib import Path
from typing import Final

from fill_removals import REMOVALS, copied, planned
from PIL import Image, ImageDraw, ImageFont

from cleanplate.domain.geometry import Box
from cleanplate.domain.image import RgbImage, size_of
from cleanplate.engines.registry import load_inpainter
from cleanplate.settings import Settings

CHECKOUT: Final = Path(__file__).resolve().parents[2]
PICTURE: Final = CHECKOUT / "docs" / "img" / "5-removals.jpg"
SHOWN: Final = {
    "plates-parked-cars": ("licence plates", Box(30, 200, 690, 480)),
    "girl-parked-cars": ("a passer-by", Box(440, 180, 600, 370)),
    "mission-patch": ("a badge", Box(90, 250, 330, 512)),
    "tower": ("a tower", Box(330, 60, 512, 260)),
    "rocket": ("a rocket", Box(210, 90, 440, 427)),
    "temple": ("a temple", Box(0, 0, 640, 427)),
}
HEIGHT_PX: Final = 260
GAP_PX: Final = 6
TITLE_PX: Final = 30
INK: Final = (90, 90, 90)
QUALITY: Final = 88


def main() -> None:
    """Write the picture: above what was there, below what is in its copy."""
    inpainter = load_inpainter(Settings.model_fields["inpainter"].default)
    columns = []
    for removal in REMOVALS:
        if removal.name in SHOWN:
            title, box = SHOWN[removal.name]
            original, plan = planned(removal)
            after, _ = copied(original, plan, inpainter)
            columns.append((title, [_cut(image, box) for image in (original.picture.image, after)]))
    width = sum(cells[0].width + GAP_PX for _, cells in columns) - GAP_PX
    sheet = Image.new("RGB", (width, 2 * HEIGHT_PX + GAP_PX + TITLE_PX), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    left = 0
    for title, cells in columns:
        for row, each in enumerate(cells):
            sheet.paste(each, (left, row * (HEIGHT_PX + GAP_PX)))
        pen.text((left + cells[0].width / 2, sheet.height - 6), title, fill=INK, font=font, anchor="ms")
        left += cells[0].width + GAP_PX
    sheet.save(PICTURE, quality=QUALITY)


def _cut(image: RgbImage, box: Box) -> Image.Image:
    cut = Image.fromarray(image[box.slices(size_of(image))])
    return cut.resize((round(cut.width * HEIGHT_PX / cut.height), HEIGHT_PX), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
