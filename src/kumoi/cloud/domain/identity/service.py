"""Services of the catalogue: what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity import resource_option
from kumoi.cloud.store.identity import endpoint as endpoints
from kumoi.cloud.store.identity import service as store
from kumoi.cloud.store.identity.service import CatalogService
from kumoi.cloud.store.listing import Listing


def create(
    connection: Connection,
    *,
    type: str,
    name: str,
    description: str | None,
    enabled: bool,
    extra: Mapping[str, Any],
) -> CatalogService:
    row = CatalogService(new_hex_id(), type, name, description, enabled, dict(extra))
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str, off: Collection[str]) -> CatalogService:
    """Raises NotFound, also for one of an API that is off; see catalog.py."""
    found = store.page(connection, Listing(filters={"id": [key]}), off)
    if not found:
        raise NotFound("service", key)
    return found[0]


def update(
    connection: Connection, key: str, values: Mapping[str, Any], off: Collection[str]
) -> CatalogService:
    """Raises NotFound."""
    row = get(connection, key, off)
    changes = dict(values)
    resource_option.merge_into(changes, options=None, extra=row.extra)
    store.update(connection, key, changes)
    return get(connection, key, off)


def delete(connection: Connection, key: str, off: Collection[str]) -> None:
    """Delete a service and its endpoints. Raises NotFound."""
    get(connection, key, off)
    endpoints.delete_of_service(connection, key)
    store.delete(connection, key)
