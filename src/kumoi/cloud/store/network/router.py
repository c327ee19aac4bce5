"""Routers: the rows. A router's interfaces and its gateway are the ports that name it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import NAME, metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class Router:
    """`routes` are [destination, nexthop] pairs. `enable_snat` has no effect without a gateway."""

    id: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    enable_snat: bool
    routes: list[list[str]]
    created_at: datetime
    updated_at: datetime
    revision_number: int


router = sa.Table(
    "router",
    metadata,
    *standard.columns(),
    sa.Column("name", NAME, nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("enable_snat", sa.Boolean, nullable=False),
    sa.Column("routes", Json, nullable=False),
)


def insert(connection: Connection, row: Router) -> None:
    standard.insert(connection, router, schema.values(row))


def get(connection: Connection, key: str) -> Router | None:
    return standard.get(connection, router, Router, key)


def page(connection: Connection, query: NetworkQuery, *, project_id: str | None) -> list[Router]:
    own = [] if project_id is None else [router.c.project_id == project_id]
    return standard.page(connection, router, Router, query, *own)


def every(connection: Connection) -> list[Router]:
    return schema.fetch(connection, sa.select(router), Router)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, router, key, now=now, values=values)


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, router, key)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, router, project_id)
