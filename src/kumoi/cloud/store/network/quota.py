"""Quotas: what a project may have of each thing, where that is not the default."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.statement import Statement

quota = sa.Table(
    "network_quota",
    metadata,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("resource", sa.String(64), primary_key=True),
    sa.Column("most", sa.Integer, nullable=False),
)


_OF = Statement(
    sa.select(quota.c.resource, quota.c.most).where(
        quota.c.project_id == sa.bindparam("project_id")
    )
)


def of(connection: Connection, project_id: str) -> dict[str, int]:
    return dict(_OF.rows(connection, project_id=project_id))


def every(connection: Connection) -> dict[str, dict[str, int]]:
    """By project."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(sa.select(quota).order_by(quota.c.project_id)):
        found[row.project_id][row.resource] = row.most
    return found


def put(connection: Connection, project_id: str, values: Mapping[str, int]) -> None:
    for resource in values:
        connection.execute(
            sa.delete(quota).where(quota.c.project_id == project_id, quota.c.resource == resource)
        )
    rows = [
        {"project_id": project_id, "resource": resource, "most": most}
        for resource, most in values.items()
    ]
    schema.insert_all(connection, quota, rows)


def clear(connection: Connection, project_id: str) -> None:
    connection.execute(sa.delete(quota).where(quota.c.project_id == project_id))
