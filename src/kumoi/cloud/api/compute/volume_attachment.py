"""A server's volumes: none, while the cloud has no block storage. Clients list them all the same."""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import server
from kumoi.engine.http.request import Reply


def index(request: Request) -> Reply:
    with request.read() as connection:
        server.get(connection, request.caller, request.path["id"])
    return Reply(200, {"volumeAttachments": []})
