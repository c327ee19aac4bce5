"""Quotas of compute: the limits that differ from the defaults, a row each."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata

compute_quota = sa.Table(
    "compute_quota",
    metadata,
    sa.Column("project_id", ID, primary_key=True),  # Or "class:default".
    sa.Column("resource", sa.String(64), primary_key=True),
    sa.Column("most", sa.Integer, nullable=False),  # -1 is without limit.
)


def limits(connection: Connection, project_id: str) -> dict[str, int]:
    """Those that were set."""
    query = sa.select(compute_quota.c.resource, compute_quota.c.most).where(
        compute_quota.c.project_id == project_id
    )
    return {row.resource: row.most for row in connection.execute(query)}


def limits_of(connection: Connection, owners: Sequence[str]) -> list[dict[str, int]]:
    """Those that were set for each, in their order, in one query."""
    query = sa.select(compute_quota).where(compute_quota.c.project_id.in_(owners))
    found: dict[str, dict[str, int]] = {owner: {} for owner in owners}
    for row in connection.execute(query):
        found[row.project_id][row.resource] = row.most
    return [found[owner] for owner in owners]


def put(connection: Connection, project_id: str, resource: str, most: int) -> None:
    done = connection.execute(
        sa.update(compute_quota)
        .where(compute_quota.c.project_id == project_id, compute_quota.c.resource == resource)
        .values(most=most)
    )
    if done.rowcount == 0:
        row = {"project_id": project_id, "resource": resource, "most": most}
        schema.insert(connection, compute_quota, row)


def clear(connection: Connection, project_id: str) -> None:
    """Back to the defaults."""
    connection.execute(sa.delete(compute_quota).where(compute_quota.c.project_id == project_id))
