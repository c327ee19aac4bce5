"""Credentials that users keep: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import credential as domain
from kumoi.cloud.domain.identity.credential import CredentialRequest
from kumoi.cloud.store.identity import credential as store
from kumoi.cloud.store.identity.credential import Credential
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"user_id": "user_id", "type": "type"}


class CredentialNew(Body):
    type: rendering.Name
    blob: rendering.Text
    user_id: rendering.Key
    project_id: rendering.Key | None = None


class CredentialChanges(Body):
    """Whose it is and what for stays; to change that, make another one."""

    blob: rendering.Text | Unset = UNSET
    type: rendering.Name | Unset = UNSET
    user_id: rendering.Key | Unset = UNSET
    project_id: rendering.Key | Unset | None = UNSET


class CredentialCreate(Body):
    credential: CredentialNew


class CredentialUpdate(Body):
    credential: CredentialChanges


def create(request: Request) -> Reply:
    body = request.parse(CredentialCreate).credential
    wanted = CredentialRequest(
        user_id=body.user_id, project_id=body.project_id, type=body.type, blob=body.blob
    )
    with request.write() as connection:
        seal = request.services.seal
        made = domain.create(connection, request.caller, request.claims, wanted, seal)
        audit.about(made.id)
    return Reply(201, {"credential": render(request, made)})


def index(request: Request) -> Reply:
    """The caller's own, or for an administrator all."""
    wanted = rendering.listing(request, COLUMNS)
    caller = request.caller
    user_id = None if caller.may("identity:list_credentials") else caller.user_id
    with request.read() as connection:
        found = domain.page(connection, request.claims, wanted, user_id)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "credentials", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = _found(request, connection, "identity:get_credential")
    return Reply(200, {"credential": render(request, found)})


def update(request: Request) -> Reply:
    body = request.parse(CredentialUpdate).credential
    with request.write() as connection:
        row = _found(request, connection, "identity:update_credential")
        for name in ("type", "user_id", "project_id"):
            if getattr(body, name) not in (UNSET, getattr(row, name)):
                raise Invalid(f"{name} can not be updated for credential", field=name)
        if isinstance(body.blob, str):
            row = domain.update_blob(connection, row, body.blob, request.services.seal)
    return Reply(200, {"credential": render(request, row)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        row = _found(request, connection, "identity:delete_credential")
        store.delete(connection, row.id)
    return Reply(204)


def _found(request: Request, connection: Connection, rule: str) -> Credential:
    """Raises as `domain.get` does."""
    return domain.get(connection, request.caller, request.claims, rule, request.path["id"])


def render(request: Request, row: Credential) -> dict[str, Any]:
    return {
        "id": row.id,
        "type": row.type,
        "blob": domain.blob_of(row, request.services.seal),
        "user_id": row.user_id,
        "project_id": row.project_id,
        "links": rendering.link(request, "credentials", row.id),
    }
