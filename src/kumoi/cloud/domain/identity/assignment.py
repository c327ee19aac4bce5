"""Role assignments: which user or group has which role on what, and which tokens end when that changes.

`admin` implies `member`, and `member` implies `reader`: a token carries all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.cloud.domain.identity import revocation
from kumoi.cloud.store.identity import assignment as store
from kumoi.cloud.store.identity import domain as domains
from kumoi.cloud.store.identity import group as groups
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import role as roles
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.assignment import Actor, Assignment, AssignmentTarget
from kumoi.cloud.store.identity.role import IdentityRole

IMPLIED: Mapping[str, tuple[str, ...]] = {"admin": ("member",), "member": ("reader",)}


def effective_roles(
    connection: Connection, user_id: str, target: AssignmentTarget, target_id: str
) -> list[IdentityRole]:
    """A user's roles on a target, with those of its groups and the implied ones, ordered by name."""
    found = store.of_user(
        connection,
        user_id,
        groups.groups_of(connection, user_id),
        target=target,
        target_id=target_id,
    )
    if not found:
        return []
    return with_implied(roles.every(connection), {row.role_id for row in found})


def with_implied(every: Iterable[IdentityRole], role_ids: Iterable[str]) -> list[IdentityRole]:
    """The roles with these ids and those that they imply, ordered by name."""
    by_id = {row.id: row for row in every}
    by_name = {row.name: row for row in by_id.values()}
    names: set[str] = set()
    waiting = [by_id[key].name for key in role_ids if key in by_id]
    while waiting:
        name = waiting.pop()
        if name not in names and name in by_name:
            names.add(name)
            waiting += IMPLIED.get(name, ())
    return [by_name[name] for name in sorted(names)]


def targets_of(connection: Connection, user_id: str, target: AssignmentTarget) -> list[str]:
    """The ids of the projects, or domains, on which the user has any role."""
    group_ids = groups.groups_of(connection, user_id)
    found = store.of_user(connection, user_id, group_ids, target=target)
    return sorted({row.target_id for row in found})


def grant(connection: Connection, row: Assignment) -> None:
    """Raises NotFound when the role, the actor or the target does not exist."""
    _require(connection, row)
    store.ensure(connection, row)


def check(connection: Connection, row: Assignment) -> None:
    """Raises NotFound when the role is not assigned."""
    _require(connection, row)
    if not store.has(connection, row):
        raise NotFound("role assignment", row.role_id)


def revoke(connection: Connection, row: Assignment, now: datetime) -> None:
    """Remove an assignment, and end the tokens with its role. Raises NotFound."""
    _require(connection, row)
    if not store.delete(connection, row):
        raise NotFound("role assignment", row.role_id)
    end_tokens(connection, [row], now)


def end_tokens(connection: Connection, removed: Iterable[Assignment], now: datetime) -> None:
    """End the tokens of the users who had these assignments, for the targets of them."""
    grants: set[tuple[str, str]] = set()
    for row in removed:
        if row.actor == Actor.USER:
            grants.add((row.actor_id, row.target_id))
        else:
            members = groups.members(connection, row.actor_id)
            grants |= {(user_id, row.target_id) for user_id in members}
    revocation.end_grants(connection, sorted(grants), now)


def granted(
    connection: Connection, actor: Actor, actor_id: str, target: AssignmentTarget, target_id: str
) -> list[IdentityRole]:
    """The roles assigned to the actor itself, without groups and implied roles. Raises NotFound."""
    _require_ends(connection, actor, actor_id, target, target_id)
    found = store.matching(
        connection, actor=actor, actor_id=actor_id, target=target, target_id=target_id
    )
    wanted = {row.role_id for row in found}
    return [row for row in roles.every(connection) if row.id in wanted]


def _require(connection: Connection, row: Assignment) -> None:
    if roles.get(connection, row.role_id) is None:
        raise NotFound("role", row.role_id)
    _require_ends(connection, row.actor, row.actor_id, row.target, row.target_id)


def _require_ends(
    connection: Connection, actor: Actor, actor_id: str, target: AssignmentTarget, target_id: str
) -> None:
    get_actor = users.get if actor == Actor.USER else groups.get
    if get_actor(connection, actor_id) is None:
        raise NotFound(actor, actor_id)
    if target == AssignmentTarget.SYSTEM:
        return
    get_target = projects.get if target == AssignmentTarget.PROJECT else domains.get
    if get_target(connection, target_id) is None:
        raise NotFound(target, target_id)
