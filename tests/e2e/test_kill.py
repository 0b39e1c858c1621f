"""Workers killed in the middle of their jobs, against the real Label Studio. No browser is needed."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from pictures import png, wall_with_disc
from studio import rectangle, wait_for

pytestmark = pytest.mark.e2e

SIZE = (160, 120)
DISC = (58, 38, 102, 82)
STEPS = ("fetch", "plan", "erase", "fill", "composite", "encode", "certify", "store", "publish")
# Longer than it takes to kill all of them, so that none takes over the job of another.
LEASE_S = 25
WITHIN_S = 90
PLATES = """
<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="box" toName="image" smart="false"><Label value="Plate" clean="remove"/></RectangleLabels>
</View>
"""
# A worker for one task, which kills itself when it comes to a step.
WORKER = """
import os, signal, sys
from threading import Event
from cleanplate.app.application import Application
from cleanplate.jobs.worker import Worker
from cleanplate.settings import read_settings

project, task, step = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
application = Application(read_settings())
for state in application.approvals.changes(project, since=None, task_id=task):
    for job in state.jobs:
        application.queue.put(job)

def kill(lease, reached):
    if reached == step:
        os.kill(os.getpid(), signal.SIGKILL)

Worker(application.queue, application.copy_maker, lease_s=application.settings.lease_s, on_step=kill).work(Event())
"""


def test_workers_killed_in_each_step_leave_one_copy_one_task_and_a_job_that_is_done(
    product, studio, connected_project
) -> None:
    project = connected_project(PLATES)
    wall, _ = wall_with_disc(SIZE, middle=(80, 60), radius=20)
    with product.paused_worker():
        tasks = {step: studio.upload(project, f"{step}.png", png(wall)) for step in STEPS}
        for step, task in tasks.items():
            studio.annotate(task, [rectangle(DISC, SIZE)])
            arguments = [sys.executable, "-c", WORKER, str(project), str(task), step]
            settings = {**product.settings, "CLEANPLATE_LEASE_S": str(LEASE_S)}
            killed = subprocess.run(arguments, env=settings, capture_output=True, text=True, check=False)
            assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert {job["step"] for job in product.jobs(project)} == set(STEPS)

    wait_for(
        lambda: {job["state"] for job in product.jobs(project)} == {"done"}, within_s=WITHIN_S, what="end of all jobs"
    )

    copies = studio.copies(project)
    assert len(copies) == len(STEPS)
    assert len({copy["data"]["cleanplate"] for copy in copies}) == len(STEPS)
    uploads = studio.call("GET", f"/api/projects/{project}/file-uploads?all=true")
    assert len(uploads) == 2 * len(STEPS)
    left, top, right, bottom = DISC
    for copy in copies:
        image = studio.image(copy)
        hole = image[top:bottom, left:right].astype(int)
        assert (hole[..., 0] - hole[..., 2] > 60).mean() < 0.02
        changed = (image != wall).any(axis=-1)
        changed[top:bottom, left:right] = False
        assert np.count_nonzero(changed) == 0
