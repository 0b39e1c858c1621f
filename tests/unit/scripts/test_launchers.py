import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"
LAUNCHERS = ("run", "test", "check")


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_can_be_started_from_anywhere_and_explains_itself(name, tmp_path) -> None:
    command = [SCRIPTS / name, "--help"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert f"usage: scripts/{name}" in done.stdout


@pytest.mark.parametrize("name", [*LAUNCHERS, "interpreter.py"])
def test_an_old_python_can_read_what_tells_that_it_is_too_old(name) -> None:
    ast.parse((SCRIPTS / name).read_text(encoding="utf-8"), feature_version=(3, 6))


def test_half_an_address_of_another_label_studio_is_a_sentence(tmp_path) -> None:
    settings = {**os.environ, "LABEL_STUDIO_URL": "http://127.0.0.1:1", "LABEL_STUDIO_API_KEY": ""}
    command = [SCRIPTS / "run", "--data-dir", tmp_path]

    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "LABEL_STUDIO_API_KEY is not set" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_way_of_asking_the_product_to_stop_is_heard_even_in_the_background_of_a_shell_script(how) -> None:
    script = (
        f"import signal, sys, time; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        # Under nohup it would be ignored, and that would be right.
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "import product\n"
        "product.Product.run = lambda self: (print('running', flush=True), time.sleep(60))\n"
        "sys.exit(product.main([]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(how)

        assert process.wait(timeout=10) == 0
