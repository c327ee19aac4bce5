"""Roles: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.identity import role as domain
from kumoi.cloud.store.identity import role as store
from kumoi.cloud.store.identity.role import IdentityRole
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name"}


class RoleNew(Body):
    """Roles of a single domain are not supported: `domain_id` must be null."""

    name: rendering.Name
    description: rendering.Text | None = None
    domain_id: None = None
    options: rendering.NoOptions | Unset = UNSET


class RoleChanges(Body):
    name: rendering.Name | Unset = UNSET
    description: rendering.Text | Unset | None = UNSET
    domain_id: Unset | None = UNSET
    options: rendering.NoOptions | Unset = UNSET


class RoleCreate(Body):
    role: RoleNew


class RoleUpdate(Body):
    role: RoleChanges


def create(request: Request) -> Reply:
    wanted = request.parse(RoleCreate).role
    with request.write() as connection:
        made = domain.create(connection, name=wanted.name, description=wanted.description)
        audit.about(made.id)
    return Reply(201, {"role": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        found = [] if "domain_id" in request.query else store.page(connection, wanted)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "roles", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.path["id"])
    return Reply(200, {"role": render(request, found)})


def update(request: Request) -> Reply:
    values = fields_set(request.parse(RoleUpdate).role, without=("options", "domain_id"))
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


def implied(request: Request) -> Reply:
    """The roles that a role implies. These are fixed: admin implies member, which implies reader."""
    with request.read() as connection:
        found = domain.get(connection, request.path["id"])
        implies = domain.implied_by(connection, found)
    return Reply(200, {"role_inference": _inference(request, found, implies)})


def inferences(request: Request) -> Reply:
    with request.read() as connection:
        shown = [
            _inference(request, row, implies)
            for row in store.every(connection)
            if (implies := domain.implied_by(connection, row))
        ]
    return Reply(200, rendering.page(request, "role_inferences", shown))


def _inference(
    request: Request, prior: IdentityRole, implies: list[IdentityRole]
) -> dict[str, Any]:
    return {
        "prior_role": _short(request, prior),
        "implies": [_short(request, row) for row in implies],
    }


def _short(request: Request, row: IdentityRole) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "links": rendering.link(request, "roles", row.id)}


def render(request: Request, row: IdentityRole) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "domain_id": None,
        "options": {},
        "links": rendering.link(request, "roles", row.id),
    }
