"""Configuration of domains: the rows. Stored and shown; nothing of this cloud reads it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Json

domain_config = sa.Table(
    "domain_config",
    metadata,
    sa.Column("id", ID, primary_key=True),  # Of the domain.
    sa.Column("config", Json, nullable=False),
)


def get(connection: Connection, domain_id: str) -> dict[str, Any]:
    """The options by their group; nothing where none is set."""
    query = sa.select(domain_config.c.config).where(domain_config.c.id == domain_id)
    found: dict[str, Any] | None = connection.execute(query).scalar_one_or_none()
    return found or {}


def put(connection: Connection, domain_id: str, config: dict[str, Any]) -> None:
    """In place of what is there."""
    schema.delete(connection, domain_config, domain_id)
    if config:
        schema.insert(connection, domain_config, {"id": domain_id, "config": config})
