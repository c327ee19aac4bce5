"""HTTP connections to servers that tenants name. A name is looked up once, whoever connects looks at each of its
addresses, and the connection goes to one that was looked at: a name which then means another address
gains nothing. Nor does one whose host sends a byte now and then: all that is asked of it has one deadline.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, cast

from kumoi.base.address import Address

PORTS = {"http": 80, "https": 443}
CONNECT_WITHIN_S = 10.0
GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")  # All of IPv6 that was ever given to the internet.
NOBODYS_IPV6 = tuple(
    ipaddress.ip_network(each)
    for each in (
        "2001::/32",  # Teredo and 6to4: another address is inside.
        "2002::/16",
        "3fff::/20",  # For documents.
    )
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")
IPV4_BITS = 0xFFFFFFFF
SILENT_MAX_S = 30.0


def addresses_of(host: str, port: int) -> list[Address]:
    """Those of a name, as the resolver orders them. Raises OSError and UnicodeError where there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found)
    return [ipaddress.ip_address(text) for text in texts]


def is_public(address: Address) -> bool:
    """Whether it is the internet's. The IPv4 address that is written as IPv6 counts as itself, also as a
    network that translates does.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    inner = address.ipv4_mapped
    if inner is None and address in NAT64:
        inner = ipaddress.IPv4Address(int(address) & IPV4_BITS)
    if inner is not None:
        return is_public(inner)
    is_nobodys = any(address in network for network in NOBODYS_IPV6)
    return address in GLOBAL_IPV6 and address.is_global and not is_nobodys


class PinnedConnection(http.client.HTTPConnection):
    """To the first of these addresses that answers; by TLS with the host's name where the scheme is https. What
    is not there at `until_s`, by the monotonic clock, raises TimeoutError.
    """

    def __init__(
        self, scheme: str, host: str, port: int, addresses: Sequence[str], *, until_s: float
    ) -> None:
        super().__init__(host, port, timeout=SILENT_MAX_S)
        self.response_class = cast("Any", functools.partial(TimedResponse, until_s))
        self._until_s = until_s
        self.default_port = PORTS[scheme]  # Else the name in Host has the port.
        self._is_tls = scheme == "https"
        self._addresses = addresses

    def connect(self) -> None:
        *others, last = self._addresses
        for address in others:
            with contextlib.suppress(OSError):
                self.sock = self._link(address)
                break
        else:
            self.sock = self._link(last)
        self.sock.settimeout(_left_s(self._until_s, SILENT_MAX_S))
        if self._is_tls:
            self.sock = _tls().wrap_socket(self.sock, server_hostname=self.host)

    def _link(self, address: str) -> socket.socket:
        within_s = _left_s(self._until_s, CONNECT_WITHIN_S)
        return socket.create_connection((address, self.port), within_s)


class TimedResponse(http.client.HTTPResponse):
    def __init__(self, until_s: float, sock: socket.socket, *args: Any, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp.close()
        self.fp = io.BufferedReader(TimedReader(sock, until_s))


class TimedReader(io.RawIOBase):
    """What comes of a socket until then."""

    def __init__(self, sock: socket.socket, until_s: float) -> None:
        self._sock, self._until_s = sock, until_s
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left_s(self._until_s, SILENT_MAX_S))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _left_s(until_s: float, most_s: float) -> float:
    """How long to wait for the next thing. Raises TimeoutError."""
    left_s = min(most_s, until_s - time.monotonic())
    if left_s <= 0:
        raise TimeoutError
    return left_s


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
