"""The addresses and security groups of servers, read from the network's tables for lists of servers.

It reads few columns per port, for any number of servers in one query; the network's own functions
read whole ports, which costs several times as much.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store.network.floating_ip import floating_ip
from kumoi.cloud.store.network.network import network
from kumoi.cloud.store.network.port import port
from kumoi.cloud.store.network.security_group import security_group
from kumoi.engine.statement import KeyedStatement


class PortRow(NamedTuple):
    """`fixed_ips` are [subnet, address] pairs."""

    server_id: str
    id: str
    network_id: str
    mac: str
    fixed_ips: list[list[str]]
    group_ids: list[str]


_PORTS = KeyedStatement(
    sa.select(
        port.c.device_id,
        port.c.id,
        port.c.network_id,
        port.c.mac_address,
        port.c.fixed_ips,
        port.c.security_group_ids,
    )
    .where(port.c.host != "")
    .order_by(port.c.device_index, port.c.id),
    port.c.device_id,
)
_NETWORKS = KeyedStatement(sa.select(network.c.id, network.c.name), network.c.id)
_GROUPS = KeyedStatement(sa.select(security_group.c.id, security_group.c.name), security_group.c.id)
_FLOATING = KeyedStatement(
    sa.select(
        floating_ip.c.port_id, floating_ip.c.fixed_ip_address, floating_ip.c.floating_ip_address
    ),
    floating_ip.c.port_id,
)


def ports(connection: Connection, server_ids: Collection[str]) -> list[PortRow]:
    """In the order in which they were attached. As network/port.py's `of_servers`."""
    return [PortRow(*row) for row in _PORTS.rows(connection, server_ids)]


def network_names(connection: Connection, keys: Collection[str]) -> dict[str, str]:
    return dict(_NETWORKS.rows(connection, keys))


def group_names(connection: Connection, keys: Collection[str]) -> dict[str, str]:
    return dict(_GROUPS.rows(connection, keys))


def floating(connection: Connection, port_ids: Collection[str]) -> dict[tuple[str, str], str]:
    """Floating addresses, by the port and the fixed address that they lead to."""
    rows = _FLOATING.rows(connection, port_ids)
    return {(port_id, fixed): outside for port_id, fixed, outside in rows}
