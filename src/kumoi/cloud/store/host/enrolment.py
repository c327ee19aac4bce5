"""Enrolments: the key with which a host identifies itself. A host without one is refused, even with a
certificate of our authority.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Timestamp


@dataclass(frozen=True, slots=True)
class Enrolment:
    """`public_key_sha256` is the hash of the key in the host's certificate, in hexadecimal digits."""

    host_id: str
    public_key_sha256: str
    enrolled_at: datetime


enrolment = sa.Table(
    "host_enrolment",
    metadata,
    sa.Column("host_id", ID, primary_key=True),
    sa.Column("public_key_sha256", sa.String(64), nullable=False),
    sa.Column("enrolled_at", Timestamp, nullable=False),
)


def get(connection: Connection, host_id: str) -> Enrolment | None:
    query = sa.select(enrolment).where(enrolment.c.host_id == host_id)
    return schema.fetch_one(connection, query, Enrolment)


def names(connection: Connection) -> list[str]:
    return list(connection.execute(sa.select(enrolment.c.host_id)).scalars())


def keys(connection: Connection) -> dict[str, str]:
    """By host."""
    query = sa.select(enrolment.c.host_id, enrolment.c.public_key_sha256)
    return {row.host_id: row.public_key_sha256 for row in connection.execute(query)}


def replace(connection: Connection, row: Enrolment) -> None:
    delete(connection, row.host_id)
    schema.insert(connection, enrolment, schema.values(row))


def delete(connection: Connection, host_id: str) -> None:
    connection.execute(sa.delete(enrolment).where(enrolment.c.host_id == host_id))
