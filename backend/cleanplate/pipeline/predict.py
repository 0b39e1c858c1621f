"""The click: from Label Studio's `/predict` request to the masks it shows."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import structlog

from cleanplate.domain.image import RgbImage, Size
from cleanplate.domain.region import Region
from cleanplate.engines.embeddings import EmbeddingCache, EmbeddingKey, ImageIdentity
from cleanplate.engines.encoding_line import EncodingLine
from cleanplate.engines.protocols import Choosing, Embedding, Packing, Segmentation, Segmenter
from cleanplate.errors import BusyError, CleanplateError, MaskError, PayloadError, PromptError, SizeMismatchError
from cleanplate.label_studio.client import COPY_KEY
from cleanplate.label_studio.config import LabelConfig
from cleanplate.label_studio.payloads import PredictRequest, ResultItem, Task
from cleanplate.label_studio.results import (
    PromptItem,
    prompt_items,
    regions_from_results,
    result_items_from_mask,
)
from cleanplate.pipeline.conversation import (
    Answer,
    Click,
    ConversationKey,
    DrawnBox,
    Memory,
    PackedMask,
    ProposedShadow,
    Question,
    Target,
    follow,
)
from cleanplate.pipeline.identities import image_of_task
from cleanplate.pipeline.overview import Overlooked, Overview
from cleanplate.pipeline.turns import Conversations, Turn
from cleanplate.pipeline.warmer import Errand, Warmer

Prediction: TypeAlias = dict[str, Any]
"""One entry of the `results` that Label Studio expects."""

MAX_PROMPTS: Final = 256
"""More on one screen is no annotator's work, and each box costs a segmentation."""

AHEAD: Final = 3
"""The images of so many tasks are prepared while an annotator is still at the one before."""

ANSWER_S: Final = 80.0
"""Whatever a click waits for, it waits no longer than this in all. Label Studio gives up after 100 s."""

DECODING: Final = 2
"""So many clicks are answered at the same time. Those that wait for an image are not among them."""

_COME_AGAIN_S: Final = 1.0

_OVERVIEW: Final = "overview"
"""What an overview is kept under, in the place of a segmenter's version."""

_log = structlog.get_logger()


class Event(StrEnum):
    """What is counted. Label Studio shows an annotator none of it."""

    ANSWERED = "answered"
    SUPERSEDED = "superseded"
    PROMPT_IGNORED = "prompt_ignored"
    NO_OUTPUT = "no_output"
    NOTHING_TO_REFINE = "nothing_to_refine"
    REGION_UNREADABLE = "region_unreadable"
    SHADOW_PROPOSED = "shadow_proposed"
    WARMED = "warmed"
    WARMING_DROPPED = "warming_dropped"
    WARMING_FAILED = "warming_failed"


class Media(Protocol):
    """Gets the bytes of a task's image."""

    def fetch(self, url: str, *, project_id: int, task_id: int) -> bytes:
        """Fetch what *url* in the task's data points to. Raises MediaError or LabelStudioError."""
        ...


@dataclass(frozen=True)
class _Click:
    """An interactive request, read."""

    task: Task
    project_id: int
    config: LabelConfig

    def saved_items(self) -> Iterator[ResultItem]:
        """What Label Studio has saved for the task; the annotator's drafts first, because they are newer."""
        for draft in self.task.drafts:
            yield from draft.result
        for annotation in self.task.annotations:
            yield from annotation.result


class _Shown(NamedTuple):
    """A region of an answer."""

    items: list[dict[str, Any]]
    score: float


class Predictor:
    """Answers predict requests. Safe from many threads.

    Nothing of a request is kept here: the image's embedding is a value from *embeddings*, and what was said before
    is in *conversations* under the image and the label it was said about. So no mask can answer for another image.
    """

    def __init__(
        self,
        *,
        segmenter: Segmenter,
        media: Media,
        read_image: Callable[[bytes], RgbImage],
        embeddings: EmbeddingCache,
        conversations: Conversations,
        label_studio_url: str,
        warms: bool = True,
        following: Callable[[int, int], Iterable[Task]] = lambda _project_id, _task_id: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Join what a click needs.

        Args:
            segmenter: finds the objects.
            media: gets the images.
            read_image: makes an image of the bytes of a file; raises ImageError.
            embeddings: shared by all requests.
            conversations: shared by all requests.
            label_studio_url: whose tasks these are.
            warms: whether an opened task's image is prepared before anyone clicks.
            following: gets the tasks after one of a project, by the ids of both: they will probably be opened next.
            clock: in seconds, never running backwards.
        """
        self._segmenter = segmenter
        self._packing = segmenter if isinstance(segmenter, Packing) else None
        self._choosing = segmenter if isinstance(segmenter, Choosing) else None
        self._media = media
        self._read_image = read_image
        self._embeddings = embeddings
        self._conversations = conversations
        self._label_studio_url = label_studio_url
        self._clock = clock
        self._following = following
        self._line = EncodingLine()
        self._decoding = threading.BoundedSemaphore(DECODING)
        self._warmer = Warmer(self._warm) if warms else None
        self._lock = threading.Lock()
        self._counts: Counter[Event] = Counter()

    def predict(self, request: PredictRequest) -> list[Prediction]:
        """The results for a request: one entry if somebody clicked, none if a task was opened or many were listed.

        Raises:
            PayloadError: A click names no task or several, or the task has no image where the config says.
            PolicyError: The labelling config cannot be read.
            PromptError: A prompt cannot be read, or there are too many.
            SizeMismatchError: The annotator's browser saw an image of another size.
            BusyError: There was no answer within ANSWER_S, or too many images wait to be prepared.
            CleanplateError: The image cannot be fetched, decoded or segmented.
        """
        if request.prompts is None:
            self._warm_later(request)
            return []
        if self._warmer is not None:
            self._warmer.drop_ahead()
        started_at = self._clock()
        click = _read_click(request)
        prompts = self._prompts(request.prompts, click)
        shown = [
            region
            for (to_name, label), asked in _by_object_and_label(prompts).items()
            for region in self._answer(click, to_name, label, asked, until=started_at + ANSWER_S)
        ]
        self._count(Event.ANSWERED)
        _log.info(
            "click answered",
            project=click.project_id,
            task=click.task.id,
            prompts=len(prompts),
            regions=len(shown),
            duration_ms=round(1000 * (self._clock() - started_at)),
        )
        return [
            {
                "result": [item for region in shown for item in region.items],
                "score": min((region.score for region in shown), default=0.0),
                "model_version": self._segmenter.version,
            }
        ]

    @property
    def counts(self) -> Mapping[Event, int]:
        """How often each event happened since the start."""
        with self._lock:
            return {event: self._counts[event] for event in Event}

    def embedding(self, image: ImageIdentity) -> Embedding:
        """What prompts on an image need. Raises CleanplateError if it cannot be fetched, decoded or prepared."""
        return self._prepared(image, with_overview=False)

    def forget(self, *, project_id: int, task_id: int | None) -> None:
        """Forget what is in memory of a task, or of a whole project: its images, and what was said about them."""
        self._embeddings.forget(project_id=project_id, task_id=task_id)
        self._conversations.purge(project_id=project_id, task_id=task_id)

    def close(self) -> None:
        """End the threads that prepare images."""
        if self._warmer is not None:
            self._warmer.close()
        self._line.close()

    # One conversation's part of a click

    def _answer(
        self, click: _Click, to_name: str, label: str, prompts: list[PromptItem], *, until: float
    ) -> list[_Shown]:
        if not click.config.output_controls(label, to_name):
            self._count(Event.NO_OUTPUT)
            _log.info("no control can show this label", project=click.project_id, task=click.task.id)
            return []
        key = ConversationKey(self._identity(click, to_name), to_name, label)
        prompt_ids = frozenset(prompt.id for prompt in prompts)
        with self._conversations.turn(key, prompt_ids, patience_s=self._left_s(until)) as turn:
            if not turn.is_superseded:
                with_overview = click.config.has_shadows(to_name)
                prepared = self._prepared_as_seen(key.image, prompts, with_overview=with_overview, until=until)
                _require_same_size(prompts, prepared.size)
                # Asked again: preparing may have taken its time.
                if not turn.is_superseded:
                    with self._place_to_decode(until):
                        return self._converse(click, key, turn, prompts, prepared)
            self._count(Event.SUPERSEDED)
            return []

    def _left_s(self, until: float) -> float:
        return max(until - self._clock(), 0.0)

    @contextmanager
    def _place_to_decode(self, until: float) -> Iterator[None]:
        if not self._decoding.acquire(timeout=self._left_s(until)):
            raise BusyError("too many clicks are being answered", retry_after_s=_COME_AGAIN_S)
        try:
            yield
        finally:
            self._decoding.release()

    def _converse(
        self, click: _Click, key: ConversationKey, turn: Turn, prompts: list[PromptItem], prepared: Embedding
    ) -> list[_Shown]:
        embedding = prepared.embedding if isinstance(prepared, Overlooked) else prepared
        question = Question(
            clicks=tuple(Click(prompt.id, prompt.point) for prompt in prompts if prompt.point is not None),
            boxes=tuple(DrawnBox(prompt.id, prompt.box) for prompt in prompts if prompt.box is not None),
            size=embedding.size,
            asked_at=self._clock(),
            saved_ids=frozenset(item.id for item in click.saved_items()),
            drafts=frozenset((draft.id, tuple(item.id for item in draft.result)) for draft in click.task.drafts),
        )
        plan = follow(key, turn.memory, question, lambda: self._saved_regions(click, key, embedding.size))
        if not plan.region_ids:
            self._count(Event.NOTHING_TO_REFINE)
            _log.info("negative clicks alone, and no mask to refine", project=click.project_id, task=click.task.id)
        memory = plan.memory
        for target in plan.unanswered:
            memory = memory.answered(target.region_id, self._segmented(embedding, target))
        shown = [_shown(memory.target(region_id), key, click.config) for region_id in plan.region_ids]
        shadow_label = click.config.shadow_label(key.label, key.to_name)
        if shadow_label is not None and isinstance(prepared, Overlooked):
            fresh = frozenset(target.region_id for target in plan.unanswered)
            memory = _with_shadows(memory, fresh, key, question, prepared.overview)
            for target in _with_shown_shadows(memory, plan.region_ids, fresh, key, question):
                self._count(Event.SHADOW_PROPOSED)
                shown.append(_shown_shadow(target, key, shadow_label, click.config))
        # Only now: a request that failed on the way has changed nothing.
        turn.keep(memory)
        return shown

    def _segmented(self, embedding: Embedding, target: Target) -> Segmentation:
        """The answer to what is asked about a target. Repeated clicks choose among the meanings of the first."""
        prompt, repeated = target.prompt, target.repeated(embedding.size)
        if self._choosing is None or len(repeated) <= 1:
            return self._segmenter.segment(embedding, prompt)
        is_refined = len(prompt.points) > len(repeated)
        if is_refined and prompt.previous is not None:
            return self._segmenter.segment(embedding, prompt)
        candidates = self._choosing.candidates(embedding, repeated)
        chosen = candidates[(len(repeated) - 1) % len(candidates)]
        if not is_refined:
            return chosen
        return self._segmenter.segment(embedding, replace(prompt, previous=chosen.logits))

    def _saved_regions(self, click: _Click, key: ConversationKey, size: Size) -> tuple[Region, ...]:
        """The regions of the conversation's label that Label Studio has saved, each id once, the newest."""
        regions: dict[str, Region] = {}
        for item in click.saved_items():
            labels = item.value.get(item.type)
            is_ours = item.to_name == key.to_name and isinstance(labels, list) and key.label in labels
            if not is_ours or not item.id or item.id in regions:
                continue
            try:
                found = regions_from_results((item,), click.config, size).regions
            except MaskError as error:
                self._count(Event.REGION_UNREADABLE)
                _log.info("a saved region cannot be read", task=click.task.id, reason=error.reason)
                continue
            regions.update({region.region_id: region for region in found})
        return tuple(regions.values())

    # Images

    def _identity(self, click: _Click, to_name: str) -> ImageIdentity:
        return image_of_task(
            click.task,
            to_name,
            config=click.config,
            project_id=click.project_id,
            label_studio_url=self._label_studio_url,
        )

    def _errands(self, click: _Click) -> tuple[Errand, ...]:
        names = [image.name for image in click.config.images]
        return tuple(Errand(self._identity(click, name), click.config.has_shadows(name)) for name in names)

    def _prepared(
        self, identity: ImageIdentity, *, with_overview: bool, anew: bool = False, until: float | None = None
    ) -> Embedding:
        """The image's embedding; with its overview an Overlooked.

        Args:
            identity: the image.
            with_overview: whether a click has to see the image.
            anew: whether to look at its bytes, although they were seen a short time ago.
            until: when whoever asked has to have an answer; None if nobody waits for it.
        """
        fetched = cache(
            lambda: self._media.fetch(identity.url, project_id=identity.project_id, task_id=identity.task_id)
        )
        decoded = cache(lambda: self._read_image(fetched()))
        embedding = self._embeddings.get(
            EmbeddingKey(self._segmenter.version, identity),
            read=fetched,
            # Decoded only when its turn has come: those that wait would hold all their pixels.
            encode=lambda _: self._line.do(identity, lambda: self._segmenter.embed(decoded())),
            packing=self._packing,
            anew=anew,
            patience_s=None if until is None else self._left_s(until),
        )
        if not with_overview:
            return embedding
        # Without a packing: it would put the image on the disk, and originals are never kept there.
        overview = self._embeddings.get(
            EmbeddingKey(_OVERVIEW, identity),
            read=fetched,
            encode=lambda _: Overview.of(decoded()),
            anew=anew,
            patience_s=None if until is None else self._left_s(until),
        )
        assert isinstance(overview, Overview), "nothing else is kept under its key"  # noqa: S101
        return Overlooked(embedding, overview)

    def _prepared_as_seen(
        self, identity: ImageIdentity, prompts: list[PromptItem], *, with_overview: bool, until: float
    ) -> Embedding:
        """The same, and if the annotator saw an image of another size, of what is behind the address now."""
        with self._line.awaited(identity):
            prepared = self._prepared(identity, with_overview=with_overview, until=until)
            if all(prompt.size == prepared.size for prompt in prompts):
                return prepared
            return self._prepared(identity, with_overview=with_overview, anew=True, until=until)

    def _is_prepared(self, errand: Errand) -> bool:
        versions = [self._segmenter.version, *([_OVERVIEW] if errand.with_overview else [])]
        return all(EmbeddingKey(version, errand.image) in self._embeddings for version in versions)

    # Warming

    def _warm_later(self, request: PredictRequest) -> None:
        """Prepare the image of a task that was opened. Many tasks at once are a list that somebody works through."""
        if self._warmer is None or len(request.tasks) != 1:
            return
        try:
            opened = _read_click(request)
            errands = self._errands(opened)
        except CleanplateError as error:
            self._count(Event.WARMING_FAILED)
            _log.info("an opened task cannot be prepared", task=request.tasks[0].id, reason=error.reason)
            return
        for errand in errands:
            if not self._is_prepared(errand) and not self._warmer.ask(errand):
                self._count(Event.WARMING_DROPPED)
        self._warmer.ask_ahead(self._errands_ahead(opened))

    def _errands_ahead(self, opened: _Click) -> Iterator[Errand]:
        """What will probably be needed after this: the images of the next tasks that nobody has annotated."""
        try:
            tasks = self._following(opened.project_id, opened.task.id)
            waiting = [task for task in tasks if not task.annotations and COPY_KEY not in task.data]
            for task in waiting[:AHEAD]:
                yield from (
                    errand for errand in self._errands(replace(opened, task=task)) if not self._is_prepared(errand)
                )
        except CleanplateError as error:
            _log.info("what may be opened next cannot be prepared", project=opened.project_id, reason=error.reason)

    def _warm(self, errand: Errand) -> None:
        try:
            self._prepared(errand.image, with_overview=errand.with_overview)
        except CleanplateError as error:
            self._count(Event.WARMING_FAILED)
            _log.info("an opened task cannot be prepared", task=errand.image.task_id, reason=error.reason)
        else:
            self._count(Event.WARMED)

    def _prompts(self, items: tuple[ResultItem, ...], click: _Click) -> tuple[PromptItem, ...]:
        items = _without_leftovers(_without_twins(items))
        prompts = prompt_items(items, click.config)
        if len(prompts) > MAX_PROMPTS:
            raise PromptError(f"{len(prompts)} prompts in one request are more than the limit of {MAX_PROMPTS}")
        for _ in range(len(items) - len(prompts)):
            self._count(Event.PROMPT_IGNORED)
        return prompts

    def _count(self, event: Event) -> None:
        with self._lock:
            self._counts[event] += 1


def _read_click(request: PredictRequest) -> _Click:
    if len(request.tasks) != 1:
        raise PayloadError(f"a click belongs to one task, this request has {len(request.tasks)}")
    task = request.tasks[0]
    project_id = request.project_id or task.project
    if project_id is None:
        raise PayloadError("a predict request must name its project")
    return _Click(task, project_id, _config_from_xml(request.label_config))


@lru_cache(maxsize=32)
def _config_from_xml(xml: str) -> LabelConfig:
    """The labelling config, which comes along with every click and hardly ever changes."""
    return LabelConfig.from_xml(xml)


def _without_twins(items: tuple[ResultItem, ...]) -> tuple[ResultItem, ...]:
    """Each prompt once, as what it was drawn as.

    Label Studio's frontend sends a prompt again for every other control whose label happens to be selected: under the
    same id and with the same geometry, but with the other's name and type. So a click may come as a rectangle too,
    and a rectangle as a click on its corner.
    """
    times = Counter(item.id for item in items)
    return tuple(item for item in items if times[item.id] == 1 or _is_original(item))


def _is_original(item: ResultItem) -> bool:
    drawn_as = "rectangle" if "height" in item.value else "keypoint"
    return item.type.removesuffix("labels") == drawn_as


def _without_leftovers(items: tuple[ResultItem, ...]) -> tuple[ResultItem, ...]:
    """Without keypoints that are no prompts any more, or never were.

    After a page was loaded again, the clicks of its draft are ordinary regions. Label Studio's frontend sends them
    with every click of their label, but says no longer whether they were positive, as it does for what was clicked.
    """
    if all(item.is_positive is None for item in items):
        return items
    return tuple(item for item in items if item.is_positive is not None or not item.type.startswith("keypoint"))


def _by_object_and_label(prompts: tuple[PromptItem, ...]) -> dict[tuple[str, str], list[PromptItem]]:
    """Prompts by the image and the label they are about, each id once. Label Studio's frontend never mixes these."""
    groups: dict[tuple[str, str], dict[str, PromptItem]] = {}
    for prompt in prompts:
        # Only hand-made requests lack ids; the place of a prompt then tells it from the others.
        named = prompt if prompt.id else replace(prompt, id=str(prompt.point or prompt.box))
        groups.setdefault((prompt.to_name, prompt.label), {})[named.id] = named
    return {about: list(group.values()) for about, group in groups.items()}


def _require_same_size(prompts: list[PromptItem], size: Size) -> None:
    for prompt in prompts:
        if prompt.size != size:
            seen = f"{prompt.size.width}×{prompt.size.height}"
            raise SizeMismatchError(f"a prompt was drawn on {seen}, but the image is {size.width}×{size.height}")


def _answered(target: Target) -> Answer:
    assert target.answer is not None, "every target that is shown was answered"  # noqa: S101
    return target.answer


def _shown(target: Target, key: ConversationKey, config: LabelConfig) -> _Shown:
    answer = _answered(target)
    items = result_items_from_mask(
        answer.mask.mask(),
        score=answer.score,
        region_id=target.region_id,
        label=key.label,
        config=config,
        to_name=key.to_name,
    )
    return _Shown(items, answer.score)


def _with_shadows(
    memory: Memory, fresh: frozenset[str], key: ConversationKey, question: Question, overview: Overview
) -> Memory:
    """The memory with the shadows of the objects that were answered now."""
    for region_id in fresh:
        target = memory.target(region_id)
        rejected = target.has_rejected_shadow(key, question)
        shadow = None if rejected else overview.shadow_of(_answered(target).mask.mask())
        if shadow is not None:
            memory = memory.with_changed(target.shadowed(ProposedShadow(PackedMask(shadow.mask), shadow.score)))
    return memory


def _with_shown_shadows(
    memory: Memory, region_ids: tuple[str, ...], fresh: frozenset[str], key: ConversationKey, question: Question
) -> Iterator[Target]:
    """The targets whose shadows are to be shown: not those rejected, and those accepted only after a new answer."""
    for region_id in region_ids:
        target = memory.target(region_id)
        may_be_shown = region_id in fresh or key.shadow_id(region_id) not in question.saved_ids
        if target.shadow is not None and may_be_shown and not target.has_rejected_shadow(key, question):
            yield target


def _shown_shadow(target: Target, key: ConversationKey, label: str, config: LabelConfig) -> _Shown:
    shadow = target.shadow
    assert shadow is not None, "only targets with a shadow show one"  # noqa: S101
    items = result_items_from_mask(
        shadow.mask.mask(),
        score=shadow.score,
        region_id=key.shadow_id(target.region_id),
        label=label,
        config=config,
        to_name=key.to_name,
    )
    return _Shown(items, shadow.score)
