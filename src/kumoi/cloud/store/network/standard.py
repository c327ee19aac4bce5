"""The columns that all tables of the network service have, and the functions that use only these.

Each row has a description, two times and a revision; each write is noted on the feed, so that the
network planner runs again. Called by the files beside it, one a noun.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Condition, Listing
from kumoi.cloud.store.network import tag
from kumoi.cloud.store.schema import ID, NAME, Noun
from kumoi.cloud.store.tag_filter import TagFilter
from kumoi.engine import feed
from kumoi.engine.db import Timestamp
from kumoi.engine.statement import Statement

TOPIC = "network"  # The topic on the feed that the network planner reads.
KEY = "topology"  # The planner always reads all rows, so one key is enough.


@dataclass(frozen=True, slots=True)
class NetworkQuery:
    """The filters and the order of a list request. `special` are filters that are no columns of the
    table; the noun's own file understands them.
    """

    listing: Listing = field(default_factory=Listing)
    tags: TagFilter = field(default_factory=TagFilter)
    special: Mapping[str, Sequence[str]] = field(default_factory=dict)


def columns(*, with_project: bool = True) -> list[sa.Column[Any]]:
    """The columns that all nouns have."""
    own = [sa.Column("project_id", ID, nullable=False, index=True)] if with_project else []
    return [
        sa.Column("id", ID, primary_key=True),
        *own,
        sa.Column("description", NAME, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.Column("revision_number", sa.Integer, nullable=False),
    ]


def touch(connection: Connection) -> None:
    """Note on the feed that the wanted network has changed."""
    feed.touch(connection, TOPIC, KEY)


def insert(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    schema.insert(connection, table, row)
    touch(connection)


def get(connection: Connection, table: sa.Table, noun: type[Noun], key: str) -> Noun | None:
    return schema.get(connection, table, noun, key)


def find(connection: Connection, table: sa.Table, noun: type[Noun], **values: Any) -> list[Noun]:
    """Rows whose columns have these values, oldest first."""
    return schema.find(connection, table, noun, **values)


def page(
    connection: Connection,
    table: sa.Table,
    noun: type[Noun],
    query: NetworkQuery,
    *conditions: Condition,
) -> list[Noun]:
    """One page of the rows that fulfil the conditions and pass the query's filters."""
    tags = tag.conditions(table.c.id, query.tags)
    return listing.page(connection, table, noun, query.listing, *conditions, *tags)


def update(
    connection: Connection, table: sa.Table, key: str, *, now: datetime, values: Mapping[str, Any]
) -> None:
    """Change a row, and so its revision."""
    changed = {**values, "updated_at": now}
    schema.update(connection, table, key, changed, counted="revision_number")
    touch(connection)


def delete(connection: Connection, table: sa.Table, key: str) -> None:
    """Delete a row and its tags."""
    tag.replace(connection, key, ())
    schema.delete(connection, table, key)
    touch(connection)


def count(connection: Connection, table: sa.Table, project_id: str) -> int:
    """How many rows a project has."""
    ((found,),) = _count(table).rows(connection, project_id=project_id)
    return int(found)


@functools.cache
def _count(table: sa.Table) -> Statement:
    wanted = table.c.project_id == sa.bindparam("project_id")
    return Statement(sa.select(sa.func.count()).select_from(table).where(wanted))
