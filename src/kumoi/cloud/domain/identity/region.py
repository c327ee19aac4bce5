"""Regions of the catalogue: what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.cloud.domain.identity import resource_option
from kumoi.cloud.store.identity import endpoint as endpoints
from kumoi.cloud.store.identity import region as store
from kumoi.cloud.store.identity.region import Region


def create(connection: Connection, row: Region) -> Region:
    """Raises Conflict when a region has the id, NotFound for the parent."""
    if store.get(connection, row.id) is not None:
        raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {row.id}.")
    if row.parent_region_id is not None:
        get(connection, row.parent_region_id)
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> Region:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("region", key)
    return row


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> Region:
    """Raises NotFound, also for the parent; Invalid for a parent that is below the region itself."""
    row = get(connection, key)
    above = values.get("parent_region_id")
    while above is not None:
        if above == key:
            raise Invalid(
                f"The region {key} cannot be below itself: circular hierarchy.",
                field="parent_region_id",
            )
        above = get(connection, above).parent_region_id
    changes = dict(values)
    resource_option.merge_into(changes, options=None, extra=row.extra)
    store.update(connection, key, changes)
    return get(connection, key)


def delete(connection: Connection, key: str) -> None:
    """Raises NotFound, and Forbidden while the region has endpoints or child regions."""
    get(connection, key)
    if endpoints.is_in(connection, key) or store.has_children(connection, key):
        raise Forbidden(f"Unable to delete region {key}: it or its children have endpoints.")
    store.delete(connection, key)
