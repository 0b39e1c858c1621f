"""From an image and a plan to a verified clean copy: erase, fill, composite, encode, certify."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import numpy as np

from cleanplate import __version__
from cleanplate.codecs.images import ImageLimits, Picture, picture_from_bytes, with_fill
from cleanplate.domain.image import Mask, RgbImage, size_of
from cleanplate.domain.mask import require_fit, union
from cleanplate.domain.policy import Action, LabelPolicy
from cleanplate.engines.protocols import Detector, Inpainter
from cleanplate.errors import NothingToRemoveError, PolicyError
from cleanplate.pipeline.certificate import Certificate, Clause, Verdict, mask_digest
from cleanplate.pipeline.composite import ERASED, composite, erase
from cleanplate.pipeline.crops import part_shown
from cleanplate.pipeline.encoding import encoded
from cleanplate.pipeline.fill import Fill, fill
from cleanplate.pipeline.plan import Plan, Treatment, grid_of, plan_from_mask
from cleanplate.pipeline.second_look import look, sensitive_boxes
from cleanplate.pipeline.traditional import Reduction, treat
from cleanplate.pipeline.verification import file_clauses

_NO_ENGINE: Final = "none"


@dataclass(frozen=True, eq=False)
class Original:
    """An image file and what was read from it."""

    content: bytes
    picture: Picture

    @classmethod
    def from_bytes(cls, content: bytes, limits: ImageLimits) -> "Original":
        """Read an image file.

        Raises:
            ImageError: It cannot be used.
        """
        return cls(content, picture_from_bytes(content, limits))


@dataclass(frozen=True, eq=False)
class CleanCopy:
    """A finished copy: its file and the proof that goes with it."""

    content: bytes
    extension: str
    certificate: Certificate


def clean_image(
    original: Original,
    mask: Mask,
    inpainter: Inpainter,
    *,
    limits: ImageLimits,
    action: Action = Action.REMOVE,
    reversible: bool = False,
    detector: Detector | None = None,
) -> CleanCopy:
    """Remove what lies under a mask.

    Args:
        original: the image.
        mask: (H, W) of the upright image, True where something is to be removed.
        inpainter: fills the holes.
        limits: the copy must be readable within them.
        action: in which way it is removed.
        reversible: whether somebody accepted that a blur can be read back.
        detector: finds what must not be copied into the holes, and looks at the copy again.

    Raises:
        PolicyError: The action cannot be done, or is a blur and nobody accepted what that means.
        SizeMismatchError: The mask does not fit the image.
        NothingToRemoveError: The mask is empty.
        EngineError: The holes could not be filled.
        CertificateError: The copy broke the contract; it must not be used.
    """
    wish = LabelPolicy(action, reversible=reversible)
    if wish.objection:
        raise PolicyError(f"{action} {wish.objection}")
    if action is Action.KEEP:
        raise NothingToRemoveError("to keep what is under the mask, no copy is needed")
    require_fit(mask, size_of(original.picture.image))
    plan = plan_from_mask(mask, grid=grid_of(original.picture.container), way=wish.way)
    return clean_copy(original, plan, inpainter, limits=limits, detector=detector)


def clean_copy(
    original: Original,
    plan: Plan,
    inpainter: Inpainter,
    *,
    limits: ImageLimits,
    detector: Detector | None = None,
    report: Callable[[str], None] = lambda _step: None,
) -> CleanCopy:
    """Carry out a plan.

    Args:
        original: the image the plan was made for.
        plan: what to remove.
        inpainter: fills the holes.
        limits: the copy must be readable within them.
        detector: finds what must not be copied into the holes, and looks at the copy again.
        report: is told of each step before it begins.

    Raises:
        EngineError: The holes could not be filled.
        CertificateError: The copy broke the contract; it must not be used.
    """
    picture = original.picture
    report("erase")
    erased = erase(picture.image, plan.mask)
    report("fill")
    avoid = _avoided(erased, plan, inpainter, detector)
    # All holes are filled, also those that are painted over next: no fill then depends on what is in another hole.
    filled = fill(erased, plan.mask, avoid=avoid, inpainter=inpainter) if plan.invents else Fill(erased, None, ())
    report("composite")
    treated = treat(picture.image, composite(picture.image, filled.image, plan.mask), plan.treatments)
    # Nobody waits for the second look: it is done beside encoding and certifying, which use one core.
    with ThreadPoolExecutor(max_workers=1) as beside:
        looked = beside.submit(_second_look, treated.image, plan, avoid, filled, detector)
        report("encode")
        content, encoding = encoded(original.content, with_fill(picture, treated.image, plan.mask), plan.mask)
        report("certify")
        clauses = (
            _erasure(erased, plan.mask, treated.reduction),
            *file_clauses(picture, content, plan.mask, source=original.content, limits=limits),
        )
    certificate = Certificate(
        source=sha256(original.content).hexdigest(),
        mask=mask_digest(plan.mask),
        copy=sha256(content).hexdigest(),
        engine=inpainter.version if plan.invents else _NO_ENGINE,
        cleanplate=__version__,
        made_at=datetime.now(UTC),
        parameters=_parameters(plan) | _fill_parameters(filled, plan, avoid, detector) | {"encoding": encoding},
        clauses=clauses,
        second_look=looked.result(),
    )
    return CleanCopy(content, f".{picture.container.extension}", certificate)


def _erasure(erased: RgbImage, mask: Mask, left: Reduction) -> Clause:
    overwritten = int((erased[mask] == ERASED).all(axis=1).sum())
    figures = {"pixels": int(mask.sum()), "overwritten": overwritten}
    if overwritten < figures["pixels"]:
        return Clause("L1", Verdict.FAIL, "not every pixel under the mask was overwritten before the fill", figures)
    if not left.objects:
        return Clause("L1", Verdict.PASS, "every pixel under the mask was overwritten before the fill", figures)
    figures |= {"reduced": left.pixels, "reduced_objects": left.objects, "bits_left_at_most": left.bits}
    objects = "one object" if left.objects == 1 else f"{left.objects:,} objects"
    sentence = (
        f"every pixel under the mask was overwritten, but the averages of {objects} were put back as a mosaic or a "
        f"blur: at most {left.bits:,} bits are left of what was there"
    )
    return Clause("L1", Verdict.REDUCED, sentence, figures)


def _avoided(erased: RgbImage, plan: Plan, inpainter: Inpainter, detector: Detector | None) -> Mask:
    """What nothing may be copied from: other regions, and people and plates that nobody labelled.

    They are found where the mask is overwritten already, so that the answer does not depend on what was hidden.
    """
    shown = part_shown(plan.mask, inpainter.comfort)
    if detector is None or not plan.invents or shown is None:
        return plan.avoid
    avoid = plan.avoid.copy()
    for box in sensitive_boxes(erased, plan.mask, detector, outlined=plan.avoid, within=shown):
        avoid[box.slices(size_of(avoid))] = True
    return avoid & ~plan.mask


def _second_look(image: RgbImage, plan: Plan, avoid: Mask, filled: Fill, detector: Detector | None) -> tuple[str, ...]:
    # A mosaic may well look like a face to a detector: that is what was asked for.
    invented = [treatment.mask for treatment in plan.treatments if treatment.way.action is Action.REMOVE]
    if not invented:
        return ()
    mask = union(tuple(invented), size_of(image))
    return look(image, mask, avoid=avoid, confidence=filled.confidence, detector=detector)


def _parameters(plan: Plan) -> dict[str, Any]:
    return {
        "grid": list(plan.grid.cell),
        "removed": [
            {
                "label": removed.label,
                "action": str(removed.action),
                "radius_px": removed.radius_px,
                "closed_px": removed.closed_px,
            }
            for removed in plan.removed
        ],
        "treatments": [_treatment(treatment) for treatment in plan.treatments],
        "kept_regions": len(plan.kept),
        "dropped_regions": len(plan.dropped),
        "plan": plan.digest,
    }


def _fill_parameters(filled: Fill, plan: Plan, avoid: Mask, detector: Detector | None) -> dict[str, Any]:
    return {
        "crops": list(filled.factors),
        "confidence": filled.confidence,
        "detector": None if detector is None else detector.version,
        "avoided_pixels": int(np.count_nonzero(avoid)),
        "avoided_pixels_unlabelled": int(np.count_nonzero(avoid & ~plan.avoid)),
    }


def _treatment(treatment: Treatment) -> dict[str, Any]:
    way = treatment.way
    parameters: dict[str, Any] = {"action": str(way.action), "pixels": int(treatment.mask.sum())}
    if way.action is Action.FILL:
        parameters["colour"] = str(way.colour)
    if way.cells:
        parameters["cells"] = way.cells
    return parameters
