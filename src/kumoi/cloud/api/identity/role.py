"""Roles: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.identity import open_body, rendering
from kumoi.cloud.api.identity.open_body import OpenBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import role as domain
from kumoi.cloud.domain.identity.role import RoleRequest
from kumoi.cloud.store.identity import role as store
from kumoi.cloud.store.identity.role import IdentityRole
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name"}


class RoleNew(OpenBody):
    """With `domain_id` it is a role of that domain, which no token carries; the roles that it implies,
    tokens do.
    """

    name: rendering.Name
    description: rendering.Text | None = None
    domain_id: rendering.Key | None = None
    options: rendering.Options | Unset = UNSET


class RoleChanges(OpenBody):
    name: rendering.Name | Unset = UNSET
    description: rendering.Text | Unset | None = UNSET
    domain_id: rendering.Key | Unset | None = UNSET
    options: rendering.Options | Unset = UNSET


class RoleCreate(Body):
    role: RoleNew


class RoleUpdate(Body):
    role: RoleChanges


def create(request: Request) -> Reply:
    wanted = request.parse(RoleCreate).role
    with request.write() as connection:
        made = domain.create(
            connection,
            RoleRequest(
                name=wanted.name,
                description=wanted.description,
                domain_id=wanted.domain_id,
                options=wanted.options or {},
                extra=open_body.others(request, "role", RoleNew),
            ),
        )
        audit.about(made.id)
    return Reply(201, {"role": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        if "domain_id" in request.query:
            request.caller.check("identity:list_domain_roles")
        found = store.page(connection, wanted, domain_id=request.query.get("domain_id"))
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "roles", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get_for(connection, request.caller, request.path["id"])
    return Reply(200, {"role": render(request, found)})


def update(request: Request) -> Reply:
    values = open_body.changes(request, "role", request.parse(RoleUpdate).role)
    with request.write() as connection:
        now = request.services.clock.now()
        changed = domain.update(connection, request.path["id"], values, now)
    rendering.ended(request)
    return Reply(200, {"role": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"], request.services.clock.now())
    rendering.ended(request)
    return Reply(204)


def render(request: Request, row: IdentityRole) -> dict[str, Any]:
    shown = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "domain_id": row.domain_id,
        "options": row.options or {},
        "links": rendering.link(request, "roles", row.id),
    }
    return open_body.shown(row.extra, shown)
