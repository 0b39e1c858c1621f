"""Masks that nobody clicked for: from what was drawn roughly on a task, and from what a detector finds in its image."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Mask, RgbImage, Size, size_of
from cleanplate.domain.mask import overlap, union
from cleanplate.domain.prompt import Prompt
from cleanplate.domain.region import Shape
from cleanplate.engines.embeddings import ImageIdentity
from cleanplate.engines.protocols import Detector, Embedding, Segmenter, Sketching, Surveying
from cleanplate.errors import EngineError, EngineMissingError, MaskError, PolicyError, PromptError, SizeMismatchError
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import Annotation, ResultItem, Task
from cleanplate.label_studio.results import Outline, outlines, result_items_from_mask
from cleanplate.pipeline.conversation import ConversationKey
from cleanplate.pipeline.detections import kind_named, likely_detections
from cleanplate.pipeline.everything import apart
from cleanplate.pipeline.identities import image_of_task
from cleanplate.pipeline.outlines import box_around, held, prompt_from_box, prompt_from_outline
from cleanplate.pipeline.wishes import Kind, Wishes, label_for, label_for_everything, labels_shown

NUDGE: Final = 0.05
"""A prompt is nudged by this share of its box's sides to see whether the answer stays the same."""

_NUDGES: Final = ((-1, -1, 1, 1), (1, 1, -1, -1), (1, 1, 1, 1), (-1, -1, -1, -1))
"""How the left, top, right and bottom of a box move: grown, shrunk, and moved along a diagonal both ways."""

_SAME_OBJECT: Final = 0.5
"""What is detected was drawn already if their boxes share so much of the smaller one."""


@dataclass(frozen=True)
class Proposal:
    """What is proposed for a task.

    Attributes:
        result: Label Studio's result items, as for a click.
        regions: how many objects they show.
        score: of the object that is least certain, 0 … 1.
    """

    result: list[dict[str, Any]]
    regions: int
    score: float


class OutOfTimeError(Exception):
    """The time for a task was over before it was done. Nothing of it is kept."""


class _Object(NamedTuple):
    """An object to be masked.

    Attributes:
        name: what tells it from the others of its label on its image.
        prompt: what to ask for it; None if the outline is its mask.
        outline: (H, W), what its mask has to stay in; None if nowhere in particular.
        size: of the image it was drawn on; None if nobody drew it.
        score: how sure it is that it is there at all.
    """

    name: str
    label: str
    to_name: str
    prompt: Prompt | None
    outline: Mask | None
    size: Size | None
    score: float = 1.0


class Proposer:
    """Proposes masks for tasks. Safe from many threads."""

    def __init__(
        self,
        *,
        segmenter: Segmenter,
        detector: Callable[[], Detector | None],
        embedding: Callable[[ImageIdentity], Embedding],
        image: Callable[[ImageIdentity], RgbImage],
        label_studio_url: str,
        max_pixels: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Join what it needs.

        Args:
            segmenter: finds the objects.
            detector: gets what proposes them, if that is wished for; it may give none.
            embedding: gets what the segmenter needs of an image.
            image: gets an image, for the detector.
            label_studio_url: whose tasks these are.
            max_pixels: no mask is made for a larger image.
            clock: in seconds, never running backwards.
        """
        self._segmenter = segmenter
        self._takes_sketches = isinstance(segmenter, Sketching) and segmenter.takes_sketches
        self._detector = detector
        self._embedding = embedding
        self._image = image
        self._label_studio_url = label_studio_url
        self._max_pixels = max_pixels
        self._clock = clock

    @property
    def version(self) -> str:
        """What Label Studio stores beside a proposal: the same as for clicks."""
        return self._segmenter.version

    def require(self, wishes: Wishes, config: LabelConfig) -> None:
        """Make sure that wishes can be granted with a labelling config.

        Raises:
            PolicyError: No control can show a mask of any label, or of what is to be detected.
            EngineError: There is no detector, or it does not know what to look for.
        """
        names = [image.name for image in config.images]
        labels = {label for control in config.image_controls for label in control.labels}
        if not any(config.output_controls(label, name) for label in labels for name in names):
            raise PolicyError(
                "the labelling config has no control that could show a mask: add a "
                '<BrushLabels smart="false"> or <PolygonLabels> with the labels'
            )
        if wishes.everything is not None:
            self._require_everything(wishes.everything, config, names)
        possible = {kind.name for kind in self.possible(wishes.kinds, config)}
        for kind in self._understood(wishes.kinds):
            if kind.name not in possible:
                wanted = f'"{kind.label}"' if kind.label else f"what is detected as {kind.name!r}"
                raise PolicyError(
                    f"no control can show a mask of {wanted}: "
                    f"name a label of the labelling config, as {kind.name}=LABEL"
                )

    def _require_everything(self, label: str, config: LabelConfig, names: list[str]) -> None:
        if not isinstance(self._segmenter, Surveying):
            raise EngineError(f"{self.version} cannot look for objects by itself; choose sam or graphcut")
        if any(label_for_everything(label, config, name) for name in names):
            return
        known = ", ".join(dict.fromkeys(shown for name in names for shown in labels_shown(config, name)))
        if label:
            raise PolicyError(f'no control can show a mask of "{label}": the labels with masks are {known}')
        raise PolicyError(f"which label everything gets has to be said: one of {known}")

    def possible(self, kinds: tuple[Kind, ...], config: LabelConfig) -> tuple[Kind, ...]:
        """Those for which a labelling config has a label. Raises EngineError as `require` does."""
        names = [image.name for image in config.images]
        return tuple(kind for kind in self._understood(kinds) if any(label_for(kind, config, name) for name in names))

    def propose(
        self,
        task: Task,
        *,
        project_id: int,
        config: LabelConfig,
        wishes: Wishes,
        steadiness: bool = True,
        until: float | None = None,
    ) -> Proposal | None:
        """Propose masks for a task; None if there is nothing to propose.

        Args:
            task: with its annotations and drafts.
            project_id: whose.
            config: the project's.
            wishes: from what.
            steadiness: whether scores also tell how much an answer depends on where exactly was pointed to. That takes
                five times as many answers of the segmenter.
            until: when to give up, on the clock.

        Raises:
            OutOfTimeError: It was not done by then.
            CleanplateError: The image cannot be fetched, decoded or segmented, or a drawing cannot be read.
        """
        result: list[dict[str, Any]] = []
        scores = []
        taken: dict[str, list[Mask]] = {}
        for found in self._objects(task, project_id, config, wishes):
            if until is not None and self._clock() > until:
                raise OutOfTimeError
            key = ConversationKey(self._identity(task, project_id, config, found.to_name), found.to_name, found.label)
            mask, score = self._answer(found, key.image, steadiness=steadiness)
            scores.append(score)
            taken.setdefault(found.to_name, []).append(mask)
            result += result_items_from_mask(
                mask,
                score=score,
                region_id=key.region_id(found.name),
                label=found.label,
                config=config,
                to_name=found.to_name,
            )
        if wishes.everything is not None:
            for key, mask, score in self._everything(task, project_id, config, wishes.everything, taken):
                scores.append(score)
                number = len(scores)
                result += result_items_from_mask(
                    mask,
                    score=score,
                    region_id=key.region_id(f"everything {number}"),
                    label=key.label,
                    config=config,
                    to_name=key.to_name,
                )
        return Proposal(result, len(scores), min(scores)) if scores else None

    # What is to be masked

    def _objects(self, task: Task, project_id: int, config: LabelConfig, wishes: Wishes) -> Iterator[_Object]:
        drawn = [outline for outline in outlines(drawn_on(task), config) if outline.shape in wishes.shapes]
        boxes: list[tuple[str, str, Box]] = []
        for outline in drawn:
            self._require_handy(outline)
            mask = outline.mask()
            if not mask.any():
                continue
            found = self._drawn_object(outline, mask, as_drawn=wishes.as_drawn)
            boxes.append((found.to_name, found.label, box_around(mask)))
            yield found
        if wishes.kinds:
            yield from self._detected(task, project_id, config, wishes.kinds, boxes)

    def _drawn_object(self, outline: Outline, mask: Mask, *, as_drawn: bool) -> _Object:
        if as_drawn:
            prompt = None
        elif outline.shape is Shape.RECTANGLE or not self._takes_sketches:
            prompt = prompt_from_box(mask)
        else:
            prompt = prompt_from_outline(mask)
        # An upright box is answered as one that was drawn with the smart tool: it may be a little tight.
        inside = None if outline.is_upright and not as_drawn else mask
        return _Object(outline.id, outline.label, outline.to_name, prompt, inside, outline.size)

    def _detected(
        self,
        task: Task,
        project_id: int,
        config: LabelConfig,
        kinds: tuple[Kind, ...],
        drawn: list[tuple[str, str, Box]],
    ) -> Iterator[_Object]:
        detector = self._required_detector()
        kinds = self._understood(kinds)
        for name in (image.name for image in config.images):
            label_of = {kind.name: label for kind in kinds if (label := label_for(kind, config, name))}
            if not label_of:
                continue
            image = self._image(self._identity(task, project_id, config, name))
            for detection in likely_detections(image, detector, kinds=tuple(label_of)):
                label, box = label_of[detection.kind], detection.box.clipped(size_of(image))
                known = (other for to_name, other_label, other in drawn if (to_name, other_label) == (name, label))
                if not any(_is_same(box, other) for other in known):
                    spot = " ".join(f"{edge:.2f}" for edge in box)
                    prompt, key = Prompt(box=box), f"{detection.kind} {spot}"
                    yield _Object(key, label, name, prompt, outline=None, size=None, score=detection.score)

    def _everything(
        self, task: Task, project_id: int, config: LabelConfig, name: str, taken: dict[str, list[Mask]]
    ) -> Iterator[tuple[ConversationKey, Mask, float]]:
        """What the segmenter sees beside what is *taken* on each image."""
        for to_name in (image.name for image in config.images):
            label = label_for_everything(name, config, to_name)
            if label is None:
                continue
            key = ConversationKey(self._identity(task, project_id, config, to_name), to_name, label)
            embedding = self._embedding(key.image)
            assert isinstance(self._segmenter, Surveying), "it was required"  # noqa: S101
            covered = union(tuple(taken.get(to_name, ())), embedding.size)
            for mask, score in apart(self._segmenter.survey(embedding), covered):
                yield key, mask, score

    def _understood(self, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        """The kinds in the detector's own words."""
        return tuple(kind._replace(name=kind_named(kind.name, self._required_detector())) for kind in kinds)

    def _required_detector(self) -> Detector:
        detector = self._detector()
        if detector is None:
            raise EngineMissingError("no detector is set: choose one by CLEANPLATE_DETECTOR, such as cascade")
        return detector

    def _require_handy(self, outline: Outline) -> None:
        """Refuse a drawing that claims a size for which nobody would want to make a mask."""
        if outline.size.pixels > self._max_pixels:
            width, height = outline.size
            raise MaskError(f"a region was drawn on {width}×{height}, which is over {self._max_pixels:,} pixels")

    def _identity(self, task: Task, project_id: int, config: LabelConfig, to_name: str) -> ImageIdentity:
        return image_of_task(
            task, to_name, config=config, project_id=project_id, label_studio_url=self._label_studio_url
        )

    # Masks and scores

    def _answer(self, found: _Object, image: ImageIdentity, *, steadiness: bool) -> tuple[Mask, float]:
        """The mask, and how certain it is, 0 … 1."""
        prompt, outline = found.prompt, found.outline
        if prompt is None and outline is not None:
            return outline, 1.0
        assert prompt is not None, "what has no outline has a prompt"  # noqa: S101
        embedding = self._embedding(image)
        if found.size is not None and found.size != embedding.size:
            drawn_on, size = found.size, embedding.size
            raise SizeMismatchError(
                f"a region was drawn on {drawn_on.width}×{drawn_on.height}, but the image is {size.width}×{size.height}"
            )
        mask, score = self._masked(embedding, prompt, outline)
        if mask is None:
            # An object that somebody outlined must not get lost because the segmenter does not see it.
            assert outline is not None, "only an outline can leave nothing of an answer"  # noqa: S101
            return outline, 0.0
        if steadiness:
            score *= self._steadiness(embedding, prompt, outline, mask)
        return mask, score * found.score

    def _masked(self, embedding: Embedding, prompt: Prompt, outline: Mask | None) -> tuple[Mask | None, float]:
        """The answer inside the outline; None if nothing of it is."""
        answer = self._segmenter.segment(embedding, prompt)
        if outline is None:
            return answer.mask, answer.score
        mask = held(answer.mask, outline)
        return (mask, answer.score) if mask.any() else (None, 0.0)

    def _steadiness(self, embedding: Embedding, prompt: Prompt, outline: Mask | None, mask: Mask) -> float:
        """How much of a mask stays if the prompt is nudged: the mean of the overlaps, 0 … 1."""
        overlaps = []
        for nudge in _NUDGES:
            try:
                other, _ = self._masked(embedding, _nudged(prompt, nudge), outline)
            except PromptError:
                other = None
            overlaps.append(0.0 if other is None else overlap(mask, other))
        return sum(overlaps) / len(overlaps)


def drawn_on(task: Task) -> tuple[ResultItem, ...]:
    """What counts of all that was drawn on a task: one person's work, so that no object counts twice.

    That is what is marked as ground truth; else what was submitted last; else the first draft. What was skipped does
    not count.
    """
    submitted = [annotation for annotation in task.annotations if not annotation.was_cancelled]
    if submitted:
        return max(submitted, key=_weight).result
    return next((draft.result for draft in task.drafts if draft.annotation is None), ())


def _weight(annotation: Annotation) -> tuple[bool, float, int]:
    """What makes one annotation count instead of another."""
    updated_at = annotation.updated_at
    return annotation.ground_truth, 0.0 if updated_at is None else updated_at.timestamp(), annotation.id


def _is_same(one: Box, other: Box) -> bool:
    shared = one.intersection(other).area
    return shared > _SAME_OBJECT * min(one.area, other.area)


def _nudged(prompt: Prompt, nudge: tuple[int, int, int, int]) -> Prompt:
    """The prompt with its box's edges moved, and with its points moved as the box's middle is."""
    box = prompt.box
    assert box is not None, "nobody clicks in batch"  # noqa: S101
    left, top, right, bottom = nudge
    across, down = NUDGE * box.width, NUDGE * box.height
    x, y = (left + right) / 2 * across, (top + bottom) / 2 * down
    return Prompt(
        points=tuple(Point(point.x + x, point.y + y, point.positive) for point in prompt.points),
        box=Box(box.left + left * across, box.top + top * down, box.right + right * across, box.bottom + bottom * down),
        previous=prompt.previous,
    )
