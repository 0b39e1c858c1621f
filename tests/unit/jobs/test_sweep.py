from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
import structlog

from cleanplate.errors import CleanplateError, LabelStudioRefusedError, LabelStudioUnreachableError, PolicyError
from cleanplate.jobs.job import JobState, NewJob, Subject
from cleanplate.jobs.sqlite import SqliteQueue
from cleanplate.jobs.sweep import Sweeper, TaskState

INTERVAL_S = 60
FULL_S = 3600
LEAD_S = 15
START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Time:
    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)


@dataclass
class Task:
    updated_at: datetime = START
    approved: dict[int, str] = field(default_factory=dict)
    others: set[int] = field(default_factory=set)


class LabelStudio:
    """Tasks by project, and what it was asked."""

    def __init__(self) -> None:
        self.tasks: dict[int, dict[int, Task]] = {}
        self.asked: list[tuple[int, datetime | None, int | None]] = []
        self.listed = 0
        self.down: CleanplateError | None = None
        self.broken: dict[int, Exception] = {}
        self.broken_tasks: dict[int, Exception] = {}
        self.between = lambda: None

    def projects(self) -> list[int]:
        self.listed += 1
        if self.down:
            raise self.down
        return list(self.tasks)

    def changes(self, project_id: int, *, since: datetime | None, task_id: int | None) -> Iterator[TaskState]:
        self.asked.append((project_id, since, task_id))
        if error := self.down or self.broken.get(project_id) or self.broken_tasks.get(task_id):
            raise error
        for number, task in list(self.tasks[project_id].items()):
            if (task_id or number) == number and (since is None or task.updated_at > since):
                jobs = tuple(
                    NewJob(key, Subject("http://label-studio", project_id, number, annotation_id))
                    for annotation_id, key in task.approved.items()
                )
                yield TaskState(number, task.updated_at, jobs, frozenset(task.approved) | task.others)
                self.between()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def queue(folder, time) -> SqliteQueue:
    return SqliteQueue(folder / "jobs.sqlite3", lease_s=60, max_attempts=3, clock=time.now)


@pytest.fixture
def label_studio() -> LabelStudio:
    return LabelStudio()


@pytest.fixture
def sweeper(queue, label_studio, time) -> Sweeper:
    return another(queue, label_studio, time)


def another(queue, label_studio, time) -> Sweeper:
    return Sweeper(queue, label_studio, interval_s=INTERVAL_S, full_every_s=FULL_S, lead_s=LEAD_S, clock=time.monotonic)


def states(queue) -> dict[str, JobState]:
    return {job.key: job.state for job in queue.jobs()}


def pending_hints(queue) -> set[tuple[int, int | None]]:
    return {(hint.project_id, hint.task_id) for hint in queue.hints()}


# Sweeping


def test_every_approved_annotation_gets_its_job_at_start(queue, label_studio, sweeper) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a", 31: "b"}), 21: Task()}, 2: {22: Task(approved={32: "c"})}}

    sweeper.tick()

    assert states(queue) == {"a": JobState.READY, "b": JobState.READY, "c": JobState.READY}
    assert queue.get("b").subject == Subject("http://label-studio", 1, 20, 31)


def test_a_second_sweep_adds_nothing(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a"})}}
    sweeper.tick()
    queue.done(queue.claim("worker"), {})
    time.passed_s = INTERVAL_S
    sweeper.tick()

    assert states(queue) == {"a": JobState.DONE}


def test_what_was_approved_while_no_webhook_came_is_found_within_the_interval(queue, label_studio, sweeper, time):
    label_studio.tasks = {1: {20: Task()}}
    sweeper.tick()
    label_studio.tasks[1][20] = Task(updated_at=START + timedelta(seconds=5), approved={30: "a"})
    time.passed_s = INTERVAL_S
    sweeper.tick()

    assert states(queue) == {"a": JobState.READY}


def test_an_annotation_that_was_changed_has_one_job_that_goes_on(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a"})}}
    sweeper.tick()
    label_studio.tasks[1][20] = Task(updated_at=START + timedelta(seconds=5), approved={30: "b"})
    time.passed_s = INTERVAL_S
    sweeper.tick()

    assert states(queue) == {"a": JobState.SUPERSEDED, "b": JobState.READY}


def test_an_annotation_that_vanished_takes_its_jobs_with_it(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a", 31: "b"})}}
    sweeper.tick()
    label_studio.tasks[1][20] = Task(updated_at=START + timedelta(seconds=5), approved={31: "b"})
    time.passed_s = INTERVAL_S
    sweeper.tick()

    assert states(queue) == {"a": JobState.CANCELLED, "b": JobState.READY}


def test_an_annotation_that_is_there_but_not_approved_is_not_taken_for_gone(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a"})}}
    sweeper.tick()
    label_studio.tasks[1][20] = Task(updated_at=START + timedelta(seconds=5), others={30})
    time.passed_s = INTERVAL_S
    sweeper.tick()

    assert states(queue) == {"a": JobState.READY}


def test_only_what_changed_since_ten_minutes_before_the_watermark_is_asked_for(label_studio, sweeper, time) -> None:
    newest = START + timedelta(minutes=30)
    label_studio.tasks = {1: {20: Task(updated_at=newest), 21: Task(updated_at=START)}}
    sweeper.tick()
    time.passed_s = INTERVAL_S
    sweeper.tick()

    assert label_studio.asked == [(1, None, None), (1, newest - timedelta(minutes=10), None)]


def test_the_watermark_survives_a_restart(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task()}}
    sweeper.tick()
    time.passed_s = LEAD_S + 1
    another(queue, label_studio, time).tick()

    assert label_studio.asked[-1] == (1, START - timedelta(minutes=10), None)


def test_every_so_often_a_project_is_looked_through_from_end_to_end(label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task()}}
    while time.passed_s < FULL_S * 2.5:
        sweeper.tick()
        time.passed_s += INTERVAL_S

    full = [number for number, (_, since, _) in enumerate(label_studio.asked) if since is None]
    assert full == [0, FULL_S / INTERVAL_S, 2 * FULL_S / INTERVAL_S]


def test_a_task_that_vanished_is_found_by_the_full_sweep(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a"}), 21: Task(approved={31: "b"})}}
    sweeper.tick()
    del label_studio.tasks[1][20]
    time.passed_s = INTERVAL_S
    sweeper.tick()
    assert states(queue)["a"] is JobState.READY  # a sweep of the changes cannot know
    time.passed_s = FULL_S
    sweeper.tick()

    assert states(queue) == {"a": JobState.CANCELLED, "b": JobState.READY}


def test_a_task_that_came_while_the_full_sweep_ran_is_not_taken_for_gone(queue, label_studio, sweeper) -> None:
    label_studio.tasks = {1: {20: Task()}}
    new = NewJob("new", Subject("http://label-studio", 1, 99, 30))
    label_studio.between = lambda: queue.put(new)

    sweeper.tick()

    assert states(queue) == {"new": JobState.READY}


def test_a_sweep_that_breaks_off_does_not_advance_the_watermark(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a"}), 21: Task(approved={31: "b"})}}

    def fail() -> None:
        raise LabelStudioUnreachableError("Label Studio answered 502")

    label_studio.between = fail
    sweeper.tick()
    assert queue.watermark(1) is None
    assert states(queue) == {"a": JobState.READY}
    label_studio.between = lambda: None
    time.passed_s = 1
    sweeper.tick()

    assert queue.watermark(1) == START
    assert states(queue) == {"a": JobState.READY, "b": JobState.READY}


def test_a_project_that_is_new_is_swept_within_the_interval(queue, label_studio, sweeper, time) -> None:
    sweeper.tick()
    label_studio.tasks = {1: {20: Task(approved={30: "a"})}}
    time.passed_s = INTERVAL_S
    sweeper.tick()

    assert states(queue) == {"a": JobState.READY}


# Failures


@pytest.mark.parametrize("error", [LabelStudioUnreachableError("502"), PolicyError("clean='x'"), KeyError("a bug")])
def test_a_project_that_fails_does_not_stop_the_others(queue, label_studio, sweeper, error) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a"})}, 2: {21: Task(approved={31: "b"})}}
    label_studio.broken = {1: error}

    sweeper.tick()

    assert states(queue) == {"b": JobState.READY}


def test_a_project_that_failed_is_tried_again_after_1_2_4_seconds_and_so_on(label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task()}}
    label_studio.broken = {1: LabelStudioUnreachableError("502")}
    tried_at = []
    while time.passed_s < 200:
        asked = len(label_studio.asked)
        sweeper.tick()
        if len(label_studio.asked) > asked:
            tried_at.append(time.passed_s)
        time.passed_s += 0.5

    assert tried_at == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_a_label_studio_that_is_down_is_one_line_in_the_log_and_so_is_its_return(label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task()}}
    label_studio.down = LabelStudioUnreachableError("connection refused")

    with structlog.testing.capture_logs() as lines:
        while time.passed_s < 600:
            sweeper.tick()
            time.passed_s += 0.2
        label_studio.down = None
        time.passed_s += INTERVAL_S
        sweeper.tick()

    assert [(line["log_level"], line["what"]) for line in lines] == [("warning", "projects"), ("info", "projects")]
    assert lines[0]["reason"] == "label_studio_unreachable"
    assert label_studio.listed < 20


def test_a_bug_is_logged_with_its_traceback(label_studio, sweeper) -> None:
    label_studio.tasks = {1: {20: Task()}}
    label_studio.broken = {1: KeyError("a bug")}

    with structlog.testing.capture_logs() as lines:
        sweeper.tick()

    assert [(line["what"], type(line["exc_info"])) for line in lines] == [("project 1", KeyError)]


def test_a_queue_that_cannot_be_used_does_not_end_the_sweep(queue, label_studio, sweeper, time, monkeypatch) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a"})}}

    def fail(*_arguments, **_options) -> None:
        raise OSError("disk")

    with monkeypatch.context() as patched:
        patched.setattr(queue, "lead", fail)
        sweeper.tick()
    time.passed_s = 1
    sweeper.tick()

    assert states(queue) == {"a": JobState.READY}


# Hints


def test_a_hint_is_looked_into_at_the_next_look_and_forgotten(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task(), 21: Task()}}
    sweeper.tick()
    label_studio.tasks[1][20].approved = {30: "a"}
    queue.hint(1, 20)
    time.passed_s = 0.2
    sweeper.tick()

    assert states(queue) == {"a": JobState.READY}
    assert label_studio.asked[-1] == (1, None, 20)
    assert pending_hints(queue) == set()


def test_a_hint_about_a_task_that_is_gone_cancels_its_jobs(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a"}), 21: Task(approved={31: "b"})}}
    sweeper.tick()
    del label_studio.tasks[1][20]
    queue.hint(1, 20)
    time.passed_s = 0.2
    sweeper.tick()

    assert states(queue) == {"a": JobState.CANCELLED, "b": JobState.READY}


def test_hints_out_of_order_end_in_what_label_studio_says(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task()}}
    sweeper.tick()
    for approved in ({30: "updated"}, {}, {30: "created"}):  # what the webhooks were about does not matter
        queue.hint(1, 20)
        label_studio.tasks[1][20].approved = approved
    label_studio.tasks[1][20].approved = {30: "updated"}
    time.passed_s = 0.2
    sweeper.tick()

    assert states(queue) == {"updated": JobState.READY}


def test_a_hint_about_a_project_looks_through_all_of_it(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task(approved={30: "a"})}}
    sweeper.tick()
    label_studio.tasks[1][20].approved = {30: "b"}  # another policy: another key, and no task changed
    queue.hint(1, None)
    time.passed_s = 0.2
    sweeper.tick()

    assert label_studio.asked[-1] == (1, None, None)
    assert states(queue) == {"a": JobState.SUPERSEDED, "b": JobState.READY}
    assert pending_hints(queue) == set()


def test_a_hint_about_a_project_nobody_watches_is_dropped_without_asking_about_it(queue, label_studio, sweeper, time):
    label_studio.tasks = {1: {20: Task()}}
    sweeper.tick()
    queue.hint(9, 20)
    queue.hint(9, None)
    time.passed_s = 5
    sweeper.tick()

    assert pending_hints(queue) == set()
    assert 9 not in {project_id for project_id, _, _ in label_studio.asked}


def test_a_hint_about_a_project_watched_since_a_moment_is_looked_into(queue, label_studio, sweeper, time) -> None:
    sweeper.tick()
    label_studio.tasks = {9: {20: Task(approved={30: "a"})}}
    queue.hint(9, 20)
    time.passed_s = 1
    sweeper.tick()
    assert pending_hints(queue) == {(9, 20)}  # the list of projects is too fresh to be asked for again
    time.passed_s = 5
    sweeper.tick()

    assert states(queue) == {"a": JobState.READY}
    assert pending_hints(queue) == set()


def test_many_hints_about_strangers_do_not_have_the_projects_listed_all_the_time(queue, label_studio, sweeper, time):
    while time.passed_s < 50:
        queue.hint(9, int(time.passed_s * 10) + 1)
        sweeper.tick()
        time.passed_s += 0.2

    assert label_studio.listed <= 11


def test_hints_stay_while_label_studio_is_down(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task()}}
    sweeper.tick()
    label_studio.down = LabelStudioUnreachableError("connection refused")
    label_studio.tasks[1][20].approved = {30: "a"}
    for hint in [(1, 20), (1, None), (9, 20)]:
        queue.hint(*hint)
    while time.passed_s < 300:
        sweeper.tick()
        time.passed_s += 0.2
    assert pending_hints(queue) == {(1, 20), (1, None), (9, 20)}
    label_studio.down = None
    time.passed_s += INTERVAL_S
    sweeper.tick()

    assert pending_hints(queue) == {(9, 20)}  # about a stranger: it goes when the list of projects is asked for again
    assert states(queue) == {"a": JobState.READY}


def test_one_task_that_cannot_be_read_holds_up_neither_other_hints_nor_the_sweep(queue, label_studio, sweeper, time):
    label_studio.tasks = {1: {20: Task(), 21: Task(), 22: Task()}}
    sweeper.tick()
    label_studio.broken_tasks = {20: LabelStudioUnreachableError("Label Studio answered 500")}
    label_studio.tasks[1][21].approved = {31: "b"}
    label_studio.tasks[1][22] = Task(updated_at=START + timedelta(seconds=1), approved={32: "c"})
    queue.hint(1, 20)
    queue.hint(1, 21)
    while time.passed_s < INTERVAL_S + 1:
        sweeper.tick()
        time.passed_s += 0.2

    assert states(queue) == {"b": JobState.READY, "c": JobState.READY}
    assert pending_hints(queue) == {(1, 20)}


def test_a_hint_that_is_refused_for_good_is_forgotten(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {20: Task()}}
    sweeper.tick()
    label_studio.broken_tasks = {20: LabelStudioRefusedError("Label Studio answered 403", status=403)}
    queue.hint(1, 20)
    time.passed_s = 0.2
    sweeper.tick()

    assert pending_hints(queue) == set()


def test_a_hint_is_looked_into_while_a_long_sweep_goes_on(queue, label_studio, sweeper, time) -> None:
    label_studio.tasks = {1: {number: Task() for number in range(1, 11)}, 2: {20: Task(approved={30: "a"})}}
    seen_after = []

    def one_second_later() -> None:
        time.passed_s += 1
        if time.passed_s == 2:
            queue.hint(2, 20)
        if "a" in states(queue):
            seen_after.append(time.passed_s)

    label_studio.between = one_second_later
    sweeper.tick()

    assert seen_after[0] == 4  # of the ten seconds that the sweep takes
    assert queue.watermark(1) == START


# Several sweepers, and the end


def test_of_two_sweepers_one_leads_and_the_other_takes_over_when_it_is_silent(queue, label_studio, time) -> None:
    label_studio.tasks = {1: {20: Task()}}
    first, second = another(queue, label_studio, time), another(queue, label_studio, time)
    first.tick()
    second.tick()
    assert len(label_studio.asked) == 1
    time.passed_s = LEAD_S + 1
    second.tick()
    first.tick()

    assert len(label_studio.asked) == 2
    time.passed_s += INTERVAL_S
    queue.hint(1, 20)
    second.tick()
    assert pending_hints(queue) == set()


def test_a_sweeper_that_was_overtaken_in_the_middle_of_a_sweep_leaves_it(queue, label_studio, time) -> None:
    label_studio.tasks = {1: {number: Task() for number in range(1, 6)}}
    slow, other = another(queue, label_studio, time), another(queue, label_studio, time)

    def hang() -> None:
        label_studio.between = lambda: None
        time.passed_s += LEAD_S + 1
        assert queue.lead("another process", for_s=LEAD_S)

    label_studio.between = hang
    slow.tick()

    assert queue.watermark(1) is None
    time.passed_s += LEAD_S + 1
    other.tick()
    assert queue.watermark(1) == START


def test_a_leader_that_stops_lets_the_next_one_lead_at_once(queue, label_studio, time) -> None:
    label_studio.tasks = {1: {20: Task()}}
    stop = Event()
    label_studio.between = stop.set
    another(queue, label_studio, time).run(stop)

    another(queue, label_studio, time).tick()

    assert len(label_studio.asked) == 2


def test_a_stop_breaks_off_a_long_sweep(queue, label_studio, sweeper) -> None:
    label_studio.tasks = {1: {number: Task(approved={number: f"job {number}"}) for number in range(1, 6)}}
    stop = Event()
    label_studio.between = stop.set

    sweeper.run(stop)

    assert len(states(queue)) == 2
    assert queue.watermark(1) is None
