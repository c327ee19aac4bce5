"""Credentials that users keep here, such as the keys of EC2's and S3's APIs: the rows.

What is in `blob` is secret, and sealed: to check a signature, the secret itself is needed, so a hash will not
do. Who has the database alone does not have it.
`application_credential_id` and `trust_id` are those of the token that made it; a login with the
credential is bound to them, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata


@dataclass(frozen=True, slots=True)
class Credential:
    id: str
    user_id: str
    project_id: str | None
    type: str
    blob: str
    application_credential_id: str | None = None
    trust_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationReach:
    """Those for the project; of these types only what was made with the application credential."""

    project_id: str
    bound_types: Sequence[str]
    application_credential_id: str


credential = sa.Table(
    "credential",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("user_id", ID, nullable=False, index=True),
    sa.Column("project_id", ID, index=True),
    sa.Column("type", NAME, nullable=False),
    sa.Column("blob", sa.Text, nullable=False),
    sa.Column("application_credential_id", ID, index=True),
    sa.Column("trust_id", ID, index=True),
)


def insert(connection: Connection, row: Credential) -> None:
    schema.insert(connection, credential, schema.values(row))


def get(connection: Connection, key: str) -> Credential | None:
    return schema.get(connection, credential, Credential, key)


def page(
    connection: Connection,
    wanted: Listing,
    *,
    user_id: str | None,
    reach: DelegationReach | None = None,
) -> list[Credential]:
    """One page of the credentials of a user, or of all; with `reach`, of those within it."""
    conditions: list[sa.ColumnElement[bool]] = []
    if user_id is not None:
        conditions.append(credential.c.user_id == user_id)
    if reach is not None:
        made_by = credential.c.application_credential_id
        conditions += [
            credential.c.project_id == reach.project_id,
            credential.c.type.not_in(reach.bound_types)
            | (made_by == reach.application_credential_id),
        ]
    return listing.page(connection, credential, Credential, wanted, *conditions)


def count(connection: Connection, user_id: str) -> int:
    query = sa.select(sa.func.count()).where(credential.c.user_id == user_id)
    return int(connection.execute(query).scalar_one())


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, credential, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, credential, key)


def delete_of(connection: Connection, **only: str) -> None:
    """Delete those whose columns have these values."""
    conditions = [credential.c[column] == value for column, value in only.items()]
    connection.execute(sa.delete(credential).where(*conditions))
