"""The catalogue, and what the caller could log in to."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Forbidden
from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Reply, Request
from kumoi.cloud.domain.identity import catalog as domain


def show(request: Request) -> Reply:
    claims = request.claims
    if claims.target_id is None:
        raise Forbidden("The token has no scope, so there is no catalog.")
    with request.read() as connection:
        shown = render(request, connection, claims.project_id)
    return Reply(200, {"catalog": shown, "links": rendering.link(request, "auth", "catalog")})


def render(
    request: Request, connection: Connection, project_id: str | None
) -> list[dict[str, Any]]:
    """As it stands in a token too."""
    entries = domain.build(connection, request.services.settings.api_url, project_id)
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
