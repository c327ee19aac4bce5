"""Limits of unified limits: the rows. Kept for services that ask for them; of this cloud's, compute asks for
`class:DISK_GB` and images for `image_size_total` and `image_count_total`, beside quotas of their own. A
registered limit is the default, a limit is what one project or domain has instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.identity.service import service
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.statement import Statement


@dataclass(frozen=True, slots=True)
class RegisteredLimit:
    id: str
    service_id: str
    region_id: str | None
    resource_name: str
    default_limit: int
    description: str | None


@dataclass(frozen=True, slots=True)
class UnifiedLimit:
    """Of a project or of a domain."""

    id: str
    service_id: str
    region_id: str | None
    resource_name: str
    project_id: str | None
    domain_id: str | None
    resource_limit: int
    description: str | None


registered_limit = sa.Table(
    "registered_limit",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("service_id", ID, nullable=False, index=True),
    sa.Column("region_id", NAME),
    sa.Column("resource_name", NAME, nullable=False),
    sa.Column("default_limit", sa.Integer, nullable=False),
    sa.Column("description", sa.Text),
)

unified_limit = sa.Table(
    "unified_limit",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("service_id", ID, nullable=False, index=True),
    sa.Column("region_id", NAME),
    sa.Column("resource_name", NAME, nullable=False),
    sa.Column("project_id", ID, index=True),
    sa.Column("domain_id", ID, index=True),
    sa.Column("resource_limit", sa.Integer, nullable=False),
    sa.Column("description", sa.Text),
)


def insert_registered(connection: Connection, rows: Iterable[RegisteredLimit]) -> None:
    schema.insert_all(connection, registered_limit, [schema.values(row) for row in rows])


def get_registered(connection: Connection, key: str) -> RegisteredLimit | None:
    return schema.get(connection, registered_limit, RegisteredLimit, key)


def registered_like(
    connection: Connection, rows: Collection[RegisteredLimit | UnifiedLimit]
) -> list[RegisteredLimit]:
    """Those of a service and a resource that one of the rows has."""
    query = sa.select(registered_limit).where(*_like(registered_limit, rows))
    return schema.fetch(connection, query, RegisteredLimit)


def registered(connection: Connection, **only: Any) -> list[RegisteredLimit]:
    """Those whose columns have these values."""
    return schema.find(connection, registered_limit, RegisteredLimit, **only)


def page_registered(connection: Connection, wanted: Listing) -> list[RegisteredLimit]:
    return listing.page(connection, registered_limit, RegisteredLimit, wanted)


def update_registered(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, registered_limit, key, values)


def delete_registered(connection: Connection, key: str) -> None:
    schema.delete(connection, registered_limit, key)


def insert(connection: Connection, rows: Iterable[UnifiedLimit]) -> None:
    schema.insert_all(connection, unified_limit, [schema.values(row) for row in rows])


def get(connection: Connection, key: str) -> UnifiedLimit | None:
    return schema.get(connection, unified_limit, UnifiedLimit, key)


def limits(connection: Connection, **only: Any) -> list[UnifiedLimit]:
    """Those whose columns have these values."""
    return schema.find(connection, unified_limit, UnifiedLimit, **only)


def limits_like(connection: Connection, rows: Collection[UnifiedLimit]) -> list[UnifiedLimit]:
    """Those of a service, a resource and an owner that one of the rows has."""
    of_project = unified_limit.c.project_id.in_({row.project_id for row in rows} - {None})
    of_domain = unified_limit.c.domain_id.in_({row.domain_id for row in rows} - {None})
    query = sa.select(unified_limit).where(*_like(unified_limit, rows), of_project | of_domain)
    return schema.fetch(connection, query, UnifiedLimit)


def _like(
    table: sa.Table, rows: Collection[RegisteredLimit | UnifiedLimit]
) -> tuple[sa.ColumnElement[bool], ...]:
    services, resources = {row.service_id for row in rows}, {row.resource_name for row in rows}
    return table.c.service_id.in_(services), table.c.resource_name.in_(resources)


def allowed(
    connection: Connection, service_type: str, resource_name: str, project_id: str
) -> int | None:
    """What a project may have of it; -1 is any number of them. None where nothing is registered."""
    values = {"type": service_type, "resource": resource_name, "project": project_id}
    found = _ALLOWED.row(connection, **values)
    if found is None:
        return None
    default, own = found
    return int(default if own is None else own)


_OWN = sa.and_(
    unified_limit.c.service_id == registered_limit.c.service_id,
    unified_limit.c.resource_name == registered_limit.c.resource_name,
    unified_limit.c.project_id == sa.bindparam("project"),
)
_ALLOWED = Statement(
    sa.select(registered_limit.c.default_limit, unified_limit.c.resource_limit)
    .select_from(
        registered_limit.join(service, service.c.id == registered_limit.c.service_id).outerjoin(
            unified_limit, _OWN
        )
    )
    .where(
        service.c.type == sa.bindparam("type"),
        registered_limit.c.resource_name == sa.bindparam("resource"),
    )
)


def page(
    connection: Connection,
    wanted: Listing,
    *,
    project_id: str | None = None,
    domain_id: str | None = None,
    project_ids: Collection[str] = (),
) -> list[UnifiedLimit]:
    """One page; with `project_id`, of those of that project; with `domain_id`, of those of that domain and
    of these projects in it.
    """
    conditions = [] if project_id is None else [unified_limit.c.project_id == project_id]
    if domain_id is not None:
        in_it = unified_limit.c.project_id.in_(project_ids)
        conditions.append((unified_limit.c.domain_id == domain_id) | in_it)
    return listing.page(connection, unified_limit, UnifiedLimit, wanted, *conditions)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, unified_limit, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, unified_limit, key)


def delete_of(connection: Connection, **only: str) -> None:
    """Delete the limits whose columns have these values."""
    conditions = [unified_limit.c[column] == value for column, value in only.items()]
    connection.execute(sa.delete(unified_limit).where(*conditions))
