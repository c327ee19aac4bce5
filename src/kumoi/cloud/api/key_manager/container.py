"""Containers: what is accepted and what is shown."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.key_manager import acl, listing
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.key_manager import container as domain
from kumoi.cloud.domain.key_manager.container import ContainerRequest
from kumoi.cloud.store.key_manager.container import SecretContainer
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

Text = Annotated[str, msgspec.Meta(max_length=255)]
SECRET = re.compile(r"(?:.*/)?secrets/([0-9a-fA-F-]{1,64})/?")


class SecretReference(Body):
    name: Text
    secret_ref: Text


class ContainerNew(Body):
    type: Literal["certificate", "generic"]
    name: Text | Unset | None = UNSET
    secret_refs: Annotated[list[SecretReference], msgspec.Meta(max_length=100)] | Unset = UNSET


def create(request: Request) -> Reply:
    new = request.parse(ContainerNew)
    references = new.secret_refs if isinstance(new.secret_refs, list) else []
    secrets = {one.name: _key(one.secret_ref) for one in references}
    if len(secrets) < len(references):
        raise Invalid("Duplicate reference names are not allowed", field="secret_refs")
    name = new.name if isinstance(new.name, str) else None
    wanted = ContainerRequest(type=new.type, name=name, secrets=secrets)
    with request.write() as connection:
        made = domain.create(connection, request.caller, wanted, request.services.clock.now())
        audit.about(made.id)
    href = _href(request, "containers", made.id)
    return Reply(201, {"container_ref": href}, {"Location": href})


def index(request: Request) -> Reply:
    found = listing.page(request, domain.RULES, {"name": "name", "type": "type"})
    rows = [shown(request, row) for row in found[0].rows]
    return listing.reply(request, "containers", rows, found)


def show(request: Request) -> Reply:
    with request.read() as connection:
        row = domain.RULES.readable(connection, request.caller, request.path["id"])
    return Reply(200, shown(request, row))


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.RULES.delete(connection, request.caller, request.path["id"])
    return Reply(204)


show_acl, update_acl, delete_acl = acl.handlers(domain.RULES, "containers")


def shown(request: Request, row: SecretContainer) -> dict[str, Any]:
    return {
        "container_ref": _href(request, "containers", row.id),
        "name": row.name or row.id,
        "type": row.type,
        "secret_refs": [
            {"name": name, "secret_ref": _href(request, "secrets", key)}
            for name, key in row.secrets.items()
        ],
        "consumers": [],
        "creator_id": row.creator_id,
        "status": "ACTIVE",
        "created": row.created_at.isoformat()[:19],
        "updated": row.updated_at.isoformat()[:19],
    }


def _href(request: Request, words: str, key: str) -> str:
    return f"{request.base}/v1/{words}/{key}"


def _key(reference: str) -> str:
    found = SECRET.fullmatch(reference)
    if found is None:
        raise Invalid(f"{reference} is no secret", field="secret_refs")
    return found[1]
