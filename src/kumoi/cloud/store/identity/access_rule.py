"""Access rules of users: the rows. An application credential names those that its tokens are held to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata


@dataclass(frozen=True, slots=True)
class AccessRule:
    """A request that is allowed: of a service, by its type in the catalogue, with this method, for paths
    that fit this one.
    """

    id: str
    user_id: str
    service: str
    method: str
    path: str


access_rule = sa.Table(
    "access_rule",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("user_id", ID, nullable=False, index=True),
    sa.Column("service", NAME, nullable=False),
    sa.Column("method", sa.String(16), nullable=False),
    sa.Column("path", NAME, nullable=False),
)


def insert(connection: Connection, row: AccessRule) -> None:
    schema.insert(connection, access_rule, schema.values(row))


def get(connection: Connection, key: str) -> AccessRule | None:
    return schema.get(connection, access_rule, AccessRule, key)


def same(
    connection: Connection, *, user_id: str, service: str, method: str, path: str
) -> AccessRule | None:
    """The user's rule that says just this."""
    found = schema.find(
        connection,
        access_rule,
        AccessRule,
        user_id=user_id,
        service=service,
        method=method,
        path=path,
    )
    return found[0] if found else None


def among(connection: Connection, keys: Collection[str]) -> list[AccessRule]:
    query = sa.select(access_rule).order_by(access_rule.c.id)
    return schema.fetch_among(connection, query, access_rule.c.id, keys, AccessRule)


def page(connection: Connection, wanted: Listing, *, user_id: str) -> list[AccessRule]:
    own = access_rule.c.user_id == user_id
    return listing.page(connection, access_rule, AccessRule, wanted, own)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, access_rule, key)


def delete_of(connection: Connection, user_id: str) -> None:
    """Delete those of a user that is being deleted."""
    connection.execute(sa.delete(access_rule).where(access_rule.c.user_id == user_id))
