import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from cleanplate.domain.image import Size
from cleanplate.engines.embeddings import EmbeddingCache, EmbeddingKey, ImageIdentity
from cleanplate.errors import MediaUnavailableError

WAIT_S = 10


@dataclass(frozen=True)
class Prepared:
    name: str
    size_bytes: int = 10

    @property
    def size(self) -> Size:
        return Size(width=4, height=3)


class Encoder:
    """Makes embeddings and counts them; the first one waits until it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.calls = 0
        self.started = threading.Event()
        self.go_on = threading.Event()
        if not held:
            self.go_on.set()

    def of(self, name: str, size_bytes: int = 10) -> Callable[[], Prepared]:
        def encode() -> Prepared:
            self.calls += 1
            self.started.set()
            assert self.go_on.wait(WAIT_S)
            return Prepared(name, size_bytes)

        return encode


def key(task_id: int = 1, *, project_id: int = 1, url: str = "/data/a.jpg", version: str = "fake-1") -> EmbeddingKey:
    image = ImageIdentity(label_studio_url="http://ls", project_id=project_id, task_id=task_id, url=url)
    return EmbeddingKey(segmenter_version=version, image=image)


def wait_for_hits(cache: EmbeddingCache, count: int) -> None:
    """Return when *count* requests have joined somebody else's encoding."""
    deadline = time.monotonic() + WAIT_S
    while cache.stats.hits < count:
        assert time.monotonic() < deadline, "nobody joined"


def test_the_second_request_for_an_image_does_not_encode() -> None:
    cache, encoder = EmbeddingCache(100), Encoder()

    first = cache.get(key(), encoder.of("first"))
    second = cache.get(key(), encoder.of("second"))

    assert first is second
    assert encoder.calls == 1
    assert cache.stats == (1, 1, 1, 10)


@pytest.mark.parametrize(
    "other",
    [key(2), key(project_id=2), key(url="/data/b.jpg"), key(version="fake-2")],
    ids=["task", "project", "address", "segmenter"],
)
def test_embeddings_of_different_images_or_segmenters_never_stand_for_each_other(other) -> None:
    cache, encoder = EmbeddingCache(100), Encoder()

    cache.get(key(), encoder.of("one"))

    assert cache.get(other, encoder.of("other")) == Prepared("other")


def test_many_requests_for_a_cold_image_encode_once() -> None:
    cache, encoder = EmbeddingCache(100), Encoder(held=True)

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(cache.get, key(), encoder.of("cold")) for _ in range(8)]
        wait_for_hits(cache, 7)
        encoder.go_on.set()
        found = {id(answer.result(WAIT_S)) for answer in answers}

    assert encoder.calls == 1
    assert len(found) == 1


def test_an_encoding_that_fails_wakes_all_who_wait_and_is_not_kept() -> None:
    cache = EmbeddingCache(100)
    let_go = threading.Event()

    def fail() -> Prepared:
        assert let_go.wait(WAIT_S)
        raise MediaUnavailableError("the image's server answered 503")

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(cache.get, key(), fail) for _ in range(4)]
        wait_for_hits(cache, 3)
        let_go.set()
        errors = [answer.exception(WAIT_S) for answer in answers]

    assert [type(error) for error in errors] == [MediaUnavailableError] * 4
    assert key() not in cache
    assert cache.get(key(), Encoder().of("later")) == Prepared("later")


def test_one_slow_image_does_not_keep_others_waiting() -> None:
    cache, slow = EmbeddingCache(100), Encoder(held=True)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(cache.get, key(1), slow.of("slow"))
        assert slow.started.wait(WAIT_S)
        quick = cache.get(key(2), Encoder().of("quick"))
        slow.go_on.set()
        answer.result(WAIT_S)

    assert quick == Prepared("quick")


def test_the_images_not_used_for_longest_leave_first_when_the_budget_is_spent() -> None:
    cache, encoder = EmbeddingCache(30), Encoder()
    for task_id in (1, 2, 3):
        cache.get(key(task_id), encoder.of("x"))
    cache.get(key(1), encoder.of("x"))

    cache.get(key(4), encoder.of("x", 20))

    assert [task_id for task_id in (1, 2, 3, 4) if key(task_id) in cache] == [1, 4]
    assert cache.stats.size_bytes == 30


def test_an_embedding_beyond_the_whole_budget_is_handed_out_but_pushes_nobody_out() -> None:
    cache, encoder = EmbeddingCache(30), Encoder()
    cache.get(key(1), encoder.of("small"))

    giant = cache.get(key(2), encoder.of("giant", 31))

    assert giant == Prepared("giant", 31)
    assert key(1) in cache
    assert key(2) not in cache
    assert cache.stats.size_bytes == 10


def test_purging_a_task_forgets_its_images_only() -> None:
    cache, encoder = EmbeddingCache(100), Encoder()
    keys = [key(1), key(1, url="/data/b.jpg"), key(2), key(1, project_id=2)]
    for each in keys:
        cache.get(each, encoder.of("x"))

    gone = cache.purge(project_id=1, task_id=1)

    assert gone == 2
    assert [each in cache for each in keys] == [False, False, True, True]
    assert cache.stats.size_bytes == 20


def test_purging_a_project_forgets_all_its_tasks() -> None:
    cache, encoder = EmbeddingCache(100), Encoder()
    for each in (key(1), key(2), key(1, project_id=2)):
        cache.get(each, encoder.of("x"))

    assert cache.purge(project_id=1) == 2
    assert cache.stats.images == 1


def test_an_image_purged_while_it_is_encoded_answers_but_is_not_kept() -> None:
    cache, encoder = EmbeddingCache(100), Encoder(held=True)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(cache.get, key(), encoder.of("before"))
        assert encoder.started.wait(WAIT_S)
        cache.purge(project_id=1, task_id=1)
        encoder.go_on.set()
        assert answer.result(WAIT_S) == Prepared("before")

    assert key() not in cache
    assert cache.stats.size_bytes == 0


def test_an_encoding_that_began_after_a_purge_is_kept_although_an_older_one_still_runs() -> None:
    cache, old = EmbeddingCache(100), Encoder(held=True)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(cache.get, key(), old.of("before"))
        assert old.started.wait(WAIT_S)
        cache.purge(project_id=1, task_id=1)
        cache.get(key(), Encoder().of("after"))
        old.go_on.set()
        answer.result(WAIT_S)

    assert cache.get(key(), Encoder().of("never")) == Prepared("after")


def test_an_image_s_address_is_not_printed() -> None:
    assert "secret" not in repr(key(url="/data/upload/1/secret-name.jpg?signature=secret"))
