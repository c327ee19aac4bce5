"""Limits of projects and domains: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from kumoi.base.ids import new_hex_id
from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.identity.registered_limit import LIMITS_MAX, Amount
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.identity import limit as domain
from kumoi.cloud.store.identity import limit as store
from kumoi.cloud.store.identity.limit import UnifiedLimit
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {
    name: name for name in ("service_id", "region_id", "resource_name", "project_id", "domain_id")
}


class LimitNew(Body):
    service_id: rendering.Key
    resource_name: rendering.Name
    resource_limit: Amount
    region_id: rendering.Name | None = None
    project_id: rendering.Key | None = None
    domain_id: rendering.Key | None = None
    description: rendering.Text | None = None


class LimitChanges(Body):
    resource_limit: Amount | Unset = UNSET
    description: rendering.Text | Unset | None = UNSET


class LimitsCreate(Body):
    limits: Annotated[list[LimitNew], msgspec.Meta(min_length=1, max_length=LIMITS_MAX)]


class LimitUpdate(Body):
    limit: LimitChanges


def model(_request: Request) -> Reply:
    description = "Limits of projects and domains do not look at each other."
    return Reply(200, {"model": {"name": "flat", "description": description}})


def create(request: Request) -> Reply:
    """All or none."""
    wanted = request.parse(LimitsCreate).limits
    rows = [UnifiedLimit(id=new_hex_id(), **fields_set(each)) for each in wanted]
    with request.write() as connection:
        domain.create(connection, rows)
        audit.about(rows[0].id)
    return Reply(201, {"limits": [render(request, row) for row in rows]})


def index(request: Request) -> Reply:
    """Those of the token's project or domain, or for an administrator all."""
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        found = domain.page(connection, request.caller, wanted)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "limits", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get_for(connection, request.caller, request.path["id"])
    return Reply(200, {"limit": render(request, found)})


def update(request: Request) -> Reply:
    values = fields_set(request.parse(LimitUpdate).limit)
    key = request.path["id"]
    with request.write() as connection:
        domain.get(connection, key)
        store.update(connection, key, values)
        changed = domain.get(connection, key)
    return Reply(200, {"limit": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        store.delete(connection, domain.get(connection, request.path["id"]).id)
    return Reply(204)


def render(request: Request, row: UnifiedLimit) -> dict[str, Any]:
    return {
        "id": row.id,
        "service_id": row.service_id,
        "region_id": row.region_id,
        "resource_name": row.resource_name,
        "project_id": row.project_id,
        "domain_id": row.domain_id,
        "resource_limit": row.resource_limit,
        "description": row.description,
        "links": rendering.link(request, "limits", row.id),
    }
