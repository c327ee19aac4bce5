"""Trusts: the rows. A trustor lets a trustee act for it in a project, with some of its roles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Json, Timestamp


@dataclass(frozen=True, slots=True)
class UserTrust:
    """`role_ids` are the roles that its tokens have, as long as the trustor has them. With
    `impersonation` the tokens are in the trustor's name. Without `remaining_uses` there is no bound on
    how many there are.
    """

    id: str
    trustor_user_id: str
    trustee_user_id: str
    project_id: str
    impersonation: bool
    role_ids: list[str]
    expires_at: datetime | None
    remaining_uses: int | None
    created_at: datetime


trust = sa.Table(
    "trust",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("trustor_user_id", ID, nullable=False, index=True),
    sa.Column("trustee_user_id", ID, nullable=False, index=True),
    sa.Column("project_id", ID, nullable=False, index=True),
    sa.Column("impersonation", sa.Boolean, nullable=False),
    sa.Column("role_ids", Json, nullable=False),
    sa.Column("expires_at", Timestamp),
    sa.Column("remaining_uses", sa.Integer),
    sa.Column("created_at", Timestamp, nullable=False),
)


def insert(connection: Connection, row: UserTrust) -> None:
    schema.insert(connection, trust, schema.values(row))


def get(connection: Connection, key: str) -> UserTrust | None:
    return schema.get(connection, trust, UserTrust, key)


def page(connection: Connection, wanted: Listing, *, side: str | None = None) -> list[UserTrust]:
    """One page; with `side`, of those that a user has given or got."""
    conditions = []
    if side is not None:
        conditions.append((trust.c.trustor_user_id == side) | (trust.c.trustee_user_id == side))
    return listing.page(connection, trust, UserTrust, wanted, *conditions)


def count(connection: Connection, trustor_user_id: str) -> int:
    query = sa.select(sa.func.count()).where(trust.c.trustor_user_id == trustor_user_id)
    return int(connection.execute(query).scalar_one())


def use(connection: Connection, key: str) -> bool:
    """Count one use of a trust whose uses are bounded. False when none is left."""
    query = sa.update(trust).where(trust.c.id == key, trust.c.remaining_uses > 0)
    query = query.values(remaining_uses=trust.c.remaining_uses - 1)
    return connection.execute(query).rowcount == 1


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, trust, key)


def delete_of(
    connection: Connection, *, user_id: str | None = None, project_id: str | None = None
) -> None:
    """Delete those of a user, on either side, or for a project that is being deleted."""
    if user_id is not None:
        either = (trust.c.trustor_user_id == user_id) | (trust.c.trustee_user_id == user_id)
        connection.execute(sa.delete(trust).where(either))
    if project_id is not None:
        connection.execute(sa.delete(trust).where(trust.c.project_id == project_id))
