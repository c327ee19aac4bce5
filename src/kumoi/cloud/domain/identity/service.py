"""Services of the catalogue: what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.store.identity import endpoint as endpoints
from kumoi.cloud.store.identity import service as store
from kumoi.cloud.store.identity.service import CatalogService


def create(
    connection: Connection, *, type: str, name: str, description: str | None, enabled: bool
) -> CatalogService:
    row = CatalogService(new_hex_id(), type, name, description, enabled)
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> CatalogService:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("service", key)
    return row


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> CatalogService:
    """Raises NotFound."""
    get(connection, key)
    store.update(connection, key, values)
    return get(connection, key)


def delete(connection: Connection, key: str) -> None:
    """Delete a service and its endpoints. Raises NotFound."""
    get(connection, key)
    endpoints.delete_of_service(connection, key)
    store.delete(connection, key)
