"""Subnet pools: the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class SubnetPool:
    """`default_quota` is how many addresses (in IPv6: /64 networks) a project may take."""

    id: str
    project_id: str
    name: str
    description: str
    ip_version: int
    prefixes: list[str]
    min_prefixlen: int
    max_prefixlen: int
    default_prefixlen: int
    default_quota: int | None
    shared: bool
    is_default: bool
    created_at: datetime
    updated_at: datetime
    revision_number: int
    address_scope_id: str | None = None


subnet_pool = sa.Table(
    "subnet_pool",
    metadata,
    *standard.columns(),
    sa.Column("name", NAME, nullable=False),
    sa.Column("ip_version", sa.Integer, nullable=False),
    sa.Column("prefixes", Json, nullable=False),
    sa.Column("min_prefixlen", sa.Integer, nullable=False),
    sa.Column("max_prefixlen", sa.Integer, nullable=False),
    sa.Column("default_prefixlen", sa.Integer, nullable=False),
    sa.Column("default_quota", sa.Integer),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    sa.Column("address_scope_id", ID, index=True),
)


def insert(connection: Connection, row: SubnetPool) -> None:
    standard.insert(connection, subnet_pool, schema.values(row))


def get(connection: Connection, key: str) -> SubnetPool | None:
    return standard.get(connection, subnet_pool, SubnetPool, key)


def find(connection: Connection, **values: Any) -> list[SubnetPool]:
    return standard.find(connection, subnet_pool, SubnetPool, **values)


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[SubnetPool]:
    conditions: list[sa.ColumnElement[bool]] = []
    if project_id is not None:
        conditions.append((subnet_pool.c.project_id == project_id) | subnet_pool.c.shared)
    return standard.page(connection, subnet_pool, SubnetPool, query, *conditions)


def scopes(connection: Connection) -> dict[str, str]:
    """The address scope of each pool that has one."""
    query = sa.select(subnet_pool.c.id, subnet_pool.c.address_scope_id).where(
        subnet_pool.c.address_scope_id.is_not(None)
    )
    return {row.id: row.address_scope_id for row in connection.execute(query)}


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, subnet_pool, key, now=now, values=values)


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, subnet_pool, key)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, subnet_pool, project_id)
