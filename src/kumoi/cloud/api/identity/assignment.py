"""Role assignments: which user or group has which role on what.

The path says it all: /projects/{id}/users/{actor_id}/roles/{role_id}, and the like for domains and
groups. The system has no id: /system/users/{actor_id}/roles/{role_id}. What projects below inherit is under
/OS-INHERIT and ends in /inherited_to_projects.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.identity import rendering, role
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import assignment as domain
from kumoi.cloud.domain.identity import assignment_list
from kumoi.cloud.domain.identity.assignment_list import AssignmentFilter
from kumoi.cloud.store.identity import names as names_of
from kumoi.cloud.store.identity.assignment import SYSTEM_ID, Actor, Assignment, AssignmentTarget
from kumoi.cloud.store.identity.names import Name
from kumoi.engine.http import paging
from kumoi.engine.http.request import Reply

FILTERS = {
    "user.id": "user_id",
    "group.id": "group_id",
    "role.id": "role_id",
    "scope.project.id": "project_id",
    "scope.domain.id": "domain_id",
}


INHERITED = "scope.OS-INHERIT:inherited_to"
INHERIT = "OS-INHERIT/"


def granted(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.granted(connection, _allowed(request, connection, "list_grants"))
    shown = [role.render(request, row) for row in found]
    return Reply(200, rendering.page(request, "roles", shown))


def grant(request: Request) -> Reply:
    with request.write() as connection:
        domain.grant(connection, _allowed(request, connection, "create_grant"))
    return Reply(204)


def check(request: Request) -> Reply:
    with request.read() as connection:
        domain.check(connection, _allowed(request, connection, "check_grant"))
    return Reply(204)


def revoke(request: Request) -> Reply:
    with request.write() as connection:
        row = _allowed(request, connection, "revoke_grant")
        domain.revoke(connection, row, request.services.clock.now())
    rendering.ended(request)
    return Reply(204)


def index(request: Request) -> Reply:
    """`effective` resolves groups and implied roles; `include_names` adds names to the ids."""
    filters = {name: request.query[key] for key, name in FILTERS.items() if key in request.query}
    system = "scope.system" in request.query
    wanted = AssignmentFilter(
        effective=_flag(request, "effective"),
        system=system,
        inherited=INHERITED in request.query,
        subtree=_flag(request, "include_subtree"),
        within=request.caller.domain_reach("identity:list_role_assignments"),
        **filters,
    )
    with request.read() as connection:
        if wanted.subtree and wanted.project_id is not None:
            rule = "identity:list_role_assignments_for_tree"
            domain.require_tree(connection, request.caller, rule, wanted.project_id)
        found = assignment_list.every(connection, wanted)
        shown = _render(request, connection, found)
    return Reply(200, rendering.page(request, "role_assignments", shown))


def _flag(request: Request, key: str) -> bool:
    """Present without a value is true, as Keystone reads it."""
    return key in request.query and paging.boolean(request.query[key] or "true", key)


def _allowed(request: Request, connection: Connection, verb: str) -> Assignment:
    """The assignment that the path names. Raises Forbidden. Those on the system have rows of their own,
    which the route has asked.
    """
    row = _named(request)
    if row.target != AssignmentTarget.SYSTEM:
        domain.require_allowed(connection, request.caller, f"identity:{verb}", row)
    return row


def _named(request: Request) -> Assignment:
    rest = request.url_path.split("/v3/")[1]
    inherited = rest.startswith(INHERIT)
    parts = rest.removeprefix(INHERIT).split("/")
    actors = parts[1] if parts[0] == AssignmentTarget.SYSTEM else parts[2]
    return Assignment(
        Actor(actors.removesuffix("s")),
        request.path["actor_id"],
        AssignmentTarget(parts[0].removesuffix("s")),
        request.path.get("id", SYSTEM_ID),
        request.path.get("role_id", ""),
        inherited=inherited,
    )


def _render(
    request: Request, connection: Connection, found: list[Assignment]
) -> list[dict[str, Any]]:
    if not _flag(request, "include_names"):
        return [_plain(request, row) for row in found]
    named = names_of.load(connection)
    return [
        {
            **_plain(request, row),
            "role": {"id": row.role_id, "name": named.roles[row.role_id]},
            row.actor.value: _named_in_domain(named.actors[row.actor_id]),
            "scope": _scope(row, _named_in_domain(named.targets[row.target_id])),
        }
        for row in found
    ]


def _plain(request: Request, row: Assignment) -> dict[str, Any]:
    target = (
        ("system",) if row.target == AssignmentTarget.SYSTEM else (f"{row.target}s", row.target_id)
    )
    path = (*target, f"{row.actor}s", row.actor_id, "roles", row.role_id)
    if row.inherited:
        path = ("OS-INHERIT", *path, "inherited_to_projects")
    return {
        "role": {"id": row.role_id},
        row.actor.value: {"id": row.actor_id},
        "scope": _scope(row, {"id": row.target_id}),
        "links": {"assignment": rendering.link(request, *path)["self"]},
    }


def _scope(row: Assignment, shown: dict[str, Any]) -> dict[str, Any]:
    if row.target == AssignmentTarget.SYSTEM:
        return {"system": {"all": True}}
    inherited = {"OS-INHERIT:inherited_to": "projects"} if row.inherited else {}
    return {row.target.value: shown, **inherited}


def _named_in_domain(name: Name) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": name.id, "name": name.name}
    if name.domain_id is not None:
        shown["domain"] = {"id": name.domain_id, "name": name.domain_name}
    return shown
