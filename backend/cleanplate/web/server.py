import errno
import ipaddress
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, TypeAlias

import structlog
from flask import Flask
from waitress import wasyncore  # type: ignore[import-untyped]  # waitress has no types
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]  # the same
from waitress.task import ThreadedTaskDispatcher  # type: ignore[import-untyped]  # the same

from cleanplate.errors import SettingsError
from cleanplate.web.app import web_of
from cleanplate.web.connections import Listener, Patience
from cleanplate.web.options import WebOptions

log = structlog.get_logger()

_MAX_HEAD_BYTES: Final = 32 * 1024

_NO_LIMIT: Final = 10**19
"""Our own rules limit bodies: one place that refuses them, and one wording."""

_BACKLOG: Final = 1024
"""So many clients may knock at once: a burst of webhooks waits in the kernel and is not turned away."""

_FEW_DESCRIPTORS: Final = 16
"""The listening sockets and the pipe that wakes the loop count among waitress's connections."""

_IDLE_S: Final = 75
"""A kept-alive connection is closed after this time without a request."""

_TICK_S: Final = 1.0

_FAREWELL_S: Final = 0.2
"""Idle workers need a moment to end; one that outlasted the grace ends with the process."""

_Address: TypeAlias = tuple[socket.AddressFamily, tuple[Any, ...]]

_NO_SUCH_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class Server:
    """Serves an app in this process: one thread for all connections, several for complete requests.

    Raises:
        SettingsError: The address is not free, or open to others without basic auth.
    """

    def __init__(
        self, app: Flask, *, host: str, port: int, patience: Patience | None = None, grace_s: float = 8.0
    ) -> None:
        web = web_of(app)
        patience = patience or Patience()
        addresses = _addresses(host, port)
        _require_protection(web.options, host, addresses)
        sockets = _bind(addresses, host)
        adjustments = Adjustments(
            sockets=sockets,
            threads=web.options.threads,
            ident="cleanplate",
            backlog=_BACKLOG,
            max_request_header_size=_MAX_HEAD_BYTES,
            max_request_body_size=_NO_LIMIT,
            # Bodies hold masks and addresses of images; none of it is written to disk.
            inbuf_overflow=web.options.max_body_bytes + 1,
            connection_limit=patience.crowd + _FEW_DESCRIPTORS,
            channel_timeout=_IDLE_S,
            cleanup_interval=1,
            asyncore_use_poll=True,
            log_socket_errors=False,
        )
        self._grace_s = grace_s
        self._stopping = threading.Event()
        self._map: dict[int, Any] = {}
        self._workers = ThreadedTaskDispatcher()
        self._workers.set_thread_count(web.options.threads)
        self._listeners = [
            Listener(
                app,
                self._map,
                _sock=one,
                dispatcher=self._workers,
                adj=adjustments,
                sockinfo=(one.family, one.type, one.proto, one.getsockname()),
                bind_socket=False,
                admission=web.admission,
                metrics=web.metrics,
                patience=patience,
            )
            for one in sockets
        ]
        self.host, self.port = host, int(sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    def run(self) -> None:
        """Serve until `stop` is called, then answer what has come in already and return."""
        while not self._stopping.is_set():
            wasyncore.loop(timeout=_TICK_S, use_poll=True, map=self._map, count=1)
        for listener in self._listeners:
            wasyncore.dispatcher.close(listener)
        end = time.monotonic() + self._grace_s
        while any(listener.is_busy for listener in self._listeners) and time.monotonic() < end:
            wasyncore.loop(timeout=_TICK_S, use_poll=True, map=self._map, count=1)
        self._workers.shutdown(timeout=_FAREWELL_S)
        wasyncore.close_all(self._map)

    def stop(self) -> None:
        """Make `run` return soon. Safe to call from any thread, and from a signal handler."""
        self._stopping.set()
        with suppress(OSError):
            self._listeners[0].pull_trigger()


def serve(app: Flask, *, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve an app until the process is told to stop (SIGTERM, or Ctrl-C).

    Args:
        app: made by `create_app`.
        host: a name or an address; all its addresses are listened on.
        port: 0 takes a free one.
        ready: called with the URL as soon as connections are accepted.

    Raises:
        SettingsError: The address is not free, or open to others without basic auth.
    """
    # Full worker threads are a figure in /metrics, not a line per request.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = Server(app, host=host, port=port)
    with _stopping_at_signals(server):
        log.info("serving", url=server.url)
        ready(server.url)
        server.run()
    log.info("stopped serving", url=server.url)


@contextmanager
def _stopping_at_signals(server: Server) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _addresses(host: str, port: int) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise SettingsError(f"{host!r} is not an address of this machine") from None
    return list(dict.fromkeys((family, tuple(address)) for family, _, _, _, address in found))


def _require_protection(options: WebOptions, host: str, addresses: list[_Address]) -> None:
    if options.basic_auth:
        return
    if not all(ipaddress.ip_address(address[0].partition("%")[0]).is_loopback for _, address in addresses):
        raise SettingsError(
            f"{host} can be reached from other machines: set CLEANPLATE_BASIC_AUTH_USER and _PASSWORD (and give them "
            "to the ML backend in Label Studio), or serve on 127.0.0.1"
        )


def _bind(addresses: list[_Address], host: str) -> list[socket.socket]:
    """Bind every address of the host that this machine has."""
    bound: list[socket.socket] = []
    for family, address in addresses:
        port = bound[0].getsockname()[1] if bound else address[1]
        try:
            bound.append(socket.create_server((address[0], port), family=family, backlog=_BACKLOG))
        except OSError as error:
            if error.errno in _NO_SUCH_ADDRESS and len(addresses) > 1:
                continue
            for one in bound:
                one.close()
            why = error.strerror or str(error)
            raise SettingsError(f"cannot serve on {host}, port {port}: {why}") from None
    if not bound:
        raise SettingsError(f"this machine has none of the addresses of {host!r}")
    return bound
