from pathlib import Path

import pytest
from PIL import Image

CHECKOUT = Path(__file__).parents[3]
SAMPLES = CHECKOUT / "samples"
IMAGES = sorted(path for path in SAMPLES.iterdir() if path.suffix != ".md")
ORIENTATION_TAG = 0x0112


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_a_sample_is_small_and_its_origin_is_told(path) -> None:
    assert path.stat().st_size < 500_000
    assert f"`{path.name}`" in (SAMPLES / "SOURCES.md").read_text(encoding="utf-8")


def test_the_samples_together_stay_below_4_mb() -> None:
    assert sum(path.stat().st_size for path in IMAGES) < 4_000_000


def test_the_samples_hold_what_a_first_look_should_meet() -> None:
    orientations, modes, formats = set(), set(), set()
    for path in IMAGES:
        with Image.open(path) as image:
            orientations.add(image.getexif().get(ORIENTATION_TAG))
            modes.add(image.mode)
            formats.add(image.format)

    assert 6 in orientations
    assert modes == {"L", "RGB"}
    assert formats == {"JPEG", "PNG"}
