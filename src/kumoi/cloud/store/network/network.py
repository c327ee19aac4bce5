"""Networks: the rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, NAME, Where, metadata
from kumoi.engine.statement import KeyedStatement


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    shared: bool
    external: bool
    is_default: bool
    port_security_enabled: bool
    mtu: int
    network_type: str
    physical_network: str | None
    segmentation_id: int | None
    created_at: datetime
    updated_at: datetime
    revision_number: int
    qos_policy_id: str | None = None
    dns_domain: str = ""


network = sa.Table(
    "network",
    metadata,
    *standard.columns(),
    sa.Column("name", NAME, nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("external", sa.Boolean, nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    sa.Column("port_security_enabled", sa.Boolean, nullable=False),
    sa.Column("mtu", sa.Integer, nullable=False),
    sa.Column("network_type", sa.String(32), nullable=False),
    sa.Column("physical_network", sa.String(64)),
    sa.Column("segmentation_id", sa.Integer),
    sa.Column("qos_policy_id", ID, index=True),
    sa.Column("dns_domain", sa.String(255), nullable=False, server_default=""),
)


def insert(connection: Connection, row: Network) -> None:
    standard.insert(connection, network, schema.values(row))


def get(connection: Connection, key: str) -> Network | None:
    return standard.get(connection, network, Network, key)


def page(connection: Connection, query: NetworkQuery, *, project_id: str | None) -> list[Network]:
    """One page; with `project_id`, of that project's networks, the shared and the external ones."""
    seen = [Where("seen", _seen, {"seen_by": project_id})] if project_id is not None else []
    return standard.page(connection, network, Network, query, *seen)


def _seen() -> sa.ColumnElement[bool]:
    own = network.c.project_id == sa.bindparam("seen_by")
    return own | network.c.shared | network.c.external


def find(connection: Connection, **values: Any) -> list[Network]:
    return standard.find(connection, network, Network, **values)


def usable_by(connection: Connection, project_id: str) -> list[Network]:
    """The networks that servers of the project may be on: its own, then shared ones, oldest first."""
    query = (
        sa.select(network)
        .where(
            (network.c.project_id == project_id) | network.c.shared, network.c.external.is_(False)
        )
        .order_by(network.c.project_id != project_id, network.c.created_at, network.c.id)
    )
    return schema.fetch(connection, query, Network)


def many(connection: Connection, keys: Collection[str]) -> dict[str, Network]:
    rows = schema.fetch_among(connection, sa.select(network), network.c.id, keys, Network)
    return {row.id: row for row in rows}


def of_ports(connection: Connection, keys: Collection[str]) -> dict[str, tuple[str | None, str]]:
    """What ports show of their networks: the policy of quality of service and the DNS domain of each of
    these that has either.
    """
    rows = _OF_PORTS.rows(connection, keys)
    return {key: (policy_id, dns_domain) for key, policy_id, dns_domain in rows}


_OF_PORTS = KeyedStatement(
    sa.select(network.c.id, network.c.qos_policy_id, network.c.dns_domain).where(
        network.c.qos_policy_id.is_not(None) | (network.c.dns_domain != "")
    ),
    network.c.id,
)


def every(connection: Connection) -> list[Network]:
    """All networks, for the network planner."""
    return schema.fetch(connection, sa.select(network), Network)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, network, key, now=now, values=values)


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, network, key)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, network, project_id)
