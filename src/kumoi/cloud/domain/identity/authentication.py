"""A login without the check of the password: which user it is, and the claims of the new token.

A handler finds the user or the credential (`find_user`, `find_credential`), has login.py check the
password outside of any transaction, and then makes the claims in a second one. The claims say what
that second transaction reads; what changes later ends the token by its generations.

Whatever does not fit raises Unauthenticated with the same message, so that nobody learns what exists.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Unauthenticated
from kumoi.cloud.domain.identity import assignment as assignments
from kumoi.cloud.domain.identity import password_rules, revocation, role_rules, second_factor
from kumoi.cloud.domain.identity.login import REFUSED
from kumoi.cloud.domain.identity.token import TTL_MAX_S, Claims, Rule, Scope, TrustClaim
from kumoi.cloud.store.identity import access_rule as access_rules
from kumoi.cloud.store.identity import application_credential as credentials
from kumoi.cloud.store.identity import domain as domains
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import trust as trusts
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.application_credential import ApplicationCredential
from kumoi.cloud.store.identity.assignment import SYSTEM_ID, AssignmentTarget
from kumoi.cloud.store.identity.domain import Domain
from kumoi.cloud.store.identity.project import Project
from kumoi.cloud.store.identity.role import IdentityRole
from kumoi.cloud.store.identity.trust import UserTrust
from kumoi.cloud.store.identity.user import User
from kumoi.config import CloudSettings


@dataclass(frozen=True, slots=True)
class NameRef:
    """A reference by id, or by name and domain; the domain by its id or its name."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


@dataclass(frozen=True, slots=True)
class ScopeRequest:
    """The scope asked for: one of the first three at most, or a trust. With `unscoped` the token is not even for
    the user's default project.
    """

    project: NameRef | None = None
    domain: NameRef | None = None
    system: bool = False
    unscoped: bool = False
    trust_id: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """The identity that a login has proved, by which methods. `parent` is the token that it was proved with, if any."""

    user_id: str
    methods: tuple[str, ...]
    password_hash: str | None = None
    credential_id: str | None = None
    parent: Claims | None = None


@dataclass(frozen=True, slots=True)
class _ScopeRoles:
    """The scope of a new token, and the user's roles there."""

    project: Project | None = None
    domain: Domain | None = None
    system: bool = False
    roles: tuple[IdentityRole, ...] = ()


def find_user(connection: Connection, wanted: NameRef) -> User | None:
    """A disabled user too: `claims` refuses it, after the password has been checked."""
    if wanted.id is not None:
        return users.get(connection, wanted.id)
    domain = _domain(connection, NameRef(id=wanted.domain_id, name=wanted.domain_name))
    if domain is None or wanted.name is None:
        return None
    return users.named(connection, domain.id, wanted.name)


def find_credential(
    connection: Connection, wanted: NameRef, user: NameRef | None
) -> ApplicationCredential | None:
    """The credential of that id, or of that name and user."""
    if wanted.id is not None:
        return credentials.get(connection, wanted.id)
    owner = find_user(connection, user) if user else None
    if owner is None or wanted.name is None:
        return None
    return credentials.named(connection, owner.id, wanted.name)


def claims(
    connection: Connection,
    login: Login,
    scope: ScopeRequest | None,
    *,
    now: datetime,
    cloud: CloudSettings,
) -> Claims:
    """The new token's claims. Raises Unauthenticated when the user, its domain or the scope is
    disabled or does not exist, the user has no role there, the password was changed meanwhile or is
    expired, or the user needs more methods.
    """
    user, home = _enabled(connection, login.user_id)
    methods = _methods(login)
    _require_allowed(connection, login, user, methods, cloud=cloud, now=now)
    credential = _credential(connection, login, now)
    trust = _trust(connection, login, scope, now)
    trust_claim = None
    if trust is not None:
        scoped = _for_project(
            connection, trust.trustor_user_id, projects.get(connection, trust.project_id)
        )
        scoped = _limited(connection, scoped, trust.role_ids)
        trustor, trustors_home = _enabled(connection, trust.trustor_user_id)
        trust_claim = _trust_claim(trust, trustor, user)
        if trust.impersonation:
            user, home = trustor, trustors_home
    elif credential is not None:
        scoped = _for_credential(connection, credential, scope)
    else:
        scoped = _for_scope(connection, user, scope)
    parent, project = login.parent, scoped.project
    audit_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    return Claims(
        user_id=user.id,
        user_name=user.name,
        user_domain_id=home.id,
        user_domain_name=home.name,
        methods=methods,
        password_expires_at=user.password_expires_at,
        audit_ids=[audit_id, *(parent.audit_ids[-1:] if parent else ())],
        iat=int(now.timestamp()),
        exp=_expiry(now, cloud.token_ttl_s, parent, credential, trust),
        issued_at_us=now.microsecond,
        user_generation=user.generation,
        project_generation=project.generation if project else 0,
        project=_project_scope(connection, project) if project else None,
        domain_id=scoped.domain.id if scoped.domain else None,
        domain_name=scoped.domain.name if scoped.domain else None,
        system=scoped.system,
        roles=[(role.id, role.name) for role in scoped.roles],
        application_credential_id=credential.id if credential else None,
        application_credential_name=credential.name if credential else None,
        application_credential_restricted=not credential.unrestricted if credential else True,
        trust=trust_claim,
        access_rules=_access_rules(connection, credential),
    )


def _expiry(
    now: datetime,
    ttl_s: int,
    parent: Claims | None,
    credential: ApplicationCredential | None,
    trust: UserTrust | None,
) -> int:
    """When a new token ends, in seconds since 1970: no later than what it was made from."""
    at = int(now.timestamp()) + min(ttl_s, TTL_MAX_S)
    for delegation in (credential, trust):
        if delegation is not None and delegation.expires_at is not None:
            at = min(at, int(delegation.expires_at.timestamp()))
    return min(at, parent.exp) if parent else at


def _methods(login: Login) -> list[str]:
    """Those of the login, and those of the token that it was proved with."""
    before = login.parent.methods if login.parent else []
    return [*login.methods, *(name for name in before if name not in login.methods)]


def _require_allowed(
    connection: Connection,
    login: Login,
    user: User,
    methods: list[str],
    *,
    cloud: CloudSettings,
    now: datetime,
) -> None:
    """Raises Unauthenticated unless the user may log in so, with this password or this token."""
    if login.parent is not None and revocation.has_ended(connection, login.parent):
        raise Unauthenticated(REFUSED)
    changed = login.password_hash is not None and login.password_hash != user.password_hash
    enough = second_factor.is_enough(user.options, methods)
    if changed or not enough or password_rules.is_idle(cloud, user, now):
        raise Unauthenticated(REFUSED)
    if "password" in login.methods:
        password_rules.require_current(user, now)


def _for_scope(connection: Connection, user: User, scope: ScopeRequest | None) -> _ScopeRoles:
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
        return _ScopeRoles(domain=domain, roles=tuple(found))
    if scope.system:
        found = assignments.effective_roles(connection, user.id, AssignmentTarget.SYSTEM, SYSTEM_ID)
        if not found:
            raise Unauthenticated(REFUSED)
        return _ScopeRoles(system=True, roles=tuple(found))
    return _ScopeRoles()


def _default_scope(connection: Connection, user: User) -> _ScopeRoles:
    """The user's default project, where the user has a role on it; else no scope."""
    if user.default_project_id is None:
        return _ScopeRoles()
    try:
        project = projects.get(connection, user.default_project_id)
        return _for_project(connection, user.id, project)
    except Unauthenticated:
        return _ScopeRoles()


def _for_project(connection: Connection, user_id: str, project: Project | None) -> _ScopeRoles:
    if project is None or not project.enabled:
        raise Unauthenticated(REFUSED)
    domain = domains.get(connection, project.domain_id)
    found = assignments.effective_roles(connection, user_id, AssignmentTarget.PROJECT, project.id)
    if domain is None or not domain.enabled or not found:
        raise Unauthenticated(REFUSED)
    return _ScopeRoles(project=project, roles=tuple(found))


def _credential(
    connection: Connection, login: Login, now: datetime
) -> ApplicationCredential | None:
    """The credential that the login, or its parent token, is of. Raises Unauthenticated."""
    if login.credential_id is None:
        return None
    found = credentials.get(connection, login.credential_id)
    if found is None or (found.expires_at is not None and found.expires_at <= now):
        raise Unauthenticated(REFUSED)
    return found


def _for_credential(
    connection: Connection, credential: ApplicationCredential, scope: ScopeRequest | None
) -> _ScopeRoles:
    """The credential's project, and those of its roles that its user still has."""
    project = projects.get(connection, credential.project_id)
    if scope is not None:
        asked = _project(connection, scope.project) if scope.project else None
        if asked is None or project is None or asked.id != project.id:
            raise Unauthenticated(REFUSED)
    scoped = _for_project(connection, credential.user_id, project)
    return _limited(connection, scoped, credential.role_ids)


def _access_rules(
    connection: Connection, credential: ApplicationCredential | None
) -> list[Rule] | None:
    """Those of the credential; none at all where it has no list of them."""
    if credential is None or credential.access_rule_ids is None:
        return None
    return [
        Rule(id=row.id, service=row.service, method=row.method, path=row.path)
        for row in access_rules.among(connection, credential.access_rule_ids)
    ]


def _limited(connection: Connection, scoped: _ScopeRoles, role_ids: list[str]) -> _ScopeRoles:
    """With those of the roles only that a delegation is for."""
    ids = {role.id for role in role_rules.load(connection).in_tokens(role_ids)}
    both = tuple(role for role in scoped.roles if role.id in ids)
    if not both:
        raise Unauthenticated(REFUSED)
    return replace(scoped, roles=both)


def _trust(
    connection: Connection, login: Login, scope: ScopeRequest | None, now: datetime
) -> UserTrust | None:
    """The trust that is the scope. Raises Unauthenticated for one that is not the login's, for a login
    that is itself delegated, and where the token of a trust is to be made another.
    """
    delegated = login.credential_id is not None or (login.parent and login.parent.trust)
    if scope is None or scope.trust_id is None:
        if login.parent is not None and login.parent.trust is not None:
            raise Unauthenticated(REFUSED)
        return None
    found = trusts.get(connection, scope.trust_id)
    if found is None or delegated or found.trustee_user_id != login.user_id:
        raise Unauthenticated(REFUSED)
    if found.remaining_uses == 0 or (found.expires_at is not None and found.expires_at <= now):
        raise Unauthenticated(REFUSED)
    return found


def use_trust(connection: Connection, key: str) -> None:
    """Count a login with it. Raises Unauthenticated when it is used up meanwhile."""
    found = trusts.get(connection, key)
    if found is None or (found.remaining_uses is not None and not trusts.use(connection, key)):
        raise Unauthenticated(REFUSED)


def _trust_claim(trust: UserTrust, trustor: User, trustee: User) -> TrustClaim:
    return TrustClaim(
        id=trust.id,
        trustor_user_id=trust.trustor_user_id,
        trustee_user_id=trust.trustee_user_id,
        impersonation=trust.impersonation,
        trustor_generation=trustor.generation,
        trustee_generation=trustee.generation,
    )


def _enabled(connection: Connection, user_id: str) -> tuple[User, Domain]:
    """A user and its domain. Raises Unauthenticated unless both are enabled."""
    user = users.get(connection, user_id)
    home = domains.get(connection, user.domain_id) if user else None
    if user is None or home is None or not (user.enabled and home.enabled):
        raise Unauthenticated(REFUSED)
    return user, home


def _project(connection: Connection, wanted: NameRef) -> Project | None:
    if wanted.id is not None:
        return projects.get(connection, wanted.id)
    domain = _domain(connection, NameRef(id=wanted.domain_id, name=wanted.domain_name))
    if domain is None or wanted.name is None:
        return None
    return projects.named(connection, domain.id, wanted.name)


def _domain(connection: Connection, wanted: NameRef) -> Domain | None:
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
