"""Trusts: what is allowed. A trustor makes one, and nobody changes it; a trustee logs in with it.

A trust cannot be handed on: Keystone's redelegation is not offered, nor are trusts made with an
application credential, which would outlive it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Forbidden, Invalid, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.identity import assignment, revocation
from kumoi.cloud.domain.identity.application_credential import RoleRef
from kumoi.cloud.domain.identity.token import Claims
from kumoi.cloud.store.identity import credential as kept_credentials
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import trust as store
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.assignment import AssignmentTarget
from kumoi.cloud.store.identity.trust import UserTrust

PER_USER_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRequest:
    trustor_user_id: str
    trustee_user_id: str
    project_id: str
    impersonation: bool
    roles: Sequence[RoleRef]
    expires_at: datetime | None = None
    remaining_uses: int | None = None


def create(
    connection: Connection, claims: Claims, wanted: TrustRequest, now: datetime
) -> UserTrust:
    """Raises Forbidden for another trustor than the caller, for a delegated token and without roles;
    NotFound for the trustee, the project and a role that the trustor does not have there; Invalid for a
    time that is over.
    """
    require_own_token(claims)
    if claims.user_id != wanted.trustor_user_id:
        raise Forbidden("The authenticated user should match the trustor")
    if not wanted.roles:
        raise Forbidden("At least one role should be specified")
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise Invalid("expires_at is in the past", field="expires_at")
    if users.get(connection, wanted.trustee_user_id) is None:
        raise NotFound("user", wanted.trustee_user_id)
    if projects.get(connection, wanted.project_id) is None:
        raise NotFound("project", wanted.project_id)
    if store.count(connection, wanted.trustor_user_id) >= PER_USER_MAX:
        raise Forbidden(f"A user is the trustor of at most {PER_USER_MAX} trusts.")
    row = UserTrust(
        id=new_hex_id(),
        trustor_user_id=wanted.trustor_user_id,
        trustee_user_id=wanted.trustee_user_id,
        project_id=wanted.project_id,
        impersonation=wanted.impersonation,
        role_ids=_role_ids(connection, wanted),
        expires_at=wanted.expires_at,
        remaining_uses=wanted.remaining_uses,
        created_at=now,
    )
    store.insert(connection, row)
    return row


def _role_ids(connection: Connection, wanted: TrustRequest) -> list[str]:
    """Raises NotFound."""
    has = assignment.effective_roles(
        connection, wanted.trustor_user_id, AssignmentTarget.PROJECT, wanted.project_id
    )
    found = []
    for ref in wanted.roles:
        ids = [
            role.id for role in has if role.id == ref.id or (not ref.id and role.name == ref.name)
        ]
        if not ids:
            raise NotFound("role", ref.id or ref.name or "")
        found += ids
    return sorted(set(found))


def get(connection: Connection, caller: Caller, rule: str, key: str, now: datetime) -> UserTrust:
    """Raises NotFound, also for one that is over and one that is used up; Forbidden for one between
    others.
    """
    row = store.get(connection, key)
    if row is not None and not _may(caller, rule, row):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")
    if row is None or not is_open(row, now):
        raise NotFound("trust", key)
    return row


def _may(caller: Caller, rule: str, row: UserTrust) -> bool:
    """For whoever may do it at all: the trustor; to look at it, also the trustee."""
    sides = [row.trustor_user_id]
    if rule != "identity:delete_trust":
        sides.append(row.trustee_user_id)
    return any(caller.may(rule, user_id=side) for side in sides)


def is_open(row: UserTrust, now: datetime) -> bool:
    """Whether somebody may log in with it."""
    return (row.expires_at is None or row.expires_at > now) and row.remaining_uses != 0


def delete(connection: Connection, claims: Claims, row: UserTrust, now: datetime) -> None:
    """End it and all tokens of it. Raises Forbidden for a delegated token."""
    require_own_token(claims)
    revocation.end_credential(connection, row.id, row.trustor_user_id, now)
    kept_credentials.delete_of(connection, trust_id=row.id)
    store.delete(connection, row.id)


def require_own_token(claims: Claims) -> None:
    """Raises Forbidden for the token of an application credential or of a trust."""
    if claims.application_credential_id is not None or claims.trust is not None:
        raise Forbidden("Trusts are managed with a login of one's own, not with a delegated one.")
