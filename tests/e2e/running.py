"""The product as `scripts/run` starts it."""

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests
from studio import Studio, wait_for

CHECKOUT: Final = Path(__file__).parents[2]
START_TIMEOUT_S: Final = 420
STOP_TIMEOUT_S: Final = 30


@dataclass(frozen=True)
class Product:
    """The running product. It was started twice; *memories* are what each start left for the next."""

    studio: Studio
    backend_url: str
    data_dir: Path
    settings: Mapping[str, str]
    memories: tuple[Mapping[str, Any], Mapping[str, Any]]
    second_start_s: float

    @property
    def account(self) -> tuple[str, str]:
        """E-mail and password of the one person in Label Studio."""
        return self.memories[1]["email"], self.memories[1]["password"]

    def cleanplate(self, *arguments: str) -> Any:
        """Run a command of the command line with `--json`; what it prints."""
        command = [str(CHECKOUT / ".venv" / "bin" / "cleanplate"), *arguments, "--json"]
        done = subprocess.run(command, env=self.settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def connect(self, project: int, backend_url: str | None = None) -> None:
        """Connect a project with the backend, or with another one."""
        self.cleanplate("connect", "--project", str(project), "--backend-url", backend_url or self.backend_url)

    def jobs(self, project: int) -> list[dict[str, Any]]:
        return self.cleanplate("jobs", "list", "--project", str(project))["jobs"]

    @contextmanager
    def paused_worker(self) -> Iterator[None]:
        """Whatever happens in the block, the worker sees it afterwards."""
        worker = self._process("work")
        os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)

    @contextmanager
    def working(self, **settings: str) -> Iterator[None]:
        """A second worker with these settings, for as long as the block lasts."""
        with self._beside("work", settings=settings):
            yield

    @contextmanager
    def serving(self, port: int, **settings: str) -> Iterator[str]:
        """A second backend with these settings, for as long as the block lasts; its address."""
        url = f"http://127.0.0.1:{port}"
        with self._beside("serve", "--port", str(port), settings=settings) as serving:
            wait_for(
                lambda: serving.poll() is not None or answers(url), within_s=START_TIMEOUT_S, what="second backend"
            )
            yield url

    @contextmanager
    def _beside(self, *arguments: str, settings: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        command = [str(CHECKOUT / ".venv" / "bin" / "cleanplate"), *arguments]
        log = self.data_dir / "logs" / f"second-{arguments[0]}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                env={**self.settings, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(STOP_TIMEOUT_S)
        assert status == 0, log.read_text()

    def engine_of(self, copy: Mapping[str, Any]) -> str:
        """What filled the holes of a copy, as its certificate says."""
        with sqlite3.connect(self.data_dir / "ledger.sqlite3") as ledger:
            (certificate,) = ledger.execute(
                "SELECT certificate FROM copies WHERE copy_id = ?", (copy["data"]["cleanplate"],)
            ).fetchone()
        return json.loads(certificate)["engine"]

    def _process(self, command: str) -> int:
        """The process that runs this command of cleanplate's for this product."""
        (found,) = [
            pid
            for pid, arguments in processes_of(self.data_dir).items()
            if len(arguments) > 2 and arguments[1].endswith("/cleanplate") and arguments[2] == command
        ]
        return found


@contextmanager
def scripts_run(
    data_dir: Path, environment: Mapping[str, str], *options: str, ready: str = "cleanplate is ready"
) -> Iterator[float]:
    """Start the product, stop it after the block; how many seconds it took until it said that it is ready."""
    command = [str(CHECKOUT / "scripts" / "run"), "--no-browser", "--data-dir", str(data_dir), *options]
    log = data_dir / "scripts-run.log"
    started = time.monotonic()
    with log.open("w") as output:
        running = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        while ready not in log.read_text():
            assert running.poll() is None, log.read_text()
            assert time.monotonic() - started < START_TIMEOUT_S, log.read_text()
            time.sleep(0.1)
        yield time.monotonic() - started
    finally:
        running.send_signal(signal.SIGINT)
        status = running.wait(STOP_TIMEOUT_S)
    assert status == 0, log.read_text()


def memory_of(data_dir: Path) -> Mapping[str, Any]:
    """What `scripts/run` remembers."""
    return json.loads((data_dir / "secrets" / "scripts-run.json").read_text())


def processes_of(data_dir: Path) -> dict[int, list[str]]:
    """The processes that work for the product in this folder, and their arguments."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(data_dir).encode() in (process / "environ").read_bytes():
                found[int(process.name)] = (process / "cmdline").read_bytes().decode().split("\0")
    return found


def answers(url: str) -> bool:
    """Whether a backend answers there."""
    with suppress(requests.ConnectionError):
        return _get(f"{url}/health").ok
    return False


def figures_of(url: str) -> Mapping[str, float]:
    """What a backend counts, by name and labels as its /metrics has them."""
    lines = [line for line in _get(f"{url}/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def environment_without_ours() -> dict[str, str]:
    ours = ("CLEANPLATE_", "LABEL_STUDIO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def free_port() -> int:
    """A port below those that the system gives to others while the product starts."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _get(url: str) -> requests.Response:
    return requests.get(url, timeout=STOP_TIMEOUT_S, proxies={"http": ""})
