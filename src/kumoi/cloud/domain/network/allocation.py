"""Choose addresses: pure, from the pools and what is taken.

The next one after the one given last, and round again: the answer is the same every time, an
address that was just given back is not given out at once, and the search is short however large
the pool is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

WINDOW = 256  # Taken addresses looked at in one go.
EUI64_PREFIX_MAX = 64
IPV4 = 4
IPV6 = 6
IPV4_LINK_PREFIX = 31  # From here on every address may be used: RFC 3021,
IPV6_LINK_PREFIX = 127  # and RFC 6164.

Pool = tuple[int, int]  # First and last address, both included.
TakenFrom = Callable[[int, int], Sequence[int]]
"""The taken addresses from the first argument on, in order, at most as many as the second."""


def choose(pools: Iterable[Pool], after: int | None, taken_from: TakenFrom) -> int | None:
    """The next free address after `after`, else the lowest before it; None when all are taken."""
    ordered = sorted(pools)
    if after is not None:
        beyond = [(max(first, after + 1), last) for first, last in ordered if last > after]
        found = _first_free(beyond, taken_from)
        if found is not None:
            return found
        ordered = [(first, min(last, after)) for first, last in ordered if first <= after]
    return _first_free(ordered, taken_from)


def as_pools(texts: Iterable[Sequence[str]]) -> list[Pool]:
    """From [first, last] pairs of text."""
    return [
        (int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last))) for first, last in texts
    ]


def size(pools: Iterable[Pool]) -> int:
    return sum(last - first + 1 for first, last in pools)


def default_pools(cidr: str, gateway: str | None) -> list[list[str]]:
    """All of a network but its own address, IPv4's broadcast address and the gateway."""
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
    make = ipaddress.IPv4Address if network.version == IPV4 else ipaddress.IPv6Address
    return [[str(make(low)), str(make(high))] for low, high in ranges if low <= high]


def eui64(cidr: str, mac: str) -> str:
    """The address that a server makes itself on an IPv6 network of at most 64 bits."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 0x02
    interface = bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])
    base = int(ipaddress.IPv6Network(cidr).network_address)
    return str(ipaddress.IPv6Address(base | int.from_bytes(interface, "big")))


def _first_free(pools: Iterable[Pool], taken_from: TakenFrom) -> int | None:
    for first, last in pools:
        candidate = first
        while candidate <= last:
            taken = taken_from(candidate, WINDOW)
            for address in taken:
                if address != candidate:
                    break
                candidate += 1
            else:
                if len(taken) == WINDOW:
                    continue  # All of the window is taken without a gap; look further.
            if candidate <= last:
                return candidate
    return None
