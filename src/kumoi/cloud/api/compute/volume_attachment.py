"""A server's volumes: none, while the cloud has no block storage."""

from __future__ import annotations

from kumoi.base.errors import NotFound, Unsupported
from kumoi.cloud.api.request import Reply, Request
from kumoi.cloud.domain.compute import server


def index(request: Request) -> Reply:
    with request.read() as connection:
        server.get(connection, request.caller, request.path["id"])
    return Reply(200, {"volumeAttachments": []})


def show(request: Request) -> Reply:
    with request.read() as connection:
        server.get(connection, request.caller, request.path["id"])
    key = request.path["volume_id"]
    raise NotFound("volume", key, message=f"Instance is not attached to volume {key}")


def create(request: Request) -> Reply:
    with request.read() as connection:
        server.get(connection, request.caller, request.path["id"])
    raise Unsupported("This cloud has no block storage.")
