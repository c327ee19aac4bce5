"""The SSH key that opens an environment's servers, until the environment is deleted."""

from __future__ import annotations

from dataclasses import dataclass, fields

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.pipeline.store.schema import ID, fetch_one, metadata

environment_key = sa.Table(
    "environment_key",
    metadata,
    sa.Column("environment_id", ID, primary_key=True),
    sa.Column("private_key", sa.Text, nullable=False),
    sa.Column("public_key", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class EnvironmentKey:
    environment_id: str
    private_key: str
    public_key: str


def add(connection: Connection, new: EnvironmentKey) -> None:
    row = {item.name: getattr(new, item.name) for item in fields(EnvironmentKey)}
    connection.execute(sa.insert(environment_key).values(**row))


def get(connection: Connection, environment_id: str) -> EnvironmentKey | None:
    mine = environment_key.c.environment_id == environment_id
    return fetch_one(connection, sa.select(environment_key).where(mine), EnvironmentKey)


def forget(connection: Connection, environment_id: str) -> None:
    mine = environment_key.c.environment_id == environment_id
    connection.execute(sa.delete(environment_key).where(mine))
