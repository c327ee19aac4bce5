"""Users: what is allowed. Callers hash passwords before they open the transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import assignment, password_rules, resource_option, revocation
from kumoi.cloud.domain.identity.login import REFUSED
from kumoi.cloud.domain.identity.resource_option import LOCK_PASSWORD, USER_OPTIONS
from kumoi.cloud.store.identity import access_rule as access_rules
from kumoi.cloud.store.identity import application_credential as credentials
from kumoi.cloud.store.identity import assignment as assignments
from kumoi.cloud.store.identity import credential as kept_credentials
from kumoi.cloud.store.identity import domain as domains
from kumoi.cloud.store.identity import group as groups
from kumoi.cloud.store.identity import password_history
from kumoi.cloud.store.identity import trust as trusts
from kumoi.cloud.store.identity import user as store
from kumoi.cloud.store.identity.assignment import Actor
from kumoi.cloud.store.identity.user import User
from kumoi.config import CloudSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRequest:
    """A user to be made. Without `password_hash` it cannot log in with a password."""

    name: str
    domain_id: str
    description: str | None = None
    email: str | None = None
    enabled: bool = True
    default_project_id: str | None = None
    password_hash: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def create(
    connection: Connection, wanted: UserRequest, cloud: CloudSettings, now: datetime
) -> User:
    """Raises NotFound for its domain, Conflict when the name is taken."""
    if domains.get(connection, wanted.domain_id) is None:
        raise NotFound("domain", wanted.domain_id)
    _require_free(connection, wanted.domain_id, wanted.name)
    options = resource_option.merged(None, wanted.options, USER_OPTIONS)
    known = password_rules.active_now(cloud, now)
    if wanted.password_hash is not None:
        known |= password_rules.set_now(cloud, options, now, is_own=False)
    row = User(
        id=new_hex_id(),
        domain_id=wanted.domain_id,
        name=wanted.name,
        description=wanted.description,
        email=wanted.email,
        enabled=wanted.enabled,
        default_project_id=wanted.default_project_id,
        password_hash=wanted.password_hash,
        options=options,
        extra=dict(wanted.extra),
        **known,
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, key: str) -> User:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("user", key)
    return row


def get_for(connection: Connection, caller: Caller, rule: str, key: str) -> User:
    """A user with whom the rule lets the caller do this. Raises Forbidden, also where there is none, unless
    the caller may do it with any: NotFound.
    """
    row = store.get(connection, key)
    caller.check(rule, user_id=key, domain_id=row.domain_id if row else None)
    if row is None:
        raise NotFound("user", key)
    return row


def get_managed(connection: Connection, caller: Caller, rule: str, key: str) -> User:
    """As `get_for`. Raises Forbidden also for one who has more rights than whoever manages a domain."""
    row = get_for(connection, caller, rule, key)
    if not caller.may(rule):
        assignment.require_manageable(connection, Actor.USER, key, caller.domain_id)
    return row


def update(
    connection: Connection,
    key: str,
    values: Mapping[str, Any],
    *,
    cloud: CloudSettings,
    now: datetime,
    is_own: bool = False,
) -> User:
    """A new password and disabling end the user's tokens; with `is_own` the user sets the password. Raises
    NotFound, Conflict, Forbidden.
    """
    row = get(connection, key)
    changes = dict(values)
    if changes.pop("domain_id", row.domain_id) != row.domain_id:
        raise Forbidden("Update of `domain_id` is not allowed.")
    if changes.get("name", row.name) != row.name:
        _require_free(connection, row.domain_id, changes["name"])
    resource_option.merge_into(changes, options=row.options, extra=row.extra, known=USER_OPTIONS)
    options = changes.get("options", row.options)
    if "options" in changes:
        changes["password_expires_at"] = password_rules.expiry_after(cloud, row, options)
    if "password_hash" in changes:
        changes |= password_rules.set_now(cloud, options, now, is_own=is_own)
        _remember(connection, row, cloud, now)
    if changes.get("enabled"):
        changes |= {"failed_logins": 0, **password_rules.active_now(cloud, now)}
    store.update(connection, key, changes)
    if "password_hash" in changes or (row.enabled and changes.get("enabled") is False):
        revocation.end_user(connection, key, now)
    return get(connection, key)


def _remember(connection: Connection, row: User, cloud: CloudSettings, now: datetime) -> None:
    """The password that ends, where the next ones must differ from it."""
    most = cloud.unique_last_password_count
    if most > 1 and row.password_hash is not None:
        password_history.add(connection, row.id, row.password_hash, now, most=most)


def change_password(
    connection: Connection,
    key: str,
    *,
    checked_hash: str | None,
    new_hash: str,
    cloud: CloudSettings,
    now: datetime,
) -> None:
    """`checked_hash` is the hash that the old password was checked against, before this transaction.

    Raises Unauthenticated when the password has been changed since, Invalid when it is locked.
    """
    row = store.get(connection, key)
    if row is None or not row.enabled or row.password_hash != checked_hash:
        raise Unauthenticated(REFUSED)
    if (row.options or {}).get(LOCK_PASSWORD):
        raise Invalid(
            "You cannot change your password at this time due to password policy disallowing "
            "password changes. Please contact your administrator to reset your password.",
            field="password",
        )
    update(connection, key, {"password_hash": new_hash}, cloud=cloud, now=now, is_own=True)


def delete(connection: Connection, key: str, now: datetime) -> None:
    """Delete a user with its assignments and credentials. Raises NotFound."""
    get(connection, key)
    revocation.end_user(connection, key, now)
    groups.leave_all(connection, key)
    assignments.delete_matching(connection, actor=Actor.USER, actor_id=key)
    credentials.delete_of(connection, user_id=key)
    kept_credentials.delete_of(connection, user_id=key)
    trusts.delete_of(connection, user_id=key)
    access_rules.delete_of(connection, key)
    password_history.delete_of(connection, key)
    store.delete(connection, key)


def _require_free(connection: Connection, domain_id: str, name: str) -> None:
    if store.named(connection, domain_id, name) is not None:
        raise Conflict(
            "Conflict occurred attempting to store user - Duplicate entry found with name "
            f"{name} at domain ID {domain_id}."
        )
