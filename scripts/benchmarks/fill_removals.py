"""Removals as a user gets them, to be looked at: nobody knows what was behind these things, so there are no figures.

The masks come from boxes and clicks through cleanplate's own segmenter, grown as the shipped label configurations grow
them and rounded out to the grid of the file. What is seen is what a copy holds: people and plates that the detector
finds are copied into no hole, and the copy was encoded and read again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from fill_sheets import cell, tinted, write_png
from mask_subjects import file_of

from cleanplate.codecs.images import ImageLimits, picture_from_bytes
from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.domain.policy import Policy
from cleanplate.domain.prompt import Prompt
from cleanplate.domain.region import Region, Shape
from cleanplate.engines.protocols import Detector, Inpainter
from cleanplate.engines.registry import load_detector, load_segmenter
from cleanplate.label_studio.config import LabelConfig
from cleanplate.pipeline.clean import Original, clean_copy
from cleanplate.pipeline.plan import Plan, grid_of, plan_removal

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SEGMENTER: Final = "graphcut"
DETECTOR: Final = "cascade"
LIMITS: Final = ImageLimits(max_pixels=50_000_000, max_bytes=1 << 26)
SHOWN_PX: Final = 640
SURROUNDINGS: Final = 0.35

PERSON: Final = ("privacy.xml", "Person")
PLATE: Final = ("privacy.xml", "Licence plate")
THING: Final = ("remove-objects.xml", "Remove")
KEEP: Final = "Keep"


@dataclass(frozen=True)
class Pointed:
    """What somebody pointed at to get one region: a box, clicks, or a box and then clicks."""

    box: Box | None = None
    clicks: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Removal:
    """Something to take out of a picture.

    Attributes:
        name: of the files that are written.
        source: a file in samples/, or `package:photograph`.
        label: the label configuration that ships, and the label in it.
        removed: the regions to remove.
        kept: regions that were outlined to be kept, so that nothing is copied from there.
    """

    name: str
    source: str
    label: tuple[str, str]
    removed: tuple[Pointed, ...]
    kept: tuple[Pointed, ...] = field(default=())


REMOVALS: Final = (
    Removal(
        "plates-afternoon",
        "1-afternoon.jpg",
        PLATE,
        (Pointed(Box(211, 621, 349, 659)), Pointed(Box(803, 633, 957, 677))),
    ),
    Removal("woman-in-red", "1-afternoon.jpg", PERSON, (Pointed(Box(518, 390, 602, 618)),)),
    Removal(
        "middle-of-three",
        "2-zebra-crossing.jpg",
        THING,
        (Pointed(Box(495, 245, 628, 700)),),
        kept=(Pointed(Box(205, 240, 405, 725)), Pointed(Box(748, 200, 952, 780))),
    ),
    Removal("man-with-hat", "2-zebra-crossing.jpg", PERSON, (Pointed(Box(748, 200, 952, 780)),)),
    Removal(
        "plates-parked-cars",
        "3-parked-cars.png",
        PLATE,
        (Pointed(Box(72, 344, 152, 367)), Pointed(Box(314, 348, 402, 373)), Pointed(Box(582, 348, 662, 371))),
    ),
    Removal(
        "people-parked-cars",
        "3-parked-cars.png",
        PERSON,
        (Pointed(Box(208, 214, 254, 334)), Pointed(Box(484, 232, 526, 333))),
    ),
    Removal("girl-parked-cars", "3-parked-cars.png", PERSON, (Pointed(Box(484, 232, 526, 333)),)),
    Removal("man-in-doorway", "4-doorway.jpg", PERSON, (Pointed(Box(460, 357, 585, 748)),)),
    Removal("shuttle", "5-astronaut.jpg", THING, (Pointed(Box(354, 0, 472, 290)),)),
    Removal(
        "shuttle-woman-kept",
        "5-astronaut.jpg",
        THING,
        (Pointed(Box(354, 0, 472, 290)),),
        kept=(Pointed(Box(12, 16, 366, 512)),),
    ),
    Removal("mission-patch", "5-astronaut.jpg", THING, (Pointed(Box(132, 346, 210, 424)),)),
    Removal("photographer", "6-photographer.jpg", PERSON, (Pointed(Box(0, 63, 325, 512)),)),
    Removal("tower", "6-photographer.jpg", THING, (Pointed(Box(408, 112, 440, 205)),)),
    Removal("cat-eye", "7-cat.jpg", THING, (Pointed(Box(136, 85, 207, 146)),)),
    Removal("cup-and-saucer", "8-coffee.png", THING, (Pointed(Box(76, 16, 482, 392)),)),
    Removal("cup", "8-coffee.png", THING, (Pointed(Box(171, 16, 410, 308)),)),
    Removal("rocket", "skimage:rocket", THING, (Pointed(Box(309, 124, 336, 408)),)),
    Removal("temple", "sklearn:china", THING, (Pointed(Box(62, 27, 372, 392)),)),
    Removal("dahlia", "sklearn:flower", THING, (Pointed(Box(168, 83, 447, 361)),)),
)


def write_removals(folder: Path, inpainters: Mapping[str, Inpainter]) -> None:
    """Write for each removal a sheet of before, mask and all afters, and each after on its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for removal in REMOVALS:
        original, plan = planned(removal)
        image = original.picture.image
        pictures = {"before": image, f"mask {plan.mask.mean():.1%}": tinted(image, plan.mask)}
        for name, inpainter in inpainters.items():
            after, confidence = copied(original, plan, inpainter)
            sure = "" if confidence is None else f", sure {confidence:.2f}"
            pictures[f"{name}{sure}"] = after
            write_png(folder / f"{removal.name}-{name}.png", after)
        write_png(folder / f"{removal.name}.png", _sheet(pictures, plan.mask))
        print(f"{removal.name}: {', '.join(list(pictures)[1:])}")


def planned(removal: Removal) -> tuple[Original, Plan]:
    """The picture of a removal, and what is to be done to it."""
    original = Original.from_bytes(_content(removal.source), LIMITS)
    image = original.picture.image
    config, label = removal.label
    wanted = [(label, pointed) for pointed in removal.removed] + [(KEEP, pointed) for pointed in removal.kept]
    regions = [
        Region(f"{number}", "brush", name, Shape.BRUSH, _segmented(image, pointed))
        for number, (name, pointed) in enumerate(wanted)
    ]
    grid = grid_of(original.picture.container)
    return original, plan_removal(regions, prompts=(), policy=policy_of(config), size=size_of(image), grid=grid)


def copied(original: Original, plan: Plan, inpainter: Inpainter) -> tuple[RgbImage, float | None]:
    """The copy as it is read from its file, and how sure the inpainter is."""
    copy = clean_copy(original, plan, inpainter, limits=LIMITS, detector=_detector())
    return picture_from_bytes(copy.content, LIMITS).image, copy.certificate.parameters["confidence"]


def _sheet(pictures: Mapping[str, RgbImage], mask: Mask) -> RgbImage:
    """The whole picture above, the hole from near below."""
    box = bounding_box(mask)
    if box is None:
        raise ValueError("nothing was removed")
    window = box.grown(SURROUNDINGS * max(box.width, box.height)).slices(size_of(mask))
    whole = np.hstack([cell(image, text, SHOWN_PX) for text, image in pictures.items()])
    near = np.hstack([cell(image[window], text, SHOWN_PX) for text, image in pictures.items()])
    return np.vstack([whole, near])


def _segmented(image: RgbImage, pointed: Pointed) -> Mask:
    """The mask after a box, and after each click if there are some."""
    segmenter = load_segmenter(SEGMENTER)
    embedding = segmenter.embed(image)
    answer = None
    steps = [()] if pointed.box is not None else []
    steps += [pointed.clicks[: count + 1] for count in range(len(pointed.clicks))]
    for clicks in steps:
        previous = None if answer is None else answer.logits
        answer = segmenter.segment(embedding, Prompt(clicks, None if clicks else pointed.box, previous))
    if answer is None:
        raise ValueError("nobody pointed at anything")
    return answer.mask


def _content(source: str) -> bytes:
    package, colon, name = source.partition(":")
    return (file_of(package, name) if colon else CHECKOUT / "samples" / source).read_bytes()


@cache
def _detector() -> Detector:
    return load_detector(DETECTOR)


@cache
def policy_of(config: str) -> Policy:
    """What a label configuration that ships asks for."""
    return LabelConfig.from_xml((CHECKOUT / "label_config" / config).read_text(encoding="utf-8")).policy()
