"""A server that gives a file away, and the ways in which such servers fail."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class WeightsServer:
    """Serves one content under every path, on this machine only.

    Attributes:
        content: what it gives away.
        etag, modified: what it calls the version, and since when it says there is that; empty: it does not say.
        media_type: what it says the content is.
        resumes: whether it can begin in the middle.
        declares: whether it says how long the answer is; otherwise it just ends.
        cuts: after how many bytes each of the next answers breaks off.
        replies: what answers the next requests instead: a status and headers.
        requests: the headers of every request so far.
        targets: what every request asked for.
    """

    def __init__(self, content: bytes, *, tls: ssl.SSLContext | None = None) -> None:
        self.content = content
        self.etag = '"first"'
        self.modified = ""
        self.media_type = "binary/octet-stream"
        self.resumes = True
        self.declares = True
        self.cuts: list[int] = []
        self.replies: list[tuple[int, dict[str, str]]] = []
        self.requests: list[dict[str, str]] = []
        self.targets: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            # The handshake belongs to the thread of a connection: one that fails must not stop the server.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def address(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}/big.pt"

    @property
    def ranges(self) -> list[str | None]:
        """Which part each request asked for."""
        return [headers.get("Range") for headers in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append(dict(request.headers))
        self.targets.append(request.path)
        if self.replies:
            status, headers = self.replies.pop(0)
            self._head(request, status, headers, 0)
            return
        start = self._start(request)
        rest = self.content[start:]
        end = len(self.content) - 1
        if start > end:
            self._head(request, 416, {"Content-Range": f"bytes */{len(self.content)}"}, 0)
            return
        ranged = {"Content-Range": f"bytes {start}-{end}/{len(self.content)}"} if start else {}
        self._head(request, 206 if start else 200, ranged, len(rest))
        request.wfile.write(rest[: self.cuts.pop(0)] if self.cuts else rest)
        request.close_connection = True

    def _start(self, request: BaseHTTPRequestHandler) -> int:
        asked = request.headers.get("Range", "")
        if not asked or not self.resumes or request.headers.get("If-Range") not in {self.etag, self.modified}:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _head(self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], length: int) -> None:
        request.send_response(status)
        own = {
            "Content-Type": self.media_type,
            "ETag": self.etag,
            "Last-Modified": self.modified,
            "Connection": "close",
        }
        if self.declares:
            own["Content-Length"] = str(length)
        for name, value in (own | headers).items():
            if value:
                request.send_header(name, value)
        request.end_headers()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    return  # no handshake

            def do_GET(self) -> None:
                try:
                    server.answer(self)
                except OSError:
                    return  # the other side hung up, which is what some tests are about

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler
