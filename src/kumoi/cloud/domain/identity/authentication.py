"""Who is it, and for what is the token? Everything about a login but the password's check.

A handler finds who claims to log in (`find_user`, `find_credential`), has login.py check the
password between transactions, and then asks for the claims in a second one. The claims say what
that second look saw; what changes later ends the token by its generations.

Whatever does not fit raises Unauthenticated with the same words: what exists is nobody's business.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Unauthenticated
from kumoi.cloud.domain.identity import assignment as assignments
from kumoi.cloud.domain.identity import revocation
from kumoi.cloud.domain.identity.login import REFUSED
from kumoi.cloud.domain.identity.token import TTL_MAX_S, Claims, Scope
from kumoi.cloud.store.identity import application_credential as credentials
from kumoi.cloud.store.identity import domain as domains
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import role as roles
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.application_credential import ApplicationCredential
from kumoi.cloud.store.identity.assignment import SYSTEM_ID, AssignmentTarget
from kumoi.cloud.store.identity.domain import Domain
from kumoi.cloud.store.identity.project import Project
from kumoi.cloud.store.identity.role import IdentityRole
from kumoi.cloud.store.identity.user import User


@dataclass(frozen=True, slots=True)
class Named:
    """Something by its id, or by its name in a domain, itself by id or name."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


@dataclass(frozen=True, slots=True)
class ScopeRequest:
    """One of them at most; with `unscoped`, not even the user's default project."""

    project: Named | None = None
    domain: Named | None = None
    system: bool = False
    unscoped: bool = False


@dataclass(frozen=True, slots=True)
class Login:
    """What has been proved. `parent` is the token that a new one is made from."""

    user_id: str
    method: str
    password_hash: str | None = None
    credential_id: str | None = None
    parent: Claims | None = None


@dataclass(frozen=True, slots=True)
class _Granted:
    """What a token is for."""

    project: Project | None = None
    domain: Domain | None = None
    system: bool = False
    roles: tuple[IdentityRole, ...] = ()


def find_user(connection: Connection, wanted: Named) -> User | None:
    """The user, also a disabled one: `claims` refuses it after the password has been checked."""
    if wanted.id is not None:
        return users.get(connection, wanted.id)
    domain = _domain(connection, Named(id=wanted.domain_id, name=wanted.domain_name))
    if domain is None or wanted.name is None:
        return None
    return users.named(connection, domain.id, wanted.name)


def find_credential(
    connection: Connection, wanted: Named, user: Named | None
) -> ApplicationCredential | None:
    """By its id, or by its name and its user."""
    if wanted.id is not None:
        return credentials.get(connection, wanted.id)
    owner = find_user(connection, user) if user else None
    if owner is None or wanted.name is None:
        return None
    return credentials.named(connection, owner.id, wanted.name)


def claims(
    connection: Connection, login: Login, scope: ScopeRequest | None, *, now: datetime, ttl_s: int
) -> Claims:
    """The new token's claims. Raises Unauthenticated when anything is disabled, gone or not
    assigned, or a password changed since it was checked.
    """
    user = users.get(connection, login.user_id)
    home = domains.get(connection, user.domain_id) if user else None
    if user is None or home is None or not (user.enabled and home.enabled):
        raise Unauthenticated(REFUSED)
    if login.password_hash is not None and login.password_hash != user.password_hash:
        raise Unauthenticated(REFUSED)
    if login.parent is not None and revocation.has_ended(connection, login.parent):
        raise Unauthenticated(REFUSED)
    credential = _credential(connection, login, now)
    if credential is not None:
        granted = _for_credential(connection, credential, scope)
    else:
        granted = _for_scope(connection, user, scope)
    parent = login.parent
    expires_at = int(now.timestamp()) + min(ttl_s, TTL_MAX_S)
    if credential is not None and credential.expires_at is not None:
        expires_at = min(expires_at, int(credential.expires_at.timestamp()))
    project = granted.project
    return Claims(
        user_id=user.id,
        user_name=user.name,
        user_domain_id=home.id,
        user_domain_name=home.name,
        methods=_methods(login),
        audit_ids=[_audit_id(), *(parent.audit_ids[-1:] if parent else ())],
        iat=int(now.timestamp()),
        exp=min(expires_at, parent.exp) if parent else expires_at,
        issued_at_us=now.microsecond,
        user_generation=user.generation,
        project_generation=project.generation if project else 0,
        project=_project_scope(connection, project) if project else None,
        domain_id=granted.domain.id if granted.domain else None,
        domain_name=granted.domain.name if granted.domain else None,
        system=granted.system,
        roles=[(role.id, role.name) for role in granted.roles],
        application_credential_id=credential.id if credential else None,
        application_credential_name=credential.name if credential else None,
        application_credential_restricted=not credential.unrestricted if credential else True,
    )


def _for_scope(connection: Connection, user: User, scope: ScopeRequest | None) -> _Granted:
    if scope is None:
        return _default_scope(connection, user)
    if scope.project is not None:
        return _for_project(connection, user.id, _project(connection, scope.project))
    if scope.domain is not None:
        domain = _domain(connection, scope.domain)
        if domain is None or not domain.enabled:
            raise Unauthenticated(REFUSED)
        found = assignments.effective_roles(connection, user.id, AssignmentTarget.DOMAIN, domain.id)
        if not found:
            raise Unauthenticated(REFUSED)
        return _Granted(domain=domain, roles=tuple(found))
    if scope.system:
        found = assignments.effective_roles(connection, user.id, AssignmentTarget.SYSTEM, SYSTEM_ID)
        if not found:
            raise Unauthenticated(REFUSED)
        return _Granted(system=True, roles=tuple(found))
    return _Granted()


def _default_scope(connection: Connection, user: User) -> _Granted:
    """The user's default project where that is possible, or none."""
    if user.default_project_id is None:
        return _Granted()
    try:
        project = projects.get(connection, user.default_project_id)
        return _for_project(connection, user.id, project)
    except Unauthenticated:
        return _Granted()


def _for_project(connection: Connection, user_id: str, project: Project | None) -> _Granted:
    if project is None or not project.enabled:
        raise Unauthenticated(REFUSED)
    domain = domains.get(connection, project.domain_id)
    found = assignments.effective_roles(connection, user_id, AssignmentTarget.PROJECT, project.id)
    if domain is None or not domain.enabled or not found:
        raise Unauthenticated(REFUSED)
    return _Granted(project=project, roles=tuple(found))


def _credential(
    connection: Connection, login: Login, now: datetime
) -> ApplicationCredential | None:
    """The credential logged in with, or that the parent token came from."""
    if login.credential_id is None:
        return None
    found = credentials.get(connection, login.credential_id)
    if found is None or (found.expires_at is not None and found.expires_at <= now):
        raise Unauthenticated(REFUSED)
    return found


def _for_credential(
    connection: Connection, credential: ApplicationCredential, scope: ScopeRequest | None
) -> _Granted:
    """Its own project and no other, and its roles among those that its user still has."""
    project = projects.get(connection, credential.project_id)
    if scope is not None:
        named = _project(connection, scope.project) if scope.project else None
        if named is None or project is None or named.id != project.id:
            raise Unauthenticated(REFUSED)
    granted = _for_project(connection, credential.user_id, project)
    wanted = assignments.with_implied(roles.every(connection), credential.role_ids)
    both = {role.id for role in wanted} & {role.id for role in granted.roles}
    if not both:
        raise Unauthenticated(REFUSED)
    kept = tuple(role for role in granted.roles if role.id in both)
    return _Granted(project=project, roles=kept)


def _project(connection: Connection, wanted: Named) -> Project | None:
    if wanted.id is not None:
        return projects.get(connection, wanted.id)
    domain = _domain(connection, Named(id=wanted.domain_id, name=wanted.domain_name))
    if domain is None or wanted.name is None:
        return None
    return projects.named(connection, domain.id, wanted.name)


def _domain(connection: Connection, wanted: Named) -> Domain | None:
    if wanted.id is not None:
        return domains.get(connection, wanted.id)
    return domains.named(connection, wanted.name) if wanted.name is not None else None


def _project_scope(connection: Connection, project: Project) -> Scope:
    domain = domains.get(connection, project.domain_id)
    return Scope(
        id=project.id,
        name=project.name,
        domain_id=project.domain_id,
        domain_name=domain.name if domain else "",
    )


def _methods(login: Login) -> list[str]:
    earlier = login.parent.methods if login.parent else []
    return [login.method, *(name for name in earlier if name != login.method)]


def _audit_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
