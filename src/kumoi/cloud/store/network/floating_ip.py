"""Floating IPs: the rows. Each has a port on the external network, which holds its address."""

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
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class FloatingIp:
    """`port_id`, `fixed_ip_address` and `router_id` say where it leads: all are set or all None, but for
    one with port forwardings, which has the router alone.
    `own_port_id` is the port on the external network.
    """

    id: str
    project_id: str
    description: str
    floating_network_id: str
    floating_ip_address: str
    own_port_id: str
    port_id: str | None
    fixed_ip_address: str | None
    router_id: str | None
    status: str
    created_at: datetime
    updated_at: datetime
    revision_number: int
    dns_name: str = ""
    dns_domain: str = ""


floating_ip = sa.Table(
    "floating_ip",
    metadata,
    *standard.columns(),
    sa.Column("floating_network_id", ID, sa.ForeignKey("network.id"), nullable=False, index=True),
    sa.Column("floating_ip_address", sa.String(45), nullable=False),
    sa.Column("own_port_id", ID, sa.ForeignKey("port.id"), nullable=False, unique=True),
    sa.Column("port_id", ID, sa.ForeignKey("port.id"), index=True),
    sa.Column("fixed_ip_address", sa.String(45)),
    sa.Column("router_id", ID, index=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("dns_name", sa.String(255), nullable=False, server_default=""),
    sa.Column("dns_domain", sa.String(255), nullable=False, server_default=""),
    sa.UniqueConstraint("floating_network_id", "floating_ip_address"),
    sa.UniqueConstraint("port_id", "fixed_ip_address"),
)


def insert(connection: Connection, row: FloatingIp) -> None:
    standard.insert(connection, floating_ip, schema.values(row))


def get(connection: Connection, key: str) -> FloatingIp | None:
    return standard.get(connection, floating_ip, FloatingIp, key)


def find(connection: Connection, **values: Any) -> list[FloatingIp]:
    return standard.find(connection, floating_ip, FloatingIp, **values)


def of_ports(connection: Connection, port_ids: Collection[str]) -> list[FloatingIp]:
    """The floating IPs that lead to one of these ports."""
    query = sa.select(floating_ip).order_by(floating_ip.c.created_at, floating_ip.c.id)
    return schema.fetch_among(connection, query, floating_ip.c.port_id, port_ids, FloatingIp)


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[FloatingIp]:
    own = [] if project_id is None else [floating_ip.c.project_id == project_id]
    return standard.page(connection, floating_ip, FloatingIp, query, *own)


def at_routers(connection: Connection) -> list[FloatingIp]:
    """All that lead anywhere, for the network planner."""
    query = sa.select(floating_ip).where(floating_ip.c.router_id.is_not(None))
    return schema.fetch(connection, query, FloatingIp)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, floating_ip, key, now=now, values=values)


def has_stale_status(connection: Connection) -> bool:
    """Whether `set_statuses` would change a row."""
    query = sa.select(floating_ip.c.id).where(sa.or_(*_stale().values())).limit(1)
    return connection.execute(query).first() is not None


def set_statuses(connection: Connection) -> None:
    """ACTIVE for one that leads anywhere, DOWN for others. Observed, so no revision changes."""
    for status, condition in _stale().items():
        connection.execute(sa.update(floating_ip).where(condition).values(status=status))


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, floating_ip, key)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, floating_ip, project_id)


def _stale() -> dict[str, sa.ColumnElement[bool]]:
    """By status: a condition on the rows that should have it and have another."""
    leads = floating_ip.c.router_id.is_not(None)
    return {
        "ACTIVE": sa.and_(leads, floating_ip.c.status != "ACTIVE"),
        "DOWN": sa.and_(sa.not_(leads), floating_ip.c.status != "DOWN"),
    }
