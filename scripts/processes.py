"""Starts long-running commands, and stops exactly those."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Final, NoReturn

from console import ScriptError

KEEPER: Final = Path(__file__).with_name("keeper.py")
GRACE_S: Final = 10.0
POLL_S: Final = 0.2
# What a person's own shell may set for other Python programs and would confuse ours.
NOT_INHERITED: Final = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "DJANGO_SETTINGS_MODULE"})


def start_kept(
    command: Iterable[str | Path], *, cwd: Path, environment: Mapping[str, str], output: IO[str] | int
) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, which ends when this script does, however it does."""
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return subprocess.Popen(
        [sys.executable, str(KEEPER), *map(str, command)],
        cwd=cwd,
        env={**inherited, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def stop_all(processes: Iterable[subprocess.Popen[str]]) -> None:
    """Ask these processes and what they started to stop; after ten seconds, or at a second Ctrl-C, make them."""
    processes = tuple(processes)
    running = [process for process in processes if process.poll() is None]
    for process in running:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    try:
        while time.monotonic() < deadline and any(process.poll() is None for process in running):
            time.sleep(POLL_S)
    finally:
        for process in running:
            _signal(process, signal.SIGKILL)
            process.wait()
        for process in processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    # Once it has been waited for, its number may belong to a stranger.
    if process.poll() is None:
        os.killpg(process.pid, number)


class Service:
    """A part of the product: a command that runs until it is stopped, and its log."""

    def __init__(self, name: str, command: Iterable[str | Path], *, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        _set_aside(log)
        with log.open("w", encoding="utf-8") as output:
            self.process = start_kept(command, cwd=log.parent, environment=environment, output=output)

    def check(self) -> None:
        """Return if it runs.

        Raises:
            ScriptError: It has ended.
        """
        status = self.process.poll()
        if status is not None:
            raise ScriptError(f"{self.name} stopped by itself (exit status {status})", log=self.log)


def watch(services: Iterable[Service]) -> NoReturn:
    """Wait until one of the services stops by itself; the rest is the caller's to stop.

    Raises:
        ScriptError: That has happened.
    """
    services = tuple(services)
    while True:
        for service in services:
            service.check()
        time.sleep(POLL_S)


def _set_aside(log: Path) -> None:
    """Keep the log of the start before this one."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
