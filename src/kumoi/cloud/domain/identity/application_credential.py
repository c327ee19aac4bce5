"""Application credentials: a user's own way in for programs, with part of the user's roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity import assignment, revocation
from kumoi.cloud.domain.identity.token import Claims
from kumoi.cloud.store.identity import application_credential as store
from kumoi.cloud.store.identity.application_credential import ApplicationCredential
from kumoi.cloud.store.identity.assignment import AssignmentTarget

PER_USER_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRef:
    """A role by its id or its name."""

    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationCredentialRequest:
    """What a credential is made from. No roles means all that its user has."""

    name: str
    secret_hash: str
    description: str | None = None
    roles: Sequence[RoleRef] = ()
    unrestricted: bool = False
    expires_at: datetime | None = None


def create(
    connection: Connection,
    claims: Claims,
    user_id: str,
    wanted: ApplicationCredentialRequest,
    now: datetime,
) -> ApplicationCredential:
    """For the user and project of the token that asks. Raises NotFound for another's, Forbidden for
    a token that may not, Invalid for a role that the user has not, Conflict when the name is taken.
    """
    require_own(claims, user_id)
    require_unrestricted(claims)
    if claims.project is None:
        raise Forbidden("Application credentials need a token for a project.")
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise Invalid("expires_at is in the past", field="expires_at")
    if store.named(connection, user_id, wanted.name) is not None:
        raise Conflict(
            "Conflict occurred attempting to store application_credential - Duplicate entry found "
            f"with name {wanted.name}."
        )
    if store.count(connection, user_id) >= PER_USER_MAX:
        raise Forbidden(f"A user has at most {PER_USER_MAX} application credentials.")
    row = ApplicationCredential(
        id=new_hex_id(),
        user_id=user_id,
        project_id=claims.project.id,
        name=wanted.name,
        description=wanted.description,
        secret_hash=wanted.secret_hash,
        role_ids=_roles(_offered(connection, claims), wanted.roles),
        unrestricted=wanted.unrestricted,
        expires_at=wanted.expires_at,
        created_at=now,
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, user_id: str, key: str) -> ApplicationCredential:
    """Raises NotFound."""
    row = store.get(connection, key)
    if row is None or row.user_id != user_id:
        raise NotFound("application credential", key)
    return row


def delete(connection: Connection, claims: Claims, user_id: str, key: str, now: datetime) -> None:
    """Raises NotFound, Forbidden for a token that may not."""
    require_unrestricted(claims)
    get(connection, user_id, key)
    revocation.end_credential(connection, key, now)
    store.delete(connection, key)


def require_own(claims: Claims, user_id: str) -> None:
    """Raises NotFound."""
    if claims.user_id != user_id:
        raise NotFound("user", user_id)


def require_unrestricted(claims: Claims) -> None:
    """A token from a credential manages credentials only where that was allowed it."""
    if claims.application_credential_id and claims.application_credential_restricted:
        raise Forbidden("This application credential may not manage application credentials.")


def _offered(connection: Connection, claims: Claims) -> list[tuple[str, str]]:
    """The roles to choose from, as (id, name): the user's own there, also those given since the
    token was made; but a credential gives on no more than it has itself.
    """
    if claims.application_credential_id is not None or claims.project is None:
        return claims.roles
    found = assignment.effective_roles(
        connection, claims.user_id, AssignmentTarget.PROJECT, claims.project.id
    )
    return [(role.id, role.name) for role in found]


def _roles(offered: Sequence[tuple[str, str]], wanted: Sequence[RoleRef]) -> list[str]:
    """Raises Invalid for one that is not offered."""
    if not wanted:
        return [key for key, _ in offered]
    found: list[str] = []
    for ref in wanted:
        ids = [key for key, name in offered if ref.id == key or ref.name == name]
        if not ids:
            raise Invalid(
                f"The user does not have role {ref.id or ref.name}",
                field="application_credential.roles",
            )
        found += ids
    return sorted(set(found))
