"""Registered limits: what is accepted and what is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import msgspec

from kumoi.base.ids import new_hex_id
from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.identity import limit as domain
from kumoi.cloud.store.identity import limit as store
from kumoi.cloud.store.identity.limit import RegisteredLimit
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {name: name for name in ("service_id", "region_id", "resource_name")}
Amount = Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]
LIMITS_MAX = 1_000  # In one request.


class RegisteredLimitNew(Body):
    service_id: rendering.Key
    resource_name: rendering.Name
    default_limit: Amount
    region_id: rendering.Name | None = None
    description: rendering.Text | None = None


class RegisteredLimitChanges(Body):
    service_id: rendering.Key | Unset = UNSET
    resource_name: rendering.Name | Unset = UNSET
    default_limit: Amount | Unset = UNSET
    region_id: rendering.Name | Unset | None = UNSET
    description: rendering.Text | Unset | None = UNSET


class RegisteredLimitsCreate(Body):
    registered_limits: Annotated[
        list[RegisteredLimitNew], msgspec.Meta(min_length=1, max_length=LIMITS_MAX)
    ]


class RegisteredLimitUpdate(Body):
    registered_limit: RegisteredLimitChanges


def create(request: Request) -> Reply:
    """All or none."""
    wanted = request.parse(RegisteredLimitsCreate).registered_limits
    rows = [RegisteredLimit(id=new_hex_id(), **fields_set(each)) for each in wanted]
    with request.write() as connection:
        domain.register(connection, rows)
        audit.about(rows[0].id)
    shown = [render(request, row) for row in rows]
    return Reply(201, {"registered_limits": shown})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        found = store.page_registered(connection, wanted)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "registered_limits", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get_registered(connection, request.path["id"])
    return Reply(200, {"registered_limit": render(request, found)})


def update(request: Request) -> Reply:
    values = fields_set(request.parse(RegisteredLimitUpdate).registered_limit)
    key = request.path["id"]
    with request.write() as connection:
        changed = replace(domain.get_registered(connection, key), **values)
        changed = domain.update_registered(connection, key, changed, values)
    return Reply(200, {"registered_limit": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete_registered(connection, request.path["id"])
    return Reply(204)


def render(request: Request, row: RegisteredLimit) -> dict[str, Any]:
    return {
        "id": row.id,
        "service_id": row.service_id,
        "region_id": row.region_id,
        "resource_name": row.resource_name,
        "default_limit": row.default_limit,
        "description": row.description,
        "links": rendering.link(request, "registered_limits", row.id),
    }
