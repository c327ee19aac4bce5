"""Trusts: what is accepted and what is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from kumoi.base.errors import Forbidden, Invalid, NotFound, Unsupported
from kumoi.cloud.api.identity import rendering, role
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import trust as domain
from kumoi.cloud.domain.identity.application_credential import RoleRef
from kumoi.cloud.domain.identity.trust import TrustRequest
from kumoi.cloud.store.identity import role as roles
from kumoi.cloud.store.identity import trust as store
from kumoi.cloud.store.identity.role import IdentityRole
from kumoi.cloud.store.identity.trust import UserTrust
from kumoi.engine import audit
from kumoi.engine.http import paging
from kumoi.engine.http.bounds import ENTRIES_MAX, Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"trustor_user_id": "trustor_user_id", "trustee_user_id": "trustee_user_id"}
LIST_RULES = {
    "trustor_user_id": "identity:list_trusts_for_trustor",
    "trustee_user_id": "identity:list_trusts_for_trustee",
}


class TrustRole(Body):
    id: rendering.Key | None = None
    name: rendering.Name | None = None


class TrustNew(Body):
    trustor_user_id: rendering.Key
    trustee_user_id: rendering.Key
    impersonation: bool
    project_id: rendering.Key | None = None
    roles: Annotated[tuple[TrustRole, ...], msgspec.Meta(max_length=ENTRIES_MAX)] = ()
    expires_at: Text | None = None
    remaining_uses: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    allow_redelegation: bool = False
    redelegation_count: int | Unset | None = UNSET


class TrustCreate(Body):
    trust: TrustNew


def create(request: Request) -> Reply:
    body = request.parse(TrustCreate).trust
    if body.allow_redelegation or body.redelegation_count not in (UNSET, None, 0):
        raise Unsupported("a trust of this cloud cannot be handed on: make one for each trustee")
    if body.project_id is None:
        raise Forbidden("A trust is for a project: `project_id` should be specified")
    wanted = TrustRequest(
        trustor_user_id=body.trustor_user_id,
        trustee_user_id=body.trustee_user_id,
        project_id=body.project_id,
        impersonation=body.impersonation,
        roles=[RoleRef(id=each.id, name=each.name) for each in body.roles],
        expires_at=_expiry(body.expires_at),
        remaining_uses=body.remaining_uses,
    )
    with request.write() as connection:
        made = domain.create(connection, request.claims, wanted, request.services.clock.now())
        audit.about(made.id)
        every = roles.every(connection)
    return Reply(201, {"trust": render(request, made, every)})


def index(request: Request) -> Reply:
    """Without their roles, as Keystone lists them. All of them an administrator may list, those of one side
    who is on it.
    """
    asked = [name for name in COLUMNS if name in request.query]
    if not asked:
        request.caller.check("identity:list_trusts")
    for name in asked[:1]:
        request.caller.check(LIST_RULES[name], user_id=request.query[name])
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        sees_all = request.caller.may("identity:list_trusts")
        found = store.page(connection, wanted, side=None if sees_all else request.caller.user_id)
    now = request.services.clock.now()
    shown = [_summary(request, row) for row in found if domain.is_open(row, now)]
    return Reply(200, rendering.page(request, "trusts", shown, wanted))


def show(request: Request) -> Reply:
    row, every = _found(request, "identity:get_trust")
    return Reply(200, {"trust": render(request, row, every)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        now, key = request.services.clock.now(), request.path["id"]
        row = domain.get(connection, request.caller, "identity:delete_trust", key, now)
        domain.delete(connection, request.claims, row, now)
    rendering.ended(request)
    return Reply(204)


def list_roles(request: Request) -> Reply:
    row, every = _found(request, "identity:list_roles_for_trust")
    return Reply(200, rendering.page(request, "roles", _roles(request, row, every)))


def show_role(request: Request) -> Reply:
    row, every = _found(request, "identity:get_role_for_trust")
    for shown in _roles(request, row, every):
        if shown["id"] == request.path["role_id"]:
            return Reply(200, {"role": shown})
    raise NotFound("role", request.path["role_id"])


def _found(request: Request, rule: str) -> tuple[UserTrust, list[IdentityRole]]:
    with request.read() as connection:
        now = request.services.clock.now()
        row = domain.get(connection, request.caller, rule, request.path["id"], now)
        return row, roles.every(connection)


def _expiry(text: str | None) -> datetime | None:
    """A time without a zone is UTC. Raises Invalid."""
    if text is None:
        return None
    try:
        return paging.moment(text)
    except ValueError as cause:
        raise Invalid(f"'{text}' is not a time", field="expires_at") from cause


def _roles(request: Request, row: UserTrust, every: list[IdentityRole]) -> list[dict[str, Any]]:
    return [role.render(request, each) for each in every if each.id in row.role_ids]


def _summary(request: Request, row: UserTrust) -> dict[str, Any]:
    return {
        "id": row.id,
        "trustor_user_id": row.trustor_user_id,
        "trustee_user_id": row.trustee_user_id,
        "project_id": row.project_id,
        "impersonation": row.impersonation,
        "expires_at": rendering.moment(row.expires_at),
        "remaining_uses": row.remaining_uses,
        "redelegation_count": 0,
        "redelegated_trust_id": None,
        "deleted_at": None,
        "links": rendering.link(request, "OS-TRUST", "trusts", row.id),
    }


def render(request: Request, row: UserTrust, every: list[IdentityRole]) -> dict[str, Any]:
    path = rendering.link(request, "OS-TRUST", "trusts", row.id, "roles")["self"]
    return {
        **_summary(request, row),
        "roles": _roles(request, row, every),
        "roles_links": {"self": path, "next": None, "previous": None},
    }
