"""The catalogue, and what the caller could log in to."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Forbidden
from kumoi.cloud.api.identity import domain as identity_domain
from kumoi.cloud.api.identity import project, rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import assignment
from kumoi.cloud.domain.identity import catalog as domain
from kumoi.cloud.store.identity import domain as domain_store
from kumoi.cloud.store.identity import project as project_store
from kumoi.cloud.store.identity.assignment import AssignmentTarget
from kumoi.cloud.store.listing import Listing
from kumoi.engine.http.request import Reply


def show(request: Request) -> Reply:
    claims = request.claims
    if claims.target_id is None:
        raise Forbidden("The token has no scope, so there is no catalog.")
    with request.read() as connection:
        shown = render(request, connection, claims.project_id)
    return Reply(200, {"catalog": shown, "links": rendering.link(request, "auth", "catalog")})


def projects(request: Request) -> Reply:
    """The projects that the caller could have a token for."""
    with request.read() as connection:
        ids = assignment.targets_of(connection, request.caller.user_id, AssignmentTarget.PROJECT)
        enabled = Listing(filters={"enabled": [True]})
        rows = project_store.page(connection, enabled, ids=ids)
        shown = project.render(request, connection, rows)
    return Reply(200, rendering.page(request, "projects", shown))


def domains(request: Request) -> Reply:
    """The domains that the caller could have a token for."""
    with request.read() as connection:
        ids = assignment.targets_of(connection, request.caller.user_id, AssignmentTarget.DOMAIN)
        enabled = Listing(filters={"enabled": [True], "id": ids})
        rows = domain_store.page(connection, enabled)
    shown = [identity_domain.render(request, row) for row in rows]
    return Reply(200, rendering.page(request, "domains", shown))


def system(request: Request) -> Reply:
    """Whether the caller could have a token for the system."""
    with request.read() as connection:
        found = assignment.targets_of(connection, request.caller.user_id, AssignmentTarget.SYSTEM)
    return Reply(200, rendering.page(request, "system", [{"all": True}] if found else []))


def render(
    request: Request, connection: Connection, project_id: str | None
) -> list[dict[str, Any]]:
    """As it stands in a token too."""
    entries = domain.build(connection, request.services.cloud.api_url, project_id)
    return [
        {
            "id": entry.service.id,
            "type": entry.service.type,
            "name": entry.service.name,
            "endpoints": [
                {
                    "id": row.id,
                    "interface": row.interface,
                    "region": row.region,
                    "region_id": row.region,
                    "url": url,
                }
                for row, url in entry.endpoints
            ],
        }
        for entry in entries
    ]
