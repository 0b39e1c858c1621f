import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from cleanplate.app.application import Application
from cleanplate.cli.serve import _web_options
from cleanplate.settings import read_settings


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen]:
    """A command in a process of its own, with what it logs as JSON on its error output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cleanplate", *arguments],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "CLEANPLATE_LOG_FORMAT": "json"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def logged(process, event):
    """The next line it logs that says this."""
    for text in process.stderr:
        line = json.loads(text)
        if line["event"] == event:
            return line
    raise AssertionError(f"{event!r} was never logged; the exit code is {process.wait()}")


@pytest.mark.usefixtures("label_studio")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_answers_until_it_is_told_to_stop_and_ends_quietly(number) -> None:
    with running("serve", "--port", "0") as process:
        url = logged(process, "serving")["url"]
        assert requests.get(f"{url}/health", timeout=10).status_code == 200

        process.send_signal(number)

        assert process.wait(timeout=20) == 0
        assert "Traceback" not in process.stderr.read()


def test_work_waits_for_a_label_studio_that_is_down_says_so_once_and_ends_quietly(monkeypatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token")
    with running("work") as process:
        assert logged(process, "sweep fails, and will try again")["reason"] == "label_studio_unreachable"

        process.send_signal(signal.SIGINT)

        rest = process.stderr.read()
        assert process.wait(timeout=20) == 0
        assert "sweep fails" not in rest
        assert "Traceback" not in rest


@pytest.mark.usefixtures("label_studio")
def test_a_port_that_is_taken_is_said_in_a_sentence(cleanplate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        answer = cleanplate("serve", "--port", port)

    assert answer.exit_code == 1
    assert f"port {port}" in answer.stderr


@pytest.mark.usefixtures("label_studio")
def test_others_are_not_served_without_basic_auth(cleanplate) -> None:
    answer = cleanplate("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104  (it is refused)

    assert answer.exit_code == 1
    assert "CLEANPLATE_BASIC_AUTH_USER" in answer.stderr


@pytest.mark.parametrize("command", ["serve", "work"])
def test_what_label_studio_is_has_to_be_set(cleanplate, command) -> None:
    answer = cleanplate(command)

    assert answer.exit_code == 1
    assert "LABEL_STUDIO_URL" in answer.stderr


@pytest.mark.usefixtures("label_studio")
@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        ("serve", "CLEANPLATE_SEGMENTER", "magic"),
        ("work", "CLEANPLATE_INPAINTER", "magic"),
        ("work", "CLEANPLATE_APPROVAL", "whenever"),
    ],
)
def test_a_setting_that_allows_no_work_ends_it_before_it_begins(cleanplate, monkeypatch, command, name, value) -> None:
    monkeypatch.setenv(name, value)

    answer = cleanplate(command)

    assert answer.exit_code == 1
    assert value in answer.stderr
    assert "Ctrl-C" not in answer.stderr


def test_the_web_gets_what_the_settings_say(monkeypatch) -> None:
    settings = {
        "CLEANPLATE_WEBHOOK_SECRET": "current-" * 3,
        "CLEANPLATE_WEBHOOK_SECRET_PREVIOUS": "previous" * 3,
        "CLEANPLATE_WEBHOOK_SECRET_PREVIOUS_UNTIL": "2026-11-20T12:00:00Z",
        "CLEANPLATE_BASIC_AUTH_USER": "studio",
        "CLEANPLATE_BASIC_AUTH_PASSWORD": "password",
        "CLEANPLATE_ALLOWED_HOSTS": "backend",
        "CLEANPLATE_MAX_BODY_BYTES": "2048",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    read = read_settings()

    options = _web_options(Application(read))

    end = read.webhook_secret_previous_until
    assert options.webhook_secrets.accepts("current-" * 3, end)
    assert not options.webhook_secrets.accepts("previous" * 3, end)
    assert options.webhook_secrets.previous == "previous" * 3
    assert (options.basic_auth.user, options.basic_auth.password) == ("studio", "password")
    assert options.allowed_hosts == {"backend"}
    assert options.max_body_bytes == 2048
