"""Limits of unified limits: what is allowed. The model is Keystone's `flat`: no limit looks at another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import domain, project
from kumoi.cloud.store.identity import limit as store
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import region as regions
from kumoi.cloud.store.identity import service as services
from kumoi.cloud.store.identity.limit import RegisteredLimit, UnifiedLimit
from kumoi.cloud.store.listing import Listing

SAME = ("service_id", "region_id", "resource_name")


def register(connection: Connection, rows: Sequence[RegisteredLimit]) -> None:
    """Raises Invalid for a service or region that is not there, Conflict where there is one."""
    _require_free(connection, rows)
    store.insert_registered(connection, rows)


def get_registered(connection: Connection, key: str) -> RegisteredLimit:
    """Raises NotFound."""
    row = store.get_registered(connection, key)
    if row is None:
        raise NotFound("registered limit", key)
    return row


def update_registered(
    connection: Connection, key: str, changed: RegisteredLimit, values: Mapping[str, Any]
) -> RegisteredLimit:
    """`changed` is the row with the values. Raises Forbidden while limits rest on it, and as `register`."""
    before = get_registered(connection, key)
    if any(getattr(before, name) != getattr(changed, name) for name in SAME):
        _require_unused(connection, before)
        _require_free(connection, [changed])
    store.update_registered(connection, key, values)
    return changed


def delete_registered(connection: Connection, key: str) -> None:
    """Raises NotFound, and Forbidden while limits rest on it."""
    _require_unused(connection, get_registered(connection, key))
    store.delete_registered(connection, key)


def create(connection: Connection, rows: Sequence[UnifiedLimit]) -> None:
    """Raises Invalid unless each is of a project or of a domain; NotFound for that; Forbidden where
    nothing of the kind is registered; Conflict where there is one.
    """
    if any((row.project_id is None) == (row.domain_id is None) for row in rows):
        raise Invalid("A limit is of a project or of a domain", field="project_id")
    for project_id in {row.project_id for row in rows if row.project_id is not None}:
        project.get(connection, project_id)
    for domain_id in {row.domain_id for row in rows if row.domain_id is not None}:
        domain.get(connection, domain_id)
    known = {_kind(row) for row in store.registered_like(connection, rows)}
    taken = {_owned(row) for row in store.limits_like(connection, rows)}
    for row in rows:
        if _kind(row) not in known:
            raise Forbidden(f"No registered limit is for {row.resource_name} of this service.")
        if _owned(row) in taken:
            raise Conflict(f"There is a limit of {row.resource_name} for it already.")
        taken.add(_owned(row))
    store.insert(connection, rows)


def get(connection: Connection, key: str) -> UnifiedLimit:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("limit", key)
    return row


def get_for(connection: Connection, caller: Caller, key: str) -> UnifiedLimit:
    """Raises Forbidden, also where there is none, unless the caller may look at any: NotFound."""
    row = store.get(connection, key)
    domain_id = _domain_of(connection, row) if row else None
    caller.check("identity:get_limit", row.project_id if row else None, domain_id=domain_id)
    if row is None:
        raise NotFound("limit", key)
    return row


def page(connection: Connection, caller: Caller, wanted: Listing) -> list[UnifiedLimit]:
    """Those of the token's project; those of its domain and of the projects in it; or all."""
    rule = "identity:list_limits"
    if caller.domain_id is None:
        return store.page(connection, wanted, project_id=caller.reach(rule))
    project_ids = [row.id for row in projects.in_domain(connection, caller.domain_id)]
    return store.page(connection, wanted, domain_id=caller.domain_id, project_ids=project_ids)


def _domain_of(connection: Connection, row: UnifiedLimit) -> str | None:
    if row.project_id is None:
        return row.domain_id
    owner = projects.get(connection, row.project_id)
    return owner.domain_id if owner else None


def _require_free(connection: Connection, rows: Sequence[RegisteredLimit]) -> None:
    for service_id in {row.service_id for row in rows}:
        if services.get(connection, service_id) is None:
            raise Invalid(f"Service {service_id} could not be found.", field="service_id")
    for region_id in {row.region_id for row in rows if row.region_id is not None}:
        if regions.get(connection, region_id) is None:
            raise Invalid(f"Region {region_id} could not be found.", field="region_id")
    taken = {_kind(row): row.id for row in store.registered_like(connection, rows)}
    for row in rows:
        if taken.setdefault(_kind(row), row.id) != row.id:
            raise Conflict(f"A limit of {row.resource_name} is registered already.")


def _kind(row: RegisteredLimit | UnifiedLimit) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in SAME)


def _owned(row: UnifiedLimit) -> tuple[Any, ...]:
    return (*_kind(row), row.project_id, row.domain_id)


def _require_unused(connection: Connection, row: RegisteredLimit) -> None:
    if store.limits(connection, **{name: getattr(row, name) for name in SAME}):
        raise Forbidden(f"Limits rest on registered limit {row.id}: delete them first.")
