"""The arithmetic of addresses: which are free, which a port may have. Pure.

A search starts after the address allocated last and wraps around. So its answer is the same every
time, an address that was just released is not allocated again at once, and the search is short
however large the pool is.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

SPANS_KEPT = NUMBERS_KEPT = 4_096
WINDOW = 256  # Taken addresses read at once.
NUMBER_MAX = (1 << 128) - 1
EUI64_PREFIX_MAX = 64
IPV4 = 4
IPV6 = 6
IPV4_LINK_PREFIX = 31  # From here on every address may be used: RFC 3021,
IPV6_LINK_PREFIX = 127  # and RFC 6164.

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Pool = tuple[int, int]  # First and last address, both included.
TakenFrom = Callable[[int, int], Sequence[int]]
"""The taken addresses from the first argument on, in order, at most as many as the second."""


class TakenAddresses:
    """The taken addresses of a subnet. What was read of them is kept, so that many that are allocated
    one after the other, each of which is to be added, cost one read.
    """

    def __init__(self, taken_from: TakenFrom) -> None:
        self._taken_from = taken_from
        self._first, self._last = 0, -1  # What `_read` is known of.
        self._read: Collection[int] = ()
        self._added: set[int] = set()

    def add(self, address: int) -> None:
        self._added.add(address)

    def first_free(self, first: int, last: int) -> int | None:
        """The lowest from `first` to `last` that is not taken."""
        for address in range(first, last + 1):
            if not self._first <= address <= self._last:
                self._look(address)
            if address not in self._read and address not in self._added:
                return address
        return None

    def _look(self, first: int) -> None:
        read = self._taken_from(first, WINDOW)
        self._first, self._last = first, read[-1] if len(read) == WINDOW else NUMBER_MAX
        self._read = frozenset(read)


def choose(pools: Iterable[Pool], after: int | None, taken: TakenAddresses) -> int | None:
    """The next free address after `after`, else the lowest before it; None when all are taken."""
    ordered = sorted(pools)
    if after is not None:
        beyond = [(max(first, after + 1), last) for first, last in ordered if last > after]
        found = _first_free(beyond, taken)
        if found is not None:
            return found
        ordered = [(first, min(last, after)) for first, last in ordered if first <= after]
    return _first_free(ordered, taken)


def as_pools(texts: Iterable[Sequence[str]]) -> list[Pool]:
    """The numbers of [first, last] pairs of addresses."""
    return [(_number(first), _number(last)) for first, last in texts]


@functools.lru_cache(maxsize=NUMBERS_KEPT)
def _number(text: str) -> int:
    return int(ipaddress.ip_address(text))


def to_text(number: int, version: int) -> str:
    """The address of that number."""
    return str(ipaddress.IPv4Address(number) if version == IPV4 else ipaddress.IPv6Address(number))


def size(pools: Iterable[Pool]) -> int:
    """How many addresses the pools have."""
    return sum(last - first + 1 for first, last in pools)


def default_pools(cidr: str, gateway: str | None) -> list[list[str]]:
    """The pools of a subnet that names none: all that a port may have, without the gateway."""
    network = ipaddress.ip_network(cidr)
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == IPV4 and network.prefixlen < IPV4_LINK_PREFIX:
        first, last = first + 1, last - 1
    elif network.version == IPV6 and network.prefixlen < IPV6_LINK_PREFIX:
        first += 1  # The subnet-router anycast address.
    ranges = [(first, last)]
    if gateway is not None:
        middle = int(ipaddress.ip_address(gateway))
        if first <= middle <= last:
            ranges = [(first, middle - 1), (middle + 1, last)]
    version = network.version
    return [[to_text(low, version), to_text(high, version)] for low, high in ranges if low <= high]


def is_usable(cidr: str, address: str) -> bool:
    """Whether a port may have the address: it is on the network, and is neither the network's own
    address nor IPv4's broadcast address.
    """
    network, wanted = ipaddress.ip_network(cidr), ipaddress.ip_address(address)
    if wanted not in network:
        return False
    if network.version == IPV4:
        reserved = {network.network_address, network.broadcast_address}
        return network.prefixlen >= IPV4_LINK_PREFIX or wanted not in reserved
    return network.prefixlen >= IPV6_LINK_PREFIX or wanted != network.network_address


@dataclass(frozen=True, slots=True)
class Span:
    """A network as numbers: its first and its last address."""

    version: int
    first: int
    last: int

    def overlaps(self, other: Span) -> bool:
        return (
            self.version == other.version and self.first <= other.last and other.first <= self.last
        )

    def holds(self, other: Span) -> bool:
        """Whether all of the other is in this one."""
        return (
            self.version == other.version and self.first <= other.first and other.last <= self.last
        )


@functools.lru_cache(maxsize=SPANS_KEPT)
def span(cidr: str) -> Span:
    """A network is looked at with every subnet beside it, and to read its text takes longer."""
    network = ipaddress.ip_network(cidr)
    return Span(network.version, int(network.network_address), int(network.broadcast_address))


def eui64(cidr: str, mac: str) -> str:
    """The address that a server with that MAC configures by itself (SLAAC) on an IPv6 network."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    interface = bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])
    base = int(ipaddress.IPv6Network(cidr).network_address)
    return str(ipaddress.IPv6Address(base | int.from_bytes(interface, "big")))


def _first_free(pools: Iterable[Pool], taken: TakenAddresses) -> int | None:
    found = (taken.first_free(first, last) for first, last in pools)
    return next((address for address in found if address is not None), None)
