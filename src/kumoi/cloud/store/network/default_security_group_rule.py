"""Rules that new security groups are made with: the rows. The first four are there once the table is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.ids import new_id
from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import metadata

PARENT = "PARENT"
"""As a rule's remote group: the group that it is copied into."""
MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DefaultSecurityGroupRule:
    """As a rule of a group, and whether default groups have it, and all others. `project_id` is that of the
    administrator who made it.
    """

    id: str
    project_id: str
    description: str
    direction: str
    ethertype: str
    protocol: str | None
    port_range_min: int | None
    port_range_max: int | None
    remote_ip_prefix: str | None
    remote_group_id: str | None
    used_in_default_sg: bool
    used_in_non_default_sg: bool
    created_at: datetime
    updated_at: datetime
    revision_number: int


default_security_group_rule = sa.Table(
    "default_security_group_rule",
    metadata,
    *standard.columns(),
    sa.Column("direction", sa.String(8), nullable=False),
    sa.Column("ethertype", sa.String(8), nullable=False),
    sa.Column("protocol", sa.String(40)),
    sa.Column("port_range_min", sa.Integer),
    sa.Column("port_range_max", sa.Integer),
    sa.Column("remote_ip_prefix", sa.String(64)),
    sa.Column("remote_group_id", sa.String(64)),
    sa.Column("used_in_default_sg", sa.Boolean, nullable=False),
    sa.Column("used_in_non_default_sg", sa.Boolean, nullable=False),
)


def first() -> list[dict[str, Any]]:
    """As Neutron's: all may leave, and default groups let in what comes from their own ports."""
    common = {
        "project_id": "",
        "protocol": None,
        "port_range_min": None,
        "port_range_max": None,
        "remote_ip_prefix": None,
        "used_in_default_sg": True,
        "created_at": MADE_AT,
        "updated_at": MADE_AT,
        "revision_number": 0,
    }
    return [
        {
            **common,
            "id": new_id(),
            "description": description,
            "direction": direction,
            "ethertype": ethertype,
            "remote_group_id": remote,
            "used_in_non_default_sg": remote is None,
        }
        for direction, remote, description in (
            ("egress", None, "Legacy default SG rule for egress traffic"),
            ("ingress", PARENT, "Legacy default SG rule for ingress traffic"),
        )
        for ethertype in ("IPv4", "IPv6")
    ]


@sa.event.listens_for(default_security_group_rule, "after_create")
def _fill(table: sa.Table, connection: Connection, **_options: Any) -> None:
    """Where tables are made at once; its migration does likewise."""
    connection.execute(sa.insert(table), first())


def insert(connection: Connection, row: DefaultSecurityGroupRule) -> None:
    schema.insert(connection, default_security_group_rule, schema.values(row))


def get(connection: Connection, key: str) -> DefaultSecurityGroupRule | None:
    return schema.get(connection, default_security_group_rule, DefaultSecurityGroupRule, key)


def every(connection: Connection) -> list[DefaultSecurityGroupRule]:
    """Oldest first."""
    table = default_security_group_rule
    query = sa.select(table).order_by(table.c.created_at, table.c.id)
    return schema.fetch(connection, query, DefaultSecurityGroupRule)


def page(connection: Connection, query: NetworkQuery) -> list[DefaultSecurityGroupRule]:
    table = default_security_group_rule
    return standard.page(connection, table, DefaultSecurityGroupRule, query)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, default_security_group_rule, key)
