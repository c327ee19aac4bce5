"""Groups of endpoints: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.identity import endpoint, rendering
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.identity import endpoint_group as domain
from kumoi.cloud.store.identity import endpoint as endpoints
from kumoi.cloud.store.identity import endpoint_group as store
from kumoi.cloud.store.identity.endpoint_group import EndpointGroup
from kumoi.cloud.store.listing import Listing
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name"}


class EndpointGroupFilters(Body):
    """Attributes that the endpoints of the group have."""

    interface: endpoint.Interface | Unset = UNSET
    service_id: rendering.Key | Unset = UNSET
    region_id: rendering.Name | Unset = UNSET
    region: rendering.Name | Unset = UNSET
    enabled: bool | Unset = UNSET


class EndpointGroupNew(Body):
    name: rendering.Name
    filters: EndpointGroupFilters
    description: rendering.Text | None = None


class EndpointGroupChanges(Body):
    name: rendering.Name | Unset = UNSET
    filters: EndpointGroupFilters | Unset = UNSET
    description: rendering.Text | Unset | None = UNSET


class EndpointGroupCreate(Body):
    endpoint_group: EndpointGroupNew


class EndpointGroupUpdate(Body):
    endpoint_group: EndpointGroupChanges


def create(request: Request) -> Reply:
    wanted = request.parse(EndpointGroupCreate).endpoint_group
    with request.write() as connection:
        made = domain.create(
            connection,
            name=wanted.name,
            description=wanted.description,
            filters=fields_set(wanted.filters),
        )
        audit.about(made.id)
    return Reply(201, {"endpoint_group": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        found = store.page(connection, wanted)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "endpoint_groups", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.path["id"])
    return Reply(200, {"endpoint_group": render(request, found)})


def update(request: Request) -> Reply:
    values = fields_set(request.parse(EndpointGroupUpdate).endpoint_group)
    if "filters" in values:
        values["filters"] = fields_set(values["filters"])
    with request.write() as connection:
        changed = domain.update(connection, request.path["id"], values)
    return Reply(200, {"endpoint_group": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"])
    return Reply(204)


def list_endpoints(request: Request) -> Reply:
    """The endpoints that are in the group."""
    with request.read() as connection:
        group = domain.get(connection, request.path["id"])
        every = endpoints.page(connection, Listing(), rendering.off(request))
        found = domain.members(group, every)
    shown = [endpoint.render(request, row) for row in found]
    return Reply(200, rendering.page(request, "endpoints", shown))


def render(request: Request, row: EndpointGroup) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "filters": row.filters,
        "links": rendering.link(request, "OS-EP-FILTER", "endpoint_groups", row.id),
    }
