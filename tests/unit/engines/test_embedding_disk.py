import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog

from cleanplate.domain.image import Size
from cleanplate.engines import embedding_disk
from cleanplate.engines.embedding_disk import EmbeddingDisk
from cleanplate.engines.embeddings import ImageIdentity, is_stored
from cleanplate.errors import EngineError

KEY = b"k" * 32
SEAL_BYTES = 32
ROOM = 10 * 1024 * 1024


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


class Prepared:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size_bytes = len(data)
        self.size = Size(4, 3)


class BytesPacking:
    def pack(self, embedding: Prepared) -> bytes:
        return embedding.data * 100

    def unpack(self, content: bytes) -> Prepared:
        data = content[: len(content) // 100]
        if data * 100 != content:
            raise EngineError("damaged")
        return Prepared(data)


def image(task_id: int = 1, *, project_id: int = 1, url: str = "/data/upload/1/jane-doe.jpg") -> ImageIdentity:
    return ImageIdentity("http://ls", project_id, task_id, url)


def disk_in(folder: Path, *, max_bytes: int = ROOM, key: bytes = KEY) -> EmbeddingDisk:
    return EmbeddingDisk(folder, key=key, max_bytes=max_bytes, clock=Clock())


def store(
    disk: EmbeddingDisk, data: bytes, *, task_id: int = 1, project_id: int = 1, packed: bytes = b"x" * 100
) -> str:
    content = disk.content_of(data)
    disk.note(image(task_id, project_id=project_id), content, at=1.0)
    disk.put(content, "fake-1", packed)
    return content


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.embedding"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "embeddings"


@pytest.fixture
def disk(folder: Path) -> EmbeddingDisk:
    return disk_in(folder)


def test_what_was_put_is_there_for_another_process(disk, folder) -> None:
    content = store(disk, b"photograph", packed=b"packed")

    other = disk_in(folder)

    assert other.take(content, "fake-1") == b"packed"
    assert other.take(content, "fake-2") is None
    assert other.take(other.content_of(b"another"), "fake-1") is None
    assert is_stored(other, image(), "fake-1")
    assert not is_stored(other, image(), "fake-2")
    assert not is_stored(other, image(2), "fake-1")


def test_only_the_owner_may_read_and_no_name_and_no_byte_tells_of_an_image(disk, folder) -> None:
    previous = os.umask(0)
    try:
        content = store(disk, b"photograph")
        with disk.alone(content, "fake-1"):
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    finally:
        os.umask(previous)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    for path in folder.iterdir():
        assert b"jane-doe" not in path.name.encode() + path.read_bytes()


def test_names_tell_who_lacks_the_key_nothing(folder, tmp_path) -> None:
    ours, theirs = disk_in(folder), disk_in(tmp_path / "other", key=b"t" * 32)

    assert ours.content_of(b"photograph") != theirs.content_of(b"photograph")
    assert ours._names.of_image(image()) != theirs._names.of_image(image())


def test_nothing_is_made_before_there_is_something_to_keep(disk, folder) -> None:
    assert disk.shown(image()) is None
    assert disk.take("c" * 40, "fake-1") is None
    assert disk.purge(project_id=1) == 0
    assert not is_stored(disk, image(), "fake-1")

    assert not folder.exists()


# Room


def test_the_embeddings_not_used_for_longest_leave_when_there_is_no_room(folder) -> None:
    disk = disk_in(folder, max_bytes=3 * (100 + SEAL_BYTES))
    contents = [store(disk, str(number).encode(), task_id=number) for number in range(3)]
    assert disk.take(contents[0], "fake-1") is not None

    contents.append(store(disk, b"3", task_id=3))

    assert [disk.take(content, "fake-1") is not None for content in contents] == [True, False, True, True]
    assert sum(path.stat().st_size for path in files(folder)) <= 3 * (100 + SEAL_BYTES)


def test_the_room_holds_whoever_fills_it(folder) -> None:
    disks = [disk_in(folder, max_bytes=1000) for _ in range(4)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store(disks[number % 4], str(number).encode(), task_id=number), range(60)))

    assert sum(path.stat().st_size for path in files(folder)) <= 1000
    assert len(files(folder)) == 1000 // (100 + SEAL_BYTES)


def test_less_room_than_before_is_made_at_the_start(disk, folder) -> None:
    contents = [store(disk, str(number).encode(), task_id=number) for number in range(5)]

    smaller = disk_in(folder, max_bytes=2 * (100 + SEAL_BYTES))

    assert [is_stored(smaller, image(number), "fake-1") for number in range(5)] == [False, False, False, True, True]
    assert smaller.take(contents[4], "fake-1") is not None


def test_without_room_nothing_is_kept_and_what_was_kept_is_removed(disk, folder) -> None:
    store(disk, b"photograph")

    none = disk_in(folder, max_bytes=0)
    content = store(none, b"photograph")

    assert none.take(content, "fake-1") is None
    assert not [path for path in folder.iterdir() if path.suffix != ".lock"]


# What is damaged


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
def test_a_damaged_file_is_dropped(disk, folder, damage) -> None:
    content = store(disk, b"photograph")
    (path,) = files(folder)
    path.write_bytes(damage(path.read_bytes()))

    assert disk.take(content, "fake-1") is None
    assert not path.exists()


def test_a_whole_file_under_the_name_of_another_image_never_stands_for_it(disk, folder) -> None:
    contents = [store(disk, str(number).encode(), task_id=number, packed=bytes([number]) * 9) for number in range(2)]
    first, second = (folder / f"{path.name}" for path in sorted(files(folder), key=lambda p: p.read_bytes()))
    second.write_bytes(first.read_bytes())

    assert disk.take(contents[1], "fake-1") is None
    assert disk.take(contents[0], "fake-1") == b"\0" * 9


def test_a_link_is_not_followed(disk, folder, tmp_path) -> None:
    content = store(disk, b"photograph")
    (path,) = files(folder)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")

    assert disk.take(content, "fake-1") is None
    assert (tmp_path / "elsewhere").exists()
    assert not path.is_symlink()


def test_a_damaged_index_is_made_anew_and_nothing_stays_that_nobody_could_purge(disk, folder) -> None:
    store(disk, b"photograph")
    disk._opened.close()
    for path in folder.glob("index.sqlite3*"):
        path.unlink()
    (folder / "index.sqlite3").write_bytes(b"no database at all" * 1000)

    again = disk_in(folder)
    with structlog.testing.capture_logs() as logs:
        content = store(again, b"another", task_id=2)

    assert len(files(folder)) == 1
    assert again.take(content, "fake-1") is not None
    assert [line["event"] for line in logs] == ["the stored embeddings are dropped"]


def test_embeddings_without_an_index_are_removed(disk, folder) -> None:
    store(disk, b"photograph")
    disk._opened.close()
    for path in folder.glob("index.sqlite3*"):
        path.unlink()

    assert disk_in(folder).shown(image()) is None
    assert files(folder) == []


def test_a_disk_that_does_not_let_us_is_told_once_and_done_without(disk, folder, monkeypatch) -> None:
    store(disk, b"before", task_id=9)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "_write", full)
    with structlog.testing.capture_logs() as logs:
        contents = [store(disk, str(number).encode(), task_id=number) for number in range(3)]

    assert [disk.take(content, "fake-1") for content in contents] == [None] * 3
    assert [(line["event"], line["why"]) for line in logs] == [
        ("embeddings cannot be stored; going on without", "No space left on device")
    ]
    monkeypatch.undo()
    assert disk.take(store(disk, b"later"), "fake-1") is not None
    assert not list(folder.glob("*.draft"))


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    disk = disk_in(tmp_path / "file" / "embeddings")

    with structlog.testing.capture_logs() as logs:
        content = store(disk, b"photograph")
        with disk.alone(content, "fake-1"):
            assert disk.take(content, "fake-1") is None

    assert len(logs) == 1


# Purging


def test_a_purge_removes_a_task_s_files_and_leaves_the_others(disk, folder) -> None:
    for task_id, project_id in ((1, 1), (2, 1), (1, 2)):
        store(disk, f"{task_id} {project_id}".encode(), task_id=task_id, project_id=project_id)

    assert disk.purge(project_id=1, task_id=1) == 1

    assert len(files(folder)) == 2
    assert disk.shown(image(1)) is None
    assert disk.purge(project_id=1) == 1
    assert disk.purge(project_id=1) == 0
    assert len(files(folder)) == 1


def test_what_is_put_after_its_image_was_purged_is_not_kept(disk, folder) -> None:
    content = disk.content_of(b"photograph")
    disk.note(image(), content, at=1.0)
    disk.purge(project_id=1, task_id=1)

    disk.put(content, "fake-1", b"packed")

    assert [path for path in folder.iterdir() if not path.name.startswith("index")] == []


def test_an_image_that_changed_takes_what_it_was_with_it(disk, folder) -> None:
    store(disk, b"before")
    store(disk, b"after")

    (path,) = files(folder)
    assert path.name.startswith(disk.content_of(b"after"))


# Processes

CODE = """
import sys, time
from pathlib import Path
from cleanplate.engines.embedding_disk import EmbeddingDisk
from cleanplate.engines.embeddings import EmbeddingCache, EmbeddingKey, ImageIdentity
disk = EmbeddingDisk(Path(sys.argv[1]), key=b"k" * 32, max_bytes=2**30)
"""


def python(code: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", CODE + code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_process_killed_while_it_writes_leaves_nothing_that_is_read_half(folder) -> None:
    code = """
packed = bytes(range(256)) * 8192
print("writing", flush=True)
for number in range(10**6):
    content = disk.content_of(str(number % 7).encode())
    disk.note(ImageIdentity("http://ls", 1, number % 7, "x"), content, at=1.0)
    disk.put(content, "fake-1", packed)
"""
    packed = bytes(range(256)) * 8192
    for delay_s in (0.05, 0.11, 0.17):
        writer = python(code, folder)
        assert writer.stdout.readline() == "writing\n"
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(delay_s)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()

        disk = disk_in(folder)
        found = [disk.take(disk.content_of(str(number).encode()), "fake-1") for number in range(7)]
        assert set(found) <= {None, packed}
        assert any(found)


def test_two_processes_encode_an_image_once(folder) -> None:
    code = """
class Prepared:
    size_bytes = 1
class Packing:
    def pack(self, embedding): return b"packed"
    def unpack(self, content): return Prepared()
def encode(_):
    print("encoding", flush=True)
    time.sleep(0.5)
    return Prepared()
key = EmbeddingKey("fake-1", ImageIdentity("http://ls", 1, 1, "x"))
EmbeddingCache(100, disk).get(key, read=lambda: b"photograph", encode=encode, packing=Packing())
"""
    both = [python(code, folder), python(code, folder)]

    said = [process.communicate(timeout=30)[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert "".join(said) == "encoding\n"


def test_a_killed_process_does_not_keep_the_others_waiting(folder) -> None:
    code = """
disk.note(ImageIdentity("http://ls", 1, 1, "x"), "c" * 40, at=1.0)
with disk.alone("c" * 40, "fake-1"):
    print("alone", flush=True)
    time.sleep(60)
"""
    holder = python(code, folder)
    assert holder.stdout.readline() == "alone\n"
    holder.kill()
    holder.communicate()

    with disk_in(folder).alone("c" * 40, "fake-1"):
        pass

    assert not list(folder.glob("c*.lock"))


def test_who_has_waited_long_enough_goes_on_without_the_lock(disk, folder, monkeypatch) -> None:
    content = store(disk, b"photograph")
    monkeypatch.setattr(embedding_disk, "PATIENCE_S", 0.0)

    with disk.alone(content, "fake-1"), disk_in(folder).alone(content, "fake-1"):
        assert list(folder.glob("*.lock"))


def test_drafts_and_locks_of_killed_processes_are_swept_out(disk, folder, monkeypatch) -> None:
    store(disk, b"photograph")
    (folder / "0123.draft").write_bytes(b"half")
    (folder / "4567.embedding.lock").write_bytes(b"")
    monkeypatch.setattr(embedding_disk, "_ABANDONED_S", -1.0)

    store(disk, b"another", task_id=2)

    assert {path.suffix for path in folder.iterdir() if not path.name.startswith("index")} == {".embedding"}
