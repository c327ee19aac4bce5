"""The catalogue, and the scopes that the caller could have a token for."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Forbidden
from kumoi.cloud.api.identity import domain as identity_domain
from kumoi.cloud.api.identity import project, rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import assignment, endpoint_group
from kumoi.cloud.domain.identity import catalog as domain
from kumoi.cloud.domain.identity.catalog import Entry
from kumoi.cloud.store.identity import domain as domain_store
from kumoi.cloud.store.identity import project as project_store
from kumoi.cloud.store.identity.assignment import AssignmentTarget
from kumoi.cloud.store.listing import Listing
from kumoi.engine.http.request import Reply, encoded
from kumoi.engine.memo import Memo


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


def render(request: Request, connection: Connection, project_id: str | None) -> msgspec.Raw:
    """As it stands in a token too. It is made once for the same rows and project."""
    services, endpoints = domain.enabled(connection, rendering.off(request))
    if project_id is not None:
        endpoints = endpoint_group.of_project(connection, project_id, endpoints)
    api_url = request.services.cloud.api_url
    return _SHOWN.get((*services, *endpoints), len(services), api_url, project_id)


def _encode(rows: tuple[Any, ...], count: int, api_url: str, project_id: str | None) -> msgspec.Raw:
    """The first `count` rows are the services."""
    entries = domain.build(rows[:count], rows[count:], api_url, project_id)
    return encoded([_shown(entry) for entry in entries])


_SHOWN = Memo(_encode)


def _shown(entry: Entry) -> dict[str, Any]:
    return {
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
