import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cleanplate.errors import (
    MediaError,
    MediaMissingError,
    MediaTooLargeError,
    MediaUnavailableError,
    UrlNotAllowedError,
)
from cleanplate.label_studio.addresses import resolve
from cleanplate.label_studio.downloads import Deadline, Place, Redirect, download

UNTRUSTED = Path(__file__).parent / "data" / "untrusted.pem"
"""A certificate that nobody signed, with its key."""

OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"


@contextmanager
def peer(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server for one connection that says what it likes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    talk(connection)
                except OSError:
                    return  # the other side hung up, which is what some of these tests are about

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def saying(*parts: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        for part in parts:
            connection.sendall(part)

    return talk


def get(
    port: int, *, scheme: str = "http", max_bytes: int = 1000, deadline_s: float = 5, path: str = "/a.png"
) -> bytes | Redirect:
    return download(
        Place(scheme, "127.0.0.1", port, path, ""),
        private=True,
        max_bytes=max_bytes,
        timeout_s=5,
        deadline=Deadline(deadline_s),
        resolve=resolve,
    )


def test_a_file_is_downloaded_as_it_is() -> None:
    with peer(saying(OK + b"Content-Length: 4\r\n\r\n", b"\x89P", b"NG")) as port:
        assert get(port) == b"\x89PNG"


def test_a_file_in_chunks_is_downloaded() -> None:
    with peer(saying(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")) as port:
        assert get(port) == b"abcde"


def test_a_file_that_says_it_is_too_long_is_not_read() -> None:
    with peer(saying(OK + b"Content-Length: 10000000000\r\n\r\n")) as port, pytest.raises(MediaTooLargeError):
        get(port)


def test_a_file_that_never_ends_is_cut_off() -> None:
    def pour(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(OK + b"\r\n")
        while True:
            connection.sendall(b"x" * 4096)

    with peer(pour) as port, pytest.raises(MediaTooLargeError, match="longer than 1,000 bytes"):
        get(port)


def test_a_file_of_exactly_the_limit_is_read() -> None:
    with peer(saying(OK + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000)) as port:
        assert len(get(port)) == 1000


@pytest.mark.parametrize(
    "said", [OK + b"Content-Length: 900\r\n\r\nshort", OK, b"HTTP/1.1 200", b"", b"SSH-2.0-x\r\n\r\n"]
)
def test_an_answer_that_breaks_off_is_transient(said) -> None:
    with peer(saying(said)) as port, pytest.raises(MediaUnavailableError) as caught:
        get(port)
    assert caught.value.transient


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", OK + b"\r\n"])
def test_a_server_that_trickles_is_cut_off_at_the_deadline(begin) -> None:
    done = threading.Event()

    def trickle(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(begin)
        while not done.wait(0.01):
            connection.sendall(b"x" if begin else b"")

    with peer(trickle) as port:
        with pytest.raises(MediaUnavailableError, match="took longer than"):
            get(port, deadline_s=0.2)
        done.set()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, MediaMissingError),
        (410, MediaMissingError),
        (429, MediaUnavailableError),
        (408, MediaUnavailableError),
        (503, MediaUnavailableError),
        (500, MediaUnavailableError),
        (401, MediaError),
        (403, MediaError),
        (204, MediaError),
        (206, MediaError),
    ],
)
def test_each_status_is_its_own_kind_of_error(status, error) -> None:
    said = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()
    with peer(saying(said)) as port, pytest.raises(MediaError, match=str(status)) as caught:
        get(port)
    assert type(caught.value) is error


def test_a_busy_server_says_when_to_come_again() -> None:
    said = b"HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    with peer(saying(said)) as port, pytest.raises(MediaUnavailableError) as caught:
        get(port)
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_given_back_and_not_followed(status) -> None:
    answer = f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n".encode()
    with peer(saying(answer)) as port:
        assert get(port) == Redirect("http://127.0.0.1:9/x")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\nlogin",
        OK + b"Content-Length: 22\r\n\r\n\n<!DOCTYPE html><html> ",
        OK + b"Content-Length: 6\r\n\r\n<HTML>",
    ],
)
def test_a_web_page_is_not_taken_for_an_image(answer) -> None:
    with peer(saying(answer)) as port, pytest.raises(MediaUnavailableError, match="wants a login"):
        get(port)


def test_a_certificate_that_is_not_trusted_is_refused_for_good() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(UNTRUSTED)

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(OK + b"Content-Length: 4\r\n\r\n\x89PNG")

    with peer(talk) as port, pytest.raises(MediaError, match="certificate that is not trusted") as caught:
        get(port, scheme="https")
    assert not caught.value.transient


def test_https_is_not_spoken_with_a_server_that_does_not_know_it() -> None:
    with peer(saying(OK + b"Content-Length: 4\r\n\r\n\x89PNG")) as port, pytest.raises(MediaUnavailableError):
        get(port, scheme="https")


def test_a_handshake_that_never_ends_is_cut_off_at_the_deadline() -> None:
    done = threading.Event()

    def silent(_connection: socket.socket) -> None:
        done.wait()

    with peer(silent) as port:
        with pytest.raises(MediaUnavailableError, match="took longer than"):
            get(port, scheme="https", deadline_s=0.2)
        done.set()


def test_a_server_that_is_not_there_is_transient_and_not_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(MediaUnavailableError) as caught:
            get(taken.getsockname()[1], path="/secret-name.png")
    assert "secret-name" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b"])
def test_a_host_name_that_cannot_be_is_refused(host) -> None:
    with pytest.raises(UrlNotAllowedError, match="impossible host name"):
        download(
            Place("http", host, 80, "/", ""),
            private=False,
            max_bytes=10,
            timeout_s=1,
            deadline=Deadline(5),
            resolve=resolve,
        )


def test_what_needs_quoting_is_quoted_and_what_is_quoted_stays() -> None:
    place = Place("http", "h", 80, "/a b/ü%20.png", "x=1&sig=a%2Fb c/d")

    assert place.target == "/a%20b/%C3%BC%20.png?x=1&sig=a%2Fb%20c/d"
    assert Place("http", "h", 80, "", "").target == "/"


def test_a_line_break_in_a_path_starts_no_second_request() -> None:
    got: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        got.append(connection.recv(4096))
        connection.sendall(OK + b"Content-Length: 0\r\n\r\n")

    with peer(talk) as port:
        get(port, path="/a.png HTTP/1.1\r\nX-Smuggled: 1")
    assert b"\r\nX-Smuggled" not in got[0]
