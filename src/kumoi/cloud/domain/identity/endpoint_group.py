"""Groups of endpoints, and which endpoints a project's catalogue is held to: what is allowed.

A project for which nothing is said has all endpoints; one that has an endpoint or a group of them has no
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity import endpoint, project
from kumoi.cloud.store.identity import endpoint_group as store
from kumoi.cloud.store.identity.endpoint import Endpoint
from kumoi.cloud.store.identity.endpoint_group import EndpointFilter, EndpointGroup, FilterKind


def create(
    connection: Connection, *, name: str, description: str | None, filters: Mapping[str, Any]
) -> EndpointGroup:
    row = EndpointGroup(new_hex_id(), name, description, dict(filters))
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> EndpointGroup:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("endpoint group", key)
    return row


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> EndpointGroup:
    """Raises NotFound."""
    get(connection, key)
    store.update(connection, key, values)
    return get(connection, key)


def delete(connection: Connection, key: str) -> None:
    """Raises NotFound."""
    get(connection, key)
    store.delete(connection, key)


def add(connection: Connection, row: EndpointFilter) -> None:
    """Raises NotFound for the project, the endpoint and the group."""
    _require_ends(connection, row)
    if row not in store.filters(connection, project_id=row.project_id):
        store.insert_filter(connection, row)


def check(connection: Connection, row: EndpointFilter) -> None:
    """Raises NotFound."""
    _require_ends(connection, row)
    if row not in store.filters(connection, project_id=row.project_id):
        raise NotFound(f"{row.kind} of the project", row.target_id)


def remove(connection: Connection, row: EndpointFilter) -> None:
    """Raises NotFound."""
    check(connection, row)
    store.delete_filters(
        connection, project_id=row.project_id, kind=row.kind, target_id=row.target_id
    )


def _require_ends(connection: Connection, row: EndpointFilter) -> None:
    project.get(connection, row.project_id)
    if row.kind == FilterKind.ENDPOINT:
        endpoint.get(connection, row.target_id, off=())  # It counts once its API is there.
    else:
        get(connection, row.target_id)


def members(group: EndpointGroup, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Those of the endpoints that are in the group."""
    return [row for row in endpoints if _fits(row, group.filters)]


def of_project(
    connection: Connection, project_id: str, endpoints: Sequence[Endpoint]
) -> list[Endpoint]:
    """Those of the endpoints that a project's catalogue has."""
    found = store.filters(connection, project_id=project_id)
    if not found:
        return list(endpoints)
    ids = {row.target_id for row in found if row.kind == FilterKind.ENDPOINT}
    for row in found:
        group = store.get(connection, row.target_id) if row.kind == FilterKind.GROUP else None
        if group is not None:
            ids.update(one.id for one in members(group, endpoints))
    return [row for row in endpoints if row.id in ids]


def _fits(row: Endpoint, filters: Mapping[str, Any]) -> bool:
    has = {
        "interface": row.interface,
        "service_id": row.service_id,
        "region_id": row.region,
        "region": row.region,
        "enabled": row.enabled,
    }
    return all(has.get(name) == value for name, value in filters.items())
