"""Services of the catalogue: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.identity import open_body, rendering
from kumoi.cloud.api.identity.open_body import OpenBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import service as domain
from kumoi.cloud.store.identity import service as store
from kumoi.cloud.store.identity.service import CatalogService
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name", "type": "type"}


class ServiceNew(OpenBody):
    type: rendering.Name
    name: rendering.Text = ""
    description: rendering.Text | None = None
    enabled: bool = True


class ServiceChanges(OpenBody):
    type: rendering.Name | Unset = UNSET
    name: rendering.Text | Unset = UNSET
    description: rendering.Text | Unset | None = UNSET
    enabled: bool | Unset = UNSET


class ServiceCreate(Body):
    service: ServiceNew


class ServiceUpdate(Body):
    service: ServiceChanges


def create(request: Request) -> Reply:
    wanted = request.parse(ServiceCreate).service
    with request.write() as connection:
        made = domain.create(
            connection,
            type=wanted.type,
            name=wanted.name,
            description=wanted.description,
            enabled=wanted.enabled,
            extra=open_body.others(request, "service", ServiceNew),
        )
        audit.about(made.id)
    return Reply(201, {"service": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        found = store.page(connection, wanted, rendering.off(request))
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "services", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.path["id"], rendering.off(request))
    return Reply(200, {"service": render(request, found)})


def update(request: Request) -> Reply:
    values = open_body.changes(request, "service", request.parse(ServiceUpdate).service)
    with request.write() as connection:
        changed = domain.update(connection, request.path["id"], values, rendering.off(request))
    return Reply(200, {"service": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"], rendering.off(request))
    return Reply(204)


def render(request: Request, row: CatalogService) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.id,
        "type": row.type,
        "name": row.name,
        "enabled": row.enabled,
        "links": rendering.link(request, "services", row.id),
    }
    if row.description is not None:
        shown["description"] = row.description
    return open_body.shown(row.extra, shown)
