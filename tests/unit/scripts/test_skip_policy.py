import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[2] / "conftest.py"
SKIPPING = "import pytest\n\ndef test_needs_a_browser():\n    pytest.skip('no chromium here')\n"
SKIPPING_AS_A_WHOLE = "import pytest\n\npytest.skip('no redis here', allow_module_level=True)\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(CONFTEST, tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\nmarkers =\n    e2e: browser\n")
    return tmp_path


def run_pytest(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-ra", *arguments]
    # Other plugins take two seconds to load and have no part in this.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def test_a_skip_passes_with_its_reason_where_nothing_was_promised(checkout) -> None:
    (checkout / "tests" / "test_one.py").write_text(SKIPPING)

    result = run_pytest(checkout)

    assert result.returncode == 0
    assert "1 skipped" in result.stdout
    assert "no chromium here" in result.stdout


def test_a_skip_fails_with_its_reason_where_skips_are_forbidden(checkout) -> None:
    (checkout / "tests" / "test_one.py").write_text(SKIPPING)

    result = run_pytest(checkout, "--forbid-skips")

    assert result.returncode == 1
    assert "1 failed" in result.stdout
    assert "skips are forbidden here: no chromium here" in result.stdout


def test_a_module_that_skips_as_a_whole_fails_where_skips_are_forbidden(checkout) -> None:
    (checkout / "tests" / "test_one.py").write_text(SKIPPING_AS_A_WHOLE)

    result = run_pytest(checkout, "--forbid-skips")

    assert result.returncode != 0
    assert "skips are forbidden here: no redis here" in result.stdout


def test_benchmarks_run_only_when_asked_for_by_path(checkout) -> None:
    benchmarks = checkout / "tests" / "benchmarks"
    benchmarks.mkdir()
    (benchmarks / "test_speed.py").write_text("def test_is_fast():\n    pass\n")
    (checkout / "tests" / "test_one.py").write_text("def test_is_right():\n    pass\n")

    assert "1 passed" in run_pytest(checkout).stdout
    assert "1 passed" in run_pytest(checkout, "tests").stdout
    assert "2 passed" in run_pytest(checkout, "tests", "tests/benchmarks/test_speed.py::test_is_fast").stdout


def test_the_browser_comes_last(checkout) -> None:
    (checkout / "tests" / "test_a.py").write_text(
        "import pytest\n\n@pytest.mark.e2e\ndef test_clicks():\n    pass\n\ndef test_adds():\n    pass\n"
    )
    (checkout / "tests" / "test_b.py").write_text("def test_subtracts():\n    pass\n")

    order = [line.rpartition("::")[2] for line in run_pytest(checkout, "--collect-only").stdout.splitlines()]

    assert order[:3] == ["test_adds", "test_subtracts", "test_clicks"]
