import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import cleanplate
from cleanplate.errors import SettingsError
from cleanplate.web.app import create_app
from cleanplate.web.server import Server

PROGRAM = """
import signal, sys
sys.path.insert(0, sys.argv[1])
from conftest import CountingServices
from cleanplate.logs import configure_logs
from cleanplate.web.app import create_app
from cleanplate.web.credentials import WebhookSecrets
from cleanplate.web.options import WebOptions
from cleanplate.web.server import serve

configure_logs(level="info", style="json")
before = signal.getsignal(signal.SIGTERM)
app = create_app(CountingServices(), WebOptions(WebhookSecrets("secret")))
serve(app, host="127.0.0.1", port=0, ready=lambda url: print(url, flush=True))
assert signal.getsignal(signal.SIGTERM) is before
print("ended well", flush=True)
"""


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def wait_until_nobody_listens(port: int) -> None:
    while True:
        try:
            get(port, "/health")
        except ConnectionRefusedError:
            return
        except ConnectionError:
            continue  # it was in the queue when the listening ended


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104
def test_an_address_others_can_reach_needs_a_password(app, host: str) -> None:
    with pytest.raises(SettingsError, match="CLEANPLATE_BASIC_AUTH_USER"):
        Server(app, host=host, port=0)


def test_with_a_password_every_address_may_be_served(services, guarded) -> None:
    server = Server(create_app(services, guarded), host="0.0.0.0", port=0)  # noqa: S104
    server.stop()
    server.run()

    assert server.port > 0


def test_localhost_is_served_on_each_of_its_addresses_under_one_port(app) -> None:
    server = Server(app, host="localhost", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert get(server.port, "/health") == 200
        assert server.url == f"http://localhost:{server.port}"
    finally:
        server.stop()
        thread.join(10)


def test_a_taken_port_is_a_sentence(app) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(SettingsError, match=rf"cannot serve on 127\.0\.0\.1, port {port}"):
            Server(app, host="127.0.0.1", port=port)


@pytest.mark.parametrize("host", ["", "no such host", "203.0.113.7", "\udcff"])
def test_an_address_that_is_not_ours_is_a_sentence(services, guarded, host: str) -> None:
    with pytest.raises(SettingsError):
        Server(create_app(services, guarded), host=host, port=0)


def test_health_and_setup_are_answered_while_all_places_are_taken_by_clicks_that_wait(app, services, click) -> None:
    """Twenty click on cold images; none of them is answered before all that Label Studio asks meanwhile."""
    server = Server(app, host="127.0.0.1", port=0, grace_s=10)
    services.hold.clear()
    setup = {"project": "1.1", "schema": click["label_config"], "hostname": "http://ls", "access_token": "t"}

    def post(path: str, body: object) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            connection.request("POST", path, body=json.dumps(body))
            return connection.getresponse().status
        finally:
            connection.close()

    with ThreadPoolExecutor(32) as pool:
        run = pool.submit(server.run)
        clicks = [pool.submit(post, "/predict", click) for _ in range(20)]
        for _ in range(18):
            assert services.entered.acquire(timeout=10)

        meanwhile = [get(server.port, "/health") for _ in range(20)] + [post("/setup", setup) for _ in range(20)]
        waiting = sum(not one.done() for one in clicks)
        services.hold.set()
        answers = [one.result(20) for one in clicks]
        server.stop()
        run.result(20)

    assert meanwhile == [200] * 40
    assert waiting == 18
    assert sorted(answers) == [200] * 18 + [503] * 2


def test_what_has_come_in_is_answered_before_the_server_ends(app, services, click) -> None:
    server = Server(app, host="127.0.0.1", port=0, grace_s=10)
    services.hold.clear()

    def ask() -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        try:
            connection.request("POST", "/predict", body=json.dumps(click))
            return connection.getresponse().read()
        finally:
            connection.close()

    with ThreadPoolExecutor() as pool:
        run = pool.submit(server.run)
        clicked = pool.submit(ask)
        assert services.entered.acquire(timeout=10)
        server.stop()
        wait_until_nobody_listens(server.port)
        assert not clicked.done()
        threading.Event().wait(0.5)  # longer than idle workers are waited for
        services.hold.set()

        assert json.loads(clicked.result())["results"] == services.answer
        run.result(timeout=10)


def test_no_thread_of_an_ended_server_is_left(app) -> None:
    before = set(threading.enumerate())
    server = Server(app, host="127.0.0.1", port=0)
    assert len(set(threading.enumerate()) - before) >= 30

    server.stop()
    server.run()

    assert set(threading.enumerate()) == before


def test_a_request_that_outlasts_the_grace_is_not_waited_for(app, services, click) -> None:
    server = Server(app, host="127.0.0.1", port=0, grace_s=0)
    services.hold.clear()
    client = socket.socket()
    try:
        with ThreadPoolExecutor() as pool:
            run = pool.submit(server.run)
            client.connect(("127.0.0.1", server.port))
            body = json.dumps(click).encode()
            client.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            assert services.entered.acquire(timeout=10)
            server.stop()

            run.result(timeout=10)
            assert services.asked
    finally:
        services.hold.set()
        client.close()


def test_stopping_twice_and_after_the_end_is_nothing(app) -> None:
    server = Server(app, host="127.0.0.1", port=0)

    server.stop()
    server.run()
    server.stop()


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_the_process_ends_well_when_told_to(told: signal.Signals) -> None:
    package = Path(cleanplate.__file__).parents[1]
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(package)},
    )
    assert program.stdout is not None
    with program:
        url = program.stdout.readline().strip()
        assert get(int(url.rpartition(":")[2]), "/health") == 200

        program.send_signal(told)
        rest = program.stdout.read()
        assert program.wait(20) == 0

    assert rest == "ended well\n"
