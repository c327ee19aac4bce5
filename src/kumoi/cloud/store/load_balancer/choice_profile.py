"""Profiles of flavors and of availability zones: the rows. A profile says what choosing means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, NAME, Where, metadata
from kumoi.engine.db import Timestamp


@dataclass(frozen=True, slots=True)
class ChoiceProfile:
    """`kind` is of what, `data` the JSON that the API has as a text."""

    id: str
    kind: str
    name: str
    provider_name: str
    data: str
    created_at: datetime
    updated_at: datetime


profile = sa.Table(
    "load_balancer_choice_profile",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("name", NAME, nullable=False),
    sa.Column("provider_name", NAME, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
)


def insert(connection: Connection, row: ChoiceProfile) -> None:
    schema.insert(connection, profile, schema.values(row))


def get(connection: Connection, key: str) -> ChoiceProfile | None:
    return schema.get(connection, profile, ChoiceProfile, key)


def page(connection: Connection, kind: str, query: NetworkQuery) -> list[ChoiceProfile]:
    own = Where("kind", lambda: profile.c.kind == sa.bindparam("own_kind"), {"own_kind": kind})
    return listing.page(connection, profile, ChoiceProfile, query.listing, own)


def update(connection: Connection, key: str, **values: Any) -> None:
    schema.update(connection, profile, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, profile, key)
