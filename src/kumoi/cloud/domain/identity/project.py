"""Projects: what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import assignment, resource_option, revocation
from kumoi.cloud.store.identity import application_credential as credentials
from kumoi.cloud.store.identity import assignment as assignments
from kumoi.cloud.store.identity import credential as kept_credentials
from kumoi.cloud.store.identity import domain as domains
from kumoi.cloud.store.identity import endpoint_group as endpoint_groups
from kumoi.cloud.store.identity import limit as limits
from kumoi.cloud.store.identity import project as store
from kumoi.cloud.store.identity import trust as trusts
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.assignment import AssignmentTarget
from kumoi.cloud.store.identity.project import Project

TAGS_MAX = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRequest:
    """A project to be made. Without `parent_id` its parent is the domain."""

    name: str
    domain_id: str
    parent_id: str | None = None
    description: str = ""
    enabled: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def create(connection: Connection, wanted: ProjectRequest) -> Project:
    """Raises NotFound for the domain, Invalid for a parent that does not exist in it, Conflict when the
    name is taken.
    """
    if domains.get(connection, wanted.domain_id) is None:
        raise NotFound("domain", wanted.domain_id)
    parent_id = wanted.parent_id or wanted.domain_id
    if parent_id != wanted.domain_id:
        parent = store.get(connection, parent_id)
        if parent is None or parent.domain_id != wanted.domain_id:
            raise Invalid(f"Project {parent_id} could not be found.", field="parent_id")
    _require_free(connection, wanted.domain_id, wanted.name)
    row = Project(
        id=new_hex_id(),
        domain_id=wanted.domain_id,
        parent_id=parent_id,
        name=wanted.name,
        description=wanted.description,
        enabled=wanted.enabled,
        options=resource_option.merged(None, wanted.options),
        extra=dict(wanted.extra),
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> Project:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("project", key)
    return row


def get_for(connection: Connection, caller: Caller, rule: str, key: str) -> Project:
    """A project with which the rule lets the caller do this. Raises Forbidden, also where there is none,
    unless the caller may do it with any: NotFound.
    """
    row = store.get(connection, key)
    caller.check(rule, key, domain_id=row.domain_id if row else None)
    if row is None:
        raise NotFound("project", key)
    return row


def get_visible(connection: Connection, caller: Caller, rule: str, key: str) -> Project:
    """As `get_for`; anybody may look at a project with an own role on it, whichever the token is for."""
    row = store.get(connection, key)
    if row is not None and key in assignment.targets_of(
        connection, caller.user_id, AssignmentTarget.PROJECT
    ):
        return row
    return get_for(connection, caller, rule, key)


def update(connection: Connection, key: str, values: Mapping[str, Any], now: datetime) -> Project:
    """Disabling ends the tokens for the project. Raises NotFound, Conflict, and Forbidden for another
    domain or parent, and while it is immutable.
    """
    row = get(connection, key)
    resource_option.require_mutable("project", key, row.options, values)
    changes = dict(values)
    for fixed in ("domain_id", "parent_id"):
        if changes.pop(fixed, getattr(row, fixed)) != getattr(row, fixed):
            raise Forbidden(f"Update of `{fixed}` is not allowed.")
    if changes.get("name", row.name) != row.name:
        _require_free(connection, row.domain_id, changes["name"])
    resource_option.merge_into(changes, options=row.options, extra=row.extra)
    store.update(connection, key, changes)
    if row.enabled and changes.get("enabled") is False:
        revocation.end_project(connection, key, now)
    return get(connection, key)


def delete(connection: Connection, key: str, now: datetime) -> None:
    """Raises NotFound, and Forbidden while the project has child projects or is immutable."""
    resource_option.require_deletable("project", key, get(connection, key).options)
    if store.has_children(connection, key):
        raise Forbidden(f"Cannot delete the project {key} since it is not a leaf in the hierarchy.")
    remove(connection, key, now)


def remove(connection: Connection, key: str, now: datetime) -> None:
    """Delete a project with all assignments and credentials for it."""
    revocation.end_project(connection, key, now)
    assignments.delete_matching(connection, target=AssignmentTarget.PROJECT, target_id=key)
    credentials.delete_of(connection, project_id=key)
    kept_credentials.delete_of(connection, project_id=key)
    trusts.delete_of(connection, project_id=key)
    endpoint_groups.delete_filters(connection, project_id=key)
    limits.delete_of(connection, project_id=key)
    users.clear_default_project(connection, key)
    store.delete(connection, key)


def set_tags(connection: Connection, key: str, tags: Collection[str]) -> None:
    """Raises NotFound, and Invalid for too many tags or a text that cannot be one."""
    get(connection, key)
    if len(tags) > TAGS_MAX:
        raise Invalid(f"At most {TAGS_MAX} tags are allowed", field="tags")
    for tag in tags:
        if "," in tag or "/" in tag:
            raise Invalid(f"'{tag}' must not hold a comma or a slash", field="tags")
    store.set_tags(connection, key, tags)


def _require_free(connection: Connection, domain_id: str, name: str) -> None:
    if store.named(connection, domain_id, name) is not None:
        raise Conflict(
            "Conflict occurred attempting to store project - it is not permitted to have two "
            f"projects with the same name in the same domain: {name}"
        )
