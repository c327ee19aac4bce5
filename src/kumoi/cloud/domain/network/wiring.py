"""What servers need to know of their ports. Compute calls this inside its own transaction.

`wiring` is what a host writes into a server; compute turns it into messages for hosts. `addresses`
and `group_names` are what the compute API shows of many servers at once.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from kumoi.cloud.store.network import floating_ip as floating_ip_store
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import security_group as security_group_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.network.subnet import Subnet


@dataclass(frozen=True, slots=True)
class HostRoute:
    destination: str
    nexthop: str


@dataclass(frozen=True, slots=True)
class WiredAddress:
    """One address with what its subnet says. `gateway` is None on a subnet without one."""

    address: str
    prefix: int
    version: int
    gateway: str | None
    dns: tuple[str, ...]
    routes: tuple[HostRoute, ...]


@dataclass(frozen=True, slots=True)
class WiredPort:
    """One port of a server. `index` orders them: eth0, eth1, …"""

    id: str
    network_id: str
    mac: str
    mtu: int
    index: int
    addresses: tuple[WiredAddress, ...]


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """One address as the compute API shows it. `floating` tells the two types apart."""

    network_name: str
    port_id: str
    mac: str
    address: str
    version: int
    floating: bool


def wiring(connection: Connection, device_id: str) -> tuple[WiredPort, ...]:
    """The ports of one server, in their order."""
    return wirings(connection, [device_id]).get(device_id, ())


def wirings(
    connection: Connection, device_ids: Collection[str]
) -> dict[str, tuple[WiredPort, ...]]:
    """The ports of several servers; a server without ports is left out."""
    ports = port_store.of_servers(connection, device_ids)
    subnets = subnet_store.many(
        connection, {subnet_id for port in ports for subnet_id, _ in port.fixed_ips}
    )
    networks = network_store.many(connection, {port.network_id for port in ports})
    found: dict[str, list[WiredPort]] = defaultdict(list)
    for port in ports:
        found[port.device_id].append(_wired(port, networks[port.network_id].mtu, subnets))
    return {device_id: tuple(wired) for device_id, wired in found.items()}


def addresses(
    connection: Connection, device_ids: Collection[str]
) -> dict[str, tuple[DeviceAddress, ...]]:
    """All addresses of several servers, floating ones after the fixed one they lead to."""
    ports = port_store.of_servers(connection, device_ids)
    networks = network_store.many(connection, {port.network_id for port in ports})
    floating = {
        (row.port_id, row.fixed_ip_address): row.floating_ip_address
        for row in floating_ip_store.of_ports(connection, [port.id for port in ports])
    }
    found: dict[str, list[DeviceAddress]] = defaultdict(list)
    for port in ports:
        name = networks[port.network_id].name
        for _, fixed in port.fixed_ips:
            outside = floating.get((port.id, fixed))
            shown = [(fixed, False), *([(outside, True)] if outside else [])]
            found[port.device_id] += [
                DeviceAddress(name, port.id, port.mac_address, text, _version(text), is_floating)
                for text, is_floating in shown
            ]
    return {device_id: tuple(shown) for device_id, shown in found.items()}


def group_names(connection: Connection, device_ids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The names of the security groups of several servers, each group once."""
    ports = port_store.of_servers(connection, device_ids)
    used = {group_id for port in ports for group_id in port.security_group_ids}
    groups = security_group_store.many(connection, used)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for port in ports:
        for group_id in port.security_group_ids:
            found[port.device_id][group_id] = groups[group_id].name
    return {device_id: tuple(names.values()) for device_id, names in found.items()}


def _wired(port: Port, mtu: int, subnets: dict[str, Subnet]) -> WiredPort:
    return WiredPort(
        id=port.id,
        network_id=port.network_id,
        mac=port.mac_address,
        mtu=mtu,
        index=port.device_index,
        addresses=tuple(
            _wired_address(address, subnets[subnet_id]) for subnet_id, address in port.fixed_ips
        ),
    )


def _wired_address(address: str, subnet: Subnet) -> WiredAddress:
    return WiredAddress(
        address=address,
        prefix=ipaddress.ip_network(subnet.cidr).prefixlen,
        version=subnet.ip_version,
        gateway=subnet.gateway_ip,
        dns=tuple(subnet.dns_nameservers),
        routes=tuple(HostRoute(*route) for route in subnet.host_routes),
    )


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version
