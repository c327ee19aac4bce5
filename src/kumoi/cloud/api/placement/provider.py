"""Resource providers and what they have: inventories, usages, allocations, aggregates, traits."""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import NotFound
from kumoi.cloud.api.placement import query, rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.placement import provider as domain
from kumoi.cloud.domain.placement.provider import Inventory, ResourceProvider
from kumoi.engine.http.request import Reply

V_AGGREGATES = (1, 1)
V_TRAITS = (1, 6)
V_ALLOCATIONS = (1, 11)
V_TREE = (1, 14)
V_AGGREGATES_GENERATION = (1, 19)
V_CONSUMER_GENERATION = (1, 28)
INT_MAX = 2**31 - 1


def index(request: Request) -> Reply:
    with request.read() as connection:
        known = domain.traits(connection)
        found = domain.every(connection, query.providers(request, known))
    shown = [_render(request, row) for row in found]
    return rendering.reply(request, {"resource_providers": shown})


def show(request: Request) -> Reply:
    row = _get(request)
    return rendering.reply(request, _render(request, row), row.updated_at)


def inventories(request: Request) -> Reply:
    row = _get(request)
    shown = {name: _inventory(has) for name, has in row.inventories.items()}
    body = {"inventories": shown, "resource_provider_generation": row.generation}
    return rendering.reply(request, body, row.updated_at)


def inventory(request: Request) -> Reply:
    """Of one resource class. Raises NotFound."""
    row, name = _get(request), request.path["name"]
    if name not in row.inventories:
        words = f"No inventory of class {name} for {row.id}"
        raise NotFound("inventory", name, message=words)
    body = _inventory(row.inventories[name]) | {"resource_provider_generation": row.generation}
    return rendering.reply(request, body, row.updated_at)


def usages(request: Request) -> Reply:
    row = _get(request)
    used = {name: row.used[name] for name in row.inventories}
    body = {"usages": used, "resource_provider_generation": row.generation}
    return rendering.reply(request, body, row.updated_at)


def allocations(request: Request) -> Reply:
    with request.read() as connection:
        row = domain.get(connection, request.path["id"])
        found = domain.allocations_of_provider(connection, row)
    shown: dict[str, Any] = {}
    for one in found:
        shown[one.server.id] = {"resources": one.amounts}
        if request.microversion >= V_CONSUMER_GENERATION:
            shown[one.server.id]["consumer_generation"] = one.server.generation
    body = {"allocations": shown, "resource_provider_generation": row.generation}
    return rendering.reply(request, body, row.updated_at)


def aggregates(request: Request) -> Reply:
    row = _get(request)
    body: dict[str, Any] = {"aggregates": list(row.aggregates)}
    if request.microversion >= V_AGGREGATES_GENERATION:
        body["resource_provider_generation"] = row.generation
    return rendering.reply(request, body, row.updated_at)


def traits(request: Request) -> Reply:
    row = _get(request)
    body = {"traits": sorted(row.traits), "resource_provider_generation": row.generation}
    return rendering.reply(request, body, row.updated_at)


def _get(request: Request) -> ResourceProvider:
    with request.read() as connection:
        return domain.get(connection, request.path["id"])


def _inventory(has: Inventory) -> dict[str, Any]:
    return {
        "total": has.total,
        "reserved": has.reserved,
        "min_unit": 1,
        "max_unit": min(has.capacity, INT_MAX) or 1,
        "step_size": 1,
        "allocation_ratio": has.allocation_ratio,
    }


def _render(request: Request, row: ResourceProvider) -> dict[str, Any]:
    version = request.microversion
    path = f"/{rendering.PREFIX}/resource_providers/{row.id}"
    words = ["inventories", "usages"]
    words += ["aggregates"] if version >= V_AGGREGATES else []
    words += ["traits"] if version >= V_TRAITS else []
    words += ["allocations"] if version >= V_ALLOCATIONS else []
    shown: dict[str, Any] = {
        "uuid": row.id,
        "name": row.name,
        "generation": row.generation,
        "links": [
            {"rel": "self", "href": path},
            *({"rel": word, "href": f"{path}/{word}"} for word in words),
        ],
    }
    if version >= V_TREE:
        shown |= {"root_provider_uuid": row.id, "parent_provider_uuid": None}
    return shown
