"""Limits of unified limits: what is allowed. The model is Keystone's `flat`: no limit looks at another."""

from __future__ import annotations

from collections.abc import Mapping
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


def register(connection: Connection, row: RegisteredLimit) -> RegisteredLimit:
    """Raises Invalid for a service or region that is not there, Conflict where there is one."""
    _require_free(connection, row)
    store.insert_registered(connection, row)
    return row


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
        _require_free(connection, changed)
    store.update_registered(connection, key, values)
    return changed


def delete_registered(connection: Connection, key: str) -> None:
    """Raises NotFound, and Forbidden while limits rest on it."""
    _require_unused(connection, get_registered(connection, key))
    store.delete_registered(connection, key)


def create(connection: Connection, row: UnifiedLimit) -> UnifiedLimit:
    """Raises Invalid unless it is of a project or of a domain; NotFound for that; Forbidden where nothing
    of the kind is registered; Conflict where there is one.
    """
    if (row.project_id is None) == (row.domain_id is None):
        raise Invalid("A limit is of a project or of a domain", field="project_id")
    if row.project_id is not None:
        project.get(connection, row.project_id)
    if row.domain_id is not None:
        domain.get(connection, row.domain_id)
    same = {name: getattr(row, name) for name in SAME}
    if not store.registered(connection, **same):
        raise Forbidden(f"No registered limit is for {row.resource_name} of this service.")
    owner = {"project_id": row.project_id, "domain_id": row.domain_id}
    if store.limits(connection, **same, **owner):
        raise Conflict(f"There is a limit of {row.resource_name} for it already.")
    store.insert(connection, row)
    return row


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


def _require_free(connection: Connection, row: RegisteredLimit) -> None:
    if services.get(connection, row.service_id) is None:
        raise Invalid(f"Service {row.service_id} could not be found.", field="service_id")
    if row.region_id is not None and regions.get(connection, row.region_id) is None:
        raise Invalid(f"Region {row.region_id} could not be found.", field="region_id")
    same = store.registered(connection, **{name: getattr(row, name) for name in SAME})
    if any(one.id != row.id for one in same):
        raise Conflict(f"A limit of {row.resource_name} is registered already.")


def _require_unused(connection: Connection, row: RegisteredLimit) -> None:
    if store.limits(connection, **{name: getattr(row, name) for name in SAME}):
        raise Forbidden(f"Limits rest on registered limit {row.id}: delete them first.")
