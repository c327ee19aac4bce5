"""Listeners: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.load_balancer import body, certificates, l7_policy, pool, rendering
from kumoi.cloud.api.load_balancer.body import Id, PortNumber, Secured
from kumoi.cloud.api.load_balancer.l7_policy import L7PolicyWithin
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import listener as domain
from kumoi.cloud.domain.load_balancer import listener_options, statistics
from kumoi.cloud.domain.load_balancer.graph import ListenerTreeRequest
from kumoi.cloud.domain.load_balancer.listener import ListenerRequest
from kumoi.cloud.domain.load_balancer.tree import of_parts
from kumoi.engine.http.bounds import Entries, Object, Text
from kumoi.engine.http.request import UNSET, Reply, Unset

ListenerProtocol = Literal["HTTP", "HTTPS", "PROMETHEUS", "SCTP", "TCP", "TERMINATED_HTTPS", "UDP"]
Limit = Annotated[int, msgspec.Meta(ge=-1, le=2_147_483_647)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=31_536_000)]
Headers = Annotated[dict[Text, Text], msgspec.Meta(max_length=32)]
Cidrs = Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=256)]
References = Annotated[list[Text], msgspec.Meta(max_length=256)]
HstsAge = Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)]


class ListenerChanges(Secured):
    connection_limit: Limit | Unset | None = UNSET
    default_pool_id: Id | Unset | None = UNSET
    insert_headers: Headers | Unset | None = UNSET
    allowed_cidrs: Cidrs | Unset | None = UNSET
    timeout_client_data: Milliseconds | Unset | None = UNSET
    timeout_member_connect: Milliseconds | Unset | None = UNSET
    timeout_member_data: Milliseconds | Unset | None = UNSET
    timeout_tcp_inspect: Milliseconds | Unset | None = UNSET
    default_tls_container_ref: Text | Unset | None = UNSET
    sni_container_refs: References | Unset | None = UNSET
    client_ca_tls_container_ref: Text | Unset | None = UNSET
    client_authentication: Literal["NONE", "OPTIONAL", "MANDATORY"] | Unset | None = UNSET
    client_crl_container_ref: Text | Unset | None = UNSET
    hsts_max_age: HstsAge | Unset | None = UNSET
    hsts_include_subdomains: bool | Unset | None = UNSET
    hsts_preload: bool | Unset | None = UNSET


class ListenerOwn(ListenerChanges, kw_only=True):
    """Of a new one, wherever it is made."""

    protocol: ListenerProtocol
    protocol_port: PortNumber
    l7policies: Entries[L7PolicyWithin] | Unset | None = UNSET


class ListenerNew(ListenerOwn, kw_only=True):
    loadbalancer_id: Id
    project_id: Id | Unset | None = UNSET


class ListenerWithin(ListenerOwn, kw_only=True):
    """One that is made with its balancer."""

    default_pool: Object[msgspec.Raw] | Unset | None = UNSET


def wanted_tree(request: Request, new: ListenerWithin) -> ListenerTreeRequest:
    said = body.said(new)
    said.pop("default_pool_id", None)
    default = said.pop("default_pool", None)
    policies = said.pop("l7policies", ())
    return ListenerTreeRequest(
        wanted(request, said | {"load_balancer_id": ""}),
        None if default is None else pool.reference(request, default),
        tuple(l7_policy.wanted_tree(request, one) for one in policies),
    )


def stats(request: Request) -> Reply:
    """What its proxies counted. Where no process is on the way, nobody counts."""
    with request.read() as connection:
        row = domain.get(connection, request.caller, request.path["id"], action="get_stats")
        tree = of_parts(connection, [row])[row.load_balancer_id]
    return Reply(200, {"stats": statistics.total(tree, [row.id])})


def wanted(request: Request, said: dict[str, Any]) -> ListenerRequest:
    convert(request, said)
    return ListenerRequest(**said)


def convert(request: Request, values: dict[str, Any]) -> None:
    values["material"] = certificates.read(request, values, domain.RULES)
    values.pop("project_id", None)
    if values.pop("l7policies", None):
        raise Invalid(
            "l7policies are made with their balancer or by themselves", field="l7policies"
        )
    if values.get("allowed_cidrs"):
        values["allowed_cidrs"] = listener_options.networks(values["allowed_cidrs"])


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
        "default_tls_container_ref": str,
        "client_ca_tls_container_ref": str,
        "client_authentication": str,
        "client_crl_container_ref": str,
        "tls_ciphers": str,
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
        "client_authentication": listener_options.NO_AUTHENTICATION,
        "hsts_include_subdomains": False,
        "hsts_preload": False,
        "tags": [],
    },
    wanted=wanted,
    convert=convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=rendering.of_parts(rendering.listener),
)
