"""Port forwardings of floating IPs: the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class PortForwarding:
    """What comes to `external_port` of the floating IP goes to `internal_port` of an address that the port
    has. A floating IP with one has the router between them as its `router_id`, and no port.
    """

    id: str
    project_id: str
    floating_ip_id: str
    protocol: str
    external_port: int
    internal_port_id: str
    internal_ip_address: str
    internal_port: int
    description: str
    created_at: datetime
    updated_at: datetime
    revision_number: int


port_forwarding = sa.Table(
    "port_forwarding",
    metadata,
    *standard.columns(),
    sa.Column(
        "floating_ip_id", ID, sa.ForeignKey("floating_ip.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("protocol", sa.String(8), nullable=False),
    sa.Column("external_port", sa.Integer, nullable=False),
    sa.Column(
        "internal_port_id",
        ID,
        sa.ForeignKey("port.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("internal_ip_address", sa.String(45), nullable=False),
    sa.Column("internal_port", sa.Integer, nullable=False),
    sa.UniqueConstraint("floating_ip_id", "protocol", "external_port"),
)


def insert(connection: Connection, row: PortForwarding) -> None:
    standard.insert(connection, port_forwarding, schema.values(row))


def get(connection: Connection, key: str) -> PortForwarding | None:
    return standard.get(connection, port_forwarding, PortForwarding, key)


def find(connection: Connection, **values: Any) -> list[PortForwarding]:
    return standard.find(connection, port_forwarding, PortForwarding, **values)


def of_floating_ips(
    connection: Connection, keys: Collection[str]
) -> dict[str, list[PortForwarding]]:
    """By floating IP."""
    table = port_forwarding
    query = sa.select(table).order_by(table.c.created_at, table.c.id)
    found: dict[str, list[PortForwarding]] = defaultdict(list)
    for row in schema.fetch_among(connection, query, table.c.floating_ip_id, keys, PortForwarding):
        found[row.floating_ip_id].append(row)
    return found


def page(connection: Connection, query: NetworkQuery, floating_ip_id: str) -> list[PortForwarding]:
    own = port_forwarding.c.floating_ip_id == floating_ip_id
    return standard.page(connection, port_forwarding, PortForwarding, query, own)


def every(connection: Connection) -> list[PortForwarding]:
    return schema.fetch(connection, sa.select(port_forwarding), PortForwarding)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, port_forwarding, key, now=now, values=values)


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, port_forwarding, key)
