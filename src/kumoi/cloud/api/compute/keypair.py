"""Keypairs: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import keypair as domain
from kumoi.cloud.store.compute.keypair import Keypair
from kumoi.engine import audit
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

V_TYPE = (2, 2)
V_USER = (2, 10)
V_IMPORT_ONLY = (2, 92)


class KeypairNew(Body, kw_only=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    public_key: shapes.LongText | Unset = UNSET
    type: Text | Unset = UNSET
    user_id: Text | Unset = UNSET


class KeypairCreate(Body, kw_only=True):
    keypair: KeypairNew


def create(request: Request) -> Reply:
    """A key of the user's own, or, before 2.92, one that we make and whose private half is shown
    this once.
    """
    body = request.parse(KeypairCreate).keypair
    shapes.require_versions(request, body, since={"type": V_TYPE, "user_id": V_USER})
    material = _material(request, body)
    user_id = _user(request, None if body.user_id is UNSET else body.user_id)
    with request.write() as connection:
        made = domain.create(
            connection,
            request.caller,
            user_id=user_id,
            name=body.name,
            material=material,
            now=request.services.clock.now(),
        )
        audit.about(made.name)
    shown = _brief(request, made) | {"user_id": made.user_id}
    if material.private_key is not None:
        shown["private_key"] = material.private_key
    return Reply(201 if request.microversion >= V_TYPE else 200, {"keypair": shown})


def index(request: Request) -> Reply:
    """In pages whatever the version: openstacksdk asks for them with an older one."""
    most = rendering.limit(request)
    with request.read() as connection:
        found = domain.page(
            connection,
            _user(request, request.query.get("user_id")),
            marker=request.query.get("marker"),
            limit=most,
        )
    shown = [{"keypair": _brief(request, row)} for row in found]
    names = [row.name for row in found]
    return Reply(200, rendering.page(request, "keypairs", shown, names, most))


def show(request: Request) -> Reply:
    user_id = _user(request, request.query.get("user_id"))
    with request.read() as connection:
        found = domain.get(connection, user_id, request.path["id"])
    return Reply(
        200,
        {
            "keypair": _brief(request, found)
            | {
                "id": found.number,
                "user_id": found.user_id,
                "created_at": rendering.precise(found.created_at),
                "updated_at": None,
                "deleted_at": None,
                "deleted": False,
            }
        },
    )


def delete(request: Request) -> Reply:
    user_id = _user(request, request.query.get("user_id"))
    with request.write() as connection:
        domain.delete(connection, user_id, request.path["id"])
    return Reply(204 if request.microversion >= V_TYPE else 202)


def _material(request: Request, body: KeypairNew) -> domain.Material:
    """Made or read before the transaction. Raises Invalid."""
    allowed = domain.NAME_NEW if request.microversion >= V_IMPORT_ONLY else domain.NAME_OLD
    if not allowed.fullmatch(body.name) or body.name != body.name.strip():
        raise shapes.invalid(
            "name", body.name, "Keypair name contains unsafe characters or blanks at its ends"
        )
    type_ = domain.SSH if body.type is UNSET else body.type
    if type_ not in (domain.SSH, domain.X509):
        raise shapes.invalid("type", type_, f"'{type_}' is not one of ['ssh', 'x509']")
    if body.public_key is not UNSET:
        return domain.read(type_, body.public_key)
    if request.microversion >= V_IMPORT_ONLY:
        raise shapes.invalid("public_key", None, "'public_key' is a required property")
    return domain.generate(type_, body.name)


def _user(request: Request, user_id: str | None) -> str:
    """Whose keypairs; another's are for administrators, since 2.10."""
    if user_id is None or request.microversion < V_USER or user_id == request.caller.user_id:
        return request.caller.user_id
    request.caller.check("os_compute_api:os-keypairs:index", user_id=user_id)
    return user_id


def _brief(request: Request, row: Keypair) -> dict[str, Any]:
    shown = {"name": row.name, "public_key": row.public_key, "fingerprint": row.fingerprint}
    if request.microversion >= V_TYPE:
        shown["type"] = row.type
    return shown
