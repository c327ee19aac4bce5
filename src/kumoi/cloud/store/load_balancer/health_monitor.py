"""Health monitors: the rows. A monitor says how the members of a pool are probed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.load_balancer import part
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class HealthMonitor:
    """Times are in seconds."""

    id: str
    project_id: str
    load_balancer_id: str
    name: str
    description: str
    admin_state_up: bool
    pool_id: str
    type: str
    delay: int
    timeout: int
    max_retries: int
    max_retries_down: int
    http_method: str | None
    url_path: str | None
    expected_codes: str | None
    http_version: float | None
    domain_name: str | None
    made_revision: int
    changed_revision: int
    created_at: datetime
    updated_at: datetime
    revision_number: int


health_monitor = sa.Table(
    "load_balancer_health_monitor",
    metadata,
    *part.columns(),
    sa.Column("pool_id", ID, sa.ForeignKey("load_balancer_pool.id"), nullable=False, unique=True),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("delay", sa.Integer, nullable=False),
    sa.Column("timeout", sa.Integer, nullable=False),
    sa.Column("max_retries", sa.Integer, nullable=False),
    sa.Column("max_retries_down", sa.Integer, nullable=False),
    sa.Column("http_method", sa.String(16)),
    sa.Column("url_path", sa.String(255)),
    sa.Column("expected_codes", sa.String(64)),
    sa.Column("http_version", sa.Float),
    sa.Column("domain_name", sa.String(255)),
)


def insert(connection: Connection, row: HealthMonitor) -> None:
    part.insert(connection, health_monitor, row)


def get(connection: Connection, key: str) -> HealthMonitor | None:
    return standard.get(connection, health_monitor, HealthMonitor, key)


def find(connection: Connection, **values: Any) -> list[HealthMonitor]:
    """Rows whose columns have these values, oldest first."""
    return standard.find(connection, health_monitor, HealthMonitor, **values)


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[HealthMonitor]:
    mine = [] if project_id is None else [health_monitor.c.project_id == project_id]
    return standard.page(connection, health_monitor, HealthMonitor, query, *mine)


def of_balancers(connection: Connection, balancer_ids: Collection[str]) -> list[HealthMonitor]:
    query = sa.select(health_monitor).order_by(health_monitor.c.made_revision)
    column = health_monitor.c.load_balancer_id
    return schema.fetch_among(connection, query, column, balancer_ids, HealthMonitor)


def every(connection: Connection) -> list[HealthMonitor]:
    query = sa.select(health_monitor).order_by(health_monitor.c.made_revision)
    return schema.fetch(connection, query, HealthMonitor)


def update(connection: Connection, row: HealthMonitor, *, now: datetime, **values: Any) -> None:
    part.update(connection, health_monitor, row, now=now, values=values)


def delete(connection: Connection, row: HealthMonitor, *, now: datetime) -> None:
    part.delete(connection, health_monitor, row, now=now)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, health_monitor, project_id)
