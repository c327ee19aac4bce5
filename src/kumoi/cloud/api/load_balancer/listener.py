"""Listeners: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kumoi.base.errors import Unsupported
from kumoi.cloud.api.load_balancer import body, pool, rendering
from kumoi.cloud.api.load_balancer.body import Described, Id, PortNumber, Text
from kumoi.cloud.api.load_balancer.pool import PoolWithin
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import listener as domain
from kumoi.cloud.domain.load_balancer.graph import ListenerTreeRequest
from kumoi.cloud.domain.load_balancer.listener import ListenerRequest
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

ListenerProtocol = Literal["HTTP", "HTTPS", "PROMETHEUS", "SCTP", "TCP", "TERMINATED_HTTPS", "UDP"]
Limit = Annotated[int, msgspec.Meta(ge=-1, le=2_147_483_647)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=31_536_000)]
NO_TRAFFIC = {
    "bytes_in": 0,
    "bytes_out": 0,
    "active_connections": 0,
    "total_connections": 0,
    "request_errors": 0,
}


class ListenerChanges(Described):
    connection_limit: Limit | Unset | None = UNSET
    default_pool_id: Id | Unset | None = UNSET
    insert_headers: dict[str, Text] | Unset | None = UNSET
    allowed_cidrs: list[Text] | Unset | None = UNSET
    timeout_client_data: Milliseconds | Unset | None = UNSET
    timeout_member_connect: Milliseconds | Unset | None = UNSET
    timeout_member_data: Milliseconds | Unset | None = UNSET
    timeout_tcp_inspect: Milliseconds | Unset | None = UNSET


class ListenerOwn(ListenerChanges, kw_only=True):
    """Of a new one, wherever it is made."""

    protocol: ListenerProtocol
    protocol_port: PortNumber
    l7policies: list[Any] | Unset | None = UNSET
    default_tls_container_ref: Text | Unset | None = UNSET
    sni_container_refs: list[Text] | Unset | None = UNSET


class ListenerNew(ListenerOwn, kw_only=True):
    loadbalancer_id: Id
    project_id: Id | Unset | None = UNSET


class PoolByName(Body):
    name: Text


class ListenerWithin(ListenerOwn, kw_only=True):
    """One that is made with its balancer."""

    default_pool: dict[str, msgspec.Raw] | Unset | None = UNSET


def wanted_tree(new: ListenerWithin) -> ListenerTreeRequest:
    """A default pool of which only the name is said stands beside the listeners."""
    said = body.said(new)
    default = said.pop("default_pool", None)
    said.pop("default_pool_id", None)
    listener = wanted(said | {"load_balancer_id": ""})
    if default is None:
        return ListenerTreeRequest(listener)
    if set(default) == {"name"}:
        return ListenerTreeRequest(
            listener, default_pool_name=body.decode(default, PoolByName).name
        )
    return ListenerTreeRequest(listener, pool.wanted_tree(body.decode(default, PoolWithin)))


def stats(request: Request) -> Reply:
    """Nothing counts where no process is on the way, so there is nothing to tell."""
    with request.read() as connection:
        domain.get(connection, request.caller, request.path["id"], action="get_stats")
    return Reply(200, {"stats": NO_TRAFFIC})


def wanted(said: dict[str, Any]) -> ListenerRequest:
    convert(said)
    return ListenerRequest(**said)


def convert(values: dict[str, Any]) -> None:
    values.pop("project_id", None)
    for name in ("l7policies", "default_tls_container_ref", "sni_container_refs"):
        if values.pop(name, None):
            raise Unsupported(f"{name} is not offered")


RESOURCE = BalancingResource(
    word="listener",
    words="listeners",
    new=ListenerNew,
    changes=ListenerChanges,
    columns={
        "protocol": str,
        "protocol_port": int,
        "connection_limit": int,
        "default_pool_id": str,
        "load_balancer_id": str,
        "timeout_client_data": int,
        "timeout_member_connect": int,
        "timeout_member_data": int,
        "timeout_tcp_inspect": int,
    },
    defaults={
        "name": "",
        "description": "",
        "admin_state_up": True,
        "connection_limit": -1,
        "insert_headers": {},
        "allowed_cidrs": [],
        "timeout_client_data": 50_000,
        "timeout_member_connect": 5_000,
        "timeout_member_data": 50_000,
        "timeout_tcp_inspect": 0,
        "tags": [],
    },
    wanted=lambda _request, said: wanted(said),
    convert=convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=rendering.of_parts(rendering.listener),
)
