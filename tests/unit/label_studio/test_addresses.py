import socket
import threading

import pytest

from cleanplate.errors import UrlNotAllowedError
from cleanplate.label_studio.addresses import connection, require_allowed, resolve

NEVER = [
    "0.0.0.0",  # noqa: S104  it is refused here
    "0.1.2.3",
    "169.254.169.254",
    "192.0.0.192",
    "100.100.100.200",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001::1",
    "2001:db8::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
]
PRIVATE = ["127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "::1"]
PRIVATE += ["fc00::1", "fd12:3456::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"]
PUBLIC = ["93.184.216.34", "8.8.8.8", "172.32.0.1", "2606:2800:220:1::1", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_never_reached(address) -> None:
    for private in (False, True):
        with pytest.raises(UrlNotAllowedError):
            require_allowed(address, private=private)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_reached_only_where_they_were_named(address) -> None:
    require_allowed(address, private=True)
    with pytest.raises(UrlNotAllowedError):
        require_allowed(address, private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address) -> None:
    require_allowed(address, private=False)


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "0", "①②⑦.⓪.⓪.①"])
def test_other_spellings_of_an_address_are_checked_by_what_they_mean(name) -> None:
    for address in resolve(name, 80):
        with pytest.raises(UrlNotAllowedError):
            require_allowed(address, private=False)


def test_one_bad_address_among_good_ones_is_enough_to_refuse() -> None:
    line = connection(
        scheme="http",
        host="mixed.example",
        port=80,
        private=False,
        timeout_s=0.1,
        resolve=lambda *_: ["93.184.216.34", "169.254.169.254"],
    )

    with pytest.raises(UrlNotAllowedError):
        line.connect()
    assert line.sock is None


def test_the_connection_goes_to_the_address_that_was_checked_and_the_name_is_asked_for_once() -> None:
    asked: list[str] = []
    got: list[bytes] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                got.append(peer.recv(4096))
                peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        line = connection(scheme="http", host="images.example", port=port, private=True, timeout_s=5, resolve=rebinding)
        line.request("GET", "/a.png")
        assert line.getresponse().status == 204
        line.close()
        thread.join()

    assert asked == ["images.example"]
    assert f"Host: images.example:{port}\r\n".encode() in got[0]


def test_the_next_address_is_tried_when_one_is_dead() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = connection(
            scheme="http",
            host="two.example",
            port=listener.getsockname()[1],
            private=True,
            timeout_s=5,
            resolve=lambda *_: ["127.0.0.2", "127.0.0.1"],
        )
        line.connect()
        line.close()


def test_a_name_without_an_address_is_an_error_of_the_network() -> None:
    line = connection(scheme="https", host="none.example", port=443, private=False, timeout_s=1, resolve=lambda *_: [])

    with pytest.raises(OSError, match="no address"):
        line.connect()
