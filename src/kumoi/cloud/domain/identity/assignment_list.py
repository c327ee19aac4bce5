"""The list of role assignments: as they were made, or with groups and implied roles resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.identity.assignment import with_implied
from kumoi.cloud.store.identity import assignment as store
from kumoi.cloud.store.identity import group as groups
from kumoi.cloud.store.identity import role as roles
from kumoi.cloud.store.identity.assignment import Actor, Assignment, AssignmentTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentFilter:
    """The assignments to list; None is any. `effective` puts the members in place of a group and adds
    the implied roles.
    """

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    effective: bool = False


def every(connection: Connection, wanted: AssignmentFilter) -> list[Assignment]:
    """Ordered by target, actor and role."""
    found: Iterable[Assignment] = store.matching(connection)
    if wanted.effective:
        found = _resolved(connection, found)
    return sorted(
        {row for row in found if _fits(row, wanted)},
        key=lambda row: (row.target, row.target_id, row.actor, row.actor_id, row.role_id),
    )


def _resolved(connection: Connection, rows: Iterable[Assignment]) -> Iterator[Assignment]:
    """What each assignment means for users, with the roles that its role implies."""
    every_role = roles.every(connection)
    for row in rows:
        user_ids = [row.actor_id]
        if row.actor == Actor.GROUP:
            user_ids = groups.members(connection, row.actor_id)
        for user_id in user_ids:
            for role in with_implied(every_role, [row.role_id]):
                yield replace(row, actor=Actor.USER, actor_id=user_id, role_id=role.id)


def _fits(row: Assignment, wanted: AssignmentFilter) -> bool:
    pairs = (
        (wanted.user_id, row.actor_id if row.actor == Actor.USER else None),
        (wanted.group_id, row.actor_id if row.actor == Actor.GROUP else None),
        (wanted.project_id, row.target_id if row.target == AssignmentTarget.PROJECT else None),
        (wanted.domain_id, row.target_id if row.target == AssignmentTarget.DOMAIN else None),
        (True if wanted.system else None, row.target == AssignmentTarget.SYSTEM),
        (wanted.role_id, row.role_id),
    )
    return all(asked is None or asked == has for asked, has in pairs)
