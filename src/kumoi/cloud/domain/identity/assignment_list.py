"""The list of role assignments, as they were made or as they take effect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.identity.assignment import with_implied
from kumoi.cloud.store.identity import assignment as store
from kumoi.cloud.store.identity import group as groups
from kumoi.cloud.store.identity import role as roles
from kumoi.cloud.store.identity.assignment import Actor, Assignment, AssignmentTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentFilter:
    """Which ones; None is any. `effective` puts members in place of groups and adds what roles
    imply.
    """

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    effective: bool = False


def every(connection: Connection, wanted: AssignmentFilter) -> list[Assignment]:
    found: Iterable[Assignment] = store.matching(connection)
    if wanted.effective:
        found = _implied(connection, _of_members(connection, found))
    return sorted(
        {row for row in found if _fits(row, wanted)},
        key=lambda row: (row.target, row.target_id, row.actor, row.actor_id, row.role_id),
    )


def _of_members(connection: Connection, found: Iterable[Assignment]) -> Iterable[Assignment]:
    for row in found:
        if row.actor == Actor.USER:
            yield row
            continue
        for user_id in groups.members(connection, row.actor_id):
            yield replace(row, actor=Actor.USER, actor_id=user_id)


def _implied(connection: Connection, found: Iterable[Assignment]) -> Iterable[Assignment]:
    known = roles.every(connection)
    for row in found:
        for role in with_implied(known, [row.role_id]):
            yield replace(row, role_id=role.id)


def _fits(row: Assignment, wanted: AssignmentFilter) -> bool:
    asked = (
        (wanted.user_id, row.actor_id if row.actor == Actor.USER else None),
        (wanted.group_id, row.actor_id if row.actor == Actor.GROUP else None),
        (wanted.project_id, row.target_id if row.target == AssignmentTarget.PROJECT else None),
        (wanted.domain_id, row.target_id if row.target == AssignmentTarget.DOMAIN else None),
        (True if wanted.system else None, row.target == AssignmentTarget.SYSTEM),
        (wanted.role_id, row.role_id),
    )
    return all(want is None or want == have for want, have in asked)
