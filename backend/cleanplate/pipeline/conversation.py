"""What annotators said about the objects of one label on one image, and what they were answered.

Label Studio's frontend sends the prompts of one kind (clicks or boxes) and one label that are on the screen. It never
says which object they are about, and never sends clicks and boxes together. It drops the prompts without a word when a
mask is accepted or rejected, with auto-accept after every answer, and tells nobody when one is deleted. So what a
request means depends on those before it:

* A click with a known id belongs to its object, and the object's clicks become those of the request: one that is
  missing was deleted. If none of them is known, those before were accepted, and still count.
* A click in a recent box is about the box's object; a box around the clicks of one object is about that object.
* Negative clicks alone refine the mask they lie in, or else the nearest: nothing else could be meant.
* Other positive clicks begin a new object, unless they lie in a recent mask or touch it. Where that guess is wrong
  two regions of a label cover what one should, which is the same to all that is done with them.
* Positive clicks at the place of an object's first one, before any others, ask what else that may mean: with the second
  the second meaning is shown, and so on, round and round. Any other click refines what is shown then. Nothing is
  remembered for this: the clicks themselves tell, after a restart too.
* The annotator's draft comes along, as it was saved some seconds ago. If that was after an object was asked about, and
  the draft holds nothing of it, it was rejected or deleted, and does not steer what comes next.
* The shadow of an object is proposed as a region of another label, which follows the object: it is shown again under
  the same id, or not at all, whenever the object is answered anew. If the object was saved and its shadow was not, the
  shadow was rejected, and is not proposed for that object again.
* Nothing says who asks. Two annotators are told apart by their prompts' ids and by their drafts, and where those say
  nothing, what a click lies in decides: each goes on with the object they point at.
"""

import base64
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.domain.geometry import Box, Point
from cleanplate.domain.image import Logits, Mask, Size, size_of
from cleanplate.domain.mask import bounding_box
from cleanplate.domain.prompt import Prompt
from cleanplate.domain.region import Region
from cleanplate.engines.embeddings import ImageIdentity
from cleanplate.engines.protocols import Segmentation

RECENT_S: Final = 600.0
"""For so long a box or a mask draws new clicks to itself; later ones begin anew."""

SAVED_WITHIN_S: Final = 20.0
"""By then Label Studio has saved what is on the screen in a draft (it does so after 5 s)."""

BOX_MARGIN: Final = 0.05
"""So far outside a box, as a share of its longer side, still counts as inside: boxes are drawn by hand."""

TOUCH_MARGIN: Final = 0.03
"""So far outside a mask, as a share of its longer side, a positive click touches it."""

MAX_ATTRACTING_SHARE: Final = 0.5
"""A mask over more of the image than this is taken for a failed one: it must not draw every further click to itself."""

SAME_PLACE: Final = 0.005
SAME_PLACE_PX: Final = 2.0
"""Clicks so near to each other, as a share of the image's longer side or in pixels, are at the same place."""

MAX_TARGETS: Final = 256
MAX_SETTLED_CLICKS: Final = 64

_SAVED_LOGITS_SIDE_PX: Final = 512
_SAVED_LOGITS_SCALE: Final = 16.0
_REGION_ID_LENGTH: Final = 10


Drafts: TypeAlias = frozenset[tuple[int | None, tuple[str, ...]]]
"""The ids of drafts, and of what each holds. It changes when one is saved with something else in it."""


class Click(NamedTuple):
    """A click and the id Label Studio gave it."""

    prompt_id: str
    point: Point


class DrawnBox(NamedTuple):
    """A box and the id Label Studio gave it."""

    prompt_id: str
    box: Box


@dataclass(frozen=True)
class ConversationKey:
    """What one conversation is about: the objects of one label on one image."""

    image: ImageIdentity
    to_name: str
    label: str

    def shadow_id(self, region_id: str) -> str:
        """The id of the region that the shadow of an object is shown as. It stays as long as the object's does."""
        return self.region_id(f"shadow of {region_id}")

    def region_id(self, prompt_id: str) -> str:
        """The id of the region that a prompt begins.

        It follows from nothing but the prompt, so that the same question gets the same region after a restart too.
        """
        image = self.image
        parts = (image.label_studio_url, str(image.project_id), str(image.task_id), image.url)
        digest = hashlib.sha256("\0".join((*parts, self.to_name, self.label, prompt_id)).encode()).digest()
        return base64.urlsafe_b64encode(digest).decode()[:_REGION_ID_LENGTH]


@dataclass(frozen=True)
class Question:
    """One request about the objects of one conversation.

    Attributes:
        size: the image's.
        asked_at: on the clock that all questions of the conversation share, in seconds.
        saved_ids: the regions and prompts that Label Studio has saved, in the annotator's drafts or for everyone.
        drafts: what the annotator's drafts hold, by their ids.
    """

    clicks: tuple[Click, ...]
    boxes: tuple[DrawnBox, ...]
    size: Size
    asked_at: float
    saved_ids: frozenset[str] = frozenset()
    drafts: Drafts = frozenset()

    @property
    def is_saved(self) -> bool:
        """Whether Label Studio has saved all its prompts: then a draft holds all that is on the screen."""
        prompt_ids = {click.prompt_id for click in self.clicks} | {drawn.prompt_id for drawn in self.boxes}
        return prompt_ids <= self.saved_ids


class PackedMask:
    """A mask at one bit for each pixel of its bounding box."""

    def __init__(self, mask: Mask) -> None:
        self.size = size_of(mask)
        self.box = bounding_box(mask) or Box(0.0, 0.0, 0.0, 0.0)
        crop = mask[self.box.slices(self.size)]
        self.area = int(np.count_nonzero(crop))
        self._shape = crop.shape
        self._bits: npt.NDArray[np.uint8] = np.packbits(crop)

    @property
    def size_bytes(self) -> int:
        return self._bits.nbytes

    def mask(self) -> Mask:
        """The mask as it was."""
        result = np.zeros((self.size.height, self.size.width), dtype=np.bool_)
        result[self.box.slices(self.size)] = self._crop()
        return result

    def covers(self, point: Point) -> bool:
        """Whether the point lies in the mask."""
        return self.touches(point, reach_px=0.0)

    def touches(self, point: Point, *, reach_px: float) -> bool:
        """Whether some pixel of the mask is within *reach_px* of the point, along each axis."""
        if not self.box.grown(reach_px).contains(point):
            return False
        x, y = point.x + 0.5, point.y + 0.5
        left, top = max(x - reach_px - self.box.left, 0.0), max(y - reach_px - self.box.top, 0.0)
        rows = slice(int(top), int(y + reach_px - self.box.top) + 1)
        columns = slice(int(left), int(x + reach_px - self.box.left) + 1)
        return bool(self._crop()[rows, columns].any())

    def _crop(self) -> Mask:
        height, width = self._shape
        return np.unpackbits(self._bits, count=height * width).reshape(height, width).view(np.bool_)


class PackedLogits:
    """Logits without the margin in which they are all the same: most segmenters find nothing in most of an image."""

    def __init__(self, logits: Logits) -> None:
        self._shape = logits.shape
        self._margin = logits[0, 0]
        box = bounding_box(logits != self._margin) or Box(0.0, 0.0, 0.0, 0.0)
        self._place = box.slices(size_of(logits))
        self._crop = logits[self._place].copy()

    @property
    def size_bytes(self) -> int:
        return self._crop.nbytes

    def logits(self) -> Logits:
        """The logits as they were."""
        result = np.full(self._shape, self._margin, dtype=np.float32)
        result[self._place] = self._crop
        return result


class Asked(NamedTuple):
    """What a segmenter was asked for one object."""

    clicks: tuple[Click, ...]
    box: Box | None


@dataclass(frozen=True, eq=False)
class Answer:
    """What a segmenter answered, and to what."""

    asked: Asked
    mask: PackedMask
    score: float
    logits: PackedLogits

    @property
    def size_bytes(self) -> int:
        return self.mask.size_bytes + self.logits.size_bytes


@dataclass(frozen=True, eq=False)
class ProposedShadow:
    """The shadow of an object, as it was last proposed."""

    mask: PackedMask
    score: float


@dataclass(frozen=True, eq=False)
class Target:
    """An object that an annotator points at; it is shown as one region.

    Attributes:
        live: the clicks of the last request about it.
        settled: earlier clicks, whose prompts are gone because the mask they led to was accepted.
        box: the box drawn around it.
        base: the logits of a mask that was there before all its clicks.
        answer: to what was asked last, while that still counts.
        asked_at: when that was.
        drafts: what the drafts held then.
        batch: which request with boxes last showed it, counted from 1; 0 if none.
        shadow: the one proposed with its answer.
        had_shadow: whether one was ever proposed.
    """

    region_id: str
    asked_at: float
    live: tuple[Click, ...] = ()
    settled: tuple[Click, ...] = ()
    box: DrawnBox | None = None
    base: PackedLogits | None = None
    answer: Answer | None = None
    drafts: Drafts = frozenset()
    batch: int = 0
    shadow: ProposedShadow | None = None
    had_shadow: bool = False

    @property
    def clicks(self) -> tuple[Click, ...]:
        """All that count, in the order they were made."""
        return self.settled + self.live

    @property
    def asked(self) -> Asked:
        """What its mask has to be the answer to."""
        return Asked(self.clicks, self.box.box if self.box else None)

    @property
    def is_answered(self) -> bool:
        """Whether its mask is the answer to what was asked last."""
        return self.answer is not None and self.answer.asked == self.asked

    @property
    def prompt(self) -> Prompt:
        """What a segmenter is to be asked. Raises PromptError if that is nothing it could answer."""
        points = tuple(click.point for click in self.clicks)
        previous = self._previous
        return Prompt(points=points, box=self.asked.box, previous=previous.logits() if previous else None)

    def repeated(self, size: Size) -> tuple[Point, ...]:
        """The positive clicks at one place that it begins with; none if there is a box, or was a mask, before them.

        Args:
            size: the image's.
        """
        if self.box is not None or self.base is not None:
            return ()
        points = [click.point for click in self.clicks]
        reach_px = max(SAME_PLACE * max(size), SAME_PLACE_PX)
        same = (point.positive and _is_near(point, points[0], reach_px=reach_px) for point in points)
        return tuple(point for point, _ in zip(points, takewhile(bool, same), strict=False))

    @property
    def _previous(self) -> PackedLogits | None:
        """The mask to refine.

        Only clicks that were added refine the last answer. After a click was deleted or moved that answer still
        holds what the click did, so what is left is asked from the beginning.
        """
        if self.answer is None:
            return self.base
        clicks, box = self.asked
        before = self.answer.asked
        if box == before.box and clicks[: len(before.clicks)] == before.clicks:
            return self.answer.logits
        if box is not None or self.base is not None or any(click.point.positive for click in clicks):
            return self.base
        return self.answer.logits

    def knows(self, prompt_id: str) -> bool:
        """Whether one of its clicks has this id."""
        return any(click.prompt_id == prompt_id for click in self.clicks)

    def covers(self, point: Point) -> bool:
        """Whether the point lies in its last mask."""
        return self.answer is not None and self.answer.mask.covers(point)

    def has_in_box(self, point: Point) -> bool:
        """Whether the point lies in its box, or hardly outside."""
        return self.box is not None and _grown(self.box.box).contains(point)

    def clicked(self, clicks: tuple[Click, ...], question: Question) -> "Target":
        """The target after a question with these clicks of it, and no others, on the screen."""
        ids = {click.prompt_id for click in clicks}
        settled = tuple(click for click in self.settled if click.prompt_id not in ids)
        target = replace(self, live=clicks, settled=settled, asked_at=question.asked_at, drafts=question.drafts)
        if ids & {click.prompt_id for click in self.live}:
            return target
        target = replace(target, settled=settled + self.live)
        if len(target.settled) > MAX_SETTLED_CLICKS and self.answer is not None:
            return replace(target, settled=(), base=self.answer.logits, answer=None)
        if clicks and all(click.point.positive and self.covers(click.point) for click in clicks):
            # Positive clicks in a mask cannot add to it. Either it was rejected, which nobody tells us, or it is wrong
            # somewhere; so it does not steer the next answer, which is made from all the clicks afresh.
            return replace(target, answer=None)
        return target

    def boxed(self, drawn: DrawnBox, question: Question, *, batch: int) -> "Target":
        """The target after a question with this box for it. Another box begins anew with the clicks that lie in it."""
        target = replace(self, box=drawn, asked_at=question.asked_at, drafts=question.drafts, batch=batch)
        if self.box is not None and self.box.box == drawn.box:
            return target
        box = _grown(drawn.box)
        live, settled = (
            tuple(click for click in clicks if box.contains(click.point)) for clicks in (self.live, self.settled)
        )
        return replace(target, live=live, settled=settled, base=None)

    def answered(self, segmentation: Segmentation) -> "Target":
        """The target with the answer to what was asked."""
        mask, logits = PackedMask(segmentation.mask), PackedLogits(segmentation.logits)
        return replace(self, answer=Answer(self.asked, mask, segmentation.score, logits), shadow=None)

    def shadowed(self, shadow: ProposedShadow) -> "Target":
        """The target with the shadow that was found for its answer."""
        return replace(self, shadow=shadow, had_shadow=True)

    def has_rejected_shadow(self, key: ConversationKey, question: Question) -> bool:
        """Whether its shadow was shown and is not among what Label Studio saved, although the object itself is."""
        is_saved = self.region_id in question.saved_ids
        return self.had_shadow and is_saved and key.shadow_id(self.region_id) not in question.saved_ids

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds."""
        shadow = self.shadow.mask if self.shadow else None
        return sum(part.size_bytes for part in (self.base, self.answer, shadow) if part is not None)


@dataclass(frozen=True, eq=False)
class Memory:
    """The objects of a conversation, the one asked about last at the end."""

    targets: tuple[Target, ...] = ()
    batches: int = 0

    @property
    def size_bytes(self) -> int:
        """About how much memory it holds."""
        return sum(target.size_bytes for target in self.targets)

    @property
    def latest_first(self) -> Iterator[Target]:
        return reversed(self.targets)

    def target(self, region_id: str) -> Target:
        """The target that is shown as this region."""
        return next(target for target in self.targets if target.region_id == region_id)

    def after(self, target: Target) -> "Memory":
        """The memory after something was asked about *target*."""
        others = tuple(other for other in self.targets if other.region_id != target.region_id)
        return replace(self, targets=(*others, target)[-MAX_TARGETS:])

    def without(self, target: Target) -> "Memory":
        """The memory as if nobody had pointed at *target*."""
        return replace(self, targets=tuple(other for other in self.targets if other is not target))

    def with_changed(self, changed: Target) -> "Memory":
        """The memory with one of its targets changed, in its place."""
        targets = (changed if each.region_id == changed.region_id else each for each in self.targets)
        return replace(self, targets=tuple(targets))

    def answered(self, region_id: str, segmentation: Segmentation) -> "Memory":
        """The memory with a segmenter's answer to what was asked about one of its targets."""
        return self.with_changed(self.target(region_id).answered(segmentation))


@dataclass(frozen=True, eq=False)
class Plan:
    """What a question comes to.

    Attributes:
        memory: as it is once every target in it is answered.
        region_ids: the regions to show; none if the question is about nothing.
    """

    memory: Memory
    region_ids: tuple[str, ...]

    @property
    def unanswered(self) -> tuple[Target, ...]:
        """The targets a segmenter has to be asked about."""
        targets = (self.memory.target(region_id) for region_id in self.region_ids)
        return tuple(target for target in targets if not target.is_answered)


def follow(key: ConversationKey, memory: Memory, question: Question, saved: Callable[[], tuple[Region, ...]]) -> Plan:
    """Find out which objects a question is about.

    Args:
        key: of the conversation.
        memory: of the conversation so far.
        question: the request.
        saved: reads the accepted regions of the label from the task. It is slow, and asked only if negative clicks
            lie in no mask of the memory: after a restart, or in a region that was drawn by hand.
    """
    if any(target.answer is not None and target.answer.mask.size != question.size for target in memory.targets):
        memory = Memory()
    memory, boxed = _follow_boxes(key, memory, question)
    memory, clicked = _follow_clicks(key, memory, question, saved)
    shown = dict.fromkeys((*boxed, *clicked))
    return Plan(memory, tuple(shown))


def _follow_boxes(key: ConversationKey, memory: Memory, question: Question) -> tuple[Memory, list[str]]:
    if not question.boxes:
        return memory, []
    drawn_ids = {drawn.prompt_id for drawn in question.boxes}
    memory = _without_deleted_boxes(memory, drawn_ids)
    batch = memory.batches + 1
    shown: list[str] = []
    for drawn in question.boxes:
        target = _target_of_box(memory, drawn, question, drawn_ids) or Target(
            region_id=key.region_id(drawn.prompt_id), asked_at=question.asked_at
        )
        memory = memory.after(target.boxed(drawn, question, batch=batch))
        shown.append(target.region_id)
    return replace(memory, batches=batch), shown


def _without_deleted_boxes(memory: Memory, drawn_ids: set[str]) -> Memory:
    """Drop boxes that were shown together with one of *drawn_ids* and are missing now: those were deleted by hand.

    Boxes that vanish all at once were accepted, or belong to somebody else.
    """
    batches = {target.batch for target in memory.targets if target.box and target.box.prompt_id in drawn_ids}
    for target in memory.targets:
        if target.box is None or target.batch not in batches or target.box.prompt_id in drawn_ids:
            continue
        memory = memory.without(target)
        if target.live:
            memory = memory.after(replace(target, box=None, batch=0))
    return memory


def _target_of_box(memory: Memory, drawn: DrawnBox, question: Question, drawn_ids: set[str]) -> Target | None:
    """The target that has this box, or the only one whose clicks it is drawn around."""
    for target in memory.targets:
        if target.box is not None and target.box.prompt_id == drawn.prompt_id:
            return target
    around = [
        target
        for target in memory.targets
        if _is_recent(target, question)
        and not _is_dropped(target, question)
        and (target.box is None or target.box.prompt_id not in drawn_ids)
        and _surrounds(drawn.box, target.live)
    ]
    return around[0] if len(around) == 1 else None


def _surrounds(box: Box, clicks: tuple[Click, ...]) -> bool:
    positive = [click.point for click in clicks if click.point.positive]
    return bool(positive) and all(_grown(box).contains(point) for point in positive)


def _follow_clicks(
    key: ConversationKey, memory: Memory, question: Question, saved: Callable[[], tuple[Region, ...]]
) -> tuple[Memory, list[str]]:
    homes = [_home_of(memory, click, question) for click in question.clicks]
    strays = tuple(click for click, home in zip(question.clicks, homes, strict=True) if home is None)
    if strays:
        known = [home for home in homes if home is not None]
        shelter = _shelter_of(key, memory, question, saved, strays=strays, known=known)
        homes = [home or shelter for home in homes]
    clicks_of: dict[str, tuple[Click, ...]] = {}
    for click, home in zip(question.clicks, homes, strict=True):
        if home is not None:
            clicks_of[home.region_id] = (*clicks_of.get(home.region_id, ()), click)
    targets = {home.region_id: home for home in homes if home is not None}
    for region_id, clicks in clicks_of.items():
        memory = memory.after(targets[region_id].clicked(clicks, question))
    return memory, [*clicks_of, *_shown_beside(memory, targets.values(), question)]


def _home_of(memory: Memory, click: Click, question: Question) -> Target | None:
    """The target that has this click, or in whose box it lies: the smallest if there are several."""
    for target in memory.latest_first:
        if target.knows(click.prompt_id):
            return target
    around = [
        (not target.covers(click.point), target.box.box.area, target)
        for target in memory.latest_first
        if target.box is not None
        and _is_recent(target, question)
        and not _is_dropped(target, question)
        and target.has_in_box(click.point)
    ]
    return min(around, key=lambda entry: entry[:2])[2] if around else None


def _shelter_of(
    key: ConversationKey,
    memory: Memory,
    question: Question,
    saved: Callable[[], tuple[Region, ...]],
    *,
    strays: tuple[Click, ...],
    known: list[Target],
) -> Target | None:
    """The target that clicks without a home are about; they come from one annotator, so it is one for all of them."""
    together = [target for target in memory.latest_first if target in known and target.box is None]
    if together:
        return together[0]
    positive = [click.point for click in strays if click.point.positive]
    if positive:
        fresh = Target(region_id=key.region_id(strays[0].prompt_id), asked_at=question.asked_at)
        return _attracting(memory, positive, question) or fresh
    points = [click.point for click in strays]
    if known:
        return _nearest(known, points) or known[0]
    there = [target for target in memory.latest_first if not _is_dropped(target, question)]
    return _covering(there, points) or _saved_target(saved(), points, there, question)


def _attracting(memory: Memory, points: list[Point], question: Question) -> Target | None:
    """The recent target whose mask one of the positive *points* lies in, or touches."""
    near = [
        (target, target.answer.mask)
        for target in memory.latest_first
        if target.answer is not None
        and _is_recent(target, question)
        and not _is_dropped(target, question, unless_saved_within_s=SAVED_WITHIN_S)
        and target.answer.mask.area <= MAX_ATTRACTING_SHARE * question.size.pixels
    ]
    for share in (0.0, TOUCH_MARGIN):
        for target, mask in near:
            reach_px = share * max(mask.box.width, mask.box.height)
            if any(mask.touches(point, reach_px=reach_px) for point in points):
                return target
    return None


def _covering(targets: Iterable[Target], points: list[Point]) -> Target | None:
    return next((target for target in targets if any(target.covers(point) for point in points)), None)


def _nearest(targets: Iterable[Target], points: list[Point]) -> Target | None:
    """The target whose mask's bounding box is nearest to any of *points*; the first of those equally near."""
    distances = [
        (min(_distance_px(target.answer.mask.box, point) for point in points), target)
        for target in targets
        if target.answer is not None
    ]
    return min(distances, key=lambda entry: entry[0])[1] if distances else None


def _saved_target(
    regions: tuple[Region, ...], points: list[Point], there: list[Target], question: Question
) -> Target | None:
    """The target for a saved region that *points* lie in; else the nearest of all that are there."""
    known = {target.region_id for target in there}
    restored = [
        _restored(region, question.asked_at)
        for region in regions
        if region.region_id not in known and region.mask.any()
    ]
    return _covering(restored, points) or _nearest([*there, *restored], points)


def _restored(region: Region, asked_at: float) -> Target:
    """A target for a region that Label Studio remembers and we do not."""
    logits = PackedLogits(logits_from_mask(region.mask))
    answer = Answer(Asked((), None), PackedMask(region.mask), 1.0, logits)
    return Target(region_id=region.region_id, asked_at=asked_at, base=logits, answer=answer)


def logits_from_mask(mask: Mask) -> Logits:
    """Logits that say what the mask says, at a size that engines work at. The mask must not be empty."""
    size = size_of(mask)
    small = size.scaled(min(1.0, _SAVED_LOGITS_SIDE_PX / max(size)))
    scaled = cv2.resize(mask.view(np.uint8) * np.uint8(255), small, interpolation=cv2.INTER_AREA)
    share = scaled.astype(np.float32)
    # What is thinner than a pixel of the small grid fills none of them: the fullest one counts as full.
    logits: Logits = (share / share.max() - np.float32(0.5)) * np.float32(_SAVED_LOGITS_SCALE)
    return logits


def _shown_beside(memory: Memory, targets: Iterable[Target], question: Question) -> list[str]:
    """The other regions of the answers that gave these targets.

    An answer replaces all suggestions that are on the screen, so one about an object of several boxes has to repeat
    the others. Those that are saved were accepted: repeating them would undo what was done to them since.
    """
    batches = {target.batch for target in targets} - {0}
    return [
        other.region_id
        for other in memory.targets
        if other.batch in batches and other.region_id not in question.saved_ids and not _is_dropped(other, question)
    ]


def _is_recent(target: Target, question: Question) -> bool:
    return question.asked_at - target.asked_at <= RECENT_S


def _is_dropped(target: Target, question: Question, *, unless_saved_within_s: float = RECENT_S) -> bool:
    """Whether the annotator rejected or deleted its region: Label Studio has saved nothing of it."""
    traces = {target.region_id, *(click.prompt_id for click in target.live)}
    if target.box is not None:
        traces.add(target.box.prompt_id)
    if traces & question.saved_ids:
        return False
    was_saved_since = question.is_saved or question.drafts != target.drafts
    return was_saved_since or question.asked_at - target.asked_at > unless_saved_within_s


def _is_near(one: Point, other: Point, *, reach_px: float) -> bool:
    return math.hypot(one.x - other.x, one.y - other.y) <= reach_px


def _grown(box: Box) -> Box:
    return box.grown(BOX_MARGIN * max(box.width, box.height))


def _distance_px(box: Box, point: Point) -> float:
    x, y = point.x + 0.5, point.y + 0.5
    return max(box.left - x, x - box.right, 0.0) + max(box.top - y, y - box.bottom, 0.0)
