"""Metadata definitions: the rows. A namespace describes properties that images, servers and the like may
have; what is in it are items, and the types of resources that it is for are associations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json, Timestamp


class MetadefKind(StrEnum):
    OBJECT = "object"
    PROPERTY = "property"
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class MetadefNamespace:
    id: str
    namespace: str
    owner: str
    visibility: str
    protected: bool
    display_name: str | None
    description: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MetadefItem:
    """An object, a property or a tag; `body` is what it says beside its name."""

    id: str
    namespace_id: str
    kind: str
    name: str
    body: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class MetadefAssociation:
    """A namespace's properties, with the prefix, are for resources of a type."""

    namespace_id: str
    resource_type: str
    prefix: str | None
    properties_target: str | None
    created_at: datetime
    updated_at: datetime


namespace = sa.Table(
    "metadef_namespace",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("namespace", NAME, nullable=False, unique=True),
    sa.Column("owner", ID, nullable=False, index=True),
    sa.Column("visibility", sa.String(16), nullable=False),
    sa.Column("protected", sa.Boolean, nullable=False),
    sa.Column("display_name", NAME),
    sa.Column("description", sa.Text),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
)

item = sa.Table(
    "metadef_item",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("namespace_id", ID, sa.ForeignKey("metadef_namespace.id"), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", NAME, nullable=False),
    sa.Column("body", Json, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.UniqueConstraint("namespace_id", "kind", "name"),
)

association = sa.Table(
    "metadef_association",
    metadata,
    sa.Column("namespace_id", ID, sa.ForeignKey("metadef_namespace.id"), primary_key=True),
    sa.Column("resource_type", NAME, primary_key=True),
    sa.Column("prefix", NAME),
    sa.Column("properties_target", NAME),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
)


def insert(connection: Connection, row: MetadefNamespace) -> None:
    schema.insert(connection, namespace, schema.values(row))


def named(connection: Connection, name: str) -> MetadefNamespace | None:
    query = sa.select(namespace).where(namespace.c.namespace == name)
    return schema.fetch_one(connection, query, MetadefNamespace)


def page(
    connection: Connection, wanted: Listing, *, owner: str | None, resource_types: list[str]
) -> list[MetadefNamespace]:
    """One page of what a project sees, or with an `owner` of None, of all; with `resource_types`, of
    those that are for one of these.
    """
    conditions: list[sa.ColumnElement[bool]] = []
    if owner is not None:
        conditions.append((namespace.c.owner == owner) | (namespace.c.visibility == "public"))
    if resource_types:
        of_types = sa.select(association.c.namespace_id).where(
            association.c.resource_type.in_(resource_types)
        )
        conditions.append(namespace.c.id.in_(of_types))
    return listing.page(connection, namespace, MetadefNamespace, wanted, *conditions)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, namespace, key, values)


def delete(connection: Connection, key: str) -> None:
    """Delete a namespace with all that is in it."""
    delete_items(connection, key)
    connection.execute(sa.delete(association).where(association.c.namespace_id == key))
    schema.delete(connection, namespace, key)


def insert_items(connection: Connection, rows: Iterable[MetadefItem]) -> None:
    schema.insert_all(connection, item, [schema.values(row) for row in rows])


def items(connection: Connection, key: str, kind: MetadefKind) -> list[MetadefItem]:
    """Of a namespace, by name."""
    query = sa.select(item).where(item.c.namespace_id == key, item.c.kind == kind)
    return schema.fetch(connection, query.order_by(item.c.name), MetadefItem)


def item_named(
    connection: Connection, key: str, kind: MetadefKind, name: str
) -> MetadefItem | None:
    query = sa.select(item).where(
        item.c.namespace_id == key, item.c.kind == kind, item.c.name == name
    )
    return schema.fetch_one(connection, query, MetadefItem)


def names_taken(
    connection: Connection, key: str, kind: MetadefKind, names: Collection[str]
) -> list[str]:
    """Those of these names that items of a namespace have."""
    query = sa.select(item.c.name).where(
        item.c.namespace_id == key, item.c.kind == kind, item.c.name.in_(names)
    )
    return list(connection.execute(query.order_by(item.c.name)).scalars())


def update_item(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, item, key, values)


def delete_item(connection: Connection, key: str) -> None:
    schema.delete(connection, item, key)


def delete_items(connection: Connection, key: str, kind: MetadefKind | None = None) -> None:
    """Delete what is in a namespace, of one kind or of all."""
    query = sa.delete(item).where(item.c.namespace_id == key)
    connection.execute(query if kind is None else query.where(item.c.kind == kind))


def insert_association(connection: Connection, row: MetadefAssociation) -> None:
    schema.insert(connection, association, schema.values(row))


def associations(connection: Connection, keys: list[str]) -> list[MetadefAssociation]:
    """Of these namespaces."""
    query = sa.select(association).where(association.c.namespace_id.in_(keys))
    return schema.fetch(connection, query.order_by(association.c.resource_type), MetadefAssociation)


def resource_types(connection: Connection) -> set[str]:
    """All that any namespace is for."""
    return set(connection.execute(sa.select(association.c.resource_type)).scalars())


def delete_associations(connection: Connection, key: str, resource_type: str | None = None) -> bool:
    """Of a namespace, all or the one with a type; whether there were any."""
    query = sa.delete(association).where(association.c.namespace_id == key)
    if resource_type is not None:
        query = query.where(association.c.resource_type == resource_type)
    return connection.execute(query).rowcount > 0
