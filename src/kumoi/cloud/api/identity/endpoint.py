"""Endpoints of the catalogue: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kumoi.cloud.api.identity import open_body, rendering
from kumoi.cloud.api.identity.open_body import OpenBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import endpoint as domain
from kumoi.cloud.domain.identity.endpoint import EndpointRequest
from kumoi.cloud.store.identity import endpoint as store
from kumoi.cloud.store.identity.endpoint import Endpoint
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {
    "interface": "interface",
    "service_id": "service_id",
    "region_id": "region",
    "region": "region",
}
Interface = Literal["public", "internal", "admin"]
Url = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9+.-]+:.+", max_length=2_000)]


class EndpointNew(OpenBody):
    service_id: rendering.Key
    interface: Interface
    url: Url
    region: rendering.Name | None = None
    region_id: rendering.Name | None = None
    enabled: bool = True


class EndpointChanges(OpenBody):
    service_id: rendering.Key | Unset = UNSET
    interface: Interface | Unset = UNSET
    url: Url | Unset = UNSET
    region: rendering.Name | Unset | None = UNSET
    region_id: rendering.Name | Unset | None = UNSET
    enabled: bool | Unset = UNSET


class EndpointCreate(Body):
    endpoint: EndpointNew


class EndpointUpdate(Body):
    endpoint: EndpointChanges


def create(request: Request) -> Reply:
    wanted = request.parse(EndpointCreate).endpoint
    with request.write() as connection:
        made = domain.create(
            connection,
            EndpointRequest(
                service_id=wanted.service_id,
                interface=wanted.interface,
                url=wanted.url,
                region=wanted.region_id or wanted.region,
                enabled=wanted.enabled,
                extra=open_body.others(request, "endpoint", EndpointNew),
            ),
            makes_region=wanted.region_id is None,
        )
        audit.about(made.id)
    return Reply(201, {"endpoint": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        found = store.page(connection, wanted, rendering.off(request))
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "endpoints", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.path["id"], rendering.off(request))
    return Reply(200, {"endpoint": render(request, found)})


def update(request: Request) -> Reply:
    values = open_body.changes(request, "endpoint", request.parse(EndpointUpdate).endpoint)
    makes_region = "region_id" not in values  # By its older name, it comes with the endpoint.
    if not makes_region:
        values["region"] = values.pop("region_id")
    with request.write() as connection:
        changed = domain.update(
            connection,
            request.path["id"],
            values,
            rendering.off(request),
            makes_region=makes_region,
        )
    return Reply(200, {"endpoint": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"], rendering.off(request))
    return Reply(204)


def render(request: Request, row: Endpoint) -> dict[str, Any]:
    cloud = request.services.cloud
    shown = {
        "id": row.id,
        "service_id": row.service_id,
        "interface": row.interface,
        "region": row.region,
        "region_id": row.region,
        "url": f"{cloud.api_url}{row.url}" if row.url.startswith("/") else row.url,
        "enabled": row.enabled,
        "links": rendering.link(request, "endpoints", row.id),
    }
    return open_body.shown(row.extra, shown)
