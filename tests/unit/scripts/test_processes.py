import os
import subprocess
import sys
import time
from pathlib import Path

import processes
import pytest
from console import ScriptError
from processes import Service, stop_all, watch

SCRIPTS = Path(__file__).parents[3] / "scripts"
PATIENCE_S = 10
# Says its own number and that of a child of its own, then waits.
WITH_CHILD = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(os.getpid(), child.pid, flush=True)\n"
    "time.sleep(60)\n"
)
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)\n"


def service(log: Path, program: str) -> Service:
    return Service("the example", (sys.executable, "-c", program), environment={}, log=log)


def run_to_its_end(log: Path, program: str) -> None:
    running = service(log, program)
    running.process.wait()
    stop_all([running.process])


def wait_for(look) -> object:
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return seen


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def pids_in(log: Path) -> list[int]:
    return [int(word) for word in log.read_text().split()] if log.exists() else []


def test_stopping_a_service_stops_what_it_started_and_nothing_else(tmp_path) -> None:
    log = tmp_path / "logs" / "example.log"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
        running = service(log, WITH_CHILD)
        pids = wait_for(lambda: pids_in(log))

        stop_all([running.process])

        wait_for(lambda: not any(map(is_running, pids)))
        assert is_running(bystander.pid)
        bystander.kill()


def test_a_service_that_does_not_listen_is_made_to_stop(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.3)
    log = tmp_path / "example.log"
    running = service(log, DEAF)
    wait_for(log.read_text)

    stop_all([running.process])

    assert running.process.poll() is not None


def test_a_killed_script_leaves_nothing_running(tmp_path) -> None:
    log = tmp_path / "example.log"
    script = (
        f"import sys, time; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from pathlib import Path\n"
        "from processes import Service\n"
        f"service = Service('x', (sys.executable, '-c', {WITH_CHILD!r}), environment={{}}, log=Path({str(log)!r}))\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        pids = wait_for(lambda: pids_in(log))
        parent.kill()

    wait_for(lambda: not any(map(is_running, pids)))


def test_watching_names_the_service_that_stopped_and_its_log(tmp_path) -> None:
    log = tmp_path / "example.log"
    running = service(log, "print('no more ink'); raise SystemExit(3)")

    with pytest.raises(ScriptError, match=r"the example stopped by itself \(exit status 3\)") as caught:
        watch([running])

    stop_all([running.process])
    assert caught.value.log == log
    assert log.read_text() == "no more ink\n"


def test_the_log_of_the_start_before_is_kept(tmp_path) -> None:
    log = tmp_path / "example.log"
    for text in ("first", "second"):
        run_to_its_end(log, f"print('{text}')")

    assert log.read_text() == "second\n"
    assert (tmp_path / "example.previous.log").read_text() == "first\n"


def test_settings_for_other_python_programs_are_not_handed_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "mine")
    log = tmp_path / "example.log"
    program = "import os; print(os.environ.get('PYTHONPATH'), os.environ.get('DJANGO_SETTINGS_MODULE'))"

    run_to_its_end(log, program)

    assert log.read_text() == "None None\n"
