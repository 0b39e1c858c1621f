import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from cleanplate.engines.encoding_line import EncodingLine
from cleanplate.errors import BusyError, EngineMemoryError

WAIT_S = 10


class Held:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.go_on.wait(WAIT_S)
        return "held"


@pytest.fixture
def line() -> Iterator[EncodingLine]:
    with closing(EncodingLine(max_waiting=3)) as line:
        yield line


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


def queue(line: EncodingLine, pool: ThreadPoolExecutor, subject: str, work: Callable[[], object]) -> None:
    """Have *work* wait behind what waits already."""
    waiting = len(line._waiting)
    pool.submit(line.do, subject, work)
    wait_until(lambda: len(line._waiting) == waiting + 1)


def test_no_two_pieces_are_done_at_the_same_time_and_all_in_one_thread(pool) -> None:
    running, most, threads = [], [], set()

    def work() -> None:
        running.append(1)
        most.append(len(running))
        threads.add(threading.current_thread().name)
        time.sleep(0.001)
        running.pop()

    with closing(EncodingLine()) as line:
        list(pool.map(lambda number: line.do(number, work), range(30)))

    assert max(most) == 1
    assert threads == {"encoder"}


def test_what_somebody_waits_for_goes_first_whoever_asked_for_it_and_the_rest_as_it_came(line, pool) -> None:
    held, done = Held(), []
    pool.submit(line.do, "held", held)
    assert held.began.wait(WAIT_S)
    for subject in ("ahead 1", "ahead 2", "clicked"):
        queue(line, pool, subject, lambda subject=subject: done.append(subject))

    with line.awaited("clicked"):
        held.go_on.set()
        wait_until(lambda: len(done) == 3)

    assert done == ["clicked", "ahead 1", "ahead 2"]


def test_what_nobody_waits_for_any_more_has_to_wait_like_the_rest(line, pool) -> None:
    held, done = Held(), []
    pool.submit(line.do, "held", held)
    assert held.began.wait(WAIT_S)
    for subject in ("ahead", "given up"):
        queue(line, pool, subject, lambda subject=subject: done.append(subject))

    with line.awaited("given up"), line.awaited("given up"):
        pass
    held.go_on.set()
    wait_until(lambda: len(done) == 2)

    assert done == ["ahead", "given up"]


def test_the_one_after_the_last_place_is_sent_away_at_once(line, pool) -> None:
    held = Held()
    pool.submit(line.do, "held", held)
    assert held.began.wait(WAIT_S)
    for number in range(3):
        queue(line, pool, str(number), lambda: None)

    with pytest.raises(BusyError) as caught:
        line.do("one too many", lambda: None)
    held.go_on.set()

    assert caught.value.retry_after_s


def test_what_goes_wrong_is_raised_where_it_was_asked_for_and_stops_nobody_else(line) -> None:
    def fail() -> None:
        raise EngineMemoryError("no room for an image this size")

    with pytest.raises(EngineMemoryError):
        line.do("large", fail)

    assert line.do("small", lambda: "made") == "made"


def test_closing_finishes_what_was_begun_and_refuses_the_rest(pool) -> None:
    line, held = EncodingLine(), Held()
    begun = pool.submit(line.do, "held", held)
    assert held.began.wait(WAIT_S)
    waiting = pool.submit(line.do, "waiting", lambda: "made")
    wait_until(lambda: len(line._waiting) == 1)
    closed = pool.submit(line.close)
    wait_until(lambda: line._is_closed)
    held.go_on.set()

    closed.result(WAIT_S)
    assert begun.result(WAIT_S) == "held"
    with pytest.raises(BusyError, match="stopping"):
        waiting.result(WAIT_S)
    with pytest.raises(BusyError, match="stopping"):
        line.do("late", lambda: None)
