"""Groups of endpoints, and which endpoints a project's catalogue is held to: the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json


class FilterKind(StrEnum):
    ENDPOINT = "endpoint"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class EndpointGroup:
    """The endpoints whose attributes have the values in `filters`."""

    id: str
    name: str
    description: str | None
    filters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndpointFilter:
    """A project's catalogue has an endpoint, or those of a group, and no others."""

    project_id: str
    kind: str
    target_id: str


endpoint_group = sa.Table(
    "endpoint_group",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("filters", Json, nullable=False),
)

endpoint_filter = sa.Table(
    "endpoint_filter",
    metadata,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("target_id", ID, primary_key=True, index=True),
)


def insert(connection: Connection, row: EndpointGroup) -> None:
    schema.insert(connection, endpoint_group, schema.values(row))


def get(connection: Connection, key: str) -> EndpointGroup | None:
    return schema.get(connection, endpoint_group, EndpointGroup, key)


def page(connection: Connection, wanted: Listing) -> list[EndpointGroup]:
    return listing.page(connection, endpoint_group, EndpointGroup, wanted)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, endpoint_group, key, values)


def delete(connection: Connection, key: str) -> None:
    """Delete a group and the filters that name it."""
    delete_filters(connection, kind=FilterKind.GROUP, target_id=key)
    schema.delete(connection, endpoint_group, key)


def insert_filter(connection: Connection, row: EndpointFilter) -> None:
    schema.insert(connection, endpoint_filter, schema.values(row))


def filters(connection: Connection, **only: str) -> list[EndpointFilter]:
    """Those whose columns have these values."""
    return schema.find(connection, endpoint_filter, EndpointFilter, **only)


def delete_filters(connection: Connection, **only: str) -> None:
    """Delete those whose columns have these values."""
    conditions = [endpoint_filter.c[column] == value for column, value in only.items()]
    connection.execute(sa.delete(endpoint_filter).where(*conditions))
