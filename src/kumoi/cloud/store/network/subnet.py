"""Subnets: the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.network import network
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.network.subnet_pool import subnet_pool
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json
from kumoi.engine.statement import KeyedStatement


@dataclass(frozen=True, slots=True)
class Subnet:
    """`allocation_pools` are [first, last] pairs, `host_routes` [destination, nexthop] pairs.
    `last_given` is the address allocated last: the next search starts after it. `service_types` are the
    device owners of ports that get addresses of it; none are all.
    """

    id: str
    project_id: str
    network_id: str
    name: str
    description: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    allocation_pools: list[list[str]]
    dns_nameservers: list[str]
    host_routes: list[list[str]]
    ipv6_ra_mode: str | None
    ipv6_address_mode: str | None
    subnetpool_id: str | None
    last_given: str | None
    created_at: datetime
    updated_at: datetime
    revision_number: int
    service_types: list[str] = field(default_factory=list)


subnet = sa.Table(
    "subnet",
    metadata,
    *standard.columns(),
    sa.Column("network_id", ID, sa.ForeignKey("network.id"), nullable=False, index=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("ip_version", sa.Integer, nullable=False),
    sa.Column("cidr", sa.String(64), nullable=False),
    sa.Column("gateway_ip", sa.String(45)),
    sa.Column("enable_dhcp", sa.Boolean, nullable=False),
    sa.Column("allocation_pools", Json, nullable=False),
    sa.Column("dns_nameservers", Json, nullable=False),
    sa.Column("host_routes", Json, nullable=False),
    sa.Column("ipv6_ra_mode", sa.String(16)),
    sa.Column("ipv6_address_mode", sa.String(16)),
    sa.Column("subnetpool_id", ID, index=True),
    sa.Column("last_given", sa.String(45)),
    sa.Column("service_types", Json, nullable=False, server_default="[]"),
)


_OF_NETWORK = {"router:external": network.c.external, "shared": network.c.shared}
"""Filters by what the subnet's network is."""

_BY_NETWORK = KeyedStatement(
    sa.select(
        subnet.c.created_at,
        subnet.c.id,
        subnet.c.network_id,
        subnet.c.ip_version,
        subnet_pool.c.address_scope_id,
    ).select_from(subnet.outerjoin(subnet_pool, subnet_pool.c.id == subnet.c.subnetpool_id)),
    subnet.c.network_id,
)


class SubnetOfNetwork(NamedTuple):
    """What a network shows of a subnet. The scope is that of the pool which it was taken from."""

    id: str
    ip_version: int
    address_scope_id: str | None


def insert(connection: Connection, row: Subnet) -> None:
    standard.insert(connection, subnet, schema.values(row))


def get(connection: Connection, key: str) -> Subnet | None:
    return standard.get(connection, subnet, Subnet, key)


def of_network(connection: Connection, network_id: str) -> list[Subnet]:
    """The subnets of a network, oldest first."""
    return standard.find(connection, subnet, Subnet, network_id=network_id)


def of_pool(connection: Connection, pool_id: str) -> list[Subnet]:
    """The subnets whose CIDR is taken from a subnet pool."""
    return standard.find(connection, subnet, Subnet, subnetpool_id=pool_id)


def by_network(
    connection: Connection, network_ids: Collection[str]
) -> dict[str, list[SubnetOfNetwork]]:
    """Subnets, oldest first, by network."""
    found: dict[str, list[SubnetOfNetwork]] = defaultdict(list)
    rows = _BY_NETWORK.rows(connection, network_ids)
    for _, key, network_id, version, scope in sorted(rows, key=lambda row: row[:2]):
        found[network_id].append(SubnetOfNetwork(key, version, scope))
    return found


def page(connection: Connection, query: NetworkQuery, *, project_id: str | None) -> list[Subnet]:
    """One page; with `project_id`, of that project's subnets and those of networks that it sees."""
    conditions: list[sa.ColumnElement[bool]] = []
    if project_id is not None:
        visible = sa.select(network.c.id).where(
            (network.c.project_id == project_id) | network.c.shared | network.c.external
        )
        conditions.append((subnet.c.project_id == project_id) | subnet.c.network_id.in_(visible))
    for name, column in _OF_NETWORK.items():
        for text in query.special.get(name, ())[:1]:
            holds = subnet.c.network_id.in_(sa.select(network.c.id).where(column))
            conditions.append(holds if text.lower() in ("true", "1") else sa.not_(holds))
    return standard.page(connection, subnet, Subnet, query, *conditions)


def every(connection: Connection) -> list[Subnet]:
    return schema.fetch(connection, sa.select(subnet), Subnet)


def many(connection: Connection, keys: Collection[str]) -> dict[str, Subnet]:
    rows = schema.fetch_among(connection, sa.select(subnet), subnet.c.id, keys, Subnet)
    return {row.id: row for row in rows}


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, subnet, key, now=now, values=values)


def remember_given(connection: Connection, key: str, address: str) -> None:
    """Note the address allocated last, after which the next search starts. No user sees it."""
    schema.update(connection, subnet, key, {"last_given": address})


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, subnet, key)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, subnet, project_id)
