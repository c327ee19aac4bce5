"""Rules of security groups: the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class SecurityGroupRule:
    """`protocol` is a name or a number as text, as the user wrote it. A CIDR is in `remote_ip_prefix`
    as written too.
    """

    id: str
    project_id: str
    security_group_id: str
    description: str
    direction: str
    ethertype: str
    protocol: str | None
    port_range_min: int | None
    port_range_max: int | None
    remote_ip_prefix: str | None
    remote_group_id: str | None
    created_at: datetime
    updated_at: datetime
    revision_number: int
    remote_address_group_id: str | None = None


security_group_rule = sa.Table(
    "security_group_rule",
    metadata,
    *standard.columns(),
    sa.Column(
        "security_group_id",
        ID,
        sa.ForeignKey("security_group.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("direction", sa.String(8), nullable=False),
    sa.Column("ethertype", sa.String(8), nullable=False),
    sa.Column("protocol", sa.String(40)),
    sa.Column("port_range_min", sa.Integer),
    sa.Column("port_range_max", sa.Integer),
    sa.Column("remote_ip_prefix", sa.String(64)),
    sa.Column(
        "remote_group_id", ID, sa.ForeignKey("security_group.id", ondelete="CASCADE"), index=True
    ),
    sa.Column("remote_address_group_id", ID, index=True),
)


def insert(connection: Connection, row: SecurityGroupRule) -> None:
    standard.insert(connection, security_group_rule, schema.values(row))


def insert_all(connection: Connection, rows: Collection[SecurityGroupRule]) -> None:
    schema.insert_all(connection, security_group_rule, [schema.values(row) for row in rows])
    standard.touch(connection)


def get(connection: Connection, key: str) -> SecurityGroupRule | None:
    return standard.get(connection, security_group_rule, SecurityGroupRule, key)


def of_group(connection: Connection, group_id: str) -> list[SecurityGroupRule]:
    return standard.find(
        connection, security_group_rule, SecurityGroupRule, security_group_id=group_id
    )


def similar(connection: Connection, row: SecurityGroupRule) -> list[SecurityGroupRule]:
    """The rules of its group that differ from it in protocol and remote prefix at most: of those,
    different texts can mean the same.
    """
    same = (
        "security_group_id",
        "direction",
        "ethertype",
        "port_range_min",
        "port_range_max",
        "remote_group_id",
        "remote_address_group_id",
    )
    query = sa.select(security_group_rule).where(
        *(security_group_rule.c[name].is_not_distinct_from(getattr(row, name)) for name in same)
    )
    return schema.fetch(connection, query, SecurityGroupRule)


def of_groups(
    connection: Connection, group_ids: Collection[str]
) -> dict[str, list[SecurityGroupRule]]:
    """The rules of several groups, by group."""
    table = security_group_rule
    query = sa.select(table).order_by(table.c.created_at, table.c.id)
    found: dict[str, list[SecurityGroupRule]] = defaultdict(list)
    for row in schema.fetch_among(
        connection, query, table.c.security_group_id, group_ids, SecurityGroupRule
    ):
        found[row.security_group_id].append(row)
    return found


def names_address_group(connection: Connection, key: str) -> bool:
    """Whether a rule of whatever project does."""
    table = security_group_rule
    query = sa.select(table.c.id).where(table.c.remote_address_group_id == key).limit(1)
    return connection.execute(query).first() is not None


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[SecurityGroupRule]:
    own = [] if project_id is None else [security_group_rule.c.project_id == project_id]
    return standard.page(connection, security_group_rule, SecurityGroupRule, query, *own)


def every(connection: Connection) -> list[SecurityGroupRule]:
    return schema.fetch(connection, sa.select(security_group_rule), SecurityGroupRule)


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, security_group_rule, key)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, security_group_rule, project_id)
