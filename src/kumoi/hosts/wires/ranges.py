"""The address ranges of a cloud: chooses free ones, and checks those that were chosen.

`up` calls this before it changes anything. A range to which the machine has a route, or in which it
has an address, is not free; the cloud's own links do not count.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pyroute2 import IPRoute

from kumoi.base.errors import Conflict, Invalid

PREFIX_MAX_PUBLIC = 28
PREFIX_MAX_UNDERLAY = 29
CANDIDATES = tuple(
    (f"{start}.4.0/24", f"{start}.5.0/28")
    for start in ("172.24", "172.29", "10.249", "172.21", "10.87", "192.168")
)


@dataclass(frozen=True, slots=True)
class UsedRange:
    """A range in use; `who` says by what, for people."""

    network: ipaddress.IPv4Network
    who: str


def used(own_links: Collection[str]) -> list[UsedRange]:
    """The ranges of every route and address of this machine, but for the default route and those of
    our own links.
    """
    with IPRoute() as here:
        names = {link["index"]: link.get("ifname") for link in here.get_links()}
        found = []
        for address in here.get_addr(family=socket.AF_INET):
            name = names.get(address["index"], "?")
            where = f"{address.get('address')}/{address['prefixlen']}"
            network = ipaddress.IPv4Network(where, strict=False)
            if name not in own_links:
                found.append(UsedRange(network, f"{where} of the link {name}"))
        for route in here.get_routes(family=socket.AF_INET):
            name = names.get(route.get("oif"), "none")
            if name in own_links or not route["dst_len"]:
                continue
            where = f"{route.get('dst')}/{route['dst_len']}"
            network = ipaddress.IPv4Network(where, strict=False)
            if not (network.is_multicast or network.is_loopback):
                found.append(UsedRange(network, f"the route to {where}"))
    return found


def choose(
    taken: Sequence[UsedRange], public: str | None = None, underlay: str | None = None
) -> tuple[str, str]:
    """A public and an underlay range: those asked for, and the first free ones for the others.

    Raises Conflict when none is free.
    """
    for some_public, some_underlay in CANDIDATES:
        pair = (public or some_public, underlay or some_underlay)
        unasked = [cidr for cidr in pair if cidr not in {public, underlay}]
        if all(who_has(cidr, taken) is None for cidr in unasked) and not _overlap(*pair):
            return pair
    if public and underlay:
        return public, underlay  # They overlap, as `check` will say.
    raise Conflict("every usual private range is taken: choose --public-cidr and --underlay-cidr")


def who_has(cidr: str, taken: Sequence[UsedRange]) -> str | None:
    """Who uses a part of it; None when it is free."""
    network = ipaddress.IPv4Network(cidr)
    return next(
        (used_range.who for used_range in taken if used_range.network.overlaps(network)), None
    )


def check(public_cidr: str, underlay_cidr: str, taken: Sequence[UsedRange]) -> None:
    """Raises Invalid naming what is wrong with them, or who has them."""
    public = _parsed("--public-cidr", public_cidr, PREFIX_MAX_PUBLIC)
    underlay = _parsed("--underlay-cidr", underlay_cidr, PREFIX_MAX_UNDERLAY)
    if public.overlaps(underlay):
        raise Invalid(
            f"--public-cidr {public} and --underlay-cidr {underlay} overlap", field="public_cidr"
        )
    for option, cidr in (("--public-cidr", public_cidr), ("--underlay-cidr", underlay_cidr)):
        who = who_has(cidr, taken)
        if who is not None:
            raise Invalid(
                f"{option} {cidr} is taken by {who}: choose another with {option}",
                field=option.strip("-").replace("-", "_"),
            )


def _overlap(cidr: str, other_cidr: str) -> bool:
    try:
        return ipaddress.IPv4Network(cidr).overlaps(ipaddress.IPv4Network(other_cidr))
    except ValueError:
        return False  # Not a range: `check` says so.


def _parsed(option: str, cidr: str, prefix_max: int) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as cause:
        raise Invalid(f"{option} {cidr} is not an IPv4 range such as 172.24.4.0/24") from cause
    if network.prefixlen > prefix_max:
        raise Invalid(f"{option} {cidr} is too small: /{prefix_max} at least")
    return network
