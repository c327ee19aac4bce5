"""Policies that services keep here: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.identity import open_body, rendering
from kumoi.cloud.api.identity.open_body import OpenBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import policy as domain
from kumoi.cloud.store.identity import policy as store
from kumoi.cloud.store.identity.policy import StoredPolicy
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"type": "type"}


class PolicyNew(OpenBody):
    blob: rendering.Text
    type: rendering.Name


class PolicyChanges(OpenBody):
    blob: rendering.Text | Unset = UNSET
    type: rendering.Name | Unset = UNSET


class PolicyCreate(Body):
    policy: PolicyNew


class PolicyUpdate(Body):
    policy: PolicyChanges


def create(request: Request) -> Reply:
    wanted = request.parse(PolicyCreate).policy
    with request.write() as connection:
        made = domain.create(
            connection,
            type=wanted.type,
            blob=wanted.blob,
            extra=open_body.others(request, "policy", PolicyNew),
        )
        audit.about(made.id)
    return Reply(201, {"policy": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        found = store.page(connection, wanted)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "policies", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.path["id"])
    return Reply(200, {"policy": render(request, found)})


def update(request: Request) -> Reply:
    values = open_body.changes(request, "policy", request.parse(PolicyUpdate).policy)
    with request.write() as connection:
        changed = domain.update(connection, request.path["id"], values)
    return Reply(200, {"policy": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"])
    return Reply(204)


def render(request: Request, row: StoredPolicy) -> dict[str, Any]:
    shown = {
        "id": row.id,
        "type": row.type,
        "blob": row.blob,
        "links": rendering.link(request, "policies", row.id),
    }
    return open_body.shown(row.extra, shown)
