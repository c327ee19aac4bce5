"""Groups of users: the rows, and their members."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class Group:
    id: str
    domain_id: str
    name: str
    description: str
    extra: dict[str, Any] | None = None


group = sa.Table(
    "identity_group",  # "group" is a word of SQL.
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("domain_id", ID, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("name", NAME, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("extra", Json),
    sa.UniqueConstraint("domain_id", "name"),
)

membership = sa.Table(
    "group_membership",
    metadata,
    sa.Column("group_id", ID, sa.ForeignKey("identity_group.id"), primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("identity_user.id"), primary_key=True, index=True),
)


def insert(connection: Connection, row: Group) -> None:
    schema.insert(connection, group, schema.values(row))


def get(connection: Connection, key: str) -> Group | None:
    return schema.fetch_one(connection, sa.select(group).where(group.c.id == key), Group)


def named(connection: Connection, domain_id: str, name: str) -> Group | None:
    query = sa.select(group).where(group.c.domain_id == domain_id, group.c.name == name)
    return schema.fetch_one(connection, query, Group)


def page(
    connection: Connection, wanted: Listing, *, ids: Collection[str] | None = None
) -> list[Group]:
    """One page; with `ids`, of these only."""
    conditions = [] if ids is None else [group.c.id.in_(ids)]
    return listing.page(connection, group, Group, wanted, *conditions)


def in_domain(connection: Connection, domain_id: str) -> list[Group]:
    return schema.fetch(connection, sa.select(group).where(group.c.domain_id == domain_id), Group)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, group, key, values)


def delete(connection: Connection, key: str) -> None:
    connection.execute(sa.delete(membership).where(membership.c.group_id == key))
    schema.delete(connection, group, key)


def join(connection: Connection, group_id: str, user_id: str) -> None:
    """Add a user to a group, unless it is a member."""
    if not is_member(connection, group_id, user_id):
        schema.insert(connection, membership, {"group_id": group_id, "user_id": user_id})


def leave(connection: Connection, group_id: str, user_id: str) -> bool:
    """False when the user was no member."""
    done = connection.execute(
        sa.delete(membership).where(
            membership.c.group_id == group_id, membership.c.user_id == user_id
        )
    )
    return done.rowcount == 1


def leave_all(connection: Connection, user_id: str) -> None:
    connection.execute(sa.delete(membership).where(membership.c.user_id == user_id))


def is_member(connection: Connection, group_id: str, user_id: str) -> bool:
    query = sa.select(membership.c.user_id).where(
        membership.c.group_id == group_id, membership.c.user_id == user_id
    )
    return connection.execute(query).first() is not None


def members(connection: Connection, group_id: str) -> list[str]:
    """The ids of the group's users."""
    query = sa.select(membership.c.user_id).where(membership.c.group_id == group_id)
    return list(connection.execute(query.order_by(membership.c.user_id)).scalars())


def groups_of(connection: Connection, user_id: str) -> list[str]:
    """The ids of the groups that the user is in."""
    query = sa.select(membership.c.group_id).where(membership.c.user_id == user_id)
    return list(connection.execute(query.order_by(membership.c.group_id)).scalars())
