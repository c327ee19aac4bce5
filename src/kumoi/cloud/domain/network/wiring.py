"""What a host is told of its servers' ports: rows in, the host protocol's messages out, with no shape
of a port in between. Called inside the transaction that tells the host of its servers.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Collection

from sqlalchemy.engine import Connection

from kumoi.cloud.hostapi import messages
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.network.subnet import Subnet


def wirings(
    connection: Connection, device_ids: Collection[str]
) -> dict[str, list[messages.ServerPort]]:
    """The ports of several servers, each server's in their order; one without ports is left out."""
    ports = port_store.of_servers(connection, device_ids)
    subnets = subnet_store.many(
        connection, {subnet_id for port in ports for subnet_id, _ in port.fixed_ips}
    )
    networks = network_store.many(connection, {port.network_id for port in ports})
    found: dict[str, list[messages.ServerPort]] = defaultdict(list)
    for port in ports:
        found[port.device_id].append(_message(port, networks[port.network_id].mtu, subnets))
    return dict(found)


def _message(port: Port, mtu: int, subnets: dict[str, Subnet]) -> messages.ServerPort:
    return messages.ServerPort(
        id=port.id,
        mac=port.mac_address,
        mtu=mtu,
        name=f"eth{port.device_index}",
        addresses=[_address(text, subnets[subnet_id]) for subnet_id, text in port.fixed_ips],
    )


def _address(text: str, subnet: Subnet) -> messages.Address:
    """A port's address with what its subnet says; no gateway on a subnet without one."""
    return messages.Address(
        address=text,
        prefix=ipaddress.ip_network(subnet.cidr).prefixlen,
        gateway=subnet.gateway_ip,
        dns=list(subnet.dns_nameservers),
        routes=[
            messages.ServerRoute(destination=to, nexthop=via) for to, via in subnet.host_routes
        ],
    )
