"""A server's tags: what is accepted and what is shown. Since 2.26."""

from __future__ import annotations

import msgspec

from kumoi.base.errors import NotFound
from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.compute.shapes import Tag, Tags
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import server as domain
from kumoi.engine.http.request import Body, Reply


class ServerTagsReplace(Body, kw_only=True):
    tags: Tags


def index(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"tags": found.tags})


def replace(request: Request) -> Reply:
    wanted, now = request.parse(ServerTagsReplace).tags, request.services.clock.now()
    with request.write() as connection:
        tags = domain.put_tags(connection, request.caller, request.path["id"], wanted, now)
    return Reply(200, {"tags": tags})


def clear(request: Request) -> Reply:
    now = request.services.clock.now()
    with request.write() as connection:
        domain.put_tags(connection, request.caller, request.path["id"], (), now)
    return Reply(204)


def show(request: Request) -> Reply:
    """204 when the server has the tag."""
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    _require(found.tags, request.path["key"])
    return Reply(204)


def put(request: Request) -> Reply:
    """201 for a new tag, 204 for one that the server had."""
    key, tag, now = request.path["id"], request.path["key"], request.services.clock.now()
    try:
        msgspec.convert(tag, Tag)
    except msgspec.ValidationError as cause:
        raise shapes.invalid("tag", tag, str(cause)) from cause
    with request.write() as connection:
        found = domain.get(connection, request.caller, key)
        domain.put_tags(connection, request.caller, key, [*found.tags, tag], now)
    location = f"{request.base}/{rendering.VERSION}/servers/{key}/tags/{tag}"
    return Reply(204 if tag in found.tags else 201, headers={"Location": location})


def delete(request: Request) -> Reply:
    key, tag, now = request.path["id"], request.path["key"], request.services.clock.now()
    with request.write() as connection:
        found = domain.get(connection, request.caller, key)
        _require(found.tags, tag)
        left = [each for each in found.tags if each != tag]
        domain.put_tags(connection, request.caller, key, left, now)
    return Reply(204)


def _require(tags: list[str], tag: str) -> None:
    if tag not in tags:
        raise NotFound("server tag", tag)
