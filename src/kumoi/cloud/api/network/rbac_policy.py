"""RBAC policies, read only: a network that is shared or external is listed with the policy that means
the same. Sharing with a single project is not offered.
"""

from __future__ import annotations

import uuid

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.cloud.api.network import rendering
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.request import Request
from kumoi.cloud.store.network import network as store
from kumoi.cloud.store.network.network import Network
from kumoi.engine.http.request import Reply

SHARED = "access_as_shared"
EXTERNAL = "access_as_external"
FILTERS = (
    "id",
    "object_id",
    "object_type",
    "action",
    "target_tenant",
    "target_project",
    "project_id",
    "tenant_id",
)


def index(request: Request) -> Reply:
    filters = {name: request.query_all(name) for name in FILTERS if name in request.query}
    with request.read() as connection:
        shown = _all(connection, request)
    policies = [
        rendering.only(request, policy)
        for policy in shown
        if all(policy[name] in values for name, values in filters.items())
    ]
    return Reply(200, {"rbac_policies": policies})


def show(request: Request) -> Reply:
    with request.read() as connection:
        for policy in _all(connection, request):
            if policy["id"] == request.path["id"]:
                return Reply(200, {"rbac_policy": rendering.only(request, policy)})
    raise NotFound("RBAC policy", request.path["id"], kind="RbacPolicyNotFound")


def _all(connection: Connection, request: Request) -> list[Shown]:
    return [
        _render(row, action)
        for row in store.every(connection)
        if request.caller.may("get_rbac_policy", row.project_id)
        for action, holds in ((SHARED, row.shared), (EXTERNAL, row.external))
        if holds
    ]


def _render(row: Network, action: str) -> Shown:
    """The id follows from the network and the action, so it is the same each time."""
    return {
        "id": str(uuid.uuid5(uuid.UUID(row.id), action)),
        "object_type": "network",
        "object_id": row.id,
        "action": action,
        "target_tenant": "*",
        "target_project": "*",
        "project_id": row.project_id,
        "tenant_id": row.project_id,
    }
