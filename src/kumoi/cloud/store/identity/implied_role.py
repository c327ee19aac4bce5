"""Which role implies which: the rows. The roles of the cloud's own policies imply each other besides;
see domain/identity/role_rules.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class ImpliedRole:
    prior_role_id: str
    implied_role_id: str


implied_role = sa.Table(
    "implied_role",
    metadata,
    sa.Column("prior_role_id", ID, primary_key=True),
    sa.Column("implied_role_id", ID, primary_key=True, index=True),
)


def insert(connection: Connection, row: ImpliedRole) -> None:
    schema.insert(connection, implied_role, schema.values(row))


def every(connection: Connection) -> list[ImpliedRole]:
    query = sa.select(implied_role).order_by(*implied_role.primary_key.columns)
    return schema.fetch(connection, query, ImpliedRole)


def delete(connection: Connection, row: ImpliedRole) -> None:
    connection.execute(
        sa.delete(implied_role).where(
            implied_role.c.prior_role_id == row.prior_role_id,
            implied_role.c.implied_role_id == row.implied_role_id,
        )
    )


def delete_of(connection: Connection, role_id: str) -> None:
    """Delete all that name a role that is being deleted."""
    either = (implied_role.c.prior_role_id == role_id) | (implied_role.c.implied_role_id == role_id)
    connection.execute(sa.delete(implied_role).where(either))
