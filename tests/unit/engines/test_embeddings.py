import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from cleanplate.domain.image import Size
from cleanplate.engines.embeddings import TRUSTED_S, EmbeddingCache, EmbeddingKey, ImageIdentity, Shown
from cleanplate.errors import EngineError, MediaUnavailableError

WAIT_S = 10


@dataclass(frozen=True)
class Prepared:
    name: str
    size_bytes: int = 10

    @property
    def size(self) -> Size:
        return Size(width=4, height=3)


class Encoder:
    """Makes embeddings of the bytes of images and counts them; held, it waits until it is let go."""

    def __init__(self, *, held: bool = False, size_bytes: int = 10) -> None:
        self.calls = 0
        self.size_bytes = size_bytes
        self.started = threading.Event()
        self.go_on = threading.Event()
        if not held:
            self.go_on.set()

    def __call__(self, data: bytes) -> Prepared:
        self.calls += 1
        self.started.set()
        assert self.go_on.wait(WAIT_S)
        return Prepared(data.decode(), self.size_bytes)


class Reader:
    """The bytes behind an address, counted."""

    def __init__(self, content: str) -> None:
        self.content = content
        self.calls = 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.content.encode()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class TextPacking:
    def pack(self, embedding: Prepared) -> bytes:
        return embedding.name.encode()

    def unpack(self, content: bytes) -> Prepared:
        if content.startswith(b"?"):
            raise EngineError("damaged")
        return Prepared(content.decode())


class MemoryShelf:
    """A shelf without a disk."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.images: dict[ImageIdentity, Shown] = {}
        self.packed: dict[tuple[str, str], bytes] = {}

    def content_of(self, data: bytes) -> str:
        return f"content of {data.decode()}"

    def shown(self, image: ImageIdentity) -> Shown | None:
        return self.images.get(image)

    def note(self, image: ImageIdentity, content: str, *, at: float) -> None:
        self.images[image] = Shown(content, at)

    @contextmanager
    def alone(self, content: str, version: str) -> Iterator[None]:  # noqa: ARG002  the real one's signature
        yield

    def holds(self, content: str, version: str) -> bool:
        return (content, version) in self.packed

    def take(self, content: str, version: str) -> bytes | None:
        return self.packed.get((content, version))

    def put(self, content: str, version: str, packed: bytes) -> None:
        if any(shown.content == content for shown in self.images.values()):
            self.packed[content, version] = packed

    def drop(self, content: str, version: str) -> None:
        del self.packed[content, version]

    def purge(self, *, project_id: int, task_id: int | None) -> int:
        gone = [image for image in self.images if image.belongs_to(project_id=project_id, task_id=task_id)]
        for image in gone:
            del self.images[image]
        return len(gone)


def key(task_id: int = 1, *, project_id: int = 1, url: str = "/data/a.jpg", version: str = "fake-1") -> EmbeddingKey:
    image = ImageIdentity(label_studio_url="http://ls", project_id=project_id, task_id=task_id, url=url)
    return EmbeddingKey(segmenter_version=version, image=image)


def get(
    cache: EmbeddingCache,
    asked: EmbeddingKey,
    content: str,
    encoder: Callable[[bytes], Prepared],
    packing: TextPacking | None = None,
) -> Prepared:
    found = cache.get(asked, read=Reader(content), encode=encoder, packing=packing)
    assert isinstance(found, Prepared)
    return found


def wait_for_hits(cache: EmbeddingCache, count: int) -> None:
    """Return when *count* requests have joined somebody else's encoding."""
    deadline = time.monotonic() + WAIT_S
    while cache.stats.hits < count:
        assert time.monotonic() < deadline, "nobody joined"


def test_the_second_request_for_an_image_neither_encodes_nor_reads_it() -> None:
    cache, encoder, reader = EmbeddingCache(100), Encoder(), Reader("a")

    first = cache.get(key(), read=reader, encode=encoder)
    second = cache.get(key(), read=reader, encode=encoder)

    assert first is second
    assert (encoder.calls, reader.calls) == (1, 1)
    assert cache.stats == (1, 0, 1, 1, 10)


@pytest.mark.parametrize(
    "other",
    [key(2), key(project_id=2), key(url="/data/b.jpg"), key(version="fake-2")],
    ids=["task", "project", "address", "segmenter"],
)
def test_embeddings_of_different_images_or_segmenters_never_stand_for_each_other(other) -> None:
    cache, encoder = EmbeddingCache(100), Encoder()

    get(cache, key(), "one", encoder)

    assert get(cache, other, "other", encoder) == Prepared("other")


def test_the_same_photograph_in_two_tasks_is_encoded_once_and_kept_once() -> None:
    cache, encoder = EmbeddingCache(100), Encoder()

    assert get(cache, key(1), "same", encoder) is get(cache, key(2), "same", encoder)

    assert encoder.calls == 1
    assert (cache.stats.images, cache.stats.size_bytes) == (1, 10)


def test_segmenters_of_two_versions_each_encode_the_same_photograph() -> None:
    cache, encoder = EmbeddingCache(100), Encoder()

    get(cache, key(), "same", encoder)
    get(cache, key(version="fake-2"), "same", encoder)

    assert encoder.calls == 2


def test_many_requests_for_a_cold_image_encode_once() -> None:
    cache, encoder = EmbeddingCache(100), Encoder(held=True)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(get, cache, key(), "cold", encoder) for _ in range(8)]
        wait_for_hits(cache, 7)
        encoder.go_on.set()
        found = {id(answer.result(WAIT_S)) for answer in answers}

    assert encoder.calls == 1
    assert len(found) == 1


def test_the_same_photograph_opened_in_eight_tasks_at_once_is_encoded_once() -> None:
    cache, encoder = EmbeddingCache(100), Encoder(held=True)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(get, cache, key(number), "same", encoder) for number in range(8)]
        assert encoder.started.wait(WAIT_S)
        encoder.go_on.set()
        found = {id(answer.result(WAIT_S)) for answer in answers}

    assert encoder.calls == 1
    assert len(found) == 1


def test_an_encoding_that_fails_wakes_all_who_wait_and_is_not_kept() -> None:
    cache = EmbeddingCache(100)
    let_go = threading.Event()

    def fail(_: bytes) -> Prepared:
        assert let_go.wait(WAIT_S)
        raise MediaUnavailableError("the image's server answered 503")

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(get, cache, key(), "a", fail) for _ in range(4)]
        wait_for_hits(cache, 3)
        let_go.set()
        errors = [answer.exception(WAIT_S) for answer in answers]

    assert [type(error) for error in errors] == [MediaUnavailableError] * 4
    assert key() not in cache
    assert get(cache, key(), "later", Encoder()) == Prepared("later")


def test_one_slow_image_does_not_keep_others_waiting() -> None:
    cache, slow = EmbeddingCache(100), Encoder(held=True)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, cache, key(1), "slow", slow)
        assert slow.started.wait(WAIT_S)
        quick = get(cache, key(2), "quick", Encoder())
        slow.go_on.set()
        answer.result(WAIT_S)

    assert quick == Prepared("quick")


def test_the_images_not_used_for_longest_leave_first_when_the_budget_is_spent() -> None:
    cache, encoder = EmbeddingCache(30), Encoder()
    for task_id in (1, 2, 3):
        get(cache, key(task_id), str(task_id), encoder)
    get(cache, key(1), "1", encoder)

    get(cache, key(4), "4", Encoder(size_bytes=20))

    assert [task_id for task_id in (1, 2, 3, 4) if key(task_id) in cache] == [1, 4]
    assert cache.stats.size_bytes == 30


def test_an_embedding_beyond_the_whole_budget_is_handed_out_but_pushes_nobody_out() -> None:
    cache, encoder = EmbeddingCache(30), Encoder()
    get(cache, key(1), "small", encoder)

    giant = get(cache, key(2), "giant", Encoder(size_bytes=31))

    assert giant == Prepared("giant", 31)
    assert key(1) in cache
    assert key(2) not in cache
    assert cache.stats.size_bytes == 10


# An image that was replaced under its address


def test_after_an_hour_an_image_is_looked_at_again_and_encoded_only_if_it_is_another() -> None:
    clock = Clock()
    cache, encoder, reader = EmbeddingCache(100, clock=clock), Encoder(), Reader("before")
    cache.get(key(), read=reader, encode=encoder)

    clock.now += TRUSTED_S - 1
    cache.get(key(), read=reader, encode=encoder)
    assert (reader.calls, encoder.calls) == (1, 1)
    clock.now += 2
    cache.get(key(), read=reader, encode=encoder)
    assert (reader.calls, encoder.calls) == (2, 1)
    clock.now += TRUSTED_S + 1
    reader.content = "after"
    assert cache.get(key(), read=reader, encode=encoder) == Prepared("after")

    assert (reader.calls, encoder.calls) == (3, 2)
    assert (cache.stats.images, cache.stats.size_bytes) == (1, 10)


def test_who_doubts_that_an_image_is_still_the_same_gets_what_it_is_now() -> None:
    cache, encoder = EmbeddingCache(100), Encoder()
    get(cache, key(), "before", encoder)

    now = cache.get(key(), read=Reader("after"), encode=encoder, anew=True)

    assert now == Prepared("after")
    assert get(cache, key(), "never read", encoder) is now


# Purging


def test_purging_a_task_forgets_its_images_only() -> None:
    cache, encoder = EmbeddingCache(100), Encoder()
    keys = [key(1), key(1, url="/data/b.jpg"), key(2), key(1, project_id=2)]
    for number, each in enumerate(keys):
        get(cache, each, str(number), encoder)

    gone = cache.purge(project_id=1, task_id=1)

    assert gone == 2
    assert [each in cache for each in keys] == [False, False, True, True]
    assert cache.stats.size_bytes == 20


def test_purging_a_project_forgets_all_its_tasks() -> None:
    cache, encoder = EmbeddingCache(100), Encoder()
    for number, each in enumerate((key(1), key(2), key(1, project_id=2))):
        get(cache, each, str(number), encoder)

    assert cache.purge(project_id=1) == 2
    assert cache.stats.images == 1


def test_a_photograph_that_another_task_shows_as_well_stays_until_that_one_is_purged() -> None:
    cache, encoder = EmbeddingCache(100), Encoder()
    for task_id in (1, 2):
        get(cache, key(task_id), "same", encoder)

    assert cache.purge(project_id=1, task_id=1) == 1
    assert (key(1) in cache, key(2) in cache, cache.stats.size_bytes) == (False, True, 10)
    assert cache.purge(project_id=1, task_id=2) == 1
    assert cache.stats.size_bytes == 0


def test_an_image_purged_while_it_is_encoded_answers_but_is_not_kept() -> None:
    cache, encoder = EmbeddingCache(100), Encoder(held=True)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, cache, key(), "before", encoder)
        assert encoder.started.wait(WAIT_S)
        cache.purge(project_id=1, task_id=1)
        encoder.go_on.set()
        assert answer.result(WAIT_S) == Prepared("before")

    assert key() not in cache
    assert cache.stats.size_bytes == 0


def test_who_asks_after_a_purge_is_kept_although_an_older_encoding_still_runs() -> None:
    cache, old = EmbeddingCache(100), Encoder(held=True)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, cache, key(), "before", old)
        assert old.started.wait(WAIT_S)
        cache.purge(project_id=1, task_id=1)
        get(cache, key(), "after", Encoder())
        old.go_on.set()
        answer.result(WAIT_S)

    assert get(cache, key(), "never read", Encoder()) == Prepared("after")


# The shelf


def test_what_one_process_encoded_the_next_takes_from_the_shelf_without_the_image_s_bytes() -> None:
    shelf, reader, encoder = MemoryShelf(Clock()), Reader("never read"), Encoder()
    get(EmbeddingCache(100, shelf, clock=shelf.clock), key(), "a", Encoder(), TextPacking())

    cache = EmbeddingCache(100, shelf, clock=shelf.clock)
    found = cache.get(key(), read=reader, encode=encoder, packing=TextPacking())

    assert found == Prepared("a")
    assert (reader.calls, encoder.calls) == (0, 0)
    assert cache.stats == (0, 1, 0, 1, 10)


def test_a_stored_photograph_that_another_task_shows_is_read_but_not_encoded() -> None:
    shelf, encoder = MemoryShelf(Clock()), Encoder()
    get(EmbeddingCache(100, shelf, clock=shelf.clock), key(1), "a", Encoder(), TextPacking())

    found = get(EmbeddingCache(100, shelf, clock=shelf.clock), key(2), "a", encoder, TextPacking())

    assert found == Prepared("a")
    assert encoder.calls == 0


def test_what_an_address_showed_long_ago_is_looked_at_again() -> None:
    shelf, reader, encoder = MemoryShelf(Clock()), Reader("a"), Encoder()
    get(EmbeddingCache(100, shelf, clock=shelf.clock), key(), "a", Encoder(), TextPacking())
    shelf.clock.now += TRUSTED_S + 1

    cache = EmbeddingCache(100, shelf, clock=shelf.clock)
    cache.get(key(), read=reader, encode=encoder, packing=TextPacking())

    assert (reader.calls, encoder.calls) == (1, 0)


def test_what_the_segmenter_cannot_unpack_is_dropped_encoded_and_stored_again() -> None:
    shelf, encoder = MemoryShelf(Clock()), Encoder()
    get(EmbeddingCache(100, shelf, clock=shelf.clock), key(), "a", Encoder(), TextPacking())
    shelf.packed = dict.fromkeys(shelf.packed, b"?")

    found = get(EmbeddingCache(100, shelf, clock=shelf.clock), key(), "a", encoder, TextPacking())

    assert found == Prepared("a")
    assert encoder.calls == 1
    assert list(shelf.packed.values()) == [b"a"]


def test_embeddings_without_a_packing_stay_in_memory() -> None:
    shelf = MemoryShelf(Clock())

    get(EmbeddingCache(100, shelf, clock=shelf.clock), key(), "a", Encoder())

    assert (shelf.images, shelf.packed) == ({}, {})


def test_a_purge_reaches_the_shelf_also_for_what_is_not_in_memory() -> None:
    shelf = MemoryShelf(Clock())
    get(EmbeddingCache(100, shelf, clock=shelf.clock), key(), "a", Encoder(), TextPacking())

    assert EmbeddingCache(100, shelf, clock=shelf.clock).purge(project_id=1, task_id=1) == 1
    assert shelf.images == {}


def test_an_image_purged_while_it_is_encoded_is_not_stored() -> None:
    shelf, encoder = MemoryShelf(Clock()), Encoder(held=True)
    cache = EmbeddingCache(100, shelf, clock=shelf.clock)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, cache, key(), "a", encoder, TextPacking())
        assert encoder.started.wait(WAIT_S)
        cache.purge(project_id=1, task_id=1)
        encoder.go_on.set()
        answer.result(WAIT_S)

    assert (shelf.images, shelf.packed) == ({}, {})


def test_an_image_purged_while_it_is_read_is_not_stored() -> None:
    shelf = MemoryShelf(Clock())
    cache = EmbeddingCache(100, shelf, clock=shelf.clock)

    def read() -> bytes:
        cache.purge(project_id=1, task_id=1)
        return b"a"

    cache.get(key(), read=read, encode=Encoder(), packing=TextPacking())

    assert (shelf.images, shelf.packed) == ({}, {})


def test_an_image_s_address_is_not_printed() -> None:
    assert "secret" not in repr(key(url="/data/upload/1/secret-name.jpg?signature=secret"))
