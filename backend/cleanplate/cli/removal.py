"""What is to be done to images that people name on the command line, be it one or a whole folder."""

import json
import re
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cleanplate import __version__
from cleanplate.app.choices import detector_for, inpainter_for, limits_for
from cleanplate.codecs.images import ImageLimits, mask_from_png
from cleanplate.domain.policy import READ_BACK, Action, Dilation
from cleanplate.engines.protocols import Detector, Inpainter
from cleanplate.errors import EngineError, PolicyError
from cleanplate.pipeline.clean import CleanCopy, Original, clean_image
from cleanplate.pipeline.detections import detected_mask, kind_named
from cleanplate.pipeline.plan import dilated

if TYPE_CHECKING:
    from cleanplate.domain.image import Mask
    from cleanplate.settings import Settings

_DILATION: Final = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)(px|%)", re.ASCII)


@dataclass(frozen=True, eq=False)
class Removal:
    """What is done to each image.

    Attributes:
        inpainter: fills the holes.
        detector: finds what must not be copied into them, looks at copies again, and finds the *kinds*.
        limits: of images.
        kinds: what is to go; empty: what a mask covers.
        action: in which way.
        reversible: whether somebody accepted that a blur can be read back.
        dilation: how far masks are grown.
    """

    inpainter: Inpainter
    detector: Detector | None
    limits: ImageLimits
    kinds: tuple[str, ...] = ()
    action: Action = Action.REMOVE
    reversible: bool = False
    dilation: Dilation = field(default_factory=Dilation)

    @classmethod
    def from_settings(cls, settings: "Settings", *, inpainter: str | None) -> "Removal":
        """As the settings have it.

        Raises:
            EngineError: An engine cannot be loaded.
        """
        return cls(
            inpainter=inpainter_for(settings, inpainter),
            detector=detector_for(settings),
            limits=limits_for(settings),
        )

    def detecting(self, words: str) -> "Removal":
        """The same, of what a detector finds: *words* are kinds such as `face` or `plates`, with commas between them.

        Raises:
            EngineError: There is no detector, or it cannot find that.
        """
        if self.detector is None:
            raise EngineError("--detect needs a detector, and CLEANPLATE_DETECTOR is none")
        wanted = [word for word in words.split(",") if word.strip()]
        if not wanted:
            raise EngineError(f"the detector needs to know what to find: it finds {', '.join(self.detector.kinds)}")
        return replace(self, kinds=tuple(sorted({kind_named(word, self.detector) for word in wanted})))

    def in_the_way(self, action: Action, *, reversible: bool) -> "Removal":
        """The same in another way.

        Raises:
            PolicyError: It can be undone, and nobody accepted that.
        """
        if action is Action.BLUR and not reversible:
            raise PolicyError(
                f"--action blur can be undone: {READ_BACK}. Take fill or remove, or say --reversible, too"
            )
        return replace(self, action=action, reversible=reversible)

    def grown(self, text: str) -> "Removal":
        """The same with grown masks: by a share of each object's size like `4%`, or by pixels like `6px`.

        Raises:
            PolicyError: It is neither.
        """
        match = _DILATION.fullmatch(text.strip())
        if match is None:
            raise PolicyError(
                f'--dilate {text!r} is neither a share of the object\'s size like "4%" nor pixels like "6px"'
            )
        number = float(match[1])
        return replace(self, dilation=Dilation(pct=number) if match[2] == "%" else Dilation(px=number))

    def request(self, source: bytes, mask: bytes | None) -> str:
        """A digest of everything a copy depends on."""
        facts = {
            "source": sha256(source).hexdigest(),
            "mask": None if mask is None else sha256(mask).hexdigest(),
            "kinds": self.kinds,
            "action": self.action,
            "dilation": [self.dilation.px, self.dilation.pct],
            "inpainter": self.inpainter.version,
            "detector": None if self.detector is None else self.detector.version,
            "cleanplate": __version__,
        }
        return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def mask_of(self, original: Original, mask: bytes | None) -> "Mask":
        """(H, W), what is to go from an image: what a PNG covers, or what is found; empty if nothing is found.

        Raises:
            MaskError: The PNG cannot be used.
        """
        if mask is not None:
            covered = mask_from_png(mask, self.limits)
        elif self.detector is not None:
            covered = detected_mask(original.picture.image, self.detector, kinds=self.kinds)
        else:
            raise EngineError("without a mask, a detector is needed")
        return dilated(covered, self.dilation)[0]

    def copy_of(self, original: Original, mask: "Mask") -> CleanCopy:
        """The clean copy of one image.

        Raises:
            CleanplateError: As `clean_image` does.
        """
        return clean_image(
            original,
            mask,
            self.inpainter,
            limits=self.limits,
            action=self.action,
            reversible=self.reversible,
            detector=self.detector,
        )
