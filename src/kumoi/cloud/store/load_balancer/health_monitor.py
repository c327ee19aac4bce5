"""Health monitors: the rows. A monitor says how the members of a pool are probed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from kumoi.cloud.store.load_balancer import part
from kumoi.cloud.store.load_balancer.part import PartTable
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

TABLE = PartTable(health_monitor, HealthMonitor)
get = TABLE.get
of_balancers = TABLE.of_balancers
every = TABLE.every
update = TABLE.update
delete = TABLE.delete
delete_all = TABLE.delete_all
count = TABLE.count
