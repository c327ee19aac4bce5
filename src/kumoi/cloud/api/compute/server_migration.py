"""Migrations of a server that are under way: none, since a server stays on its host."""

from __future__ import annotations

from kumoi.base.errors import NotFound
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import server as domain
from kumoi.engine.http.request import Reply


def index(request: Request) -> Reply:
    with request.read() as connection:
        domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"migrations": []})


def show(request: Request) -> Reply:
    """Raises NotFound."""
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    key = request.path["key"]
    words = f"In-progress live migration {key} is not found for server {found.id}."
    raise NotFound("migration", key, message=words)
