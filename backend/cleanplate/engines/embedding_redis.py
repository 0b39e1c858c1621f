"""Embeddings in Redis, shared by the machines that name and seal them with the same key.

Under `cleanplate:<space of the key>:` there are

    t:<project>:<task>  hash: image → content, when it was seen, and a seal over that
    p:<project>         set: its tasks
    c:<content>         hash: `v<version>` → sealed embedding, and a claim `i<project>:<task>:<image>` per image that
                        shows it; a content without a claim has no embedding
    used, sizes         sorted set and hash: when each content with embeddings was last used, and its bytes
    l:<embedding>       a lock
    purges              stream: what was purged, for machines that have it in memory or on a disk of their own
"""

import hmac
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias, TypeVar, cast

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import LockError
from redis.lock import Lock
from redis.retry import Retry

from cleanplate.engines.embedding_names import EmbeddingNames, embedding_name, version_name
from cleanplate.engines.embeddings import ImageIdentity, Shown
from cleanplate.errors import StorageUnavailableError

TIMEOUT_S: Final = 0.5
"""How long Redis may be silent, and a connection take. A click meets it once: see REST_S."""

REST_S: Final = 10.0
"""Redis that did not answer is left alone for so long."""

KEPT_S: Final = 30 * 24 * 3600.0
"""What nobody used for so long leaves, and what was purged is told to others for as long."""

PATIENCE_S: Final = 60.0
"""How long an image that another machine is encoding is waited for."""

LEASE_S: Final = 10.0
"""A lock that is not renewed for so long is free: its process is dead, or out of reach."""

_POLL_S: Final = 0.05

_LARGEST_ID: Final = 2**63 - 1

_PATIENT_S: Final = 10.0
"""How long Redis may be silent while something is purged: nobody clicks meanwhile."""

_UNCLAIM: Final = """
    local prefix = ARGV[1]
    local function unclaim(content, claim)
        local key = prefix .. 'c:' .. content
        redis.call('HDEL', key, claim)
        for _, field in ipairs(redis.call('HKEYS', key)) do
            local task, image = string.match(field, '^i(%d+:%d+):(.*)$')
            if task then
                local shown = redis.call('HGET', prefix .. 't:' .. task, image)
                if shown and string.match(shown, '^[^ ]*') == content then return end
                redis.call('HDEL', key, field)
            end
        end
        redis.call('DEL', key)
        redis.call('ZREM', prefix .. 'used', content)
        redis.call('HDEL', prefix .. 'sizes', content)
    end
"""
"""A claim of an image that left with its task's hash is none."""

_NOTE: Final = (
    _UNCLAIM
    + """
    local project, task, image, content, at, kept_ms = unpack(ARGV, 2)
    local about, claim = prefix .. 't:' .. project .. ':' .. task, 'i' .. project .. ':' .. task .. ':' .. image
    local before = redis.call('HGET', about, image)
    redis.call('HSET', about, image, content .. ' ' .. at)
    redis.call('SADD', prefix .. 'p:' .. project, task)
    redis.call('HSET', prefix .. 'c:' .. content, claim, '')
    for _, key in ipairs({about, prefix .. 'p:' .. project, prefix .. 'c:' .. content}) do
        redis.call('PEXPIRE', key, kept_ms)
    end
    before = before and string.match(before, '^[^ ]*')
    if before and before ~= content then unclaim(before, claim) end
    return 1
"""
)

_PUT: Final = """
    local prefix, content, version, packed, max_bytes, kept_ms = unpack(ARGV)
    local key, used, sizes = prefix .. 'c:' .. content, prefix .. 'used', prefix .. 'sizes'
    local function let_go(other)
        for _, field in ipairs(redis.call('HKEYS', prefix .. 'c:' .. other)) do
            if string.sub(field, 1, 1) == 'v' then redis.call('HDEL', prefix .. 'c:' .. other, field) end
        end
        redis.call('ZREM', used, other)
        redis.call('HDEL', sizes, other)
    end
    local claimed, size = false, #packed
    for _, field in ipairs(redis.call('HKEYS', key)) do
        local kind = string.sub(field, 1, 1)
        if kind == 'i' then claimed = true end
        if kind == 'v' and field ~= version then size = size + redis.call('HSTRLEN', key, field) end
    end
    if not claimed or size > tonumber(max_bytes) then return 0 end
    local now = redis.call('TIME')
    now = now[1] * 1000 + math.floor(now[2] / 1000)
    for _, old in ipairs(redis.call('ZRANGEBYSCORE', used, '-inf', now - kept_ms)) do let_go(old) end
    local total = size - (tonumber(redis.call('HGET', sizes, content)) or 0)
    for _, one in ipairs(redis.call('HVALS', sizes)) do total = total + one end
    for _, oldest in ipairs(total > tonumber(max_bytes) and redis.call('ZRANGE', used, 0, -1) or {}) do
        if total <= tonumber(max_bytes) then break end
        if oldest ~= content then
            total = total - (tonumber(redis.call('HGET', sizes, oldest)) or 0)
            let_go(oldest)
        end
    end
    redis.call('HSET', key, version, packed)
    redis.call('ZADD', used, now, content)
    redis.call('HSET', sizes, content, size)
    for _, touched in ipairs({key, used, sizes}) do redis.call('PEXPIRE', touched, kept_ms) end
    return 1
"""

_TAKE: Final = """
    local prefix, content, version, kept_ms = unpack(ARGV)
    local key, used = prefix .. 'c:' .. content, prefix .. 'used'
    local packed = redis.call('HGET', key, version)
    if not packed then return false end
    local now = redis.call('TIME')
    -- Redis that is full refuses this, and may still give what it has.
    redis.pcall('ZADD', used, 'XX', now[1] * 1000 + math.floor(now[2] / 1000), content)
    for _, touched in ipairs({key, used, prefix .. 'sizes'}) do redis.call('PEXPIRE', touched, kept_ms) end
    return packed
"""

_PURGE: Final = (
    _UNCLAIM
    + """
    local project, task = unpack(ARGV, 2)
    local about, gone = prefix .. 't:' .. project .. ':' .. task, 0
    local shown = redis.call('HGETALL', about)
    redis.call('DEL', about)
    for i = 1, #shown, 2 do
        unclaim(string.match(shown[i + 1], '^[^ ]*'), 'i' .. project .. ':' .. task .. ':' .. shown[i])
        gone = gone + 1
    end
    redis.call('SREM', prefix .. 'p:' .. project, task)
    return gone
"""
)

_Answer = TypeVar("_Answer")

_Fact: TypeAlias = str | int | bytes

_log = structlog.get_logger()


class Purge(NamedTuple):
    """What somebody purged: a task, or a whole project if *task_id* is None.

    Attributes:
        mark: says where in the row of purges this one stands.
    """

    mark: str
    project_id: int
    task_id: int | None


class EmbeddingRedis:
    """Keeps packed embeddings in Redis, up to a number of bytes; those used last stay longest, KEPT_S at the most.

    It promises what the disk does: names tell nothing without the key, a value that is damaged or foreign has no seal
    and is dropped, and what is purged while somebody encodes it is not kept. Redis that cannot be reached, refuses or
    is full is told once in the log and done without; it is asked again after REST_S. Safe from many threads.
    """

    FIRST: ClassVar = "0"
    """The mark before all purges."""

    def __init__(self, url: str, *, key: bytes, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Use a Redis. Nothing is asked of it yet.

        Args:
            url: where it is, as redis://[user:password@]host:port/number, rediss:// or unix://. Never shown.
            key: secret, and the same on all machines that are to share; those with another one never meet.
            max_bytes: of all embeddings.
            clock: in seconds, never running backwards.

        Raises:
            ValueError: The URL is none.
        """
        self._redis = _client(url, TIMEOUT_S)
        self._patient = _client(url, _PATIENT_S)
        self._names = EmbeddingNames(key)
        self._prefix = f"cleanplate:{self._names.space}:"
        self._max_bytes = max_bytes
        self._clock = clock
        self._rests_until = 0.0
        self._complaints: set[str] = set()
        self._note, self._put, self._take = (self._redis.register_script(text) for text in (_NOTE, _PUT, _TAKE))

    # What an image is

    def content_of(self, data: bytes) -> str:
        """What the bytes of an image are called here; without the key nobody can tell whether it is a known image."""
        return self._names.of_content(data)

    def shown(self, image: ImageIdentity) -> Shown | None:
        """The content an image had when somebody last looked at it, and when that was; None if nobody did."""
        name = self._names.of_image(image)
        noted = self._unless_broken(lambda: self._redis.hget(self._about(image), name))
        return None if noted is None else self._as_noted(name, cast("bytes", noted))

    def note(self, image: ImageIdentity, content: str, *, at: float) -> None:
        """Note which content an image was seen to have; what it had before goes, if no other image has it."""
        name = self._names.of_image(image)
        # Sealed: whoever can write to Redis must not pass one image's embedding off as another's.
        seen = f"{at!r} {self._seal_of_note(name, content, at)}"
        facts: list[_Fact] = [image.project_id, image.task_id, name, content, seen, _ms(KEPT_S)]
        self._unless_broken(lambda: self._note(args=[self._prefix, *facts]), writes=True)

    # Embeddings

    @contextmanager
    def alone(self, content: str, version: str) -> Iterator[None]:
        """Wait until no other machine prepares this content, and keep others waiting meanwhile.

        The lock is a lease that is renewed while the block runs. Who has waited for PATIENCE_S, or cannot reach Redis,
        goes on all the same: then two do the same work.
        """
        name = f"{self._prefix}l:{embedding_name(content, version)}"
        lock = self._redis.lock(
            name,
            timeout=LEASE_S,
            sleep=_POLL_S,
            blocking_timeout=PATIENCE_S,
            thread_local=False,
            raise_on_release_error=False,
        )
        if not self._unless_broken(lock.acquire, writes=True):
            yield
            return
        with _renewed(lock):
            try:
                yield
            finally:
                with suppress(LockError, redis.RedisError, OSError):
                    lock.release()

    def holds(self, content: str, version: str) -> bool:
        """Whether there is a packed embedding."""
        field = f"v{version_name(version)}"
        return bool(self._unless_broken(lambda: self._redis.hexists(self._content(content), field)))

    def take(self, content: str, version: str) -> bytes | None:
        """A packed embedding; None if there is none that is whole."""
        facts: list[_Fact] = [self._prefix, content, f"v{version_name(version)}", _ms(KEPT_S)]
        sealed = self._unless_broken(lambda: self._take(args=facts))
        if sealed is None:
            return None
        packed = self._names.unsealed(embedding_name(content, version), cast("bytes", sealed))
        if packed is None:
            _log.info("a damaged embedding is dropped and made again")
            self.drop(content, version)
        return packed

    def put(self, content: str, version: str, packed: bytes) -> None:
        """Keep a packed embedding, if an image with this content is noted. Others leave if there is no room."""
        sealed = packed + self._names.seal(embedding_name(content, version), packed)
        facts: list[_Fact] = [self._prefix, content, f"v{version_name(version)}", sealed, self._max_bytes, _ms(KEPT_S)]
        self._unless_broken(lambda: self._put(args=facts), writes=True)

    def drop(self, content: str, version: str) -> None:
        """Let go of a packed embedding."""
        self._unless_broken(lambda: self._redis.hdel(self._content(content), f"v{version_name(version)}"))

    # Purging

    def purge(self, *, project_id: int, task_id: int | None = None) -> int:
        """Forget the images of a task, or of a whole project, and what nobody else has; how many there were.

        Other machines learn of it: see `purges_after`.

        Raises:
            StorageUnavailableError: Some of it may still be there, or other machines do not know.
        """
        purge, tasks_key = self._patient.register_script(_PURGE), f"{self._prefix}p:{project_id}"
        try:
            tasks = [int(task) for task in cast("set[bytes]", self._patient.smembers(tasks_key))]
            wanted = tasks if task_id is None else [task_id]
            gone = sum(cast("int", purge(args=[self._prefix, project_id, task])) for task in wanted)
            purges_key = f"{self._prefix}purges"
            fields = {"project": project_id, "task": "" if task_id is None else task_id}
            self._patient.xadd(purges_key, cast("Any", fields), minid=_ms(time.time() - KEPT_S))
            self._patient.pexpire(purges_key, _ms(KEPT_S))
        except (redis.RedisError, OSError) as error:
            raise StorageUnavailableError(f"what Redis has cannot be purged everywhere: {_why(error)}") from None
        return gone

    def purges_after(self, mark: str) -> list[Purge]:
        """What was purged after *mark*, by whatever machine, the first first, unless it is older than KEPT_S.

        Args:
            mark: of the last purge that is known; `FIRST` is before all.
        """
        found = self._unless_broken(lambda: self._redis.xrange(f"{self._prefix}purges", min=f"({mark}", max="+"))
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", found or [])
        return [purge for number, fields in entries if (purge := _purge(number, fields)) is not None]

    # What goes wrong

    def require_usable(self) -> str:
        """Ask Redis for its version and how it evicts; the policy it should have is `noeviction`.

        Raises:
            StorageUnavailableError: It cannot be reached, or refuses.
        """
        try:
            self._redis.set(f"{self._prefix}probe", b"", px=1000)
            memory = self._redis.info("memory")
        except (redis.RedisError, OSError) as error:
            raise StorageUnavailableError(f"Redis cannot be used: {_why(error)}") from None
        return str(memory.get("maxmemory_policy", ""))

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()
        self._patient.close()

    def _seal_of_note(self, name: str, content: str, at: float) -> str:
        return self._names.seal(f"note {name}", f"{content} {at!r}".encode()).hex()

    def _as_noted(self, name: str, noted: bytes) -> Shown | None:
        """What was noted of an image; None if it was not one of us who did."""
        try:
            content, at, seal = noted.decode().split(" ")
            shown = Shown(content, float(at))
        except ValueError:
            return None
        return (
            shown if hmac.compare_digest(self._seal_of_note(name, content, shown.at).encode(), seal.encode()) else None
        )

    def _about(self, image: ImageIdentity) -> str:
        return f"{self._prefix}t:{image.project_id}:{image.task_id}"

    def _content(self, content: str) -> str:
        return f"{self._prefix}c:{content}"

    def _unless_broken(self, work: Callable[[], _Answer], *, writes: bool = False) -> _Answer | None:
        """Do *work*; None, and one line in the log, while Redis does not let us."""
        if self._clock() < self._rests_until:
            return None
        try:
            answer = work()
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            self._rests_until = self._clock() + REST_S
            self._complain(error)
            return None
        except redis.RedisError as error:
            self._complain(error)
            return None
        # Redis that is full still answers those who write nothing.
        if writes and answer and self._complaints:
            self._complaints.clear()
            _log.info("embeddings are shared over Redis again")
        return answer

    def _complain(self, error: Exception) -> None:
        why = _why(error)
        if why not in self._complaints:
            _log.warning("embeddings cannot be shared over Redis; going on without", why=why)
        self._complaints.add(why)


def _client(url: str, timeout_s: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        # That Redis closed a connection while it was idle is found out by using it.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


@contextmanager
def _renewed(lock: Lock) -> Iterator[None]:
    """Renew a lock's lease while the block runs. One that was lost all the same costs others the same work."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE_S / 3):
            with suppress(LockError, redis.RedisError, OSError):
                lock.reacquire()

    thread = threading.Thread(target=renew, name="redis lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _purge(number: bytes, fields: dict[bytes, bytes]) -> Purge | None:
    """What an entry tells; None if it is none of ours."""
    try:
        task_id = int(fields[b"task"]) if fields[b"task"] else None
        purge = Purge(number.decode(), int(fields[b"project"]), task_id)
    except (KeyError, ValueError):
        return None
    return purge if max(purge.project_id, purge.task_id or 0) <= _LARGEST_ID else None


def _ms(seconds: float) -> int:
    return int(1000 * seconds)


def _why(error: Exception) -> str:
    """A sentence of our own: Redis' messages may hold where it is, and as whom we came."""
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (redis.AuthenticationError, "it does not accept the user or the password"),
        (redis.exceptions.NoPermissionError, "its user may not do this"),
        (redis.exceptions.OutOfMemoryError, "it is full"),
        (redis.exceptions.ReadOnlyError, "it is a replica, which cannot be written to"),
        (redis.TimeoutError, "it does not answer in time"),
        (redis.BusyLoadingError, "it is still loading"),
        (redis.ConnectionError, "it cannot be reached"),
    )
    for kind, sentence in reasons:
        if isinstance(error, kind):
            return sentence
    text = str(error)
    if "OOM" in text or "maxmemory" in text:
        return "it is full"
    return f"it refuses ({type(error).__name__})"
