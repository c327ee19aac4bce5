"""Tokens: make one by logging in, show it, end it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound, Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.api.identity import catalog, password_check, rendering
from kumoi.cloud.api.identity.token_body import (
    Auth,
    AuthIdentity,
    CredentialMethod,
    PasswordUser,
    TotpUser,
    wanted_scope,
)
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import authentication, credential_secret, revocation, second_factor
from kumoi.cloud.domain.identity import credential as kept_credential
from kumoi.cloud.domain.identity.authentication import Login, ScopeRequest
from kumoi.cloud.domain.identity.login import REFUSED
from kumoi.cloud.domain.identity.token import Claims
from kumoi.engine.http.request import UNSET, Reply, encoded
from kumoi.engine.memo import Memo

RULES_HEADER = "OpenStack-Identity-Access-Rules"
Proof = TypeVar("Proof")


def create(request: Request) -> Reply:
    """Log in by password, passcode, application credential, another token, or several of these."""
    auth = request.parse(Auth).auth
    login = _prove(request, auth.identity)
    scope = wanted_scope(auth.scope)
    trust_id = scope.trust_id if scope is not None else None
    if trust_id is None:
        with request.read() as connection:
            return issue(request, connection, login, scope)
    with request.write() as connection:
        reply = issue(request, connection, login, scope)
        authentication.use_trust(connection, trust_id)
    return reply


def issue(
    request: Request,
    connection: Connection,
    login: Login,
    scope: ScopeRequest | None,
    status: int = 201,
) -> Reply:
    """A new token for whoever has proved to be the login's user. Raises Unauthenticated."""
    now = request.services.clock.now()
    claims = authentication.claims(connection, login, scope, now=now, cloud=request.services.cloud)
    listed = _catalog(request, connection, claims)
    token = request.services.tokens.sign(claims)
    return Reply(status, {"token": _render(claims, listed)}, {"X-Subject-Token": token})


def show(request: Request) -> Reply:
    """Validate a token: the caller's own, or for an administrator or a service any."""
    token, claims = _subject(request, "identity:validate_token")
    with request.read() as connection:
        listed = _catalog(request, connection, claims)
    return Reply(200, {"token": _SHOWN.get((claims, listed))}, {"X-Subject-Token": token})


def check(request: Request) -> Reply:
    token, _ = _subject(request, "identity:check_token")
    return Reply(200, None, {"X-Subject-Token": token})


def delete(request: Request) -> Reply:
    _, claims = _subject(request, "identity:revoke_token")
    with request.write() as connection:
        revocation.end_token(connection, claims, request.services.clock.now())
    rendering.ended(request)
    return Reply(204)


def _catalog(request: Request, connection: Connection, claims: Claims) -> msgspec.Raw | None:
    """None where the token has no scope, or the caller does not want it."""
    if claims.target_id is None or "nocatalog" in request.query:
        return None
    return catalog.render(request, connection, claims.project_id)


def _render(claims: Claims, listed: msgspec.Raw | None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "methods": claims.methods,
        "user": {
            "id": claims.user_id,
            "name": claims.user_name,
            "domain": {"id": claims.user_domain_id, "name": claims.user_domain_name},
            "password_expires_at": rendering.moment(claims.password_expires_at),
        },
        "audit_ids": claims.audit_ids,
        "issued_at": rendering.moment(claims.issued_at),
        "expires_at": rendering.moment(claims.expires_at),
    }
    project = claims.project
    if project is not None:
        domain = {"id": project.domain_id, "name": project.domain_name}
        shown["project"] = {"id": project.id, "name": project.name, "domain": domain}
        shown["is_domain"] = False
    if claims.domain_id is not None:
        shown["domain"] = {"id": claims.domain_id, "name": claims.domain_name}
    if claims.system:
        shown["system"] = {"all": True}
    if claims.target_id is not None:
        shown["roles"] = [{"id": key, "name": name} for key, name in claims.roles]
    if listed is not None:
        shown["catalog"] = listed
    if claims.trust is not None:
        shown["OS-TRUST:trust"] = {
            "id": claims.trust.id,
            "trustor_user": {"id": claims.trust.trustor_user_id},
            "trustee_user": {"id": claims.trust.trustee_user_id},
            "impersonation": claims.trust.impersonation,
        }
    if claims.application_credential_id is not None:
        shown["application_credential"] = {
            "id": claims.application_credential_id,
            "name": claims.application_credential_name,
            "restricted": claims.application_credential_restricted,
        }
        if claims.access_rules is not None:
            shown["application_credential"]["access_rules"] = [
                {"id": rule.id, "service": rule.service, "method": rule.method, "path": rule.path}
                for rule in claims.access_rules
            ]
    return shown


def _encode(nouns: tuple[Claims, msgspec.Raw | None]) -> msgspec.Raw:
    return encoded(_render(*nouns))


_SHOWN = Memo(_encode)


def _subject(request: Request, rule: str) -> tuple[str, Claims]:
    """The claims of the token in X-Subject-Token. Raises NotFound when it is not valid, Forbidden when
    it is another user's.
    """
    token = request.http.headers.get("X-Subject-Token", "")
    allow_expired = request.query.get("allow_expired") == "1"
    try:
        claims = request.services.tokens.check(
            token, now=request.services.clock.now(), allow_expired=allow_expired
        )
    except Unauthenticated as cause:
        raise NotFound("token", "asked about") from cause
    request.caller.check(rule, user_id=claims.user_id)
    if claims.access_rules is not None and RULES_HEADER not in request.http.headers:
        raise NotFound("token", "asked about")  # To a service that would not hold it to its rules.
    return token, claims


def _prove(request: Request, identity: AuthIdentity) -> Login:
    """Check the login by each of the methods that the body names. Raises Unauthenticated, also where they
    are of several users.
    """
    methods = tuple(dict.fromkeys(identity.methods))
    proofs = [_prove_by(request, method, identity) for method in methods]
    if len({proof.user_id for proof in proofs}) != 1:
        raise Unauthenticated(REFUSED)
    return Login(
        proofs[0].user_id,
        methods,
        password_hash=_first(proof.password_hash for proof in proofs),
        credential_id=_first(proof.credential_id for proof in proofs),
        parent=_first(proof.parent for proof in proofs),
    )


def _prove_by(request: Request, method: str, identity: AuthIdentity) -> Login:
    if method == "password" and identity.password is not UNSET:
        return _by_password(request, identity.password.user)
    if method == "totp" and identity.totp is not UNSET:
        return _by_totp(request, identity.totp.user)
    if method == "token" and identity.token is not UNSET:
        return _by_token(request, identity.token.id)
    if method == "application_credential" and identity.application_credential is not UNSET:
        return _by_credential(request, identity.application_credential)
    raise Unauthenticated(REFUSED)


def _first(values: Iterable[Proof | None]) -> Proof | None:
    return next((value for value in values if value is not None), None)


def _by_password(request: Request, body: PasswordUser) -> Login:
    with request.read() as connection:
        user = authentication.find_user(connection, body.reference())
    password_hash = user.password_hash if user else None
    account = user.id if user else str(body.reference())
    password_check.verify(request, user, account, Secret(body.password))
    return Login(user.id if user else "", ("password",), password_hash=password_hash)


def _by_totp(request: Request, body: TotpUser) -> Login:
    services = request.services
    with request.read() as connection:
        user = authentication.find_user(connection, body.reference())
        seeds = (
            kept_credential.blobs(connection, user.id, second_factor.TYPE, services.seal)
            if user
            else []
        )
    account = user.id if user else str(body.reference())
    services.logins.allow(request.source, account)
    if not second_factor.matches(seeds, Secret(body.passcode), services.clock.now()):
        services.logins.failed(request.source, account)
        raise Unauthenticated(REFUSED)
    return Login(user.id if user else "", ("totp",))


def _by_credential(request: Request, body: CredentialMethod) -> Login:
    logins = request.services.logins
    with request.read() as connection:
        found = authentication.find_credential(connection, body.reference(), body.owner())
    secret = Secret(body.secret)
    if found is not None and credential_secret.is_generated(found.secret_hash):
        # It cannot be guessed, so failures of others at the same address do not delay its owner.
        if not credential_secret.matches(found.secret_hash, secret):
            logins.allow(request.source, found.id)
            logins.failed(request.source, found.id)
            raise Unauthenticated(REFUSED)
    else:
        account = found.id if found else str(body.reference())
        logins.verify(request.source, account, found.secret_hash if found else None, secret)
    if found is None:
        raise Unauthenticated(REFUSED)
    return Login(found.user_id, ("application_credential",), credential_id=found.id)


def _by_token(request: Request, token: str) -> Login:
    """Raises NotFound, as Keystone does for a token that is not valid."""
    try:
        parent = request.services.tokens.check(token, now=request.services.clock.now())
    except Unauthenticated as cause:
        raise NotFound("token", "given") from cause
    return Login(
        parent.user_id, ("token",), credential_id=parent.application_credential_id, parent=parent
    )
