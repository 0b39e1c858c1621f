"""A worker killed anywhere leaves nothing that a second run would not overwrite or skip."""

import multiprocessing
import os
import re
import signal
import sys
from multiprocessing import forkserver

import pytest

from cleanplate.jobs.job import JobState
from fakes.label_studio import FakeLabelStudio
from fakes.workshop import CONFIG, FACE, TREE, Workshop, photograph, rectangle, redness, work_until_killed

STEPS = ["fetch", "plan", "erase", "fill", "composite", "encode", "certify", "store", "publish"]
WRITES = [
    r"POST /api/projects/\d+/import",
    r"POST /api/tasks/",
    r"POST /api/tasks/\d+/annotations/",
    r"PATCH /api/annotations/\d+/",
    r"PATCH /api/tasks/\d+/",
    r"DELETE /api/import/file-upload/\d+",
]
PROCESSES = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def quick_processes() -> None:
    """Let each worker process start with everything imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        PROCESSES.set_forkserver_preload(["fakes.workshop"])
        forkserver.ensure_running()


@pytest.fixture
def annotation(label_studio) -> int:
    project = label_studio.add_project(CONFIG)
    task = label_studio.add_task(project, {"image": label_studio.add_upload(project, "a.png", photograph())})
    return label_studio.annotate(task, [rectangle(FACE), rectangle(TREE, "Tree", "tree")])


def work_in_a_process(workshop: Workshop, *, step: str = "") -> multiprocessing.Process:
    process = PROCESSES.Process(target=work_until_killed, args=(workshop.url, workshop.folder, step))
    process.start()
    return process


def require_killed(process: multiprocessing.Process) -> None:
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def require_one_of_everything(label_studio: FakeLabelStudio, workshop: Workshop) -> None:
    (copy,) = label_studio.copies()
    content = label_studio.content_of(copy["data"]["image"])
    assert redness(content) == 0
    assert len(label_studio.uploads) == 2, "the original and the copy"
    (carried,) = label_studio.annotations_of(copy["id"])
    assert [item["id"] for item in carried["result"]] == ["tree"]
    record = workshop.ledger.get(copy["data"]["cleanplate"])
    assert (record.copy_task_id, record.address) == (copy["id"], copy["data"]["image"])


@pytest.mark.usefixtures("annotation")
@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_in_a_step_is_made_good_by_the_next(label_studio, workshop, step) -> None:
    workshop.sweep()
    require_killed(work_in_a_process(workshop, step=step))
    (job,) = workshop.queue.jobs()
    assert (job.state, job.step) == (JobState.LEASED, step)

    workshop.expire_leases()
    (job,) = workshop.work()

    assert (job.state, job.attempt) == (JobState.DONE, 2)
    require_one_of_everything(label_studio, workshop)


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("request_line", WRITES)
def test_nor_does_it_matter_whether_the_last_request_was_still_done(
    label_studio, workshop, annotation, request_line, done
) -> None:
    first_time = request_line.startswith("POST")
    if not first_time:
        # What is replaced has to be there: the file, the task and the annotation of an earlier copy.
        label_studio.change(annotation, result=[rectangle((0, 0, 9, 9)), rectangle(TREE, "Tree", "tree")])
        workshop.sweep_and_work()
        label_studio.change(annotation, result=[rectangle(FACE), rectangle(TREE, "Tree", "tree")])
    workshop.sweep()
    process = work_in_a_process(workshop)

    def kill(method: str, path: str) -> None:
        if process.is_alive() and re.fullmatch(request_line, f"{method} {path}"):
            os.kill(process.pid, signal.SIGKILL)

    label_studio.trouble(*request_line.split(" "), after=done)
    label_studio.before = kill
    require_killed(process)

    workshop.expire_leases()
    jobs = workshop.work()

    assert {job.state for job in jobs} == {JobState.DONE}
    require_one_of_everything(label_studio, workshop)


@pytest.mark.usefixtures("annotation")
def test_a_worker_killed_before_it_could_say_that_it_is_done_is_done_again_to_the_same_end(
    label_studio, workshop
) -> None:
    workshop.sweep()
    lease = workshop.queue.claim("the one that is killed")
    workshop.maker(lease, lambda _step: None)
    (before,) = label_studio.copies()

    workshop.expire_leases()
    (job,) = workshop.work()

    assert job.state is JobState.DONE
    assert label_studio.copies()[0]["data"] == before["data"]
    require_one_of_everything(label_studio, workshop)
