"""A server's network as wanted inside the server: one `Wire` per port. Pure.

All drivers use this form: LXC moves links into the server and sets addresses with `ip -batch`, another
driver may write them to a config drive. Text from outside is checked here again before a program reads
it as a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kumoi.base import address as ip
from kumoi.base.errors import Permanent
from kumoi.cloud.hostapi.messages import Address, InstanceSpec, ServerPort

LINK_ID_DIGITS = 12
_NAME = re.compile(r"[a-z][a-z0-9]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_MTU = range(576, 65_536)


@dataclass(frozen=True, slots=True)
class WireRoute:
    """`onlink` is for a next hop that is in the network of no address of the link."""

    destination: str
    nexthop: str
    onlink: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """`name` is the link's name inside the server. `addresses` have prefix lengths. `gateways` are
    default routes: a server has one for each IP version, from the first port that has a gateway.
    Unless it `may_advertise`, no advertisement of a router leaves the server by it. If it may, its port has no port
    security, and only the number of MACs is bounded.
    """

    port_id: str
    name: str
    mac: str
    mtu: int
    addresses: tuple[str, ...] = ()
    gateways: tuple[WireRoute, ...] = ()
    routes: tuple[WireRoute, ...] = ()
    dns: tuple[str, ...] = ()
    may_advertise: bool = False

    @property
    def link(self) -> str:
        """Name of the host's end of the link."""
        return link_name(self.port_id)

    @property
    def peer(self) -> str:
        """Name of the server's end while it is still on the host."""
        return f"p{self.link[1:]}"


def link_name(port_id: str) -> str:
    """Name of the host's end of a port's link."""
    return "k" + port_id.replace("-", "")[:LINK_ID_DIGITS]


def of(server: InstanceSpec) -> tuple[Wire, ...]:
    """One per port, in the server's order. Raises Permanent for values that are not possible."""
    routed: set[int] = set()
    return tuple(
        _wire(port, routed, may_advertise=port.id in server.advertisers) for port in server.ports
    )


def guarded(wires: Iterable[Wire]) -> list[str]:
    """Ids of the ports at whose links advertisements of routers are held back."""
    return [wire.port_id for wire in wires if not wire.may_advertise]


def bounded(wires: Iterable[Wire]) -> list[str]:
    """Ids of the other ports, at whose links the MACs that the server sends from are bounded."""
    return [wire.port_id for wire in wires if wire.may_advertise]


def name_servers(wires: Iterable[Wire]) -> list[str]:
    """Their name servers, in order, each once."""
    return list(dict.fromkeys(address for wire in wires for address in wire.dns))


def _wire(port: ServerPort, routed: set[int], *, may_advertise: bool) -> Wire:
    """`routed` are the IP versions that have a default route already; this adds to it."""
    mac = port.mac.lower()
    if not _MAC.fullmatch(mac):
        raise Permanent(f"{port.mac!r} is no MAC address")
    if port.mtu not in _MTU:
        raise Permanent(f"an MTU of {port.mtu} is not possible")
    if not _NAME.fullmatch(port.name):
        raise Permanent(f"{port.name!r} is no name for a network interface")
    gateways: list[WireRoute] = []
    for address in port.addresses:
        own = _interface(address)
        if address.gateway and own.version not in routed:
            routed.add(own.version)
            gateway = _address(address.gateway)
            onlink = gateway not in own.network
            gateways.append(WireRoute("default", str(gateway), onlink=onlink))
    return Wire(
        port_id=port.id,
        name=port.name,
        mac=mac,
        mtu=port.mtu,
        addresses=tuple(str(_interface(address)) for address in port.addresses),
        gateways=tuple(gateways),
        routes=tuple(
            WireRoute(_network(route.destination), str(_address(route.nexthop)))
            for address in port.addresses
            for route in address.routes
        ),
        dns=tuple(str(_address(dns)) for address in port.addresses for dns in address.dns),
        may_advertise=may_advertise,
    )


def _interface(address: Address) -> ip.Interface:
    own = _address(address.address)
    if not 0 < address.prefix <= own.max_prefixlen:
        raise Permanent(f"{address.address}/{address.prefix} is no address")
    return ip.interface(f"{own}/{address.prefix}")


def _address(text: str) -> ip.Address:
    try:
        return ip.address(text)
    except ValueError as cause:
        raise Permanent(f"{text!r} is no IP address") from cause


def _network(text: str) -> str:
    try:
        return str(ip.network(text))
    except ValueError as cause:
        raise Permanent(f"{text!r} is no network") from cause
