"""Where waitress is made stricter about what a connection may do before its request is complete.

waitress reads requests in one thread and hands complete ones to its workers, so a slow client holds no worker. Three
things it leaves open are closed here: it reads a body before anybody is asked whether it may come in, a request may
take for ever as long as a byte comes now and then, and a refused client sees its connection reset before it has read
why.
"""

import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import orjson
import structlog
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]  # waitress has no types
from waitress.parser import HTTPRequestParser, ParsingError  # type: ignore[import-untyped]  # the same
from waitress.server import TcpWSGIServer  # type: ignore[import-untyped]  # the same
from waitress.task import ErrorTask  # type: ignore[import-untyped]  # the same
from waitress.utilities import BadRequest, Error  # type: ignore[import-untyped]  # the same

from cleanplate.web.admission import Admission, Head
from cleanplate.web.answers import INTERNAL, INTERNAL_MESSAGE, error_json, new_request_id
from cleanplate.web.metrics import Metrics
from cleanplate.web.refusals import RequestRefusedError

log = structlog.get_logger()

_DISCARD_BYTES: Final = 65536

_FOLDED: Final = re.compile(rb"\r\n[ \t]")
"""A header's value over two lines: allowed once upon a time, and read by every server in another way since."""

_REFUSALS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        HTTPStatus.BAD_REQUEST: (RequestRefusedError.reason, "this is not a complete and valid HTTP request"),
        HTTPStatus.REQUEST_TIMEOUT: ("request_timeout", "the request did not arrive in time"),
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: ("headers_too_large", "the headers are over the limit"),
        HTTPStatus.NOT_IMPLEMENTED: ("not_implemented", "this transfer coding is not supported"),
    }
)
"""Reason and message by status. waitress's own messages quote headers, and a header can hold a secret."""


@dataclass(frozen=True)
class Patience:
    """How long a connection may stay while nothing is to be done for it.

    Attributes:
        receive_s: from a request's first byte to its last.
        linger_s: so long a refused client may go on sending, to nobody.
        crowd: with this many connections, those that have asked nothing yet must go.
        crowded_s: but not before this time.
    """

    receive_s: float = 30.0
    linger_s: float = 2.0
    crowd: int = 512
    crowded_s: float = 0.5


class Listener(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """A listening socket, and what its connections have to know."""

    def __init__(self, *args: Any, admission: Admission, metrics: Metrics, patience: Patience, **kwargs: Any) -> None:
        self.admission = admission
        self.metrics = metrics
        self.patience = patience
        self.channel_class = Connection
        super().__init__(*args, **kwargs)

    def maintenance(self, now: float) -> None:
        """Called by waitress once a second."""
        super().maintenance(now)
        connections = tuple(self.active_channels.values())
        crowded = len(connections) >= self.patience.crowd
        for connection in connections:
            connection.end_if_late(crowded=crowded)

    @property
    def is_busy(self) -> bool:
        """Whether a complete request is not answered yet."""
        return any(channel.requests or channel.total_outbufs_len for channel in self.active_channels.values())


class Connection(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """One client's connection: silent, receiving a request, working on it, or lingering after a refusal."""

    request: Any
    requests: list[Any]

    def __init__(self, server: Listener, *args: Any, **kwargs: Any) -> None:
        self.parser_class = partial(_Parser, admission=server.admission)
        self.error_task_class = _RefusalTask
        self._patience = server.patience
        self._silent_since = time.monotonic()
        self._receiving_since: float | None = None
        self._must_linger = False
        self._lingering_since: float | None = None
        super().__init__(server, *args, **kwargs)

    def end_if_late(self, *, crowded: bool) -> None:
        """End the connection if it keeps us waiting for a request."""
        now = time.monotonic()
        if self._lingering_since is not None:
            if now - self._lingering_since > self._patience.linger_s:
                self.handle_close()
        elif self.requests:
            return
        elif crowded and now - (self._receiving_since or self._silent_since) > self._patience.crowded_s:
            # There may be hundreds of these: they get no answer, so that those who do ask something get theirs.
            self.will_close = True
        elif self._receiving_since is not None and now - self._receiving_since > self._patience.receive_s:
            self._give_up(_TooSlowError(""))

    def received(self, data: bytes) -> bool:
        """Called by waitress with what came in."""
        accepted: bool = super().received(data)
        if self.request is None:
            self._receiving_since = None
        elif self._receiving_since is None:
            self._receiving_since = time.monotonic()
        return accepted

    def handle_read(self) -> None:
        """Called by waitress when something came in, or the client will send no more."""
        if self._lingering_since is not None:
            self.recv(_DISCARD_BYTES)
        elif self.request is not None and not self.requests and self._has_ended():
            self._give_up(BadRequest(""))
        else:
            super().handle_read()

    def service(self) -> None:
        """Called by waitress in a worker: answer the first complete request."""
        request = self.requests[0]
        self._must_linger = bool(request.error or request.refused)
        super().service()
        self._silent_since = time.monotonic()

    def handle_close(self) -> None:
        """Called by waitress when it is done with the connection.

        Closing a socket with unread bytes in it resets the connection, and the client loses the answer with it. So a
        refused client is told that no more will come, and is listened to for a little while.
        """
        if self._must_linger and self._lingering_since is None and self.connected:
            self._lingering_since = time.monotonic()
            self.will_close = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
            return
        super().handle_close()

    def _has_ended(self) -> bool:
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return False

    def _give_up(self, error: Error) -> None:
        with self.requests_lock:
            request, self.request, self._receiving_since = self.request, None, None
            request.error = error
            request.completed = True
            self.requests.append(request)
        self.server.add_task(self)


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Reads one request, and no byte of its body if its head is refused."""

    refused = False

    def __init__(self, adj: object, *, admission: Admission) -> None:
        super().__init__(adj)
        self._admission = admission

    def received(self, data: bytes) -> int:
        """Called by waitress; returns how many bytes belong to this request."""
        had_head = self.headers_finished
        consumed: int = super().received(data)
        if self.headers_finished and not had_head and not self.completed:
            self._ask()
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Called by waitress with the whole head."""
        if _FOLDED.search(header_plus):
            raise ParsingError("a header goes on in the next line")
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            # The standard library's view of some addresses, `http://[` for one; waitress would drop the connection.
            raise ParsingError("the address in the request line is malformed") from error

    def _ask(self) -> None:
        if self.chunked:
            # waitress takes this header away when it will unchunk the body; the rules are about what was sent.
            self.headers["TRANSFER_ENCODING"] = "chunked"
        head = Head(method=self.command, path="/" + self.path.lstrip("/"), headers=self.headers)
        try:
            self._admission.require(head)
        except RequestRefusedError:
            # The app refuses it for the same reason and writes the answer; after that the connection ends.
            self.refused = True
            self.completed = True
            self.expect_continue = False
            self.headers["CONNECTION"] = "close"


class _TooSlowError(Error):  # type: ignore[misc]  # waitress has no types
    code = HTTPStatus.REQUEST_TIMEOUT


class _RefusalTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """Answers what never became a request, in the manner of all our answers."""

    def execute(self) -> None:
        """Called by waitress."""
        status = HTTPStatus(self.request.error.code)
        reason, message = _REFUSALS.get(status, (INTERNAL, INTERNAL_MESSAGE))
        request_id = new_request_id()
        body = orjson.dumps(error_json(reason=reason, message=message, request_id=request_id))
        self.channel.server.metrics.failures.labels(reason).inc()
        log.info("connection refused", reason=reason, request_id=request_id)
        self.status = f"{status.value} {status.phrase}"
        self.response_headers += [("Content-Type", "application/json"), ("X-Request-Id", request_id)]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
