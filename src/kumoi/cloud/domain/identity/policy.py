"""Policies that services keep here: what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity import resource_option
from kumoi.cloud.store.identity import policy as store
from kumoi.cloud.store.identity.policy import StoredPolicy


def create(
    connection: Connection, *, type: str, blob: str, extra: Mapping[str, Any]
) -> StoredPolicy:
    row = StoredPolicy(new_hex_id(), type, blob, dict(extra))
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> StoredPolicy:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("policy", key)
    return row


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> StoredPolicy:
    """Raises NotFound."""
    row = get(connection, key)
    changes = dict(values)
    resource_option.merge_into(changes, options=None, extra=row.extra)
    store.update(connection, key, changes)
    return get(connection, key)


def delete(connection: Connection, key: str) -> None:
    """Raises NotFound."""
    get(connection, key)
    store.delete(connection, key)
