"""What is left when the processes around a queue are killed, for real. Each queue has its line in KINDS."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from cleanplate.errors import StorageUnavailableError
from cleanplate.jobs.job import JobState, NewJob, Subject
from cleanplate.jobs.queue import Queue
from cleanplate.jobs.sqlite import SqliteQueue

KINDS: Final[dict[str, Callable[[Path], Queue]]] = {
    "sqlite": lambda path: SqliteQueue(path, lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS),
}
LEASE_S: Final = 0.8
MAX_ATTEMPTS: Final = 3
PROGRAM: Final = Path(__file__).parent / "programs" / "queue_worker.py"
MEMORY: Final = Path("/dev/shm")  # noqa: S108  (a folder of its own is made in it)
PATIENCE_S: Final = 30.0


class Scene:
    """A queue, the workers on it, and what they noted."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._path = folder / "queue"
        self._notes = folder / "notes"
        self._workers: list[subprocess.Popen[bytes]] = []
        self.queue = KINDS[kind](self._path)

    def start_worker(self, *, job_s: float = 0.0) -> subprocess.Popen[bytes]:
        arguments = [self._kind, self._path, str(LEASE_S), self._notes, str(job_s)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        worker = subprocess.Popen([sys.executable, PROGRAM, *arguments], env=environment)
        self._workers.append(worker)
        return worker

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        worker.kill()
        worker.wait()

    def freeze(self, worker: subprocess.Popen[bytes]) -> None:
        """Stop a process, but not while it keeps all others from writing."""
        worker.send_signal(signal.SIGSTOP)
        try:
            self.queue.hint(1, None)
        except StorageUnavailableError:
            worker.send_signal(signal.SIGCONT)
            self.freeze(worker)

    def end(self) -> None:
        for worker in self._workers:
            self.kill(worker)

    def notes(self) -> list[str]:
        return self._notes.read_text().splitlines() if self._notes.exists() else []

    def noted(self, what: str) -> Counter[str]:
        return Counter(line.split()[1] for line in self.notes() if line.startswith(what))

    def state(self, key: str) -> JobState:
        job = self.queue.get(key)
        assert job is not None
        return job.state

    def wait_until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, f"after {PATIENCE_S:g} s: {self.notes()}, {dict(self.queue.counts())}"
            time.sleep(0.02)


@pytest.fixture(params=sorted(KINDS))
def scene(request, tmp_path) -> Iterator[Scene]:
    # In memory if there is such a place: a disk that others use too may take longer to write than a lease lasts.
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as folder:
        scene = Scene(request.param, Path(folder))
        try:
            yield scene
        finally:
            scene.end()


def job(key: str, annotation_id: int = 30) -> NewJob:
    return NewJob(key, Subject("http://label-studio", 1, 20, annotation_id))


def test_the_job_of_a_killed_worker_is_done_by_another_once_its_lease_ran_out(scene) -> None:
    scene.queue.put(job("a"))
    killed = scene.start_worker(job_s=60)
    scene.wait_until(lambda: scene.noted("started")["a"] == 1)
    scene.kill(killed)
    killed_at = time.monotonic()
    scene.start_worker()
    scene.wait_until(lambda: scene.state("a") is JobState.DONE)

    assert time.monotonic() - killed_at >= LEASE_S / 2
    assert scene.noted("published") == {"a": 1}
    assert scene.queue.get("a").attempt == 2


def test_a_job_that_kills_its_worker_every_time_is_dead_and_the_others_are_done(scene) -> None:
    scene.queue.put(job("poison"))
    scene.queue.put(job("sound", 31))
    while scene.state("poison") is not JobState.DEAD:
        worker = scene.start_worker()
        scene.wait_until(lambda worker=worker: worker.poll() is not None or scene.state("poison") is JobState.DEAD)

    scene.wait_until(lambda: scene.state("sound") is JobState.DONE)
    assert scene.noted("started")["poison"] == MAX_ATTEMPTS
    assert scene.noted("published") == {"sound": 1}
    assert scene.queue.get("poison").reason == "lease_expired"


def test_a_worker_that_slept_through_its_lease_ends_and_publishes_nothing(scene) -> None:
    scene.queue.put(job("a"))
    zombie = scene.start_worker(job_s=2)
    scene.wait_until(lambda: scene.noted("started")["a"] == 1)
    scene.freeze(zombie)
    scene.start_worker()
    scene.wait_until(lambda: scene.state("a") is JobState.DONE)
    zombie.send_signal(signal.SIGCONT)

    assert zombie.wait(PATIENCE_S) == 75
    assert scene.noted("published") == {"a": 1}
    assert scene.queue.get("a").attempt == 2


def test_a_worker_told_to_stop_finishes_its_job_first(scene) -> None:
    scene.queue.put(job("a"))
    worker = scene.start_worker(job_s=0.3)
    scene.wait_until(lambda: scene.noted("started")["a"] == 1)
    scene.queue.put(job("b", 31))
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(PATIENCE_S) == 0
    assert (scene.state("a"), scene.state("b")) == (JobState.DONE, JobState.READY)
    assert scene.queue.get("a").attempt == 1


def test_no_job_is_lost_and_only_a_kill_makes_one_run_twice(scene) -> None:
    keys = [f"job-{number}" for number in range(30)]
    for number, key in enumerate(keys):
        scene.queue.put(job(key, number))
    workers = [scene.start_worker(job_s=0.05) for _ in range(3)]
    scene.wait_until(lambda: len(scene.noted("ready")) == 3)
    chance, kills = random.Random(20), 4
    for _ in range(kills):
        time.sleep(chance.uniform(0.1, 0.3))
        victim = chance.randrange(3)
        scene.kill(workers[victim])
        workers[victim] = scene.start_worker(job_s=0.05)
    scene.wait_until(lambda: scene.queue.counts()[JobState.DONE] == len(keys))

    published = scene.noted("published")
    assert set(published) == set(keys)
    assert published.total() <= len(keys) + kills
    assert scene.noted("started").total() <= len(keys) + kills
