"""The services that the benchmark `click` measures: cleanplate with some settings, and HumanSignal's example."""

import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests
from click_annotators import Annotator, Answer, ImageTask
from click_masks import CHOICE
from environments import CHECKOUT, Environment
from process_figures import family_cpu_s, family_peak_bytes, restart_family_peak
from processes import Service, stop_all

HERE: Final = Path(__file__).resolve().parent
THREADS: Final = 2
THREAD_SETTINGS: Final = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS)),
    "OMP_WAIT_POLICY": "PASSIVE",
}
START_TIMEOUT_S: Final = 300.0
POLL_S: Final = 0.05
PROBE_S: Final = 1.0
CALM_S: Final = 1.0
CALM_CPU_S: Final = 0.15
EXAMPLE: Final = Path("label_studio_ml") / "examples" / "segment_anything_model"
NAME: Final = "example"


@dataclass(frozen=True)
class Variant:
    """The product with some settings."""

    name: str
    settings: Mapping[str, str]

    @classmethod
    def from_text(cls, text: str) -> "Variant":
        """Read `NAME` or `NAME:SETTING=VALUE,SETTING=VALUE`."""
        name, _, pairs = text.partition(":")
        settings = dict(pair.split("=", 1) for pair in pairs.split(",") if pair)
        return cls(name, settings)


@dataclass(frozen=True)
class Office:
    """What all services share.

    Attributes:
        folder: for their files and logs.
        checkpoint: SAM's weights.
        label_studio: its address and a token.
    """

    folder: Path
    checkpoint: Path
    label_studio: tuple[str, str]

    @property
    def choice(self) -> Path:
        """The file that says what masks are drawn."""
        return self.folder / "masks.txt"

    def draw(self, masks: str) -> None:
        """Say what masks are to be drawn: BLOB or NOISE."""
        self.choice.write_text(masks, encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """What every service is started with."""
        url, token = self.label_studio
        return {
            **THREAD_SETTINGS,
            "LABEL_STUDIO_URL": url,
            "LABEL_STUDIO_API_KEY": token,
            CHOICE: str(self.choice),
        }

    @property
    def own_environment(self) -> dict[str, str]:
        """What cleanplate is started with."""
        return {
            **self.environment,
            "PYTHONPATH": str(CHECKOUT / "backend"),
            "CLEANPLATE_DATA_DIR": tempfile.mkdtemp(prefix="data-", dir=self.folder),
            "CLEANPLATE_SEGMENTER": "sam",
            "CLEANPLATE_SAM_CHECKPOINT": str(self.checkpoint),
        }


@dataclass
class ClickService:
    """A backend on a port of its own."""

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str]
    url: str
    log: Path
    _service: Service | None = None

    def start(self, task: ImageTask) -> Answer:
        """Start it and click; the answer, its time counted from the start of the process."""
        start = time.perf_counter()
        self._service = service = Service(self.name, self.command, environment=self.environment, log=self.log)
        while not self._answers():
            service.check()
            if time.perf_counter() - start > START_TIMEOUT_S:
                raise SystemExit(f"{self.name} does not start: see {self.log}")
            time.sleep(POLL_S)
        answer = Annotator(self.url).click(task)
        self.require(answer)
        return answer._replace(seconds=time.perf_counter() - start)

    def stop(self) -> None:
        """End it."""
        if self._service is not None:
            stop_all([self._service.process])

    def require(self, answer: Answer) -> None:
        """End the benchmark if a click that nothing disturbed got no mask."""
        if not answer.has_mask:
            raise SystemExit(f"{self.name} answered {answer.status} without a mask: see {self.log}")

    @property
    def cpu_s(self) -> float:
        """The processor time it has taken so far."""
        return family_cpu_s(self._process)

    @property
    def peak_bytes(self) -> int:
        """The sum of its processes' peaks so far."""
        return family_peak_bytes(self._process)

    def restart_peak(self) -> None:
        """Forget them."""
        restart_family_peak(self._process)

    def settle(self) -> None:
        """Wait until it does nothing any more."""
        before = -CALM_CPU_S
        while (now := self.cpu_s) - before > CALM_CPU_S:
            before = now
            time.sleep(CALM_S)

    @property
    def _process(self) -> int:
        assert self._service is not None, "only a service that runs is measured"  # noqa: S101
        return self._service.process.pid

    def _answers(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/health", timeout=PROBE_S, proxies={"http": ""}).ok
        return False


def cleanplate(variant: Variant, office: Office) -> ClickService:
    """The product."""
    port = _free_port()
    return ClickService(
        variant.name,
        (sys.executable, HERE / "click_serve.py", "--port", str(port)),
        {**office.own_environment, **variant.settings},
        f"http://127.0.0.1:{port}",
        office.folder / f"{variant.name}.log",
    )


def example(checkout: Path, environment: Environment, office: Office, *, workers: int, threads: int) -> ClickService:
    """HumanSignal's example, as its Dockerfile starts it.

    Args:
        checkout: of label-studio-ml-backend.
        environment: with what it needs.
        office: what services share.
        workers: of gunicorn's, each with a network of its own.
        threads: of each worker's.
    """
    port = _free_port()
    state = Path(tempfile.mkdtemp(prefix="example-", dir=office.folder))
    theirs = {
        "PYTHONPATH": os.pathsep.join(map(str, (HERE, checkout, checkout / EXAMPLE))),
        "SAM_CHOICE": "SAM",
        "VITH_CHECKPOINT": str(office.checkpoint),
        "MODEL_DIR": str(state),
        "XDG_CACHE_HOME": str(state),
        "XDG_DATA_HOME": str(state),
        "LOG_LEVEL": "ERROR",
    }
    options = ("--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--threads", str(threads), "--timeout", "0")
    return ClickService(
        NAME,
        (environment.program("gunicorn"), *options, "click_peer:app"),
        {**office.environment, **theirs},
        f"http://127.0.0.1:{port}",
        office.folder / f"{NAME}-{workers}x{threads}.log",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
