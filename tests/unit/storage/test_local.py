import errno
import os
import signal
from pathlib import Path

import pytest

from cleanplate.errors import StorageConflictError, StorageError, StorageKeyError, StorageUnavailableError
from cleanplate.storage import local
from cleanplate.storage.local import FIXED_TIME_S, LocalStore


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root) -> LocalStore:
    return LocalStore(root)


def test_a_folder_that_is_missing_is_said_to_be(tmp_path) -> None:
    with pytest.raises(StorageUnavailableError):
        LocalStore(tmp_path / "nowhere")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_file_claims_the_fixed_time_and_can_be_read_by_others(store, root, umask) -> None:
    before = os.umask(umask)
    try:
        store.put_if_absent("a/b/c.png", b"pixels")
    finally:
        os.umask(before)

    assert (root / "a/b/c.png").stat().st_mtime == FIXED_TIME_S
    modes = [(root / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/c.png")]
    assert modes == [0o755, 0o755, 0o644]


@pytest.mark.parametrize("link", ["folder", "file"])
def test_links_are_not_followed_out_of_the_store(store, root, tmp_path, link) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"secret")
    if link == "folder":
        (root / "a").symlink_to(outside)
    else:
        (root / "a").mkdir()
        (root / "a/secret.png").symlink_to(outside / "secret.png")

    with pytest.raises(StorageKeyError):
        store.get("a/secret.png")
    with pytest.raises((StorageKeyError, StorageConflictError)):
        store.put_if_absent("a/secret.png", b"other")
    with pytest.raises(StorageKeyError):
        store.delete("a/secret.png")
    assert (outside / "secret.png").read_bytes() == b"secret"
    assert list(store.keys()) == []


def test_a_pipe_in_the_place_of_a_file_does_not_hold_us_up(store, root) -> None:
    os.mkfifo(root / "a.png")

    with pytest.raises(StorageKeyError):
        store.get("a.png")
    with pytest.raises(StorageConflictError):
        store.put_if_absent("a.png", b"x")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_leaves_no_part_of_a_file(store, root, monkeypatch, number) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local.os, "fsync", fail)

    with pytest.raises(StorageUnavailableError) as caught:
        store.put_if_absent("a.png", b"x")

    assert caught.value.transient
    assert list(root.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("call", ["fchmod", "utime", "fsync", "link", "unlink"])
@pytest.mark.parametrize("before", [True, False])
def test_a_process_killed_while_it_puts_leaves_all_or_nothing(store, call, before) -> None:
    content = b"pixels" * 10_000
    child = os.fork()
    if child == 0:
        try:
            kill_at(call, before=before)
            store.put_if_absent("a.png", content)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert store.get("a.png") in {None, content}
    assert list(store.keys()) in ([], ["a.png"])
    store.put_if_absent("a.png", content)
    assert store.get("a.png") == content


def kill_at(call: str, *, before: bool) -> None:
    """Have this process killed at its next such call, before or after it does its work."""
    work = getattr(os, call)

    def die(*arguments, **options) -> None:
        if not before:
            work(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, call, die)


def test_a_file_system_without_hard_links_is_said_to_be_the_wrong_place(store, root, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(local.os, "link", refuse)

    with pytest.raises(StorageError, match="hard links") as caught:
        store.put_if_absent("a.png", b"x")

    assert not caught.value.transient
    assert list(root.iterdir()) == []


def test_an_error_does_not_tell_where_the_store_is(store, root, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(root / "john-doe.png"))

    monkeypatch.setattr(local.os, "link", fail)

    with pytest.raises(StorageUnavailableError) as caught:
        store.put_if_absent("john-doe.png", b"x")

    assert "john-doe" not in str(caught.value)


def test_what_a_killed_process_left_is_swept_out_after_a_day_and_not_before(store, root, monkeypatch) -> None:
    draft = root / ".cleanplate-draft-0123"
    draft.write_bytes(b"half")

    store.put_if_absent("a.png", b"x")
    assert draft.exists()
    assert list(store.keys()) == ["a.png"]

    later = draft.stat().st_ctime + 25 * 3600
    monkeypatch.setattr(local.time, "time", lambda: later)
    store.put_if_absent("b.png", b"x")
    assert not draft.exists()
