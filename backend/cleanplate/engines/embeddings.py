"""Keeps what segmenters prepared, so that only the first click on an image waits for it."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple, Protocol

import structlog

from cleanplate.engines.protocols import Embedding, Packing
from cleanplate.errors import BusyError, EngineError

TRUSTED_S: Final = 3600.0
"""How long an address is believed to show the image it last showed. Then its bytes are looked at again: most images
never change, but a file in a folder or a bucket can be replaced under its name."""

_COME_AGAIN_S: Final = 5.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class ImageIdentity:
    """Which image of which task.

    Attributes:
        url: as the task's data give it. It may name a person or carry a signature, so it is never printed.
    """

    label_studio_url: str
    project_id: int
    task_id: int
    url: str = field(repr=False)

    def belongs_to(self, *, project_id: int, task_id: int | None) -> bool:
        """Whether it is an image of this task, or of any task of the project if *task_id* is None."""
        return self.project_id == project_id and task_id in {None, self.task_id}


@dataclass(frozen=True)
class EmbeddingKey:
    """Whose embedding: an image's, as one version of one segmenter prepared it."""

    segmenter_version: str
    image: ImageIdentity


class EmbeddingStats(NamedTuple):
    """How a cache is doing, and what it holds in memory now.

    Attributes:
        hits: requests that were answered from memory.
        stored: embeddings that came from the shelf.
        misses: images that had to be encoded.
    """

    hits: int
    stored: int
    misses: int
    images: int
    size_bytes: int


class Shown(NamedTuple):
    """What an address was seen to show, and when, in seconds since 1970."""

    content: str
    at: float


class Shelf(Protocol):
    """Keeps packed embeddings outside the process. What it cannot keep it leaves: no method raises for that."""

    def content_of(self, data: bytes) -> str:
        """What the bytes of an image are called here."""
        ...

    def shown(self, image: ImageIdentity) -> Shown | None:
        """The content an image had when it was last looked at; None if that never was."""
        ...

    def note(self, image: ImageIdentity, content: str, *, at: float) -> None:
        """Note which content an image was seen to have, and when, in seconds since 1970."""
        ...

    def alone(self, content: str, version: str) -> AbstractContextManager[None]:
        """Wait until no other process prepares this content, and keep others waiting meanwhile."""
        ...

    def holds(self, content: str, version: str) -> bool:
        """Whether there is a packed embedding, as far as can be told without reading it."""
        ...

    def take(self, content: str, version: str) -> bytes | None:
        """A packed embedding; None if there is none that is whole."""
        ...

    def put(self, content: str, version: str, packed: bytes) -> None:
        """Keep a packed embedding, if an image with this content is noted."""
        ...

    def drop(self, content: str, version: str) -> None:
        """Let go of a packed embedding."""
        ...

    def purge(self, *, project_id: int, task_id: int | None) -> int:
        """Forget the images of a task, or of a whole project, and what nobody else has; how many there were.

        Raises:
            StorageUnavailableError: Some of it may still be there.
        """
        ...


def is_stored(shelf: Shelf, image: ImageIdentity, version: str) -> bool:
    """Whether the embedding of an image is on a shelf, as far as can be told without the image's bytes."""
    shown = shelf.shown(image)
    return shown is not None and shelf.holds(shown.content, version)


class _Content(NamedTuple):
    """What an embedding is made from, and by what."""

    version: str
    name: str


class _Seen(NamedTuple):
    content: _Content
    at: float


@dataclass(frozen=True)
class _Source:
    """How an embedding is come by."""

    read: Callable[[], bytes]
    encode: Callable[[bytes], Embedding]
    packing: Packing | None


class EmbeddingCache:
    """Embeddings of the images used last, within a budget of memory. Safe from many threads.

    An embedding belongs to the content of an image, not to its address: the same photograph in two tasks is encoded
    once. And however many ask for it at the same time; the others wait for that one. With a shelf it is encoded once
    for all the processes that share it, and not again after a restart.
    """

    def __init__(self, max_bytes: int, shelf: Shelf | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._max_bytes = max_bytes
        self._shelf = shelf
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Content, Embedding] = OrderedDict()
        # An embedding is kept as long as an image is known to have its content.
        self._seen: dict[EmbeddingKey, _Seen] = {}
        self._size_bytes = 0
        self._flights: dict[EmbeddingKey, Future[Embedding]] = {}
        self._encodings: dict[_Content, Future[Embedding]] = {}
        self._hits = self._stored = self._misses = 0

    def __contains__(self, key: EmbeddingKey) -> bool:
        with self._lock:
            return self._known(key) is not None

    def get(
        self,
        key: EmbeddingKey,
        *,
        read: Callable[[], bytes],
        encode: Callable[[bytes], Embedding],
        packing: Packing | None = None,
        anew: bool = False,
        patience_s: float | None = None,
    ) -> Embedding:
        """The embedding of *key*.

        What *read* and *encode* raise reaches everyone who waits for them, and the next request tries again.

        Args:
            key: whose.
            read: gets the image's bytes; called only if nobody knows what they are.
            encode: makes the embedding of these bytes; called only if nobody has made it or is about to.
            packing: packs it for the shelf; None: it stays in memory.
            anew: look at the image's bytes, although they were seen a short time ago.
            patience_s: how long to wait. What was begun goes on, and is there when it is asked for again. None: as
                long as it takes.

        Raises:
            BusyError: It took longer than *patience_s*.
        """
        own: Future[Embedding] = Future()
        with self._lock:
            kept = None if anew else self._known(key)
            if kept is not None:
                self._hits += 1
                return kept
            flight = self._flights.setdefault(key, own)
            if flight is not own:
                self._hits += 1
        if flight is own:
            fly = partial(self._fly, key, own, _Source(read, encode, packing), anew=anew)
            if patience_s is None:
                fly()
            else:
                # In a thread of its own, so that whoever asked can go. Its log lines are still those of who asked.
                threading.Thread(target=copy_context().run, args=(fly,), name="preparing", daemon=True).start()
        wait([flight], patience_s)
        if not flight.done():
            raise BusyError("the image is still being prepared", retry_after_s=_COME_AGAIN_S)
        return flight.result()

    def purge(self, *, project_id: int, task_id: int | None = None) -> int:
        """Forget the images of a task, or of a whole project, in memory and on the shelf; how many there were.

        Raises:
            StorageUnavailableError: The shelf may still have some.
        """
        in_memory = self.forget(project_id=project_id, task_id=task_id)
        if self._shelf is None:
            return in_memory
        # The shelf knows those in memory as well, but for engines whose embeddings it does not take.
        return max(in_memory, self._shelf.purge(project_id=project_id, task_id=task_id))

    def forget(self, *, project_id: int, task_id: int | None = None) -> int:
        """Forget the images of a task, or of a whole project, in memory only; how many there were.

        What another task shows as well stays with that one. An image that is being encoded right now still answers
        those who wait for it, but is not kept.
        """
        with self._lock:
            gone = [key for key in self._seen if key.image.belongs_to(project_id=project_id, task_id=task_id)]
            for key in gone:
                self._forget(key)
            for key in [key for key in self._flights if key.image.belongs_to(project_id=project_id, task_id=task_id)]:
                del self._flights[key]
        return len({key.image for key in gone})

    @property
    def stats(self) -> EmbeddingStats:
        with self._lock:
            return EmbeddingStats(self._hits, self._stored, self._misses, len(self._kept), self._size_bytes)

    # Finding out what an image is

    def _is_trusted(self, seen_at: float) -> bool:
        return 0 <= self._clock() - seen_at < TRUSTED_S

    def _fly(self, key: EmbeddingKey, own: Future[Embedding], source: _Source, *, anew: bool) -> None:
        try:
            embedding = self._brought(key, own, source, anew=anew)
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            with self._lock:
                if self._flights.get(key) is own:
                    del self._flights[key]
            own.set_exception(error)
        else:
            own.set_result(embedding)

    def _brought(self, key: EmbeddingKey, own: Future[Embedding], source: _Source, *, anew: bool) -> Embedding:
        stored = None if anew else self._from_shelf(key, own, source)
        if stored is not None:
            return stored
        data, read_at = source.read(), self._clock()
        shelf = self._shelf
        name = hashlib.sha256(data).hexdigest() if shelf is None else shelf.content_of(data)
        content = _Content(key.segmenter_version, name)
        if shelf is not None and source.packing is not None and self._is_wanted(key, own):
            shelf.note(key.image, name, at=read_at)
        return self._of_content(key, own, content, read_at, lambda: self._stored_or_encoded(content, data, source))

    def _is_wanted(self, key: EmbeddingKey, flight: Future[Embedding]) -> bool:
        """Whether the image was not purged since it was asked for."""
        with self._lock:
            return self._flights.get(key) is flight

    def _from_shelf(self, key: EmbeddingKey, own: Future[Embedding], source: _Source) -> Embedding | None:
        """The embedding of an image whose content is known from another time or process; None if it is not stored."""
        if self._shelf is None or source.packing is None:
            return None
        shown = self._shelf.shown(key.image)
        if shown is None or not self._is_trusted(shown.at):
            return None
        content, packing = _Content(key.segmenter_version, shown.content), source.packing
        with self._lock:
            kept = self._kept.get(content)
        embedding = self._unpacked(content, packing) if kept is None else kept
        if embedding is not None:
            with self._lock:
                self._land(key, own, content, embedding, shown.at)
        return embedding

    # Encoding what it is

    def _of_content(
        self,
        key: EmbeddingKey,
        own: Future[Embedding],
        content: _Content,
        read_at: float,
        make: Callable[[], Embedding],
    ) -> Embedding:
        mine: Future[Embedding] = Future()
        with self._lock:
            kept = self._kept.get(content)
            if kept is not None:
                self._land(key, own, content, kept, read_at)
                return kept
            encoding = self._encodings.setdefault(content, mine)
        if encoding is not mine:
            embedding = encoding.result()
            with self._lock:
                self._land(key, own, content, embedding, read_at)
            return embedding
        try:
            embedding = make()
        except BaseException as error:
            with self._lock:
                del self._encodings[content]
            mine.set_exception(error)
            raise
        with self._lock:
            self._land(key, own, content, embedding, read_at)
            del self._encodings[content]
        mine.set_result(embedding)
        return embedding

    def _stored_or_encoded(self, content: _Content, data: bytes, source: _Source) -> Embedding:
        if self._shelf is None or source.packing is None:
            return self._encoded(data, source)
        # Whoever had the image before us in another process may have stored it when our turn comes.
        with self._shelf.alone(content.name, content.version):
            stored = self._unpacked(content, source.packing)
            if stored is not None:
                return stored
            embedding = self._encoded(data, source)
            self._shelf.put(content.name, content.version, source.packing.pack(embedding))
            return embedding

    def _encoded(self, data: bytes, source: _Source) -> Embedding:
        with self._lock:
            self._misses += 1
        return source.encode(data)

    def _unpacked(self, content: _Content, packing: Packing) -> Embedding | None:
        """What the shelf has; None if there is nothing that can be used."""
        assert self._shelf is not None, "only with a shelf"  # noqa: S101
        packed = self._shelf.take(content.name, content.version)
        if packed is None:
            return None
        try:
            embedding = packing.unpack(packed)
        except EngineError as error:
            _log.info("a stored embedding cannot be used and is made again", why=str(error))
            self._shelf.drop(content.name, content.version)
            return None
        with self._lock:
            self._stored += 1
        return embedding

    # The memory; every method is called with the lock held

    def _known(self, key: EmbeddingKey) -> Embedding | None:
        seen = self._seen.get(key)
        if seen is None or not self._is_trusted(seen.at):
            return None
        self._kept.move_to_end(seen.content)
        return self._kept[seen.content]

    def _land(
        self, key: EmbeddingKey, flight: Future[Embedding], content: _Content, embedding: Embedding, seen_at: float
    ) -> None:
        """End a flight and keep what it brought, unless the image was purged meanwhile."""
        if self._flights.get(key) is not flight:
            return
        del self._flights[key]
        self._forget(key, but=content)
        # What is larger than the whole budget would push out everything else and still not fit.
        if embedding.size_bytes > self._max_bytes:
            return
        if content not in self._kept:
            self._kept[content] = embedding
            self._size_bytes += embedding.size_bytes
        self._kept.move_to_end(content)
        self._seen[key] = _Seen(content, seen_at)
        while self._size_bytes > self._max_bytes:
            self._evict(next(iter(self._kept)))

    def _forget(self, key: EmbeddingKey, *, but: _Content | None = None) -> None:
        """Forget what an image is, and its embedding if no other image is the same, unless it is *but*."""
        seen = self._seen.pop(key, None)
        if seen is None or seen.content == but:
            return
        if all(other.content != seen.content for other in self._seen.values()):
            self._evict(seen.content)

    def _evict(self, content: _Content) -> None:
        self._size_bytes -= self._kept.pop(content).size_bytes
        for key in [key for key, seen in self._seen.items() if seen.content == content]:
            del self._seen[key]
