"""A worker on a real queue, to be killed. It notes what it does in a file, one short line each.

Called with: queue's kind, its file, the lease in seconds, the notes' file, and how long a job takes in seconds.
What a job publishes is a line `published <key>`; like a real one it asks first whether it may. The key of a job says
how it behaves: `poison…` kills its process.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any, Final

from cleanplate.errors import SupersededError
from cleanplate.jobs.job import Lease
from cleanplate.jobs.queue import Queue
from cleanplate.jobs.sqlite import SqliteQueue
from cleanplate.jobs.worker import Worker, stop_on_signals

MAX_ATTEMPTS: Final = 3


def open_queue(kind: str, path: Path, lease_s: float) -> Queue:
    kinds = {"sqlite": SqliteQueue}
    return kinds[kind](path, lease_s=lease_s, max_attempts=MAX_ATTEMPTS)


def main(kind: str, path: str, lease_s: str, notes: str, job_s: str) -> None:
    queue = open_queue(kind, Path(path), float(lease_s))
    lines = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(*words: str) -> None:
        os.write(lines, (" ".join(words) + "\n").encode())

    def handle(lease: Lease, report: Callable[[str], None]) -> Mapping[str, Any]:
        key = lease.job.key
        report("fill")
        note("started", key, str(os.getpid()))
        if key.startswith("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        # Work that no signal interrupts: what is left of it is done even after a long stop.
        for _ in range(10):
            Event().wait(float(job_s) / 10)
        if not queue.is_current(lease):
            raise SupersededError("another has it")
        note("published", key, str(os.getpid()))
        return {}

    stop = Event()
    stop_on_signals(stop)
    note("ready", str(os.getpid()))
    Worker(queue, handle, lease_s=float(lease_s), poll_s=0.05).run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
