"""A project's labelling config: which images, which controls, and what the admin wants done to each label."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Never, TypeVar
from xml.etree import ElementTree as ET

from cleanplate.domain.policy import (
    AVAILABLE,
    READ_BACK,
    Action,
    Approval,
    Closing,
    Colour,
    Dilation,
    LabelPolicy,
    Policy,
)
from cleanplate.errors import PolicyError

MAX_XML_CHARACTERS: Final = 1_000_000

CLEAN: Final = "clean"
DILATE: Final = "dilate"
CLOSE: Final = "close"
FILL: Final = "fill"
CELLS: Final = "cells"
REVERSIBLE: Final = "reversible"
SHADOW: Final = "shadow"

_ACCEPTED: Final = "accepted"

_PARTS: Final[Mapping[str, frozenset[Action]]] = MappingProxyType(
    {
        DILATE: frozenset(Action) - {Action.KEEP},
        CLOSE: frozenset(Action) - {Action.KEEP},
        FILL: frozenset({Action.FILL}),
        CELLS: frozenset({Action.PIXELATE, Action.BLUR}),
        REVERSIBLE: frozenset({Action.BLUR}),
    }
)
"""In which actions an attribute plays a part."""

LATER_ATTRIBUTES: Final = ("prompt", "negative-prompt", "variants")
"""Attributes that only matter to actions this version does not have."""

_ALL_SUBMITTED: Final = Approval()

_SMART_BY_DEFAULT: Final = frozenset({"keypoint", "rectangle", "brush", "bitmask", "magicwand"})
"""The shapes whose tools Label Studio's frontend doubles as smart ones, unless the control says smart="false"."""

_REGIONS_UNLESS_SMART: Final = frozenset({"rectangle", "ellipse"})
_ALWAYS_REGIONS: Final = frozenset({"brush", "magicwand", "bitmask", "polygon"})
_SUGGESTED: Final = frozenset({"brushlabels", "bitmasklabels", "polygonlabels", "rectanglelabels"})
_BRUSHES: Final = frozenset({"brush", "bitmask"})
_LABELS: Final = "labels"

_T = TypeVar("_T")

_DILATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(%|px)")
_CLOSING = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%|0")
_CELLS = re.compile(r"[0-9]{1,3}", re.ASCII)
_VARIABLE = re.compile(r"\$([^\s$]+)")


class Severity(StrEnum):
    """How much a finding matters: an error stops copies, a warning surprises annotators, a hint is advice."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


@dataclass(frozen=True)
class Finding:
    """Something in a labelling config that a person should look at.

    Attributes:
        tag: the tag as one finds it in the XML, such as `<BrushLabels name="brush">`; empty if none is to blame.
        attribute: the attribute of it; empty if none is to blame.
        message: a sentence that names both and says what to do.
    """

    severity: Severity
    tag: str
    attribute: str
    message: str


@dataclass(frozen=True)
class ImageTag:
    """An `<Image>`. *key* is the field of the task's data its address comes from; None if there is not just one."""

    name: str
    key: str | None


@dataclass(frozen=True)
class Control:
    """A tag that annotators use on an image or beside it.

    Attributes:
        tag: its name in the XML.
        name: what results call it (`from_name`).
        to_name: the image it draws on.
        labels: the names its results carry: a label's alias if it has one.
        attributes: all of them, as written.
        smart: whether its tool also comes as a smart one, which asks for suggestions.
    """

    tag: str
    name: str
    to_name: str
    labels: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    smart: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    @property
    def type(self) -> str:
        """What its result items have as their type."""
        return self.tag.lower()

    @property
    def shape(self) -> str:
        """What is drawn with it: brush, polygon, keypoint …; empty for tags that only name labels."""
        return self.type.removesuffix(_LABELS)

    @property
    def is_prompt(self) -> bool:
        """Whether what is drawn with it only points at an object, so that it is never an approved region."""
        return self.shape == "keypoint" or (self.shape in _REGIONS_UNLESS_SMART and self.smart)

    @property
    def is_region(self) -> bool:
        """Whether what is drawn with it is a region that an annotator approves by submitting."""
        return self.shape in _ALWAYS_REGIONS or (self.shape in _REGIONS_UNLESS_SMART and not self.smart)

    @property
    def is_output(self) -> bool:
        """Whether suggestions can be given in its shape."""
        return self.is_region and self.type in _SUGGESTED

    def __str__(self) -> str:
        return f'<{self.tag} name="{self.name}">'


@dataclass(frozen=True)
class _Wish:
    """A policy attribute as someone wrote it, with the place it stands in."""

    label: str
    tag: str
    attribute: str
    text: str


@dataclass(frozen=True)
class LabelConfig:
    """A labelling config, read once.

    Attributes:
        images: its Image tags, in their order.
        controls: everything with a `toName`, in its order.
    """

    images: tuple[ImageTag, ...]
    controls: tuple[Control, ...]
    _wishes: tuple[_Wish, ...] = ()
    _stray: tuple[Finding, ...] = ()

    @classmethod
    def from_xml(cls, xml: str) -> "LabelConfig":
        """Read the XML of a labelling config.

        Raises:
            PolicyError: It is not well-formed, longer than MAX_XML_CHARACTERS, or declares a document type.
        """
        if len(xml) > MAX_XML_CHARACTERS:
            raise PolicyError(f"the labelling config is longer than {MAX_XML_CHARACTERS:,} characters")
        parser = ET.XMLParser(target=_Builder())  # noqa: S314  document types, which all known attacks need, are refused
        try:
            parser.feed(xml)
            root = parser.close()
        except ET.ParseError as error:
            line, column = error.position
            raise PolicyError(f"the labelling config is not XML: line {line}, column {column + 1}") from None
        except ValueError as error:
            raise PolicyError("the labelling config holds characters that XML has not") from error
        elements = list(root.iter())
        controls = [_control(element) for element in elements if _attribute(element, "toName")]
        return cls(
            images=tuple(_image(element) for element in elements if element.tag.lower() == "image"),
            controls=tuple(controls),
            _wishes=tuple(wish for element in elements if _holds_labels(element) for wish in _wishes(element)),
            _stray=tuple(_stray(elements)),
        )

    @property
    def image_controls(self) -> tuple[Control, ...]:
        """The controls that draw on an image."""
        names = {image.name for image in self.images}
        return tuple(control for control in self.controls if control.to_name in names)

    @property
    def cleaned_labels(self) -> frozenset[str]:
        """The labels something is to be done to, as far as their attributes can be understood."""
        labels, _ = self._label_policies()
        return frozenset(label for label, policy in labels.items() if policy.action is not Action.KEEP)

    def shadow_label(self, label: str, to_name: str) -> str | None:
        """The label under which the shadows of these objects can be proposed on this image; None if under none."""
        return self._shadow_labels(to_name).get(label)

    def has_shadows(self, to_name: str) -> bool:
        """Whether shadows can be proposed on this image."""
        return bool(self._shadow_labels(to_name))

    def _shadow_labels(self, to_name: str) -> dict[str, str]:
        labels, _ = self._label_policies()
        return {
            label: policy.shadow
            for label, policy in labels.items()
            if policy.shadow and self.output_controls(label, to_name) and self.output_controls(policy.shadow, to_name)
        }

    def may_have(self, label: str, control_name: str) -> bool:
        """Whether the config lets that control give this label, or if it has no labels of its own, any control."""
        if any(_takes_labels_from_tasks(control) for control in self.image_controls):
            return True
        control = self.control(control_name)
        givers = (control,) if control is not None and control.labels else self.image_controls
        return any(label in giver.labels for giver in givers)

    def image(self, name: str) -> ImageTag | None:
        """The Image tag of this name."""
        return next((image for image in self.images if image.name == name), None)

    def control(self, name: str) -> Control | None:
        """The control of this name."""
        return next((control for control in self.controls if control.name == name), None)

    def output_controls(self, label: str, to_name: str) -> tuple[Control, ...]:
        """The controls in whose shapes a suggestion for this label on this image can be given."""
        return tuple(
            control
            for control in self.image_controls
            if control.is_output and control.to_name == to_name and label in control.labels
        )

    def policy(self, approval: Approval = _ALL_SUBMITTED) -> Policy:
        """What is to be done to each label.

        Raises:
            PolicyError: An attribute has no meaning, contradicts another, or asks for what this version cannot do;
                or the approval names a choice that the config does not offer.
        """
        labels, problems = self._label_policies()
        problems = [*self._stray_errors(), *problems, *self._approval_problems(approval)]
        if problems:
            raise PolicyError(problems[0].message)
        return Policy(labels=labels, approval=approval)

    def lint(self, approval: Approval = _ALL_SUBMITTED) -> tuple[Finding, ...]:
        """Everything a person should know before annotating with this config, the worst first."""
        labels, problems = self._label_policies()
        cleaned = [label for label, policy in labels.items() if policy.action is not Action.KEEP]
        findings = [
            *self._image_findings(cleaned),
            *self._stray,
            *problems,
            *self._approval_problems(approval),
            *self._policy_findings(labels),
            *self._shadow_findings(labels),
            *self._drawing_findings(cleaned),
            *self._tool_findings(cleaned),
        ]
        order = list(Severity)
        return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))

    def _stray_errors(self) -> list[Finding]:
        return [finding for finding in self._stray if finding.severity is Severity.ERROR]

    def _label_policies(self) -> tuple[dict[str, LabelPolicy], list[Finding]]:
        problems: list[Finding] = []

        def settled(attribute: str, read: Callable[[_Wish], _T]) -> dict[str, _T]:
            values, wrong = _settled(self._wishes, attribute, read)
            problems.extend(wrong)
            return values

        actions, dilations, closings = settled(CLEAN, _action), settled(DILATE, _dilation), settled(CLOSE, _closing)
        colours, cells, reversible = settled(FILL, _colour), settled(CELLS, _cells), settled(REVERSIBLE, _reversible)
        shadows = settled(SHADOW, _shadow)
        kept = LabelPolicy()
        policies = {
            name: LabelPolicy(
                action=actions.get(name, kept.action),
                dilation=dilations.get(name, kept.dilation),
                closing=closings.get(name, kept.closing),
                colour=colours.get(name, kept.colour),
                cells=cells.get(name, kept.cells),
                reversible=reversible.get(name, kept.reversible),
                # A control that names a shadow for all its labels does not mean the shadow's own shadow.
                shadow=shadow if (shadow := shadows.get(name, kept.shadow)) != name else kept.shadow,
            )
            for name in dict.fromkeys(wish.label for wish in self._wishes if wish.attribute not in LATER_ATTRIBUTES)
        }
        return policies, [*problems, *_objections(self._wishes, policies)]

    def _approval_problems(self, approval: Approval) -> Iterator[Finding]:
        if approval.kind != Approval.CHOICE:
            return
        control = self.control(approval.choice_control)
        if control is None or control.type != "choices":
            message = f'approval {approval} needs <Choices name="{approval.choice_control}">, which the config has not'
            yield Finding(Severity.ERROR, "Choices", "name", message)
        elif approval.choice_value not in control.labels:
            message = f'approval {approval} needs <Choice value="{approval.choice_value}"> in {control}'
            yield Finding(Severity.ERROR, str(control), "value", message)

    def _image_findings(self, cleaned: list[str]) -> Iterator[Finding]:
        if not self.images:
            yield Finding(Severity.ERROR, "Image", "", "the config has no <Image>: cleanplate works on images only")
        for image in self.images:
            if image.key is None and cleaned:
                message = (
                    f'<Image name="{image.name}"> needs a value of the form "$name", one image per task: '
                    "no copy can be made of anything else"
                )
                yield Finding(Severity.ERROR, "Image", "value", message)

    def _policy_findings(self, labels: Mapping[str, LabelPolicy]) -> Iterator[Finding]:
        if not any(wish.attribute == CLEAN and wish.text.strip().lower() != Action.KEEP for wish in self._wishes):
            message = 'no label has a policy, so no copies are made: write clean="remove" on a <Label> to begin'
            yield Finding(Severity.WARNING, "Label", CLEAN, message)
        for wish in self._wishes:
            if wish.attribute in LATER_ATTRIBUTES:
                message = f'{wish.tag}: {wish.attribute}="…" has no effect in this version'
                yield Finding(Severity.HINT, wish.tag, wish.attribute, message)
        given = {(wish.label, wish.attribute) for wish in self._wishes}
        for label, policy in labels.items():
            tag = f'<Label value="{label}">'
            for attribute, actions in _PARTS.items():
                if (label, attribute) in given and policy.action not in actions:
                    is_kept = policy.action is Action.KEEP
                    what = "a label whose regions are kept" if is_kept else f'clean="{policy.action}"'
                    message = f"{tag}: {attribute} has no effect on {what}"
                    yield Finding(Severity.WARNING, tag, attribute, message)
            if policy.action is not Action.KEEP and (label, DILATE) not in given:
                message = f'{tag} has no {DILATE}: write {DILATE}="4%" to remove the soft edge around objects as well'
                yield Finding(Severity.HINT, tag, DILATE, message)
            if policy.action in {Action.PIXELATE, Action.BLUR}:
                message = f'{tag}: {READ_BACK}; clean="fill" and clean="remove" leave nothing of them'
                yield Finding(Severity.HINT, tag, CLEAN, message)

    def _shadow_findings(self, labels: Mapping[str, LabelPolicy]) -> Iterator[Finding]:
        for label, policy in labels.items():
            if not policy.shadow:
                continue
            tag = f'<Label value="{label}">'
            images = {control.to_name for control in self.image_controls if label in control.labels}
            if not all(self.output_controls(policy.shadow, image) for image in images):
                message = (
                    f'{tag}: {SHADOW}="{policy.shadow}" shows nothing, because no '
                    '<BrushLabels smart="false"> or <PolygonLabels> on the same image has that label'
                )
                yield Finding(Severity.WARNING, tag, SHADOW, message)
            elif policy.shadow not in labels or labels[policy.shadow].action is Action.KEEP:
                message = (
                    f'{tag}: the shadows proposed as {SHADOW}="{policy.shadow}" would be kept: '
                    'give that label clean="remove"'
                )
                yield Finding(Severity.WARNING, tag, SHADOW, message)

    def _drawing_findings(self, cleaned: list[str]) -> Iterator[Finding]:
        for label in cleaned:
            drawn_with = [control for control in self.image_controls if label in control.labels]
            if not any(control.is_region for control in drawn_with) and not self._has_bare_regions(drawn_with):
                tag = f'<Label value="{label}">'
                message = (
                    f"{tag} has a policy, but nobody can approve a region of it: "
                    'give a <BrushLabels smart="false"> or <PolygonLabels> this label'
                )
                yield Finding(Severity.ERROR, tag, CLEAN, message)
        for control in self.image_controls:
            if not control.is_prompt:
                continue
            mute = [name for name in control.labels if not self.output_controls(name, control.to_name)]
            if mute:
                message = (
                    f"{control}: a click with {_quoted(mute)} shows nothing, because no "
                    '<BrushLabels smart="false"> or <PolygonLabels> on the same image has that label'
                )
                yield Finding(Severity.WARNING, str(control), "", message)

    def _has_bare_regions(self, controls: Iterable[Control]) -> bool:
        images = {control.to_name for control in controls if control.type == _LABELS}
        bare = (control for control in self.image_controls if control.is_region and not control.labels)
        return any(control.to_name in images for control in bare)

    def _tool_findings(self, cleaned: list[str]) -> Iterator[Finding]:
        for control in self.image_controls:
            if control.shape in _BRUSHES and control.smart:
                message = f'{control} needs smart="false": a smart brush comes first in the toolbar and does nothing'
                yield Finding(Severity.WARNING, str(control), "smart", message)
            if control.shape == "rectangle" and _spelt(control, "smart") is None and set(control.labels) & set(cleaned):
                message = (
                    f"{control} has no smart attribute, so what is drawn with it counts as a prompt: "
                    'write smart="false" if it is to be a region, smart="true" if not'
                )
                yield Finding(Severity.HINT, str(control), "smart", message)
            if _spelt(control, "smartOnly") == "true":
                message = (
                    f'{control}: smartOnly="true" leaves annotators without a tool '
                    'until they find the smart one; write smart="true" alone'
                )
                yield Finding(Severity.WARNING, str(control), "smartOnly", message)


class _Builder(ET.TreeBuilder):
    """Builds the tree, and stops at a document type before the parser looks into it."""

    def doctype(self, _name: str, _public_id: str | None, _system: str | None) -> Never:
        raise PolicyError("the labelling config must not have a <!DOCTYPE>")


def _attribute(element: ET.Element, name: str) -> str | None:
    """An attribute of *element*; as in Label Studio, upper and lower case do not matter."""
    wanted = name.lower()
    return next((text for key, text in element.attrib.items() if key.lower() == wanted), None)


def _spelt(control: Control, name: str) -> str | None:
    wanted = name.lower()
    return next((text.strip().lower() for key, text in control.attributes.items() if key.lower() == wanted), None)


def _takes_labels_from_tasks(control: Control) -> bool:
    return control.type.endswith(_LABELS) and (_spelt(control, "value") or "").startswith("$")


def _image(element: ET.Element) -> ImageTag:
    variable = _VARIABLE.fullmatch((_attribute(element, "value") or "").strip())
    several = _attribute(element, "valueList")
    return ImageTag(name=_attribute(element, "name") or "", key=variable[1] if variable and not several else None)


def _control(element: ET.Element) -> Control:
    return Control(
        tag=element.tag,
        name=_attribute(element, "name") or "",
        to_name=_attribute(element, "toName") or "",
        labels=tuple(dict.fromkeys(_label_name(child) for child in _label_elements(element))),
        attributes=element.attrib,
        smart=_is_smart(element),
    )


def _is_smart(element: ET.Element) -> bool:
    if (_attribute(element, "smartOnly") or "").strip().lower() == "true":
        return True
    written = _attribute(element, "smart")
    if written is None:
        return element.tag.lower().removesuffix(_LABELS) in _SMART_BY_DEFAULT
    return written.strip().lower() != "false"


def _label_elements(control: ET.Element) -> Iterator[ET.Element]:
    return (child for child in control.iter() if child.tag.lower() in {"label", "choice"})


def _label_name(element: ET.Element) -> str:
    return _attribute(element, "alias") or _attribute(element, "value") or ""


def _wishes(element: ET.Element) -> Iterator[_Wish]:
    """What the control *element* and its labels ask for; a label's own attribute counts more than its control's."""
    control = f'<{element.tag} name="{_attribute(element, "name") or ""}">'
    for child in _label_elements(element):
        label = _label_name(child)
        for attribute in (CLEAN, *_PARTS, SHADOW, *LATER_ATTRIBUTES):
            own = _attribute(child, attribute)
            if own is not None:
                yield _Wish(label=label, tag=f'<Label value="{label}"> in {control}', attribute=attribute, text=own)
                continue
            shared = _attribute(element, attribute)
            if shared is not None:
                yield _Wish(label=label, tag=control, attribute=attribute, text=shared)


def _holds_labels(element: ET.Element) -> bool:
    return element.tag.lower().endswith(_LABELS) and next(_label_elements(element), None) is not None


def _stray(elements: Iterable[ET.Element]) -> Iterator[Finding]:
    """Policies that stand where they hold for nothing."""
    for element in elements:
        if element.tag.lower() == "label" or _holds_labels(element):
            continue
        for attribute in (CLEAN, DILATE):
            if _attribute(element, attribute) is None:
                continue
            place = f'<{element.tag} name="{_attribute(element, "name") or ""}">'
            message = f"{place}: {attribute} belongs on a <Label>, or on the tag that holds the labels"
            yield Finding(Severity.ERROR, place, attribute, message)


def _settled(
    wishes: Iterable[_Wish], attribute: str, read: Callable[[_Wish], _T]
) -> tuple[dict[str, _T], list[Finding]]:
    """The one value of *attribute* for each label that has it, and what is wrong with the others."""
    values: dict[str, _T] = {}
    first: dict[str, _Wish] = {}
    problems: list[Finding] = []
    for wish in wishes:
        if wish.attribute != attribute:
            continue
        try:
            value = read(wish)
        except PolicyError as error:
            problems.append(Finding(Severity.ERROR, wish.tag, attribute, str(error)))
            continue
        before = first.setdefault(wish.label, wish)
        if values.setdefault(wish.label, value) != value:
            message = (
                f'{wish.tag}: {attribute}="{wish.text}" contradicts {attribute}="{before.text}" of {before.tag}: '
                "a label has one policy, wherever it is used"
            )
            problems.append(Finding(Severity.ERROR, wish.tag, attribute, message))
    return values, problems


def _action(wish: _Wish) -> Action:
    written = _written(wish)
    text = wish.text.strip().lower()
    if text not in set(Action):
        close = difflib.get_close_matches(text, list(Action), n=1)
        suggestion = f'; did you mean "{close[0]}"?' if close else ""
        raise PolicyError(f"{written} is none of {', '.join(Action)}{suggestion}")
    action = Action(text)
    if action not in AVAILABLE:
        raise PolicyError(f"{written} {LabelPolicy(action).objection}")
    return action


def _dilation(wish: _Wish) -> Dilation:
    match = _DILATION.fullmatch(wish.text.strip())
    if match is None:
        raise PolicyError(f'{_written(wish)} is neither a share of the object\'s size like "4%" nor pixels like "6px"')
    number = float(match[1])
    return _checked(wish, lambda: Dilation(pct=number) if match[2] == "%" else Dilation(px=number))


def _closing(wish: _Wish) -> Closing:
    match = _CLOSING.fullmatch(wish.text.strip())
    if match is None:
        raise PolicyError(f'{_written(wish)} is neither a share of the object like "1%" nor "0"')
    return _checked(wish, lambda: Closing(float(match[1] or 0)))


def _colour(wish: _Wish) -> Colour:
    return _checked(wish, lambda: Colour.from_text(wish.text))


def _cells(wish: _Wish) -> int:
    text = wish.text.strip()
    if _CELLS.fullmatch(text) is None:
        raise PolicyError(f"{_written(wish)} is not a number of cells from 1 to {LabelPolicy.MAX_CELLS}")
    return _checked(wish, lambda: LabelPolicy(cells=int(text)).cells)


def _reversible(wish: _Wish) -> bool:
    if wish.text.strip().lower() != _ACCEPTED:
        raise PolicyError(f'{_written(wish)} can only be "{_ACCEPTED}"')
    return True


def _shadow(wish: _Wish) -> str:
    return wish.text.strip()


def _objections(wishes: Iterable[_Wish], policies: Mapping[str, LabelPolicy]) -> Iterator[Finding]:
    """What is not done although every attribute by itself can be read."""
    for wish in wishes:
        objection = policies[wish.label].objection if wish.attribute == CLEAN else ""
        if objection:
            yield Finding(Severity.ERROR, wish.tag, CLEAN, f"{_written(wish)} {objection}")


def _written(wish: _Wish) -> str:
    return f'{wish.tag}: {wish.attribute}="{wish.text}"'


def _checked(wish: _Wish, make: Callable[[], _T]) -> _T:
    try:
        return make()
    except PolicyError as error:
        raise PolicyError(f"{_written(wish)}: {error}") from None


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
