"""Application credentials: what is accepted and what is shown. The secret is shown once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.base.secret import Secret
from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import application_credential as domain
from kumoi.cloud.domain.identity import credential_secret, user
from kumoi.cloud.domain.identity.access_rule import AccessRuleRequest
from kumoi.cloud.domain.identity.application_credential import ApplicationCredentialRequest, RoleRef
from kumoi.cloud.domain.identity.password import hash_password
from kumoi.cloud.store.identity import access_rule as access_rules
from kumoi.cloud.store.identity import application_credential as store
from kumoi.cloud.store.identity import role as roles
from kumoi.cloud.store.identity.application_credential import ApplicationCredential
from kumoi.cloud.store.identity.user import User
from kumoi.engine import audit
from kumoi.engine.http import paging
from kumoi.engine.http.bounds import ENTRIES_MAX, Object, Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

Method = Literal["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]
COLUMNS = {"name": "name"}


class CredentialRole(Body):
    id: rendering.Key | None = None
    name: rendering.Name | None = None
    domain_id: rendering.Key | None = None
    domain: Object[Text] | None = None


class AccessRuleNew(Body):
    """An existing one by its id, or what a new one says."""

    id: rendering.Key | None = None
    service: rendering.Name | None = None
    method: Method | None = None
    path: Annotated[str, msgspec.Meta(pattern="^/", max_length=128)] | None = None


class ApplicationCredentialNew(Body):
    name: rendering.Name
    description: rendering.Text | None = None
    secret: rendering.Password | None = None
    roles: Annotated[tuple[CredentialRole, ...], msgspec.Meta(max_length=ENTRIES_MAX)] = ()
    unrestricted: bool = False
    expires_at: Text | None = None
    project_id: rendering.Key | Unset = UNSET
    access_rules: (
        Annotated[tuple[AccessRuleNew, ...], msgspec.Meta(max_length=ENTRIES_MAX)] | None
    ) = None


class ApplicationCredentialCreate(Body):
    application_credential: ApplicationCredentialNew


def create(request: Request) -> Reply:
    wanted = request.parse(ApplicationCredentialCreate).application_credential
    request.caller.check("identity:create_application_credential", user_id=request.path["id"])
    if wanted.project_id not in (UNSET, request.claims.project_id):
        raise Invalid("project_id must be the token's project", field="project_id")
    secret, secret_hash = _secret(wanted.secret)
    new = ApplicationCredentialRequest(
        name=wanted.name,
        secret_hash=secret_hash,
        description=wanted.description,
        roles=[RoleRef(id=role.id, name=role.name) for role in wanted.roles],
        unrestricted=wanted.unrestricted,
        expires_at=_expiry(wanted.expires_at),
        access_rules=[
            AccessRuleRequest(id=rule.id, service=rule.service, method=rule.method, path=rule.path)
            for rule in wanted.access_rules or ()
        ],
    )
    with request.write() as connection:
        now = request.services.clock.now()
        made = domain.create(connection, request.claims, request.path["id"], new, now)
        audit.about(made.id)
        shown = render(request, connection, made)
    return Reply(201, {"application_credential": {**shown, "secret": secret.reveal()}})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        owner = _owner(request, connection, "identity:list_application_credentials")
        found = store.page(connection, wanted, user_id=owner.id)
        shown = [render(request, connection, row) for row in found]
    return Reply(200, rendering.page(request, "application_credentials", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        owner = _owner(request, connection, "identity:get_application_credential")
        found = domain.get(connection, owner.id, request.path["credential_id"])
        shown = render(request, connection, found)
    return Reply(200, {"application_credential": shown})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        owner = _owner(request, connection, "identity:delete_application_credential")
        key, now = request.path["credential_id"], request.services.clock.now()
        domain.delete(connection, request.claims, owner.id, key, now)
    rendering.ended(request)
    return Reply(204)


def _owner(request: Request, connection: Connection, rule: str) -> User:
    """The user that the path names. Raises as `user.get_for` does."""
    return user.get_for(connection, request.caller, rule, request.path["id"])


def _secret(chosen: str | None) -> tuple[Secret, str]:
    """The secret and its hash; generated where the user chose none."""
    if chosen is None:
        secret = credential_secret.generate()
        return secret, credential_secret.hash_generated(secret)
    secret = Secret(chosen)
    return secret, hash_password(secret)


def _expiry(text: str | None) -> datetime | None:
    """A time without a zone is UTC. Raises Invalid."""
    if text is None:
        return None
    try:
        return paging.moment(text)
    except ValueError as cause:
        raise Invalid(f"'{text}' is not a time", field="expires_at") from cause


def render(request: Request, connection: Connection, row: ApplicationCredential) -> dict[str, Any]:
    expires_at = row.expires_at
    shown = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "roles": [
            {"id": role.id, "name": role.name, "domain_id": None}
            for role in roles.every(connection)
            if role.id in row.role_ids
        ],
        "unrestricted": row.unrestricted,
        # Keystone writes this one time without a zone.
        "expires_at": expires_at.strftime("%Y-%m-%dT%H:%M:%S.%f") if expires_at else None,
        "system": None,
        "links": rendering.link(request, "users", row.user_id, "application_credentials", row.id),
    }
    if row.access_rule_ids is not None:
        found = access_rules.among(connection, row.access_rule_ids)
        shown["access_rules"] = [
            {"id": rule.id, "service": rule.service, "method": rule.method, "path": rule.path}
            for rule in found
        ]
    return shown
