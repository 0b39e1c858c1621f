"""What a machine may lack, and what it must not.

A test skips, with its reason, when the machine lacks something. Where that was promised (`--forbid-skips`, given by
`.ci/run`) a skip is a failure.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import hypothesis
import pytest
import structlog

TESTS: Final = Path(__file__).parent
BENCHMARKS: Final = TESTS / "benchmarks"
LABEL_STUDIO_PYTHON: Final = TESTS.parent / ".venv-label-studio" / "bin" / "python"


# A machine that does other things as well must not fail a test that is right.
hypothesis.settings.register_profile("cleanplate", deadline=None)
hypothesis.settings.load_profile("cleanplate")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cleanplate")
    group.addoption("--forbid-skips", action="store_true", help="a skipped test is a failed one")
    group.addoption("--label-studio-python", type=Path, default=LABEL_STUDIO_PYTHON, help="the Python of Label Studio")
    group.addoption(
        "--screenshots", type=Path, help="let the browser's tests take the documentation's pictures into it"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the benchmarks out unless an argument points into them."""
    if collection_path != BENCHMARKS:
        return None
    asked = (config.invocation_params.dir / argument.partition("::")[0] for argument in config.args)
    return None if any(path.resolve().is_relative_to(BENCHMARKS) for path in asked) else True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the browser's tests last and on one worker: they share a Label Studio."""
    for item in items:
        if item.get_closest_marker("e2e") is not None:
            item.add_marker(pytest.mark.xdist_group("e2e"))
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn a test that skips into one that fails, where skips are forbidden."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--forbid-skips"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for a module that skips while it is imported."""
    report = yield
    if report.skipped and collector.config.getoption("--forbid-skips"):
        _fail(report)
    return report


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """What one test sets up for logging is nothing to the next."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def label_studio_python(pytestconfig: pytest.Config) -> Path:
    """The interpreter that has Label Studio and its SDK, for tests that ask them what is right."""
    python = pytestconfig.getoption("--label-studio-python")
    if not python.exists():
        pytest.skip(f"Label Studio is not installed in {python.parent.parent.name}; scripts/test installs it")
    return python


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    *_, reason = report.longrepr if isinstance(report.longrepr, tuple) else (report.longrepr,)
    report.outcome = "failed"
    report.longrepr = f"skips are forbidden here: {str(reason).removeprefix('Skipped: ')}"
