"""Domains: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.identity import open_body, rendering
from kumoi.cloud.api.identity.open_body import OpenBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import domain
from kumoi.cloud.domain.identity.domain import DomainRequest
from kumoi.cloud.store.identity import domain as store
from kumoi.cloud.store.identity.domain import Domain
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name", "enabled": "enabled"}


class DomainNew(OpenBody):
    name: rendering.ShortName
    description: rendering.Text | None = ""
    enabled: bool = True
    options: rendering.Options | Unset = UNSET
    tags: rendering.NoTags | Unset = UNSET


class DomainChanges(OpenBody):
    name: rendering.ShortName | Unset = UNSET
    description: rendering.Text | Unset | None = UNSET
    enabled: bool | Unset = UNSET
    options: rendering.Options | Unset = UNSET
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
            DomainRequest(
                name=wanted.name,
                description=wanted.description or "",
                enabled=wanted.enabled,
                options=wanted.options or {},
                extra=open_body.others(request, "domain", DomainNew),
            ),
        )
        audit.about(made.id)
    return Reply(201, {"domain": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS, booleans=("enabled",))
    with request.read() as connection:
        found = store.page(
            connection, rendering.confined(request, wanted, "identity:list_domains", "id")
        )
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
    body = request.parse(DomainUpdate).domain
    values = open_body.changes(request, "domain", body, without=("tags",))
    if values.get("description", "") is None:
        values["description"] = ""
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
    shown = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "enabled": row.enabled,
        "tags": [],
        "options": row.options or {},
        "links": rendering.link(request, "domains", row.id),
    }
    return open_body.shown(row.extra, shown)


def render_as_project(request: Request, row: Domain) -> dict[str, Any]:
    """The project that acts as the domain."""
    return {
        **render(request, row),
        "domain_id": None,
        "parent_id": None,
        "is_domain": True,
        "links": rendering.link(request, "projects", row.id),
    }
