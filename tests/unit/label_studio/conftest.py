import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


@dataclass(frozen=True)
class Asked:
    """A request as the server got it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class ScriptedServer:
    """Answers what it was told to, in order for each path – the last one for ever – and remembers what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    _answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)

    def on(self, method: str, path: str, status: int, body: Any = None, **headers: str) -> None:
        """Tell it an answer: bytes as they are, anything else as JSON. `Retry_After="3"` is a header."""
        is_bytes = isinstance(body, bytes)
        content = body if is_bytes else (b"" if body is None else json.dumps(body).encode())
        kind = "application/octet-stream" if is_bytes else "application/json"
        named = {"Content-Type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.setdefault((method, path), []).append(Answer(status, content, named))

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answers = self._answers.get((asked.method, asked.path), [])
        if not answers:
            return Answer(404, b'{"detail": "Not found."}', {"Content-Type": "application/json"})
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def server_factory() -> Iterator[Callable[[], ScriptedServer]]:
    """Starts as many servers as a test needs."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(_running())


@pytest.fixture
def server(server_factory: Callable[[], ScriptedServer]) -> ScriptedServer:
    return server_factory()


@contextmanager
def _running() -> Iterator[ScriptedServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            parts = urlsplit(self.path)
            asked = Asked(self.command, parts.path, parse_qs(parts.query), dict(self.headers), self.rfile.read(length))
            answer = scripted.answer(asked)
            self.send_response(answer.status)
            for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815  the names http.server looks for

        def log_message(self, *_: object) -> None:
            """Tests say nothing."""

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http_server.daemon_threads = True
    scripted = ScriptedServer(f"http://127.0.0.1:{http_server.server_address[1]}")
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield scripted
    http_server.shutdown()
    thread.join()
    http_server.server_close()
