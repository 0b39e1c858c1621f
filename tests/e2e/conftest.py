"""The whole product, started as a person starts it, and a browser in front of it."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE))

from labelling import LabellingPage  # noqa: E402  (found through the line above)
from running import CHECKOUT, Product, environment_without_ours, free_port, memory_of, scripts_run  # noqa: E402
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


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """`scripts/run` with everything in a folder of its own, started for the second time."""
    for name in (".venv", ".venv-label-studio"):
        if not (CHECKOUT / name).is_dir():
            pytest.skip(f"{name} is missing; scripts/test makes it")
    data_dir = tmp_path_factory.mktemp("product")
    port, backend_port = free_port(), free_port()
    environment = {**environment_without_ours(), "CLEANPLATE_SWEEP_INTERVAL_S": str(SWEEP_INTERVAL_S)}
    with scripts_run(data_dir, environment, "--port", str(port), "--backend-port", str(backend_port)):
        first = memory_of(data_dir)
    with scripts_run(data_dir, environment) as second_start_s:
        settings = {
            "LABEL_STUDIO_URL": f"http://127.0.0.1:{port}",
            "LABEL_STUDIO_API_KEY": first["api_key"],
            "CLEANPLATE_DATA_DIR": str(data_dir),
            "CLEANPLATE_LOCAL_FILES_ROOT": str(data_dir / "files"),
        }
        yield Product(
            studio=Studio(settings["LABEL_STUDIO_URL"], first["api_key"]),
            backend_url=f"http://127.0.0.1:{backend_port}",
            data_dir=data_dir,
            settings={**environment, **settings},
            memories=(first, memory_of(data_dir)),
            second_start_s=second_start_s,
        )


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
    LabellingPage(context.new_page(), product.studio.url).log_in(*product.account)
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
