"""Consumers, which are servers: what one claims, and what all of a project or a user do."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.placement import query, rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.placement import consumer as domain
from kumoi.engine.http.request import Reply

V_OWNER = (1, 12)
V_GENERATION = (1, 28)
V_TYPE = (1, 38)
TYPE = "INSTANCE"
OF_PROJECT = "placement:usages"


def allocations(request: Request) -> Reply:
    """Empty for a consumer that claims nothing, or that there is not."""
    with request.read() as connection:
        found = domain.allocations(connection, request.path["id"])
    shown: dict[str, Any] = {
        one.provider_id: {"generation": one.generation, "resources": one.amounts} for one in found
    }
    body: dict[str, Any] = {"allocations": shown}
    for one in found:
        if request.microversion >= V_OWNER:
            body |= {"project_id": one.server.project_id, "user_id": one.server.user_id}
        if request.microversion >= V_GENERATION:
            body["consumer_generation"] = one.server.generation
        if request.microversion >= V_TYPE:
            body["consumer_type"] = TYPE
    return rendering.reply(request, body)


def usages(request: Request) -> Reply:
    """Of one project, and there of one user. Raises Invalid, Forbidden."""
    names = ["project_id", "user_id"]
    if request.microversion >= V_TYPE:
        names.append("consumer_type")
    query.require_only(request, names)
    project_id = request.query.get("project_id")
    if not project_id:
        raise Invalid("'project_id' is a required property", field="project_id")
    request.caller.check(OF_PROJECT, project_id)
    with request.read() as connection:
        found = domain.allocations_of_project(
            connection, project_id, user_id=request.query.get("user_id")
        )
    total: Counter[str] = Counter()
    for one in found:
        total.update(one.amounts)
    if request.microversion < V_TYPE:
        return rendering.reply(request, {"usages": total})
    wanted = request.query.get("consumer_type", TYPE)
    if wanted not in (TYPE, "all") or not found:
        return rendering.reply(request, {"usages": {}})
    counted = {"consumer_count": len({one.server.id for one in found}), **total}
    return rendering.reply(request, {"usages": {wanted: counted}})
