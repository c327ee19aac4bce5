"""A server's metadata: what is accepted and what is shown."""

from __future__ import annotations

from kumoi.base.errors import Invalid, NotFound
from kumoi.cloud.api.compute.shapes import Metadata
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import server as domain
from kumoi.engine.http.request import Body, Reply


class ServerMetadataReplace(Body, kw_only=True):
    metadata: Metadata


class ServerMetadataItemReplace(Body, kw_only=True):
    meta: Metadata


def index(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"metadata": found.metadata})


def replace(request: Request) -> Reply:
    wanted, now = request.parse(ServerMetadataReplace).metadata, request.services.clock.now()
    with request.write() as connection:
        items = domain.put_metadata(connection, request.caller, request.path["id"], wanted, now)
    return Reply(200, {"metadata": items})


def add(request: Request) -> Reply:
    wanted, now = request.parse(ServerMetadataReplace).metadata, request.services.clock.now()
    with request.write() as connection:
        items = domain.add_metadata(connection, request.caller, request.path["id"], wanted, now)
    return Reply(200, {"metadata": items})


def show(request: Request) -> Reply:
    name = request.path["key"]
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    if name not in found.metadata:
        raise NotFound("metadata item", name, message="Metadata item was not found")
    return Reply(200, {"meta": {name: found.metadata[name]}})


def put(request: Request) -> Reply:
    name = request.path["key"]
    wanted, now = request.parse(ServerMetadataItemReplace).meta, request.services.clock.now()
    if set(wanted) != {name}:
        raise Invalid("Request body and URI mismatch", field="meta")
    with request.write() as connection:
        domain.add_metadata(connection, request.caller, request.path["id"], wanted, now)
    return Reply(200, {"meta": wanted})


def delete(request: Request) -> Reply:
    now = request.services.clock.now()
    with request.write() as connection:
        domain.delete_metadata(
            connection, request.caller, request.path["id"], request.path["key"], now
        )
    return Reply(204)
