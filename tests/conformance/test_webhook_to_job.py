"""From a delivery over HTTP to the one job it leads to, with the real server, queue and sweep."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from cleanplate.jobs.job import JobState
from fakes.label_studio import TOKEN, FakeLabelStudio
from fakes.workshop import CONFIG, FACE, Workshop, photograph, rectangle

SECRET: Final = "a-secret-of-enough-characters"
DELIVERIES: Final = 1000
AT_ONCE: Final = 50


@pytest.fixture
def approved(label_studio) -> dict[str, Any]:
    """A webhook's body for an annotation that was just submitted."""
    project = label_studio.add_project(CONFIG)
    upload = label_studio.add_upload(project, "a.png", photograph())
    task = label_studio.add_task(project, {"image": upload})
    annotation = label_studio.annotate(task, [rectangle(FACE)])
    return {
        "action": "ANNOTATION_CREATED",
        "annotation": {"id": annotation, "task": task, "project": project},
        "task": {"id": task, "project": project},
        "project": {"id": project},
    }


@contextmanager
def backend(label_studio: FakeLabelStudio, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(sys.path),
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": TOKEN,
        "CLEANPLATE_DATA_DIR": str(folder),
        "CLEANPLATE_WEBHOOK_SECRET": SECRET,
        "CLEANPLATE_LOG_FORMAT": "json",
    }
    log = folder / "backend.log"
    with log.open("w") as written:
        command = [sys.executable, "-m", "cleanplate", "serve", "--port", "0"]
        process = subprocess.Popen(command, env=environment, stderr=written, text=True)
    with process:
        try:
            yield process, _address(process, log)
        finally:
            process.kill()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if '"serving"' in line:
                return str(json.loads(line)["url"])
    raise AssertionError(log.read_text())


def deliver(session: requests.Session, url: str, body: dict[str, Any]) -> int:
    return session.post(f"{url}/webhook", json=body, headers={"X-Cleanplate-Secret": SECRET}, timeout=30).status_code


def jobs_after_a_look(label_studio: FakeLabelStudio, folder: Path) -> list[JobState]:
    workshop = Workshop(label_studio.url, folder)
    workshop.sweep_and_work()
    return [job.state for job in workshop.queue.jobs()]


def test_a_thousand_deliveries_of_one_webhook_at_once_are_one_job_and_one_copy(
    label_studio, approved, tmp_path
) -> None:
    with (
        backend(label_studio, tmp_path) as (_, url),
        requests.Session() as session,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=AT_ONCE))
        answers = list(pool.map(lambda _: deliver(session, url, approved), range(DELIVERIES)))

    assert set(answers) == {202}
    assert len(Workshop(label_studio.url, tmp_path).queue.hints()) == 1
    assert jobs_after_a_look(label_studio, tmp_path) == [JobState.DONE]
    assert len(label_studio.copies()) == 1


def test_a_web_process_killed_after_it_stored_the_webhook_loses_nothing(label_studio, approved, tmp_path) -> None:
    with backend(label_studio, tmp_path) as (process, url), requests.Session() as session:
        assert deliver(session, url, approved) == 202
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert len(Workshop(label_studio.url, tmp_path).queue.hints()) == 1
    assert jobs_after_a_look(label_studio, tmp_path) == [JobState.DONE]
    assert len(label_studio.copies()) == 1


def test_a_webhook_that_met_a_dead_web_process_is_made_good_by_the_sweep_once(label_studio, approved, tmp_path) -> None:
    with backend(label_studio, tmp_path) as (process, url), requests.Session() as session:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(requests.ConnectionError):
            deliver(session, url, approved)

    assert jobs_after_a_look(label_studio, tmp_path) == [JobState.DONE]
    assert jobs_after_a_look(label_studio, tmp_path) == [JobState.DONE]
    assert len(label_studio.copies()) == 1
