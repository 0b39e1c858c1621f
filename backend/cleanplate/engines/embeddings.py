"""Keeps what segmenters prepared, so that only the first click on an image waits for it."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

from cleanplate.engines.protocols import Embedding


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
    """How a cache is doing: the requests it answered and those that had to encode, and what it holds now."""

    hits: int
    misses: int
    images: int
    size_bytes: int


class EmbeddingCache:
    """Embeddings of the images used last, within a budget of memory. Safe from many threads.

    An image is encoded once, however many ask for it at the same time; the others wait for that one.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[EmbeddingKey, Embedding] = OrderedDict()
        self._size_bytes = 0
        self._flights: dict[EmbeddingKey, Future[Embedding]] = {}
        self._hits = 0
        self._misses = 0

    def __contains__(self, key: EmbeddingKey) -> bool:
        with self._lock:
            return key in self._kept

    def get(self, key: EmbeddingKey, encode: Callable[[], Embedding]) -> Embedding:
        """The embedding of *key*; *encode* makes it if nobody has made it or is about to.

        What *encode* raises reaches everyone who waits for it, and the next request tries again.
        """
        own: Future[Embedding] = Future()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._hits += 1
                self._kept.move_to_end(key)
                return kept
            flight = self._flights.setdefault(key, own)
            if flight is own:
                self._misses += 1
            else:
                self._hits += 1
        if flight is not own:
            return flight.result()
        try:
            embedding = encode()
        except BaseException as error:
            self._land(key, own, None)
            own.set_exception(error)
            raise
        self._land(key, own, embedding)
        own.set_result(embedding)
        return embedding

    def purge(self, *, project_id: int, task_id: int | None = None) -> int:
        """Forget the images of a task, or of a whole project; how many there were.

        One that is being encoded right now still answers those who wait for it, but is not kept.
        """
        with self._lock:
            gone = [key for key in self._kept if key.image.belongs_to(project_id=project_id, task_id=task_id)]
            for key in gone:
                self._size_bytes -= self._kept.pop(key).size_bytes
            for key in [key for key in self._flights if key.image.belongs_to(project_id=project_id, task_id=task_id)]:
                del self._flights[key]
            return len(gone)

    @property
    def stats(self) -> EmbeddingStats:
        with self._lock:
            return EmbeddingStats(self._hits, self._misses, len(self._kept), self._size_bytes)

    def _land(self, key: EmbeddingKey, flight: Future[Embedding], embedding: Embedding | None) -> None:
        """End a flight and keep what it brought, unless the image was purged meanwhile."""
        with self._lock:
            if self._flights.get(key) is not flight:
                return
            del self._flights[key]
            # What is larger than the whole budget would push out everything else and still not fit.
            if embedding is None or embedding.size_bytes > self._max_bytes:
                return
            self._kept[key] = embedding
            self._size_bytes += embedding.size_bytes
            while self._size_bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._size_bytes -= oldest.size_bytes
