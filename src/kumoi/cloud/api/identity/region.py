"""Regions of the catalogue: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import Invalid
from kumoi.base.ids import new_hex_id
from kumoi.cloud.api.identity import open_body, rendering
from kumoi.cloud.api.identity.open_body import OpenBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import region as domain
from kumoi.cloud.store.identity import region as store
from kumoi.cloud.store.identity.region import Region
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"parent_region_id": "parent_region_id"}


class RegionNew(OpenBody):
    id: rendering.Name | Unset = UNSET
    description: rendering.Text | None = None
    parent_region_id: rendering.Name | None = None


class RegionChanges(OpenBody):
    description: rendering.Text | Unset | None = UNSET
    parent_region_id: rendering.Name | Unset | None = UNSET


class RegionCreate(Body):
    region: RegionNew


class RegionUpdate(Body):
    region: RegionChanges


def create(request: Request) -> Reply:
    """By POST, or by PUT with the new region's id in the path."""
    wanted = request.parse(RegionCreate).region
    chosen_id = None if isinstance(wanted.id, Unset) else wanted.id
    named = request.path.get("id", chosen_id)
    if chosen_id not in (None, named):
        raise Invalid(f"The id {chosen_id} is not the one in the path", field="id")
    extra = open_body.others(request, "region", RegionNew)
    row = Region(named or new_hex_id(), wanted.description or "", wanted.parent_region_id, extra)
    with request.write() as connection:
        made = domain.create(connection, row)
        audit.about(made.id)
    return Reply(201, {"region": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        found = store.page(connection, wanted)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "regions", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.path["id"])
    return Reply(200, {"region": render(request, found)})


def update(request: Request) -> Reply:
    values = open_body.changes(request, "region", request.parse(RegionUpdate).region)
    if "description" in values:
        values["description"] = values["description"] or ""
    with request.write() as connection:
        changed = domain.update(connection, request.path["id"], values)
    return Reply(200, {"region": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"])
    return Reply(204)


def render(request: Request, row: Region) -> dict[str, Any]:
    shown = {
        "id": row.id,
        "description": row.description,
        "parent_region_id": row.parent_region_id,
        "links": rendering.link(request, "regions", row.id),
    }
    return open_body.shown(row.extra, shown)
