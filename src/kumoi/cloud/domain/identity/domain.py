"""Domains: what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import (
    assignment,
    group,
    project,
    resource_option,
    revocation,
    user,
)
from kumoi.cloud.domain.identity.bootstrap import DOMAIN_ID
from kumoi.cloud.store.identity import assignment as assignments
from kumoi.cloud.store.identity import domain as store
from kumoi.cloud.store.identity import domain_config
from kumoi.cloud.store.identity import group as groups
from kumoi.cloud.store.identity import limit as limits
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.assignment import AssignmentTarget
from kumoi.cloud.store.identity.domain import Domain


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainRequest:
    """A domain to be made."""

    name: str
    description: str = ""
    enabled: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def create(connection: Connection, wanted: DomainRequest) -> Domain:
    """Raises Conflict when the name is taken."""
    _require_free(connection, wanted.name)
    row = Domain(
        id=new_hex_id(),
        name=wanted.name,
        description=wanted.description,
        enabled=wanted.enabled,
        options=resource_option.merged(None, wanted.options),
        extra=dict(wanted.extra),
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> Domain:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("domain", key)
    return row


def get_visible(connection: Connection, caller: Caller, own: Collection[str], key: str) -> Domain:
    """A domain that the caller may see: one of `own`, or where the rule says so any. Raises Forbidden,
    NotFound.
    """
    if key not in own:
        caller.check("identity:get_domain", domain_id=key)
    return get(connection, key)


def update(connection: Connection, key: str, values: Mapping[str, Any], now: datetime) -> Domain:
    """Disabling ends the tokens of the domain's users and for its projects. Raises NotFound, Conflict."""
    row = get(connection, key)
    resource_option.require_mutable("domain", key, row.options, values)
    if values.get("name", row.name).lower() != row.name.lower():
        _require_free(connection, values["name"])
    changes = dict(values)
    resource_option.merge_into(changes, options=row.options, extra=row.extra)
    store.update(connection, key, changes)
    if row.enabled and values.get("enabled") is False:
        for member in users.in_domain(connection, key):
            revocation.end_user(connection, member.id, now)
        for owned in projects.in_domain(connection, key):
            revocation.end_project(connection, owned.id, now)
        _end_own(connection, key, now)
    return get(connection, key)


def delete(connection: Connection, key: str, now: datetime) -> None:
    """Delete a domain and all that is in it. Raises NotFound, and Forbidden while it is enabled."""
    row = get(connection, key)
    if key == DOMAIN_ID:
        raise Forbidden("The default domain cannot be deleted.")
    if row.enabled:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    for found in users.in_domain(connection, key):
        user.delete(connection, found.id, now)
    for joined in groups.in_domain(connection, key):
        group.delete(connection, joined.id, now)
    for owned in projects.in_domain(connection, key):
        project.remove(connection, owned.id, now)
    _end_own(connection, key, now)
    assignments.delete_matching(connection, target=AssignmentTarget.DOMAIN, target_id=key)
    domain_config.put(connection, key, {})
    limits.delete_of(connection, domain_id=key)
    store.delete(connection, key)


def _end_own(connection: Connection, key: str, now: datetime) -> None:
    """End the tokens that are for the domain itself."""
    found = assignments.matching(connection, target=AssignmentTarget.DOMAIN, target_id=key)
    assignment.end_tokens(connection, found, now)


def _require_free(connection: Connection, name: str) -> None:
    if store.named(connection, name) is not None:
        raise Conflict(
            "Conflict occurred attempting to store domain - it is not permitted to have two "
            f"domains with the same name: {name}"
        )
