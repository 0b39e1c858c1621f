"""What every shelf for embeddings promises; a new kind joins by its line in SHELVES."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from cleanplate.domain.image import Size
from cleanplate.engines.embedding_disk import EmbeddingDisk
from cleanplate.engines.embedding_redis import EmbeddingRedis
from cleanplate.engines.embedding_shelves import EmbeddingShelves
from cleanplate.engines.embeddings import EmbeddingCache, EmbeddingKey, ImageIdentity, Shelf, Shown, is_stored
from fakes.redis_server import RedisServer

KEY, OTHER_KEY = b"k" * 32, b"t" * 32
SEAL_BYTES = 32
ROOM = 10 * 2**20
NOW = 1_000_000.0


@dataclass(frozen=True)
class Ground:
    """What shelves stand on: what stands on the same ground shares what it keeps."""

    folder: Path
    redis_url: str
    stack: ExitStack

    def disk(self, *, key: bytes = KEY, max_bytes: int = ROOM) -> EmbeddingDisk:
        times = itertools.count(1)
        return EmbeddingDisk(self.folder, key=key, max_bytes=max_bytes, clock=lambda: NOW + next(times))

    def redis(self, *, key: bytes = KEY, max_bytes: int = ROOM) -> EmbeddingRedis:
        return self.stack.enter_context(closing(EmbeddingRedis(self.redis_url, key=key, max_bytes=max_bytes)))

    def both(self, *, key: bytes = KEY, max_bytes: int = ROOM) -> EmbeddingShelves:
        return EmbeddingShelves(self.disk(key=key, max_bytes=max_bytes), self.redis(key=key, max_bytes=max_bytes))


SHELVES: dict[str, Callable[..., Shelf]] = {"disk": Ground.disk, "redis": Ground.redis, "both": Ground.both}


class Prepared:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.size = Size(4, 3)


class BytesPacking:
    def pack(self, embedding: Prepared) -> bytes:
        return embedding.data * 100

    def unpack(self, content: bytes) -> Prepared:
        return Prepared(content[: len(content) // 100])


def image(task_id: int = 1, *, project_id: int = 1, url: str = "/data/upload/1/jane-doe.jpg") -> ImageIdentity:
    return ImageIdentity("http://ls", project_id, task_id, url)


def store(shelf: Shelf, data: bytes, *, task_id: int = 1, project_id: int = 1, packed: bytes = b"x" * 100) -> str:
    content = shelf.content_of(data)
    shelf.note(image(task_id, project_id=project_id), content, at=NOW)
    shelf.put(content, "fake-1", packed)
    return content


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def ground(redis_server, tmp_path) -> Iterator[Ground]:
    with redis_server.client() as client:
        client.flushall()
    with ExitStack() as stack:
        yield Ground(tmp_path / "embeddings", redis_server.url, stack)


@pytest.fixture(params=sorted(SHELVES))
def new_shelf(request, ground) -> Callable[..., Shelf]:
    """Makes another shelf on the same ground, as another process does."""
    return lambda **options: SHELVES[request.param](ground, **options)


@pytest.fixture
def shelf(new_shelf) -> Shelf:
    return new_shelf()


@pytest.fixture(params=sorted(SHELVES.keys() - {"both"}))
def new_bounded(request, ground) -> Callable[..., Shelf]:
    """The same for the shelves that have room of their own."""
    return lambda max_bytes: SHELVES[request.param](ground, max_bytes=max_bytes)


def test_what_was_put_is_there_for_another_process(shelf, new_shelf) -> None:
    content = store(shelf, b"photograph", packed=b"packed")

    other = new_shelf()

    assert other.content_of(b"photograph") == content
    assert other.take(content, "fake-1") == b"packed"
    assert other.take(content, "fake-2") is None
    assert other.take(other.content_of(b"another"), "fake-1") is None
    assert is_stored(other, image(), "fake-1")
    assert not is_stored(other, image(), "fake-2")
    assert not is_stored(other, image(2), "fake-1")


def test_what_an_address_showed_and_when_is_there_for_another_process(shelf, new_shelf) -> None:
    shelf.note(image(), "c" * 40, at=12.5)

    assert new_shelf().shown(image()) == Shown("c" * 40, 12.5)
    assert new_shelf().shown(image(url="/other.jpg")) is None


def test_the_last_that_was_noted_of_an_image_holds(shelf, new_shelf) -> None:
    shelf.note(image(), "c" * 40, at=12.5)
    shelf.note(image(), "d" * 40, at=13.5)

    assert new_shelf().shown(image()) == Shown("d" * 40, 13.5)


def test_there_is_nothing_where_nothing_was_put(shelf) -> None:
    assert shelf.shown(image()) is None
    assert shelf.take("c" * 40, "fake-1") is None
    assert not shelf.holds("c" * 40, "fake-1")
    assert shelf.purge(project_id=1, task_id=None) == 0


def test_what_was_dropped_is_gone(shelf, new_shelf) -> None:
    content = store(shelf, b"photograph")

    shelf.drop(content, "fake-1")

    assert new_shelf().take(content, "fake-1") is None


def test_who_has_another_key_shares_nothing(shelf, new_shelf) -> None:
    content = store(shelf, b"photograph")

    stranger = new_shelf(key=OTHER_KEY)

    assert stranger.content_of(b"photograph") != content
    assert stranger.shown(image()) is None
    assert stranger.take(content, "fake-1") is None
    assert stranger.take(stranger.content_of(b"photograph"), "fake-1") is None


# Room


def test_the_embeddings_not_used_for_longest_leave_when_there_is_no_room(new_bounded) -> None:
    shelf = new_bounded(3 * (100 + SEAL_BYTES))
    contents = []
    for number in range(3):
        contents.append(store(shelf, str(number).encode(), task_id=number))
        pause()
    assert shelf.take(contents[0], "fake-1") is not None
    pause()

    contents.append(store(shelf, b"3", task_id=3))

    assert [shelf.holds(content, "fake-1") for content in contents] == [True, False, True, True]


def test_an_embedding_beyond_all_the_room_pushes_nobody_out(new_bounded) -> None:
    shelf = new_bounded(200)
    content = store(shelf, b"small")

    giant = store(shelf, b"giant", task_id=2, packed=b"x" * 200)

    assert shelf.take(content, "fake-1") is not None
    assert shelf.take(giant, "fake-1") is None


def test_the_room_holds_whoever_fills_it(new_bounded) -> None:
    shelves = [new_bounded(1000) for _ in range(4)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store(shelves[number % 4], str(number).encode(), task_id=number), range(60)))

    contents = [shelves[0].content_of(str(number).encode()) for number in range(60)]
    assert sum(shelves[0].holds(content, "fake-1") for content in contents) == 1000 // (100 + SEAL_BYTES)


# Purging


def test_a_purge_removes_a_task_s_embeddings_and_leaves_the_others(shelf, new_shelf) -> None:
    tasks = ((1, 1), (2, 1), (1, 2))
    contents = [store(shelf, f"{task} {project}".encode(), task_id=task, project_id=project) for task, project in tasks]

    assert shelf.purge(project_id=1, task_id=1) == 1

    other = new_shelf()
    assert [other.holds(content, "fake-1") for content in contents] == [False, True, True]
    assert other.shown(image(1)) is None
    assert other.purge(project_id=1, task_id=None) == 1
    assert other.purge(project_id=1, task_id=None) == 0
    assert [other.holds(content, "fake-1") for content in contents] == [False, False, True]


def test_a_purge_removes_what_every_segmenter_made_of_an_image(shelf) -> None:
    content = store(shelf, b"photograph")
    shelf.put(content, "fake-2", b"y")

    shelf.purge(project_id=1, task_id=1)

    assert not shelf.holds(content, "fake-1")
    assert not shelf.holds(content, "fake-2")


def test_a_photograph_of_two_tasks_stays_until_both_are_purged(shelf, new_shelf) -> None:
    for task_id in (1, 2):
        content = store(shelf, b"same", task_id=task_id)

    shelf.purge(project_id=1, task_id=1)
    assert new_shelf().holds(content, "fake-1")
    shelf.purge(project_id=1, task_id=2)
    assert not new_shelf().holds(content, "fake-1")


def test_what_is_put_after_its_image_was_purged_is_not_kept(shelf, new_shelf) -> None:
    content = shelf.content_of(b"photograph")
    shelf.note(image(), content, at=NOW)
    new_shelf().purge(project_id=1, task_id=1)

    shelf.put(content, "fake-1", b"packed")

    assert not shelf.holds(content, "fake-1")


def test_an_image_that_another_process_purges_while_it_is_encoded_is_not_kept(shelf, new_shelf) -> None:
    encoding, purged = threading.Event(), threading.Event()

    def encode(data: bytes) -> Prepared:
        encoding.set()
        assert purged.wait(10)
        return Prepared(data)

    cache = EmbeddingCache(0, shelf)
    key = EmbeddingKey("fake-1", image())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(cache.get, key, read=lambda: b"photograph", encode=encode, packing=BytesPacking())
        assert encoding.wait(10)
        new_shelf().purge(project_id=1, task_id=1)
        purged.set()
        assert answer.result(10).data == b"photograph"

    assert shelf.shown(image()) is None
    assert not shelf.holds(shelf.content_of(b"photograph"), "fake-1")


def test_an_image_that_changed_takes_what_it_was_with_it(shelf) -> None:
    before = store(shelf, b"before")
    after = store(shelf, b"after")

    assert not shelf.holds(before, "fake-1")
    assert shelf.holds(after, "fake-1")


# One at a time


def test_of_two_that_prepare_the_same_one_waits_for_the_other(new_shelf) -> None:
    """Twelve caches, each as of another process, ask for the same photograph at the same moment."""
    calls: list[bytes] = []

    def encode(data: bytes) -> Prepared:
        calls.append(data)
        pause()
        return Prepared(data)

    def ask(cache: EmbeddingCache) -> bytes:
        key = EmbeddingKey("fake-1", image())
        return cache.get(key, read=lambda: b"photograph", encode=encode, packing=BytesPacking()).data

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(ask, [EmbeddingCache(100, new_shelf()) for _ in range(12)]))

    assert found == [b"photograph"] * 12
    assert calls == [b"photograph"]


HOLDER = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
sys.path[:0] = sys.argv[3].split(":")
import test_embedding_shelves as suite
from cleanplate.engines import embedding_redis
embedding_redis.LEASE_S = 1.0
with ExitStack() as stack:
    shelf = suite.SHELVES[sys.argv[1]](suite.Ground(Path(sys.argv[4]), sys.argv[2], stack))
    shelf.note(suite.image(), "c" * 40, at=1.0)
    with shelf.alone("c" * 40, "fake-1"):
        print("alone", flush=True)
        time.sleep(60)
"""


def test_a_killed_process_does_not_keep_the_others_waiting(request, ground, shelf, monkeypatch) -> None:
    kind = request.node.callspec.params["new_shelf"]
    paths = ":".join([str(Path(__file__).parent), *sys.path])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, kind, ground.redis_url, paths, str(ground.folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert holder.stdout.readline() == "alone\n"
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    monkeypatch.setattr("cleanplate.engines.embedding_redis.PATIENCE_S", 10.0)

    began = threading.Event()
    with ThreadPoolExecutor(1) as pool:

        def enter() -> None:
            with shelf.alone("c" * 40, "fake-1"):
                began.set()

        pool.submit(enter).result(9)
    assert began.is_set()


def test_who_has_waited_long_enough_goes_on_without_the_lock(shelf, new_shelf, monkeypatch) -> None:
    content = store(shelf, b"photograph")
    for module in ("embedding_disk", "embedding_redis"):
        monkeypatch.setattr(f"cleanplate.engines.{module}.PATIENCE_S", 0.0)

    entered = []
    with shelf.alone(content, "fake-1"), new_shelf().alone(content, "fake-1"):
        entered.append(True)

    assert entered == [True]


@pytest.mark.parametrize("seed", range(2))
def test_eight_threads_on_fifty_images_never_get_a_foreign_embedding(new_shelf, seed) -> None:
    """Two caches share so little room that all is dropped, stored and encoded again all the time."""
    room = 20 * (100 * 2 + SEAL_BYTES)
    caches = [EmbeddingCache(10, new_shelf(max_bytes=room)) for _ in range(2)]

    def ask(thread: int) -> int:
        numbers, foreign = random.Random(seed * 8 + thread), 0
        for _ in range(40):
            number = numbers.randrange(50)
            data = b"%02d" % number
            # The same photograph is in several tasks.
            key = EmbeddingKey("fake-1", image(numbers.randrange(3), url=str(number)))
            if numbers.random() < 0.03:
                caches[thread % 2].purge(project_id=1, task_id=key.image.task_id)
            found = caches[thread % 2].get(key, read=lambda data=data: data, encode=Prepared, packing=BytesPacking())
            foreign += found.data != data
        return foreign

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 0
    assert sum(cache.stats.stored for cache in caches) > 0


def pause() -> None:
    """Long enough for a clock that counts milliseconds to go on."""
    threading.Event().wait(0.01)
