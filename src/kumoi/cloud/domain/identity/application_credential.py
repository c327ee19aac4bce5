"""Application credentials: logins that a user makes for programs, with some of the user's roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity import access_rule, assignment, revocation
from kumoi.cloud.domain.identity.access_rule import AccessRuleRequest
from kumoi.cloud.domain.identity.token import Claims
from kumoi.cloud.store.identity import application_credential as store
from kumoi.cloud.store.identity import credential as kept_credentials
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
    """A credential to be made. Without `roles` it has all roles of its user."""

    name: str
    secret_hash: str
    description: str | None = None
    roles: Sequence[RoleRef] = ()
    unrestricted: bool = False
    expires_at: datetime | None = None
    access_rules: Sequence[AccessRuleRequest] | None = None


def create(
    connection: Connection,
    claims: Claims,
    user_id: str,
    wanted: ApplicationCredentialRequest,
    now: datetime,
) -> ApplicationCredential:
    """Make a credential for the user and project of the caller's token.

    Raises NotFound for another user's, Forbidden for a token that may not manage credentials, Invalid
    for a role that the user does not have, Conflict when the name is taken.
    """
    if claims.user_id != user_id:
        raise NotFound("user", user_id)
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
    rule_ids = None
    if wanted.access_rules:
        found = access_rule.ensure(connection, user_id, wanted.access_rules)
        rule_ids = [rule.id for rule in found]
    row = ApplicationCredential(
        id=new_hex_id(),
        user_id=user_id,
        project_id=claims.project.id,
        name=wanted.name,
        description=wanted.description,
        secret_hash=wanted.secret_hash,
        role_ids=_role_ids(_assignable_roles(connection, claims), wanted.roles),
        unrestricted=wanted.unrestricted,
        expires_at=wanted.expires_at,
        created_at=now,
        access_rule_ids=rule_ids,
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, user_id: str, key: str) -> ApplicationCredential:
    """Raises NotFound, and Forbidden for another user's, as Keystone does."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("application credential", key)
    if row.user_id != user_id:
        raise Forbidden("The application credential is another user's.")
    return row


def delete(connection: Connection, claims: Claims, user_id: str, key: str, now: datetime) -> None:
    """Raises NotFound, and Forbidden for a token that may not manage credentials."""
    require_unrestricted(claims)
    get(connection, user_id, key)
    revocation.end_credential(connection, key, user_id, now)
    kept_credentials.delete_of(connection, application_credential_id=key)
    store.delete(connection, key)


def require_unrestricted(claims: Claims) -> None:
    """Raises Forbidden for a token of a credential that may not manage credentials, and for one of a
    trust.
    """
    if claims.trust is not None:
        raise Forbidden("The token of a trust may not make or delete credentials.")
    if claims.application_credential_id and claims.application_credential_restricted:
        raise Forbidden("This application credential may not manage application credentials.")


def _assignable_roles(connection: Connection, claims: Claims) -> list[tuple[str, str]]:
    """The (id, name) of the roles that a new credential may have: all that the user has on the
    project by now; where the token is of a credential itself, only the token's.
    """
    if claims.application_credential_id is not None or claims.project is None:
        return claims.roles
    found = assignment.effective_roles(
        connection, claims.user_id, AssignmentTarget.PROJECT, claims.project.id
    )
    return [(role.id, role.name) for role in found]


def _role_ids(assignable: Sequence[tuple[str, str]], wanted: Sequence[RoleRef]) -> list[str]:
    """The ids of the roles asked for, or of all. Raises Invalid for a role that is not assignable."""
    if not wanted:
        return [key for key, _ in assignable]
    found: list[str] = []
    for ref in wanted:
        ids = [key for key, name in assignable if ref.id == key or ref.name == name]
        if not ids:
            raise Invalid(
                f"The user does not have role {ref.id or ref.name}",
                field="application_credential.roles",
            )
        found += ids
    return sorted(set(found))
