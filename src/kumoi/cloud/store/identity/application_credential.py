"""Application credentials: the rows. Of the secret only a hash is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json, Timestamp


@dataclass(frozen=True, slots=True)
class ApplicationCredential:
    """`role_ids` are the roles that its tokens have, as long as its user has them. Without
    `access_rule_ids` its tokens are for any request.
    """

    id: str
    user_id: str
    project_id: str
    name: str
    description: str | None
    secret_hash: str
    role_ids: list[str]
    unrestricted: bool
    expires_at: datetime | None
    created_at: datetime
    access_rule_ids: list[str] | None = None


credential = sa.Table(
    "application_credential",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("identity_user.id"), nullable=False),
    sa.Column("project_id", ID, sa.ForeignKey("project.id"), nullable=False, index=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("secret_hash", NAME, nullable=False),
    sa.Column("role_ids", Json, nullable=False),
    sa.Column("unrestricted", sa.Boolean, nullable=False),
    sa.Column("expires_at", Timestamp),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("access_rule_ids", Json),
    sa.UniqueConstraint("user_id", "name"),
)


def insert(connection: Connection, row: ApplicationCredential) -> None:
    schema.insert(connection, credential, schema.values(row))


def get(connection: Connection, key: str) -> ApplicationCredential | None:
    query = sa.select(credential).where(credential.c.id == key)
    return schema.fetch_one(connection, query, ApplicationCredential)


def named(connection: Connection, user_id: str, name: str) -> ApplicationCredential | None:
    query = sa.select(credential).where(credential.c.user_id == user_id, credential.c.name == name)
    return schema.fetch_one(connection, query, ApplicationCredential)


def page(connection: Connection, wanted: Listing, *, user_id: str) -> list[ApplicationCredential]:
    own = credential.c.user_id == user_id
    return listing.page(connection, credential, ApplicationCredential, wanted, own)


def of_user(connection: Connection, user_id: str) -> list[ApplicationCredential]:
    return schema.find(connection, credential, ApplicationCredential, user_id=user_id)


def count(connection: Connection, user_id: str) -> int:
    query = sa.select(sa.func.count()).where(credential.c.user_id == user_id)
    return int(connection.execute(query).scalar_one())


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, credential, key)


def delete_of(
    connection: Connection, *, user_id: str | None = None, project_id: str | None = None
) -> None:
    """Delete those of a user or for a project that is being deleted."""
    conditions = []
    if user_id is not None:
        conditions.append(credential.c.user_id == user_id)
    if project_id is not None:
        conditions.append(credential.c.project_id == project_id)
    if conditions:
        connection.execute(sa.delete(credential).where(*conditions))
