import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
import redis
import structlog

from cleanplate.engines.embedding_redis import KEPT_S, REST_S, EmbeddingRedis
from cleanplate.engines.embeddings import ImageIdentity
from cleanplate.errors import StorageUnavailableError
from fakes.redis_server import RedisServer

KEY = b"k" * 32
ROOM = 10 * 2**20
GOING_ON = "embeddings cannot be shared over Redis; going on without"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class SilentServer:
    """Takes connections and never says a word."""

    def __init__(self) -> None:
        self.connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://user:hunter2hunter2@127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                self.connections.append(self._listener.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for connection in self.connections:
            connection.close()


def image(task_id: int = 1, *, project_id: int = 1, url: str = "/data/upload/1/jane-doe.jpg") -> ImageIdentity:
    return ImageIdentity("http://ls", project_id, task_id, url)


def store(shelf: EmbeddingRedis, data: bytes, *, task_id: int = 1, packed: bytes = b"x" * 100) -> str:
    content = shelf.content_of(data)
    shelf.note(image(task_id), content, at=1.0)
    shelf.put(content, "fake-1", packed)
    return content


def keys(client: redis.Redis, part: str) -> list[bytes]:
    return sorted(key for key in client.scan_iter() if key.split(b":")[2].startswith(part.encode()))


@pytest.fixture(scope="module")
def common_server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(common_server) -> RedisServer:
    with common_server.client() as client:
        client.flushall()
    return common_server


@pytest.fixture
def raw(server) -> Iterator[redis.Redis]:
    """Redis as somebody sees it who does not go through us."""
    with server.client() as client:
        yield client


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shelf(server, stack, clock) -> EmbeddingRedis:
    return stack.enter_context(closing(EmbeddingRedis(server.url, key=KEY, max_bytes=ROOM, clock=clock)))


# What lies there


def test_nothing_tells_of_an_image_or_its_address(shelf, raw) -> None:
    store(shelf, b"photograph", packed=b"packed")

    lying = [key + (raw.dump(key) or b"") for key in raw.scan_iter()]

    assert lying
    assert not any(word in value for value in lying for word in (b"jane", b"upload", b"photograph", b"http"))


def test_everything_leaves_by_itself_when_nobody_uses_it(shelf, raw) -> None:
    content = store(shelf, b"photograph")
    shelf.take(content, "fake-1")
    shelf.purge(project_id=9)
    with shelf.alone(content, "fake-1"):
        ttls = {key: raw.pttl(key) for key in raw.scan_iter()}

    assert len(ttls) == 7
    assert all(0 < ttl <= 1000 * KEPT_S for ttl in ttls.values()), ttls


def test_what_was_purged_leaves_nothing_but_word_of_the_purge(shelf, raw) -> None:
    store(shelf, b"photograph")

    shelf.purge(project_id=1, task_id=1)

    assert [key.split(b":")[2] for key in raw.scan_iter()] == [b"purges"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda sealed: sealed[:-1],
        lambda sealed: sealed[: len(sealed) // 2],
        lambda _: b"",
        lambda sealed: bytes([sealed[0] ^ 1]) + sealed[1:],
        lambda sealed: sealed + b"x",
        lambda _: b"something else entirely" * 10,
    ],
    ids=["cut", "half", "empty", "flipped", "longer", "foreign"],
)
def test_a_damaged_value_is_dropped(shelf, raw, damage) -> None:
    content = store(shelf, b"photograph")
    (key,) = keys(raw, "c")
    field = next(field for field in raw.hkeys(key) if field.startswith(b"v"))
    raw.hset(key, field, damage(raw.hget(key, field)))

    assert shelf.take(content, "fake-1") is None
    assert not raw.hexists(key, field)


def test_a_whole_value_under_the_name_of_another_image_never_stands_for_it(shelf, raw) -> None:
    contents = [store(shelf, str(number).encode(), task_id=number, packed=bytes([number])) for number in range(2)]
    first, second = (next(key for key in keys(raw, "c") if key.endswith(content.encode())) for content in contents)
    field = next(field for field in raw.hkeys(first) if field.startswith(b"v"))
    raw.hset(second, field, raw.hget(first, field))

    assert shelf.take(contents[1], "fake-1") is None
    assert shelf.take(contents[0], "fake-1") == b"\0"


@pytest.mark.parametrize(
    "forge",
    [
        lambda _, other: other,
        lambda mine, other: b" ".join([other.split(b" ")[0], *mine.split(b" ")[1:]]),
        lambda mine, _: b" ".join([mine.split(b" ")[0], b"9999999999.0", mine.split(b" ")[2]]),
        lambda *_: b"../../../etc/passwd 1.0 " + b"0" * 64,
        lambda *_: b"",
        lambda *_: b"\xff\xfe",
        lambda *_: b"a b c d e",
    ],
    ids=["another's", "another's content", "renewed", "a path", "empty", "no text", "long"],
)
def test_whoever_can_write_to_redis_cannot_pass_one_image_off_as_another(shelf, raw, forge) -> None:
    for task_id in (1, 2):
        store(shelf, str(task_id).encode(), task_id=task_id)
    mine, other = keys(raw, "t")
    ((field, noted),) = raw.hgetall(mine).items()
    ((_, theirs),) = raw.hgetall(other).items()

    raw.hset(mine, field, forge(noted, theirs))

    assert shelf.shown(image(1)) is None
    assert shelf.shown(image(2)) is not None


def test_a_claim_whose_task_left_long_ago_keeps_nothing(shelf, raw) -> None:
    for task_id in (1, 2):
        content = store(shelf, b"same", task_id=task_id)
    (gone,) = [key for key in keys(raw, "t") if key.endswith(b":2")]
    raw.delete(gone)

    shelf.purge(project_id=1, task_id=1)

    assert not shelf.holds(content, "fake-1")


# Word of purges


def test_who_was_away_learns_what_was_purged_meanwhile(shelf) -> None:
    assert shelf.purges_after(EmbeddingRedis.FIRST) == []

    shelf.purge(project_id=1, task_id=7)
    (first,) = shelf.purges_after(EmbeddingRedis.FIRST)
    shelf.purge(project_id=2)

    assert (first.project_id, first.task_id) == (1, 7)
    assert [(purge.project_id, purge.task_id) for purge in shelf.purges_after(EmbeddingRedis.FIRST)] == [
        (1, 7),
        (2, None),
    ]
    assert [(purge.project_id, purge.task_id) for purge in shelf.purges_after(first.mark)] == [(2, None)]


def test_what_others_write_among_the_purges_is_passed_over(shelf, raw) -> None:
    shelf.purge(project_id=1)
    (key,) = keys(raw, "purges")
    raw.xadd(key, {"project": "all", "task": ""})
    raw.xadd(key, {"anything": "else"})
    raw.xadd(key, {"project": str(2**64), "task": ""})
    shelf.purge(project_id=2)

    assert [purge.project_id for purge in shelf.purges_after(EmbeddingRedis.FIRST)] == [1, 2]


# Redis that is not there, or says no


def test_redis_that_ends_is_told_once_done_without_and_used_again_when_it_is_back(stack, clock) -> None:
    server = stack.enter_context(RedisServer())
    shelf = stack.enter_context(closing(EmbeddingRedis(server.url, key=KEY, max_bytes=ROOM, clock=clock)))
    content = store(shelf, b"before")
    server.stop()

    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert shelf.take(content, "fake-1") is None
            store(shelf, b"meanwhile")
            with shelf.alone(content, "fake-1"):
                assert shelf.shown(image()) is None
            clock.now += REST_S
    server.start()
    with structlog.testing.capture_logs() as after:
        later = store(shelf, b"later")

    assert [(line["event"], line["why"]) for line in logs] == [(GOING_ON, "it cannot be reached")]
    assert [line["event"] for line in after] == ["embeddings are shared over Redis again"]
    assert shelf.take(later, "fake-1") is not None


def test_redis_that_is_silent_keeps_a_click_waiting_once_and_is_then_left_alone(stack, clock) -> None:
    server = stack.enter_context(closing(SilentServer()))
    shelf = stack.enter_context(closing(EmbeddingRedis(server.url, key=KEY, max_bytes=ROOM, clock=clock)))

    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            content = store(shelf, b"photograph")
            assert shelf.take(content, "fake-1") is None
        asked = len(server.connections)
        clock.now += REST_S
        assert shelf.shown(image()) is None

    assert asked == 1
    assert len(server.connections) == 2
    assert [(line["event"], line["why"]) for line in logs] == [(GOING_ON, "it does not answer in time")]


def test_redis_that_is_full_is_told_once_and_still_gives_what_it_has(shelf, raw) -> None:
    content = store(shelf, b"before")
    raw.config_set("maxmemory", 1)
    try:
        with structlog.testing.capture_logs() as logs:
            full = [store(shelf, str(number).encode(), task_id=number) for number in range(2, 5)]
            kept = shelf.take(content, "fake-1")
            with pytest.raises(StorageUnavailableError, match="it is full"):
                shelf.purge(project_id=1)
    finally:
        raw.config_set("maxmemory", 0)

    assert kept is not None
    assert not any(shelf.holds(one, "fake-1") for one in [*full, content])
    assert [(line["event"], line["why"]) for line in logs] == [(GOING_ON, "it is full")]


def test_no_password_and_no_address_is_logged_or_told(stack) -> None:
    server = stack.enter_context(RedisServer("--requirepass", "the right password"))
    url = server.url.replace("unix://", "unix://jane:hunter2hunter2@")
    shelf = stack.enter_context(closing(EmbeddingRedis(url, key=KEY, max_bytes=ROOM)))

    with structlog.testing.capture_logs() as logs:
        store(shelf, b"photograph")
        with pytest.raises(StorageUnavailableError) as purging:
            shelf.purge(project_id=1)
        with pytest.raises(StorageUnavailableError) as asking:
            shelf.require_usable()

    assert [(line["event"], line["why"]) for line in logs] == [
        (GOING_ON, "it does not accept the user or the password")
    ]
    for told in (logs, purging.value, asking.value, purging.value.__cause__, repr(shelf)):
        assert "hunter2" not in str(told)
        assert "socket" not in str(told)


def test_a_purge_that_does_not_reach_redis_says_so(stack) -> None:
    shelf = stack.enter_context(closing(EmbeddingRedis("redis://127.0.0.1:1/0", key=KEY, max_bytes=ROOM)))

    with pytest.raises(StorageUnavailableError, match="cannot be purged everywhere: it cannot be reached"):
        shelf.purge(project_id=1, task_id=1)


def test_values_of_another_kind_under_our_names_are_done_without(shelf, raw) -> None:
    content = store(shelf, b"photograph")
    for key in list(raw.scan_iter()):
        raw.set(key, b"text")

    with structlog.testing.capture_logs() as logs:
        assert shelf.take(content, "fake-1") is None
        assert shelf.shown(image()) is None
        store(shelf, b"photograph")

    assert [(line["event"], line["why"]) for line in logs] == [(GOING_ON, "it refuses (ResponseError)")]


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="scheme"):
        EmbeddingRedis("http://127.0.0.1", key=KEY, max_bytes=ROOM)


def test_a_lock_is_renewed_for_as_long_as_somebody_encodes(shelf, raw, monkeypatch) -> None:
    monkeypatch.setattr("cleanplate.engines.embedding_redis.LEASE_S", 0.3)
    content = shelf.content_of(b"photograph")

    with shelf.alone(content, "fake-1"):
        threading.Event().wait(1.0)
        assert len(keys(raw, "l")) == 1

    assert keys(raw, "l") == []
