"""A comparison as a contact sheet: what it shows, the page that shows it, and the picture."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from cleanplate import __version__
from cleanplate.domain.geometry import Box
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.pipeline.comparison import DIFFERENCE_FACTOR, Trial, difference, overlay, zoom_box

_GIVEN_PX: Final = 1000
_ZOOM_PX: Final = 720
_WHOLE_PX: Final = 560
_QUALITY: Final = 90
_MAX_ENLARGEMENT: Final = 4

_KIB: Final = 1024


@dataclass(frozen=True, eq=False)
class Given:
    """A picture of what was given."""

    title: str
    about: str
    image: RgbImage


@dataclass(frozen=True, eq=False)
class Card:
    """One way and what came of it.

    Attributes:
        figures: time, size, confidence.
        verdict: on the contract, in a word or a sentence.
        mood: good, warn or bad.
        reasons: for a second look.
        zoom, whole, difference: pictures; None if there is no copy.
    """

    name: str
    figures: str
    verdict: str
    mood: str
    reasons: tuple[str, ...] = ()
    engine: str = ""
    zoom: RgbImage | None = None
    whole: RgbImage | None = None
    difference: RgbImage | None = None


@dataclass(frozen=True, eq=False)
class ContactSheet:
    """Everything that is shown.

    Attributes:
        about: the image in figures.
        before: what was in the close-ups.
        missing: engines that are not here, and why.
    """

    about: str
    givens: tuple[Given, ...]
    before: RgbImage
    cards: tuple[Card, ...]
    missing: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        return "One way to remove it" if len(self.cards) == 1 else f"{len(self.cards)} ways to remove it"

    @property
    def columns(self) -> int:
        """In how many columns the cards lie best: no card of up to four is alone in its row."""
        return next((count for count in (3, 4) if len(self.cards) % count == 0), 2 if len(self.cards) == 2 else 3)  # noqa: PLR2004


def sheet_of(
    image: RgbImage, mask: Mask, trials: Sequence[Trial], *, missing: Sequence[tuple[str, str]]
) -> ContactSheet:
    """Lay out a comparison.

    Args:
        image: (H, W, 3), the original.
        mask: (H, W), what was to go.
        trials: what came of each way.
        missing: engines that could not be tried, and why.
    """
    size, zoom = size_of(image), zoom_box(mask)
    share = f"{mask.mean():.1%} of it removed"
    return ContactSheet(
        about=f"{size.width} × {size.height} pixels · {share} · cleanplate {__version__}",
        givens=(
            Given("Original", "private", _shrunk(image, _GIVEN_PX)),
            Given("What was to go", "private", _shrunk(overlay(image, mask), _GIVEN_PX)),
        ),
        before=_close_up(image, zoom),
        cards=tuple(_card(image, trial, zoom) for trial in trials),
        missing=tuple(missing),
    )


def page_of(sheet: ContactSheet) -> str:
    """The sheet as one page of HTML that needs nothing else."""
    environment = Environment(
        loader=PackageLoader("cleanplate.cli"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("comparison.html").render(
        title=sheet.title,
        about=sheet.about,
        givens=[vars(given) | {"picture": _data_url(given.image)} for given in sheet.givens],
        before=_data_url(sheet.before),
        cards=[
            vars(card) | {name: _data_url(getattr(card, name)) for name in ("zoom", "whole", "difference")}
            for card in sheet.cards
        ],
        missing=sheet.missing,
        columns=sheet.columns,
        factor=DIFFERENCE_FACTOR,
    )


def _card(image: RgbImage, trial: Trial, zoom: Box) -> Card:
    if trial.image is None or trial.certificate is None:
        return Card(trial.name, figures="", verdict=f"No copy: {trial.problem}", mood="bad")
    certificate = trial.certificate
    figures = [f"{trial.seconds:.2f} s", f"{trial.size_bytes / _KIB:,.0f} KiB"]
    if trial.confidence is not None:
        figures.append(f"confidence {trial.confidence:.2f}")
    marks = [str(clause.verdict) for clause in certificate.clauses if clause.verdict not in {"pass", "not-checked"}]
    verdict = "Keeps the contract" + (f", with a mark: {', '.join(dict.fromkeys(marks))}" if marks else "")
    reasons = tuple(f"Second look: {reason}" for reason in certificate.second_look)
    return Card(
        name=trial.name,
        figures=" · ".join(figures),
        verdict=verdict,
        mood="warn" if marks or reasons else "good",
        reasons=reasons,
        engine="" if certificate.engine == "none" else certificate.engine,
        zoom=_close_up(trial.image, zoom),
        whole=_shrunk(trial.image, _WHOLE_PX),
        difference=_shrunk(difference(image, trial.image), _WHOLE_PX),
    )


def _close_up(image: RgbImage, zoom: Box) -> RgbImage:
    part = image[zoom.slices(size_of(image))]
    scale = min(_ZOOM_PX / part.shape[1], _MAX_ENLARGEMENT)
    return _resized(part, scale)


def _shrunk(image: RgbImage, side_px: int) -> RgbImage:
    return _resized(image, min(side_px / max(image.shape[:2]), 1.0))


def _resized(image: RgbImage, scale: float) -> RgbImage:
    sides = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    if sides == image.shape[1::-1]:
        return image
    return np.asarray(Image.fromarray(image).resize(sides, Image.Resampling.LANCZOS))


def _data_url(image: RgbImage | None) -> str:
    if image is None:
        return ""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
