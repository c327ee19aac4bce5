"""The hosts on which a cloud's control plane runs, as cloud.toml lists them.

The members of etcd, PostgreSQL and OVN's databases follow from this list and from nothing else. Pure;
config.py reads and writes it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kumoi.base.errors import Invalid

KEY = "control_hosts"
NUMBERS = (3, 5)  # An even one bears no more losses than the odd one before it.


@dataclass(frozen=True, slots=True)
class ControlHost:
    """`address` is its control plane's on the underlay, which is not the one where its tunnels end.
    `others` are keys of another release.
    """

    name: str
    address: str
    others: tuple[tuple[str, Any], ...] = ()

    @property
    def table(self) -> dict[str, Any]:
        """As it is written."""
        return {"name": self.name, "address": self.address, **dict(self.others)}


def parse(value: Any) -> tuple[ControlHost, ...]:
    """From a list of tables. Raises Invalid when it is another thing."""
    if not isinstance(value, list):
        raise _wrong(f"must be a list of tables, not {value!r}")
    return tuple(map(_parse, value))


def check(hosts: Sequence[ControlHost], underlay_cidr: str, first_address: str) -> None:
    """Raises Invalid when these hosts could not have a control plane together. One of them is where
    hosts look for the host API.
    """
    if not hosts:
        return
    if len(hosts) not in NUMBERS:
        raise _wrong(f"has {len(hosts)} hosts, and must have {' or '.join(map(str, NUMBERS))}")
    underlay = ipaddress.ip_network(underlay_cidr)
    for what in ("name", "address"):
        values = [getattr(host, what) for host in hosts]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise _wrong(f"has the {what} {twice} twice")
    for host in hosts:
        if _address(host) not in underlay:
            raise _wrong(f"has {host.address}, which is outside of underlay_cidr {underlay_cidr}")
    if first_address not in {host.address for host in hosts}:
        raise _wrong(f"has no host at {first_address}, where hosts reach the host API")


def check_shared(address: str, hosts: Sequence[ControlHost], public_address: str) -> None:
    """Raises Invalid when these hosts could not have this address one after the other; it may be "", for none."""
    if not address:
        return
    try:
        ipaddress.IPv4Address(address)
    except ValueError as cause:
        raise _wrong_shared(f"{address} is no address of IPv4") from cause
    if address == public_address or address in {host.address for host in hosts}:
        raise _wrong_shared(f"{address} is one host's own")
    if not hosts:
        raise _wrong_shared(f"{address} is of control hosts, and control_hosts is empty")


def _parse(table: Any) -> ControlHost:
    if not isinstance(table, dict):
        raise _wrong(f"must be a list of tables, not of {table!r}")
    words = {key: table.get(key) for key in ("name", "address")}
    for key, word in words.items():
        if not isinstance(word, str) or not word:
            raise _wrong(f"has {table!r}, without a word as its {key}")
    others = tuple((key, value) for key, value in table.items() if key not in words)
    return ControlHost(str(words["name"]), str(words["address"]), others)


def _address(host: ControlHost) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(host.address)
    except ValueError as cause:
        raise _wrong(f"has {host.address}, which is no address") from cause


def _wrong_shared(what: str) -> Invalid:
    return Invalid(f"setting shared_address: {what}", field="shared_address")


def _wrong(what: str) -> Invalid:
    return Invalid(f"setting {KEY} {what}", field=KEY)
