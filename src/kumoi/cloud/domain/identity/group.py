"""Groups: what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import assignment, resource_option
from kumoi.cloud.store.identity import assignment as assignments
from kumoi.cloud.store.identity import domain as domains
from kumoi.cloud.store.identity import group as store
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.assignment import Actor
from kumoi.cloud.store.identity.group import Group

NOTHING: Mapping[str, Any] = {}


def create(
    connection: Connection,
    *,
    name: str,
    description: str,
    domain_id: str,
    extra: Mapping[str, Any] = NOTHING,
) -> Group:
    """Raises NotFound for its domain, Conflict when the name is taken."""
    if domains.get(connection, domain_id) is None:
        raise NotFound("domain", domain_id)
    _require_free(connection, domain_id, name)
    row = Group(new_hex_id(), domain_id, name, description, dict(extra))
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> Group:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("group", key)
    return row


def get_for(connection: Connection, caller: Caller, rule: str, key: str) -> Group:
    """A group with which the rule lets the caller do this. Raises Forbidden, also where there is none, unless
    the caller may do it with any: NotFound.
    """
    row = store.get(connection, key)
    caller.check(rule, domain_id=row.domain_id if row else None)
    if row is None:
        raise NotFound("group", key)
    return row


def get_managed(connection: Connection, caller: Caller, rule: str, key: str) -> Group:
    """As `get_for`. Raises Forbidden also for one that gives more rights than whoever manages a domain has."""
    row = get_for(connection, caller, rule, key)
    if not caller.may(rule):
        assignment.require_manageable(connection, Actor.GROUP, key, caller.domain_id)
    return row


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> Group:
    """Raises NotFound, Conflict, Forbidden for another domain."""
    row = get(connection, key)
    changes = dict(values)
    if changes.pop("domain_id", row.domain_id) != row.domain_id:
        raise Forbidden("Update of `domain_id` is not allowed.")
    if changes.get("name", row.name) != row.name:
        _require_free(connection, row.domain_id, changes["name"])
    resource_option.merge_into(changes, options=None, extra=row.extra)
    store.update(connection, key, changes)
    return get(connection, key)


def delete(connection: Connection, key: str, now: datetime) -> None:
    """Delete a group; its members lose the roles that they had through it. Raises NotFound."""
    get(connection, key)
    granted = assignment.all_of(connection, actor=Actor.GROUP, actor_id=key)
    assignment.end_tokens(connection, granted, now)
    assignments.delete_matching(connection, actor=Actor.GROUP, actor_id=key)
    store.delete(connection, key)


def join(connection: Connection, key: str, user_id: str) -> None:
    """Raises NotFound."""
    _require(connection, key, user_id)
    store.join(connection, key, user_id)


def leave(connection: Connection, key: str, user_id: str, now: datetime) -> None:
    """Remove a user, and end its tokens for the targets of the group's roles. Raises NotFound."""
    _require(connection, key, user_id)
    if not store.leave(connection, key, user_id):
        raise NotFound("user", user_id)
    granted = assignment.all_of(connection, actor=Actor.GROUP, actor_id=key)
    lost = [replace(row, actor=Actor.USER, actor_id=user_id) for row in granted]
    assignment.end_tokens(connection, lost, now)


def check(connection: Connection, key: str, user_id: str) -> None:
    """Raises NotFound when the user is not in the group."""
    _require(connection, key, user_id)
    if not store.is_member(connection, key, user_id):
        raise NotFound("user", user_id)


def _require(connection: Connection, key: str, user_id: str) -> None:
    get(connection, key)
    if users.get(connection, user_id) is None:
        raise NotFound("user", user_id)


def _require_free(connection: Connection, domain_id: str, name: str) -> None:
    if store.named(connection, domain_id, name) is not None:
        raise Conflict(
            "Conflict occurred attempting to store group - Duplicate entry found with name "
            f"{name} at domain ID {domain_id}."
        )
