"""Roles: what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import assignment, resource_option, role_rules
from kumoi.cloud.domain.identity.bootstrap import ROLES
from kumoi.cloud.store.identity import assignment as assignments
from kumoi.cloud.store.identity import domain as domains
from kumoi.cloud.store.identity import implied_role as implied_roles
from kumoi.cloud.store.identity import role as store
from kumoi.cloud.store.identity.implied_role import ImpliedRole
from kumoi.cloud.store.identity.role import IdentityRole
from kumoi.policy.row import MANAGED_ROLES

ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRequest:
    """A role to be made."""

    name: str
    description: str | None = None
    domain_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def create(connection: Connection, wanted: RoleRequest) -> IdentityRole:
    """Raises Conflict when the name is taken, NotFound for the domain."""
    _require_free(connection, wanted.name)
    if wanted.domain_id is not None and domains.get(connection, wanted.domain_id) is None:
        raise NotFound("domain", wanted.domain_id)
    row = IdentityRole(
        id=new_hex_id(),
        name=wanted.name,
        description=wanted.description,
        domain_id=wanted.domain_id,
        options=resource_option.merged(None, wanted.options),
        extra=dict(wanted.extra),
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> IdentityRole:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("role", key)
    return row


def get_for(connection: Connection, caller: Caller, key: str) -> IdentityRole:
    """Raises Forbidden, also where there is none, unless the caller may look at any: NotFound. Whoever
    manages a domain may look at the roles to give there.
    """
    row = store.get(connection, key)
    manageable = row is not None and row.domain_id is None and row.name in MANAGED_ROLES
    caller.check("identity:get_role", domain_id=caller.domain_id if manageable else None)
    if row is None:
        raise NotFound("role", key)
    return row


def update(
    connection: Connection, key: str, values: Mapping[str, Any], now: datetime
) -> IdentityRole:
    """Policies decide by the name of a role, so renaming ends the tokens with the role.

    Raises NotFound, Conflict, and Forbidden for the roles that policies name.
    """
    row = get(connection, key)
    resource_option.require_mutable("role", key, row.options, values)
    if values.get("domain_id", row.domain_id) != row.domain_id:
        raise Invalid("Update of `domain_id` is not allowed.", field="domain_id")
    name = values.get("name", row.name)
    if name != row.name:
        _require_own_name(row)
        _require_free(connection, name)
        _end_tokens(connection, row, now)
    changes = {name: value for name, value in values.items() if name != "domain_id"}
    resource_option.merge_into(changes, options=row.options, extra=row.extra)
    store.update(connection, key, changes)
    return get(connection, key)


def delete(connection: Connection, key: str, now: datetime) -> None:
    """Delete a role with its assignments. Raises NotFound, and Forbidden as `update` does."""
    row = get(connection, key)
    _require_own_name(row)
    resource_option.require_deletable("role", key, row.options)
    _end_tokens(connection, row, now)
    assignments.delete_matching(connection, role_id=key)
    implied_roles.delete_of(connection, key)
    store.delete(connection, key)


def imply(connection: Connection, row: ImpliedRole) -> None:
    """Raises NotFound, and Forbidden for `admin`, which nothing may imply, and for a circle."""
    prior, other = get(connection, row.prior_role_id), get(connection, row.implied_role_id)
    rules = role_rules.load(connection)
    if other.name == ADMIN:
        raise Forbidden(f"{other.id} cannot be an implied role.")
    if prior.id in {role.id for role in rules.closure([other.id])}:
        raise Forbidden(f"Role {other.id} implies {prior.id} itself.")
    if other.id not in rules.implied.get(prior.id, ()):
        implied_roles.insert(connection, row)


def require_implied(connection: Connection, row: ImpliedRole) -> tuple[IdentityRole, IdentityRole]:
    """Both roles. Raises NotFound unless the one implies the other."""
    prior, other = get(connection, row.prior_role_id), get(connection, row.implied_role_id)
    if other.id not in role_rules.load(connection).implied.get(prior.id, ()):
        raise NotFound("implied role", other.id)
    return prior, other


def end_implying(connection: Connection, row: ImpliedRole, now: datetime) -> None:
    """End the tokens with the role that implied it. Raises NotFound, and Forbidden for what the cloud's
    policies rest on.
    """
    prior, other = require_implied(connection, row)
    if other.name in role_rules.BUILT_IN.get(prior.name, ()):
        raise Forbidden(f"The cloud's policies have it that {prior.name} implies {other.name}.")
    _end_tokens(connection, prior, now)
    implied_roles.delete(connection, row)


def _end_tokens(connection: Connection, row: IdentityRole, now: datetime) -> None:
    """Those with the role, whether it was assigned or another implied it."""
    rules = role_rules.load(connection)
    for key in rules.roles:
        if row in rules.closure([key]):
            found = assignment.all_of(connection, role_id=key)
            assignment.end_tokens(connection, found, now)


def _require_own_name(row: IdentityRole) -> None:
    if row.name in ROLES:
        raise Forbidden(f"Role {row.name} belongs to the cloud's policies and stays as it is.")


def _require_free(connection: Connection, name: str) -> None:
    if store.named(connection, name) is not None:
        raise Conflict(
            f"Conflict occurred attempting to store role - Duplicate entry found with name {name}."
        )
