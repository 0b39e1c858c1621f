import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import pytest

from cleanplate.errors import BusyError
from cleanplate.web.places import Places


class Visitors:
    """Threads that take a place and keep it until they are let go."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._go = threading.Event()
        self._inside = threading.Semaphore(0)
        self._pool = ThreadPoolExecutor(max_workers=8)
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._pool.shutdown()

    def come(self) -> None:
        self._pool.submit(self._stay)

    def wait_inside(self) -> None:
        assert self._inside.acquire(timeout=10)

    def let_go(self) -> None:
        self._go.set()
        self._pool.shutdown()

    def _stay(self) -> None:
        with self._places.place():
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
            self._inside.release()
            assert self._go.wait(10)
            with self._lock:
                self._now -= 1


def wait_until_full(places: Places) -> None:
    while not places.is_full:
        threading.Event().wait(0.001)


def test_the_one_after_the_last_place_is_sent_away_at_once() -> None:
    places = Places(running=1, waiting=1, patience_s=60)
    with Visitors(places) as visitors:
        visitors.come()
        visitors.wait_inside()
        visitors.come()
        wait_until_full(places)

        with pytest.raises(BusyError) as caught, places.place():
            pass

    assert caught.value.retry_after_s == 1


def test_no_more_run_than_may() -> None:
    places = Places(running=2, waiting=4, patience_s=60)
    with Visitors(places) as visitors:
        for _ in range(6):
            visitors.come()
        wait_until_full(places)
        visitors.let_go()

        assert visitors.most == 2


def test_whoever_waits_too_long_is_sent_away_and_leaves_the_place_to_others() -> None:
    places = Places(running=1, waiting=1, patience_s=0.01)
    with Visitors(places) as visitors:
        visitors.come()
        visitors.wait_inside()

        for _ in range(3):
            with pytest.raises(BusyError, match=r"no turn within 0\.01 s"), places.place():
                pass

        assert not places.is_full


def test_a_place_is_free_again_after_an_error() -> None:
    places = Places(running=1, waiting=0, patience_s=60)

    for _ in range(3):
        with pytest.raises(ZeroDivisionError), places.place():
            raise ZeroDivisionError

    with places.place():
        assert places.is_full
    assert not places.is_full
