"""The whole product, started as a person starts it, and a browser in front of it."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

HERE: Final = Path(__file__).parent
CHECKOUT: Final = HERE.parents[1]
sys.path.insert(0, str(HERE))

from labelling import LabellingPage  # noqa: E402  (found through the line above)
from studio import SWEEP_INTERVAL_S, Studio  # noqa: E402

CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
    # Label Studio's pages ask for nothing outside; a browser left alone does.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
)
WINDOW: Final = {"width": 1440, "height": 900}
START_TIMEOUT_S: Final = 420
STOP_TIMEOUT_S: Final = 30
LOG_LINES: Final = 30
# Until Label Studio's page has faded everything in.
CALM_MS: Final = 1500


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Show with a failed test what the backend and the worker logged last."""
    report = yield
    product = getattr(item, "funcargs", {}).get("product")
    if report.failed and product is not None:
        for name in ("backend", "worker"):
            lines = (product.data_dir / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
            report.sections.append((f"the last lines of {name}.log", "\n".join(lines[-LOG_LINES:])))
    return report


@dataclass(frozen=True)
class Product:
    """The running product."""

    studio: Studio
    backend_url: str
    email: str
    password: str
    data_dir: Path
    settings: Mapping[str, str]

    def cleanplate(self, *arguments: str) -> Any:
        """Run a command of the command line with `--json`; what it prints."""
        command = [str(CHECKOUT / ".venv" / "bin" / "cleanplate"), *arguments, "--json"]
        done = subprocess.run(command, env=self.settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def connect(self, project: int) -> None:
        self.cleanplate("connect", "--project", str(project), "--backend-url", self.backend_url)

    @contextmanager
    def paused_worker(self) -> Iterator[None]:
        """Whatever happens in the block, the worker sees it afterwards."""
        worker = self._process("work")
        os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)

    def _process(self, command: str) -> int:
        """The process that runs this command of cleanplate's for this product."""
        ours = f"CLEANPLATE_DATA_DIR={self.data_dir}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                arguments = (process / "cmdline").read_bytes().split(b"\0")
                is_cleanplate = len(arguments) > 1 and arguments[1].endswith(b"/cleanplate")
                if is_cleanplate and arguments[2] == command.encode() and ours in (process / "environ").read_bytes():
                    return int(process.name)
        raise AssertionError(f"no running cleanplate {command}")

    def jobs(self, project: int) -> list[dict[str, Any]]:
        return self.cleanplate("jobs", "list", "--project", str(project))["jobs"]


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """`scripts/run`, with everything in a folder of its own."""
    for name in (".venv", ".venv-label-studio"):
        if not (CHECKOUT / name).is_dir():
            pytest.skip(f"{name} is missing; scripts/test makes it")
    data_dir = tmp_path_factory.mktemp("product")
    port, backend_port = free_port(), free_port()
    ours = ("CLEANPLATE_", "LABEL_STUDIO_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment["CLEANPLATE_SWEEP_INTERVAL_S"] = str(SWEEP_INTERVAL_S)
    ports = ("--port", str(port), "--backend-port", str(backend_port))
    command = [str(CHECKOUT / "scripts" / "run"), "--no-browser", "--data-dir", str(data_dir), *ports]
    log = data_dir / "scripts-run.log"
    with log.open("w") as output:
        running = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_until_ready(running, log)
        memory = json.loads((data_dir / "secrets" / "scripts-run.json").read_text())
        url = f"http://127.0.0.1:{port}"
        settings = {
            "LABEL_STUDIO_URL": url,
            "LABEL_STUDIO_API_KEY": memory["api_key"],
            "CLEANPLATE_DATA_DIR": str(data_dir),
            "CLEANPLATE_LOCAL_FILES_ROOT": str(data_dir / "files"),
        }
        yield Product(
            studio=Studio(url, memory["api_key"]),
            backend_url=f"http://127.0.0.1:{backend_port}",
            email=memory["email"],
            password=memory["password"],
            data_dir=data_dir,
            settings={**environment, **settings},
        )
    finally:
        running.send_signal(signal.SIGINT)
        status = running.wait(STOP_TIMEOUT_S)
    assert status == 0, log.read_text()


@pytest.fixture
def studio(product: Product) -> Studio:
    return product.studio


@pytest.fixture
def connected_project(product: Product) -> Callable[[str], int]:
    """Makes a project with this labelling config and connects it; its number."""

    def make(label_config: str) -> int:
        project = product.studio.create_project("Street privacy", label_config)
        product.connect(project)
        return project

    return make


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine; on Debian: apt install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_OPTIONS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def login(browser: Browser, product: Product) -> Any:
    """What the browser keeps of a login, so that one is enough."""
    context = browser.new_context(viewport=WINDOW)
    LabellingPage(context.new_page(), product.studio.url).log_in(product.email, product.password)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def context(browser: Browser, login: Any) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=WINDOW, storage_state=login)
    yield context
    context.close()


@pytest.fixture
def labelling(context: BrowserContext, product: Product) -> LabellingPage:
    return LabellingPage(context.new_page(), product.studio.url)


@pytest.fixture
def picture(pytestconfig: pytest.Config) -> Callable[[LabellingPage, str], None]:
    """Takes a picture of the page for the documentation, if that was asked for."""
    folder: Path | None = pytestconfig.getoption("--screenshots")

    def take(labelling: LabellingPage, name: str) -> None:
        if folder is not None:
            labelling.page.wait_for_timeout(CALM_MS)
            labelling.screenshot(folder / f"{name}.png")

    return take


def wait_until_ready(running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while "cleanplate is ready" not in log.read_text():
        assert running.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def free_port() -> int:
    """A port below those that the system gives to others while the product starts."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
