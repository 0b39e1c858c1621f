"""However often, in whatever order and by however many at once the same approvals are put, each is one job."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from cleanplate.jobs.job import JobState, NewJob, Subject
from cleanplate.jobs.sqlite import SqliteQueue

MEMORY = Path("/dev/shm")  # noqa: S108  (a folder of its own is made in it)


@settings(max_examples=40, deadline=None)
@given(deliveries=st.lists(st.integers(1, 5), max_size=40), readers=st.integers(1, 3))
def test_each_annotation_is_queued_and_handed_out_once(deliveries, readers) -> None:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        queues = [SqliteQueue(Path(folder) / "jobs", lease_s=60, max_attempts=3) for _ in range(readers)]

        def deliver(number: int, annotation_id: int) -> tuple[int, bool]:
            job = NewJob(f"key of {annotation_id}", Subject("http://label-studio", 1, 20, annotation_id))
            return annotation_id, queues[number % readers].put(job)

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(deliver, range(len(deliveries)), deliveries))
            leases = list(threads.map(lambda n: queues[n % readers].claim(f"worker {n}"), range(len(deliveries))))

        new = Counter(annotation_id for annotation_id, is_new in answers if is_new)
        handed_out = Counter(lease.job.subject.annotation_id for lease in leases if lease is not None)
        assert new == handed_out == dict.fromkeys(set(deliveries), 1)
        assert queues[0].counts()[JobState.LEASED] == len(set(deliveries))


@settings(max_examples=40, deadline=None)
@given(
    hints=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3) | st.none()), max_size=40),
    readers=st.integers(1, 3),
)
def test_each_hint_is_kept_once(hints, readers) -> None:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        queues = [SqliteQueue(Path(folder) / "jobs", lease_s=60, max_attempts=3) for _ in range(readers)]

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda number, hint: queues[number % readers].hint(*hint), range(len(hints)), hints))

        kept = [(hint.project_id, hint.task_id) for hint in queues[0].hints()]
        assert len(kept) == len(set(kept))
        assert set(kept) == set(hints)
