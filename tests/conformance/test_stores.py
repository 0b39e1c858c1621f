"""What every store promises; a new kind of store joins by its line in STORES."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cleanplate.errors import StorageConflictError, StorageKeyError
from cleanplate.storage.local import LocalStore
from cleanplate.storage.store import ObjectStore

STORES: dict[str, Callable[[Path], ObjectStore]] = {"local": LocalStore}


@pytest.fixture(params=sorted(STORES))
def store(request, tmp_path) -> ObjectStore:
    return STORES[request.param](tmp_path)


def test_what_was_put_is_there(store) -> None:
    assert store.put_if_absent("set-cleanplate/a.png", b"pixels")

    assert store.get("set-cleanplate/a.png") == b"pixels"


def test_what_was_never_put_is_not_there(store) -> None:
    assert store.get("set/a.png") is None
    assert not store.delete("set/a.png")


def test_the_same_bytes_again_change_nothing(store) -> None:
    store.put_if_absent("a.png", b"pixels")

    assert not store.put_if_absent("a.png", b"pixels")
    assert list(store.keys()) == ["a.png"]


def test_other_bytes_under_the_same_key_are_refused_and_the_first_stay(store) -> None:
    store.put_if_absent("a.png", b"first")

    with pytest.raises(StorageConflictError):
        store.put_if_absent("a.png", b"second")
    assert store.get("a.png") == b"first"


def test_of_many_that_put_at_once_one_is_told_it_was_the_first(store) -> None:
    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(lambda _: store.put_if_absent("a/b.png", b"pixels" * 1000), range(40)))

    assert sum(firsts) == 1
    assert list(store.keys()) == ["a/b.png"]


def test_of_many_that_put_other_bytes_at_once_one_wins_and_all_others_are_refused(store) -> None:
    def put(number: int) -> bytes | None:
        content = bytes([number]) * 1000
        try:
            store.put_if_absent("a.png", content)
        except StorageConflictError:
            return None
        return content

    with ThreadPoolExecutor(8) as pool:
        [won] = [content for content in pool.map(put, range(40)) if content is not None]

    assert store.get("a.png") == won


def test_an_object_may_be_empty(store) -> None:
    assert store.put_if_absent("a.png", b"")
    assert store.get("a.png") == b""
    with pytest.raises(StorageConflictError):
        store.put_if_absent("a.png", b"x")


def test_what_was_deleted_is_gone_and_can_be_put_again(store) -> None:
    store.put_if_absent("a.png", b"first")

    assert store.delete("a.png")
    assert store.get("a.png") is None
    assert store.put_if_absent("a.png", b"second")


def test_keys_are_sorted_and_can_be_narrowed(store) -> None:
    for key in ("b/2.png", "a.png", "b/1.png"):
        store.put_if_absent(key, b"x")

    assert list(store.keys()) == ["a.png", "b/1.png", "b/2.png"]
    assert list(store.keys("b/")) == ["b/1.png", "b/2.png"]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../outside.png",
        "a/../../outside.png",
        "a//b.png",
        "./a.png",
        "a/",
        "a\\b.png",
        "a\x00b.png",
        "a\nb.png",
        "x" * 256,
        "é" * 128,
        "photo\u202egnp.png",
        "half a character \ud800.png",
    ],
)
def test_a_key_that_could_lead_astray_is_refused(store, key) -> None:
    for use in (lambda: store.get(key), lambda: store.put_if_absent(key, b"x"), lambda: store.delete(key)):
        with pytest.raises(StorageKeyError):
            use()
    assert list(store.keys()) == []
