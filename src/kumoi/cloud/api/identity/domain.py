"""Domains: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.identity import domain
from kumoi.cloud.store.identity import domain as store
from kumoi.cloud.store.identity.domain import Domain
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name", "enabled": "enabled"}


class DomainNew(Body):
    name: rendering.ShortName
    description: rendering.Text | None = ""
    enabled: bool = True
    options: rendering.NoOptions | Unset = UNSET
    tags: rendering.NoTags | Unset = UNSET


class DomainChanges(Body):
    name: rendering.ShortName | Unset = UNSET
    description: rendering.Text | Unset = UNSET
    enabled: bool | Unset = UNSET
    options: rendering.NoOptions | Unset = UNSET
    tags: rendering.NoTags | Unset = UNSET


class DomainCreate(Body):
    domain: DomainNew


class DomainUpdate(Body):
    domain: DomainChanges


def create(request: Request) -> Reply:
    wanted = request.parse(DomainCreate).domain
    with request.write() as connection:
        made = domain.create(
            connection,
            name=wanted.name,
            description=wanted.description or "",
            enabled=wanted.enabled,
        )
        audit.about(made.id)
    return Reply(201, {"domain": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS, booleans=("enabled",))
    with request.read() as connection:
        found = store.page(connection, wanted)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "domains", shown, wanted))


def show(request: Request) -> Reply:
    """Anybody may see the domains that the token names, since tools ask for them."""
    claims = request.claims
    own = {claims.user_domain_id, claims.domain_id, claims.project and claims.project.domain_id}
    with request.read() as connection:
        found = domain.get_visible(connection, request.caller, own, request.path["id"])
    return Reply(200, {"domain": render(request, found)})


def update(request: Request) -> Reply:
    values = fields_set(request.parse(DomainUpdate).domain, without=("options", "tags"))
    with request.write() as connection:
        now = request.services.clock.now()
        changed = domain.update(connection, request.path["id"], values, now)
    rendering.ended(request)
    return Reply(200, {"domain": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"], request.services.clock.now())
    rendering.ended(request)
    return Reply(204)


def render(request: Request, row: Domain) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "enabled": row.enabled,
        "tags": [],
        "options": {},
        "links": rendering.link(request, "domains", row.id),
    }
