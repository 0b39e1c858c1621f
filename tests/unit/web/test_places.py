import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cleanplate.errors import BusyError
from cleanplate.web.places import Places


def test_the_one_after_the_last_place_is_sent_away_at_once() -> None:
    places, come, go = Places(2), threading.Semaphore(0), threading.Event()

    def stay() -> None:
        with places.place():
            come.release()
            assert go.wait(10)

    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(stay)
            assert come.acquire(timeout=10)
        with pytest.raises(BusyError) as caught, places.place():
            pass
        assert places.is_full
        go.set()

    assert caught.value.retry_after_s == 1
    assert not places.is_full


def test_a_place_is_free_again_after_an_error() -> None:
    places = Places(1)

    for _ in range(3):
        with pytest.raises(ZeroDivisionError), places.place():
            raise ZeroDivisionError

    with places.place():
        assert places.is_full
    assert not places.is_full
