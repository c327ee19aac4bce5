"""Roles: what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity import assignment
from kumoi.cloud.domain.identity.bootstrap import ROLES
from kumoi.cloud.store.identity import assignment as assignments
from kumoi.cloud.store.identity import role as store
from kumoi.cloud.store.identity.role import IdentityRole


def create(connection: Connection, *, name: str, description: str | None) -> IdentityRole:
    """Raises Conflict when the name is taken."""
    _require_free(connection, name)
    row = IdentityRole(new_hex_id(), name, description)
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> IdentityRole:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("role", key)
    return row


def update(
    connection: Connection, key: str, values: Mapping[str, Any], now: datetime
) -> IdentityRole:
    """Policies decide by the name of a role, so renaming ends the tokens with the role.

    Raises NotFound, Conflict, and Forbidden for the roles that policies name.
    """
    row = get(connection, key)
    name = values.get("name", row.name)
    if name != row.name:
        _require_own_name(row)
        _require_free(connection, name)
        assignment.end_tokens(connection, assignments.matching(connection, role_id=key), now)
    store.update(connection, key, values)
    return get(connection, key)


def delete(connection: Connection, key: str, now: datetime) -> None:
    """Delete a role with its assignments. Raises NotFound, and Forbidden as `update` does."""
    _require_own_name(get(connection, key))
    assignment.end_tokens(connection, assignments.matching(connection, role_id=key), now)
    assignments.delete_matching(connection, role_id=key)
    store.delete(connection, key)


def implied_by(connection: Connection, row: IdentityRole) -> list[IdentityRole]:
    """The roles that a role implies directly."""
    names = assignment.IMPLIED.get(row.name, ())
    return [found for found in store.every(connection) if found.name in names]


def _require_own_name(row: IdentityRole) -> None:
    if row.name in ROLES:
        raise Forbidden(f"Role {row.name} belongs to the cloud's policies and stays as it is.")


def _require_free(connection: Connection, name: str) -> None:
    if store.named(connection, name) is not None:
        raise Conflict(
            f"Conflict occurred attempting to store role - Duplicate entry found with name {name}."
        )
