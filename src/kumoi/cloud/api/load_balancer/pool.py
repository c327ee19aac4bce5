"""Pools: what is accepted and what is shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kumoi.cloud.api.load_balancer import body, certificates, health_monitor, member, rendering
from kumoi.cloud.api.load_balancer.body import Id, Secured
from kumoi.cloud.api.load_balancer.health_monitor import HealthMonitorWithin
from kumoi.cloud.api.load_balancer.member import MemberNew
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import pool as domain
from kumoi.cloud.domain.load_balancer.graph import PoolTreeRequest
from kumoi.cloud.domain.load_balancer.pool import PoolRequest
from kumoi.engine.http.bounds import Entries, Text
from kumoi.engine.http.request import UNSET, Body, Unset

PoolProtocol = Literal["HTTP", "HTTPS", "PROXY", "PROXYV2", "SCTP", "TCP", "UDP"]
Algorithm = Literal["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)]


CookieName = Annotated[
    str, msgspec.Meta(max_length=255, pattern=r"^[!#$%&'*+\-.0-9A-Z^_`a-z|~]+\Z")
]


class SessionPersistence(Body):
    type: Literal["SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"]
    cookie_name: CookieName | None = None
    persistence_timeout: Seconds | None = None
    persistence_granularity: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class PoolChanges(Secured):
    lb_algorithm: Algorithm | Unset | None = UNSET
    session_persistence: SessionPersistence | Unset | None = UNSET
    tls_enabled: bool | Unset | None = UNSET
    tls_container_ref: Text | Unset | None = UNSET
    ca_tls_container_ref: Text | Unset | None = UNSET
    crl_container_ref: Text | Unset | None = UNSET


class PoolOwn(PoolChanges, kw_only=True):
    """Of a new one, wherever it is made."""

    protocol: PoolProtocol
    lb_algorithm: Algorithm


class PoolNew(PoolOwn, kw_only=True):
    loadbalancer_id: Id | Unset | None = UNSET
    listener_id: Id | Unset | None = UNSET
    project_id: Id | Unset | None = UNSET


class PoolWithin(PoolOwn, kw_only=True):
    """One that is made with its balancer."""

    members: Entries[MemberNew] | Unset | None = UNSET
    healthmonitor: HealthMonitorWithin | Unset | None = UNSET


class PoolByName(Body):
    name: Text


def reference(request: Request, raw: dict[str, msgspec.Raw]) -> PoolTreeRequest | str:
    """One that is made where it is named, or the name of one beside."""
    if set(raw) == {"name"}:
        return body.decode(raw, PoolByName).name
    return wanted_tree(request, body.decode(raw, PoolWithin))


def wanted_tree(request: Request, new: PoolWithin) -> PoolTreeRequest:
    said = body.said(new)
    members = said.pop("members", ())
    monitor = said.pop("healthmonitor", None)
    return PoolTreeRequest(
        wanted(request, said),
        tuple(member.wanted(body.said(one)) for one in members),
        None if monitor is None else health_monitor.wanted(body.said(monitor)),
    )


def wanted(request: Request, said: dict[str, Any]) -> PoolRequest:
    convert(request, said)
    return PoolRequest(**said)


def convert(request: Request, values: dict[str, Any]) -> None:
    values["material"] = certificates.read(request, values, domain.RULES)
    values.pop("project_id", None)
    if values.get("session_persistence") is not None:
        values["session_persistence"] = msgspec.structs.asdict(values["session_persistence"])


RESOURCE = BalancingResource(
    word="pool",
    words="pools",
    new=PoolNew,
    changes=PoolChanges,
    columns={
        "protocol": str,
        "lb_algorithm": str,
        "load_balancer_id": str,
        "tls_enabled": bool,
        "tls_container_ref": str,
        "ca_tls_container_ref": str,
        "crl_container_ref": str,
        "tls_ciphers": str,
    },
    defaults={
        "name": "",
        "description": "",
        "admin_state_up": True,
        "lb_algorithm": "ROUND_ROBIN",
        "tls_enabled": False,
        "tags": [],
    },
    wanted=wanted,
    convert=convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=rendering.of_parts(rendering.pool),
)
