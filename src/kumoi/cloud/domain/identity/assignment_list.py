"""The list of role assignments: as they were made, or with groups and implied roles resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.identity import project_tree, role_rules
from kumoi.cloud.store.identity import assignment as store
from kumoi.cloud.store.identity import group as groups
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity.assignment import Actor, Assignment, AssignmentTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentFilter:
    """The assignments to list; None is any. `effective` puts the members in place of a group and adds
    the implied roles, and projects in place of what they inherit from. `inherited` are only those that
    projects below their target inherit; with `subtree`, also those on projects below the project. `within` is the
    domain that their target is, or is in.
    """

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    effective: bool = False
    inherited: bool = False
    subtree: bool = False
    within: str | None = None


def every(connection: Connection, wanted: AssignmentFilter) -> list[Assignment]:
    """Ordered by target, actor and role."""
    found: Iterable[Assignment] = store.matching(connection, inherited=True)
    if not wanted.inherited:
        found = [*found, *store.matching(connection)]
    targets = {wanted.project_id}
    if wanted.subtree and wanted.project_id is not None:
        targets.update(project_tree.below(connection, wanted.project_id))
    if wanted.effective:
        found = _resolved(connection, found)
    if wanted.within is not None:
        own = {row.id for row in projects.in_domain(connection, wanted.within)}
        found = [row for row in found if row.target_id in own or _is_on(row, wanted.within)]
    return sorted(
        {row for row in found if _fits(row, wanted, targets)},
        key=lambda row: (
            row.target,
            row.target_id,
            row.actor,
            row.actor_id,
            row.role_id,
            row.inherited,
        ),
    )


def _is_on(row: Assignment, domain_id: str) -> bool:
    return row.target == AssignmentTarget.DOMAIN and row.target_id == domain_id


def _resolved(connection: Connection, rows: Iterable[Assignment]) -> Iterator[Assignment]:
    """What each assignment means for users, with the roles that its role implies."""
    rules = role_rules.load(connection)
    for row in rows:
        user_ids = [row.actor_id]
        if row.actor == Actor.GROUP:
            user_ids = groups.members(connection, row.actor_id)
        on = [row]
        if row.inherited:
            on = [
                replace(row, target=AssignmentTarget.PROJECT, target_id=key, inherited=False)
                for key in project_tree.below(connection, row.target_id)
            ]
        for user_id in user_ids:
            for role in rules.in_tokens([row.role_id]):
                for each in on:
                    yield replace(each, actor=Actor.USER, actor_id=user_id, role_id=role.id)


def _fits(row: Assignment, wanted: AssignmentFilter, targets: set[str | None]) -> bool:
    project_id = row.target_id if row.target == AssignmentTarget.PROJECT else None
    if wanted.project_id is not None and project_id not in targets:
        return False
    pairs = (
        (wanted.user_id, row.actor_id if row.actor == Actor.USER else None),
        (wanted.group_id, row.actor_id if row.actor == Actor.GROUP else None),
        (wanted.domain_id, row.target_id if row.target == AssignmentTarget.DOMAIN else None),
        (True if wanted.system else None, row.target == AssignmentTarget.SYSTEM),
        (wanted.role_id, row.role_id),
    )
    return all(asked is None or asked == has for asked, has in pairs)
