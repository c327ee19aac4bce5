"""Server groups: what is accepted and what is shown. Since 2.64 a group has one policy."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.compute.shapes import Count, Name
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import server_group as domain
from kumoi.cloud.store.compute.server_group import ServerGroup
from kumoi.engine import audit
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

V_OWNER = (2, 13)
V_SOFT = (2, 15)
V_RULES = (2, 64)
HARD = (domain.ANTI_AFFINITY, domain.AFFINITY)
SOFT = (domain.SOFT_ANTI_AFFINITY, domain.SOFT_AFFINITY)


class Rules(Body, kw_only=True):
    max_server_per_host: Count | Unset = UNSET


class ServerGroupNew(Body, kw_only=True):
    name: Name
    policies: Annotated[list[Text], msgspec.Meta(min_length=1, max_length=1)] | Unset = UNSET
    policy: Text | Unset = UNSET
    rules: Rules | Unset = UNSET


class ServerGroupCreate(Body, kw_only=True):
    server_group: ServerGroupNew


def create(request: Request) -> Reply:
    body = request.parse(ServerGroupCreate).server_group
    policy, rules = _policy(request, body)
    with request.write() as connection:
        made = domain.create(
            connection,
            request.caller,
            name=body.name,
            policy=policy,
            rules=rules,
            now=request.services.clock.now(),
        )
        audit.about(made.id)
    return Reply(200, {"server_group": _render(request, made, [])})


def index(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.page(
            connection,
            request.caller,
            all_projects="all_projects" in request.query,
            limit=rendering.limit(request),
            offset=rendering.offset(request),
        )
        shown = [_shown(connection, request, group) for group in found]
    return Reply(200, {"server_groups": shown})


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
        shown = _shown(connection, request, found)
    return Reply(200, {"server_group": shown})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.caller, request.path["id"])
    return Reply(204)


def _policy(request: Request, body: ServerGroupNew) -> tuple[str, dict[str, Any]]:
    """The policy and its rules. Raises Invalid."""
    shapes.require_versions(
        request,
        body,
        since={"policy": V_RULES, "rules": V_RULES},
        until={"policies": (2, 63)},
    )
    field = "policy" if request.microversion >= V_RULES else "policies"
    value = body.policy if field == "policy" else body.policies
    if value is UNSET:
        raise shapes.invalid("server_group", body.name, f"'{field}' is a required property")
    policy = value if isinstance(value, str) else value[0]
    allowed = (*HARD, *SOFT) if request.microversion >= V_SOFT else HARD
    if policy not in allowed:
        raise shapes.invalid(field, policy, f"'{policy}' is not one of {list(allowed)}")
    if body.rules is UNSET or body.rules.max_server_per_host is UNSET:
        return policy, {}
    if policy != domain.ANTI_AFFINITY:
        raise shapes.invalid("rules", policy, "Only anti-affinity policy supports rules.")
    most = shapes.count(body.rules.max_server_per_host, "max_server_per_host", least=1)
    return policy, {"max_server_per_host": most}


def _shown(connection: Connection, request: Request, group: ServerGroup) -> dict[str, Any]:
    return _render(request, group, domain.members(connection, group))


def _render(request: Request, group: ServerGroup, members: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": group.id, "name": group.name, "members": members}
    if request.microversion >= V_RULES:
        shown |= {"policy": group.policy, "rules": group.rules}
    else:
        shown |= {"policies": [group.policy], "metadata": {}}
    if request.microversion >= V_OWNER:
        shown |= {"project_id": group.project_id, "user_id": group.user_id}
    return shown
