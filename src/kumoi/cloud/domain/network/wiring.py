"""The ports of servers as messages for their host: the rows become the host protocol's messages
with no other form between. Called inside the transaction that reads what a host's servers should
be.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy.engine import Connection

from kumoi.cloud.hostapi import messages
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.subnet import Subnet


@dataclass(frozen=True, slots=True)
class ServerWiring:
    """A server's ports in their order, and the ids of those that may advertise a router."""

    ports: list[messages.ServerPort] = field(default_factory=list)
    advertisers: list[str] = field(default_factory=list)


def of_servers(connection: Connection, device_ids: Collection[str]) -> dict[str, ServerWiring]:
    """By server."""
    ports = port_store.of_servers(connection, device_ids)
    subnets = subnet_store.many(
        connection, {subnet_id for port in ports for subnet_id, _ in port.fixed_ips}
    )
    networks = network_store.many(connection, {port.network_id for port in ports})
    found = {device_id: ServerWiring() for device_id in device_ids}
    for port in ports:
        message = messages.ServerPort(
            id=port.id,
            mac=port.mac_address,
            mtu=networks[port.network_id].mtu,
            name=f"eth{port.device_index}",
            addresses=[_address(text, subnets[subnet_id]) for subnet_id, text in port.fixed_ips],
        )
        found[port.device_id].ports.append(message)
        if not port.port_security_enabled:
            found[port.device_id].advertisers.append(port.id)
    return found


def _address(text: str, subnet: Subnet) -> messages.Address:
    """A port's address with what its subnet adds; a subnet without a gateway adds none."""
    return messages.Address(
        address=text,
        prefix=ipaddress.ip_network(subnet.cidr).prefixlen,
        gateway=subnet.gateway_ip,
        dns=list(subnet.dns_nameservers),
        routes=[
            messages.ServerRoute(destination=to, nexthop=via) for to, via in subnet.host_routes
        ],
    )
