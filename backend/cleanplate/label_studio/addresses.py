"""Which network addresses a download may reach, and connections that check it at the moment they are made."""

import http.client
import socket
import ssl
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from cleanplate.errors import UrlNotAllowedError

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


def _networks(*names: str) -> tuple[_Network, ...]:
    return tuple(ip_network(name) for name in names)


PRIVATE: Final = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",  # carriers' and overlay networks
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
)
"""Where a machine's own and its neighbours' services are: reached only if the admin named the origin."""

NEVER: Final = _networks(
    "0.0.0.0/8",  # this machine
    "100.100.100.200/32",  # one cloud's metadata
    "169.254.0.0/16",  # link-local, and most clouds' metadata
    "192.0.0.0/24",  # protocol assignments, and one cloud's metadata
    "192.0.2.0/24",  # documentation
    "192.88.99.0/24",  # 6to4 relays
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "::/128",  # this machine
    "64:ff9b::/96",  # IPv4 in disguise
    "64:ff9b:1::/48",  # IPv4 in disguise
    "100::/64",  # discarded
    "2001::/23",  # protocol assignments, and Teredo
    "2001:db8::/32",  # documentation
    "2002::/16",  # IPv4 in disguise
    "3fff::/20",  # documentation
    "5f00::/16",  # segment routing
    "fd00:ec2::/32",  # one cloud's metadata
    "fe80::/10",  # link-local
    "fec0::/10",  # link-local of old
    "ff00::/8",  # multicast
)
"""Addresses no image comes from, whatever the admin named. Python's `is_global` calls some of these global."""


def require_allowed(address: str, *, private: bool) -> None:
    """Check an address that a name was resolved to.

    Args:
        address: as `socket.getaddrinfo` gives it.
        private: whether private addresses are allowed, too.

    Raises:
        UrlNotAllowedError: The address is of a kind that is not reached.
    """
    parsed = _unwrapped(ip_address(address.partition("%")[0]))
    if _is_in(parsed, NEVER) or (_is_in(parsed, PRIVATE) and not private):
        raise UrlNotAllowedError("the image's address leads into a network that is not reached")


def _unwrapped(address: _Address) -> _Address:
    """The IPv4 address in an IPv6 one that only wraps it."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_in(address: _Address, networks: Iterable[_Network]) -> bool:
    return any(address in network for network in networks)


_MOST_TRIED: Final = 4

Resolve = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Every address of a name. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def connection(
    *, scheme: str, host: str, port: int, private: bool, timeout_s: float, resolve: Resolve = resolve
) -> http.client.HTTPConnection:
    """A connection that has not been made yet. When it is, it goes to an address that was checked, and to no other.

    The name is resolved once, every address of it must be allowed, and the socket is opened to one of these very
    addresses: a name server has no second chance to answer differently.
    """
    if scheme == "https":
        return _CheckedHttps(host, port, private=private, timeout_s=timeout_s, resolve=resolve)
    return _Checked(host, port, private=private, timeout_s=timeout_s, resolve=resolve)


class _Checked(http.client.HTTPConnection):
    def __init__(self, host: str, port: int, *, private: bool, timeout_s: float, resolve: Resolve) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self._private = private
        self._timeout_s = timeout_s
        self._resolve = resolve

    def connect(self) -> None:
        self.sock = self._opened()

    def _opened(self) -> socket.socket:
        addresses = self._resolve(self.host, self.port)
        for address in addresses:
            require_allowed(address, private=self._private)
        trouble = OSError("the name has no address")
        for address in addresses[:_MOST_TRIED]:
            try:
                return socket.create_connection((address, self.port), timeout=self._timeout_s)
            except OSError as error:
                trouble = error
        raise trouble


class _CheckedHttps(_Checked):
    default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        context = ssl.create_default_context()
        secured = context.wrap_socket(self._opened(), server_hostname=self.host, do_handshake_on_connect=False)
        self.sock = secured  # before the handshake, so that a handshake that never ends can be shut as well
        secured.do_handshake()
