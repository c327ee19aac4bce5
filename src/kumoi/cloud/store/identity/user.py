"""Users: the rows.

`generation` grows with whatever ends the user's tokens; a token says which one it was made at.
`password_hash` is None for a user that cannot log in with a password. `password_is_own` is true of one
that the user has set, `failed_logins` are those since the last right one; password_rules.py reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json, Timestamp


@dataclass(frozen=True, slots=True)
class User:
    id: str
    domain_id: str
    name: str
    description: str | None
    email: str | None
    enabled: bool
    default_project_id: str | None
    password_hash: str | None
    generation: int = 1
    options: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    password_set_at: datetime | None = None
    password_expires_at: datetime | None = None
    password_is_own: bool | None = None
    failed_logins: int | None = None
    failed_login_at: datetime | None = None
    active_at: datetime | None = None


user = sa.Table(
    "identity_user",  # "user" is a word of SQL.
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("domain_id", ID, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("name", NAME, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("email", NAME),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("default_project_id", ID),
    sa.Column("password_hash", NAME),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("options", Json),
    sa.Column("extra", Json),
    sa.Column("password_set_at", Timestamp),
    sa.Column("password_expires_at", Timestamp),
    sa.Column("password_is_own", sa.Boolean),
    sa.Column("failed_logins", sa.Integer),
    sa.Column("failed_login_at", Timestamp),
    sa.Column("active_at", Timestamp),
    sa.UniqueConstraint("domain_id", "name"),
)


def insert(connection: Connection, row: User) -> None:
    schema.insert(connection, user, schema.values(row))


def get(connection: Connection, key: str) -> User | None:
    return schema.fetch_one(connection, sa.select(user).where(user.c.id == key), User)


def named(connection: Connection, domain_id: str, name: str) -> User | None:
    query = sa.select(user).where(user.c.domain_id == domain_id, user.c.name == name)
    return schema.fetch_one(connection, query, User)


def page(
    connection: Connection, wanted: Listing, *, ids: Collection[str] | None = None
) -> list[User]:
    """One page; with `ids`, of these only."""
    conditions = [] if ids is None else [user.c.id.in_(ids)]
    return listing.page(connection, user, User, wanted, *conditions)


def in_domain(connection: Connection, domain_id: str) -> list[User]:
    return schema.fetch(connection, sa.select(user).where(user.c.domain_id == domain_id), User)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, user, key, values)


def count_failure(connection: Connection, key: str, at: datetime, *, first: bool) -> None:
    """One more failed login, or the first after a lock."""
    failed = 1 if first else sa.func.coalesce(user.c.failed_logins, 0) + 1
    query = sa.update(user).where(user.c.id == key)
    connection.execute(query.values(failed_logins=failed, failed_login_at=at))


def next_generation(connection: Connection, key: str) -> int:
    """Increase the generation; gives the new one."""
    return int(
        connection.execute(
            sa.update(user)
            .where(user.c.id == key)
            .values(generation=user.c.generation + 1)
            .returning(user.c.generation)
        ).scalar_one()
    )


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, user, key)


def clear_default_project(connection: Connection, project_id: str) -> None:
    """Clear it for all users with that default project."""
    connection.execute(
        sa.update(user)
        .where(user.c.default_project_id == project_id)
        .values(default_project_id=None)
    )
