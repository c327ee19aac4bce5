"""Role assignments: which user or group has which role on what, and which tokens end when that changes.

A token carries implied roles too; see role_rules.py. An inherited assignment counts for every project
below its target, and not for the target itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Forbidden, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import project_tree, revocation, role_rules
from kumoi.cloud.store.identity import assignment as store
from kumoi.cloud.store.identity import domain as domains
from kumoi.cloud.store.identity import group as groups
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import role as roles
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.assignment import Actor, Assignment, AssignmentTarget
from kumoi.cloud.store.identity.role import IdentityRole
from kumoi.policy.row import MANAGED_ROLES, MANAGERS, POWERFUL


def effective_roles(
    connection: Connection, user_id: str, target: AssignmentTarget, target_id: str
) -> list[IdentityRole]:
    """A user's roles on a target, with those of its groups and the implied ones, ordered by name."""
    group_ids = groups.groups_of(connection, user_id)
    found = store.of_user(connection, user_id, group_ids, target=target, target_id=target_id)
    if target == AssignmentTarget.PROJECT and (
        inherited := store.of_user(connection, user_id, group_ids, inherited=True)
    ):
        higher = set(project_tree.above(connection, target_id))
        found += [row for row in inherited if row.target_id in higher]
    if not found:
        return []
    return role_rules.load(connection).in_tokens({row.role_id for row in found})


def targets_of(connection: Connection, user_id: str, target: AssignmentTarget) -> list[str]:
    """The ids of the projects, or domains, on which the user has any role."""
    group_ids = groups.groups_of(connection, user_id)
    found = store.of_user(connection, user_id, group_ids, target=target)
    ids = {row.target_id for row in found}
    if target == AssignmentTarget.PROJECT:
        for row in store.of_user(connection, user_id, group_ids, inherited=True):
            ids.update(project_tree.below(connection, row.target_id))
    return sorted(ids)


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
        user_ids = [row.actor_id]
        if row.actor == Actor.GROUP:
            user_ids = groups.members(connection, row.actor_id)
        target_ids = [row.target_id]
        if row.inherited:
            target_ids = project_tree.below(connection, row.target_id)
        grants |= {(user_id, target_id) for user_id in user_ids for target_id in target_ids}
    revocation.end_grants(connection, sorted(grants), now)


def require_allowed(connection: Connection, caller: Caller, rule: str, row: Assignment) -> None:
    """Raises Forbidden unless the rule allows this: within one domain, where both ends are in it, and a
    role that is not another domain's. There a caller gives and takes no more than `MANAGED_ROLES`.
    """
    if caller.may(rule):
        return
    domain_ids = {_actors_domain(connection, row), _targets_domain(connection, row)}
    caller.check(rule, domain_id=domain_ids.pop() if len(domain_ids) == 1 else None)
    if not row.role_id:
        return
    role = roles.get(connection, row.role_id)
    if rule == "identity:check_grant":
        allowed = role is None or role.domain_id in (None, caller.domain_id)
    else:
        allowed = role is not None and role.domain_id is None and role.name in MANAGED_ROLES
    if not allowed:
        raise Forbidden(f"Policy doesn't allow {rule} to be performed with this role.")


def require_tree(connection: Connection, caller: Caller, rule: str, project_id: str) -> None:
    """Raises Forbidden unless the rule allows the caller this with the project and those below it."""
    project = projects.get(connection, project_id)
    caller.check(rule, domain_id=project.domain_id if project else None)


def _actors_domain(connection: Connection, row: Assignment) -> str | None:
    actor = (users if row.actor == Actor.USER else groups).get(connection, row.actor_id)
    return actor.domain_id if actor else None


def _targets_domain(connection: Connection, row: Assignment) -> str | None:
    if row.target == AssignmentTarget.PROJECT:
        project = projects.get(connection, row.target_id)
        return project.domain_id if project else None
    return row.target_id if row.target == AssignmentTarget.DOMAIN else None


def require_manageable(
    connection: Connection, actor: Actor, key: str, domain_id: str | None
) -> None:
    """Raises Forbidden for a user or group with a role that whoever manages the domain could not give:
    with the password of such a user they would have it themselves.
    """
    if actor == Actor.USER:
        joined = groups.groups_of(connection, key)
        found = [
            *store.of_user(connection, key, joined),
            *store.of_user(connection, key, joined, inherited=True),
        ]
    else:
        found = all_of(connection, actor=actor, actor_id=key)
    rules = role_rules.load(connection)
    for row in found:
        names = {role.name for role in rules.in_tokens([row.role_id])}
        elsewhere = row.target != AssignmentTarget.PROJECT and row.target_id != domain_id
        own = row.target == AssignmentTarget.DOMAIN and not (row.inherited or elsewhere)
        if (elsewhere and names & MANAGERS) or (names & POWERFUL and not own):
            raise Forbidden(
                "Whoever manages a domain does not change who has more rights than that."
            )


def granted(connection: Connection, on: Assignment) -> list[IdentityRole]:
    """The roles assigned to the actor itself, without groups and implied roles. Raises NotFound."""
    _require_ends(connection, on)
    found = store.matching(
        connection,
        inherited=on.inherited,
        actor=on.actor,
        actor_id=on.actor_id,
        target=on.target,
        target_id=on.target_id,
    )
    wanted = {row.role_id for row in found}
    return [row for row in roles.every(connection) if row.id in wanted]


def all_of(connection: Connection, **only: Any) -> list[Assignment]:
    """All assignments whose columns have these values, the inherited ones too."""
    return [
        *store.matching(connection, **only),
        *store.matching(connection, inherited=True, **only),
    ]


def _require(connection: Connection, row: Assignment) -> None:
    if roles.get(connection, row.role_id) is None:
        raise NotFound("role", row.role_id)
    _require_ends(connection, row)


def _require_ends(connection: Connection, row: Assignment) -> None:
    get_actor = users.get if row.actor == Actor.USER else groups.get
    if get_actor(connection, row.actor_id) is None:
        raise NotFound(row.actor, row.actor_id)
    if row.target == AssignmentTarget.SYSTEM:
        return
    get_target = projects.get if row.target == AssignmentTarget.PROJECT else domains.get
    if get_target(connection, row.target_id) is None:
        raise NotFound(row.target, row.target_id)
