"""Pools: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Unsupported
from kumoi.cloud.api.load_balancer import body, member, rendering
from kumoi.cloud.api.load_balancer.body import Described, Id
from kumoi.cloud.api.load_balancer.member import MemberNew
from kumoi.cloud.api.load_balancer.rendering import Shown, TagsOf
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import pool as domain
from kumoi.cloud.domain.load_balancer import tree
from kumoi.cloud.domain.load_balancer.graph import PoolTreeRequest
from kumoi.cloud.domain.load_balancer.pool import PoolRequest
from kumoi.cloud.store.load_balancer.pool import BalancerPool
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.engine.http.request import UNSET, Body, Unset

PoolProtocol = Literal["HTTP", "HTTPS", "PROXY", "PROXYV2", "SCTP", "TCP", "UDP"]
Algorithm = Literal["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2_147_483_647)]


class SessionPersistence(Body):
    type: Literal["SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"]
    cookie_name: Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\s,;\\]+$")] | None = None
    persistence_timeout: Seconds | None = None
    persistence_granularity: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class PoolChanges(Described):
    lb_algorithm: Algorithm | Unset | None = UNSET
    session_persistence: SessionPersistence | Unset | None = UNSET
    tls_enabled: bool | Unset | None = UNSET


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

    members: list[MemberNew] | Unset | None = UNSET
    healthmonitor: dict[str, Any] | Unset | None = UNSET


def wanted_tree(new: PoolWithin) -> PoolTreeRequest:
    said = _own(new)
    members = said.pop("members", ())
    if said.pop("healthmonitor", None):
        raise Unsupported("health monitors are not offered yet: no host probes members")
    return PoolTreeRequest(PoolRequest(**said), tuple(member.wanted(one) for one in members))


def _own(new: PoolOwn) -> dict[str, Any]:
    said = body.said(new)
    _require_plain(said)
    if "session_persistence" in said:
        said["session_persistence"] = msgspec.structs.asdict(said["session_persistence"])
    return said


def _require_plain(said: dict[str, Any]) -> None:
    if said.pop("tls_enabled", False):
        raise Unsupported("TLS to members is not offered")


def _make(connection: Connection, request: Request, new: PoolNew) -> BalancerPool:
    said = _own(new)
    said.pop("project_id", None)
    balancer_id = said.pop("loadbalancer_id", None)
    wanted = PoolRequest(**said, load_balancer_id=balancer_id)
    return domain.create(connection, request.caller, wanted, request.services.clock.now())


def _get(connection: Connection, request: Request, key: str) -> BalancerPool:
    return domain.get(connection, request.caller, key)


def _page(connection: Connection, request: Request, query: NetworkQuery) -> list[BalancerPool]:
    return domain.page(connection, request.caller, query)


def _change(
    connection: Connection, request: Request, key: str, values: dict[str, Any]
) -> BalancerPool:
    _require_plain(values)
    if values.get("session_persistence") is not None:
        values["session_persistence"] = msgspec.structs.asdict(values["session_persistence"])
    return domain.update(connection, request.caller, key, values, request.services.clock.now())


def _remove(connection: Connection, request: Request, key: str) -> None:
    domain.delete(connection, request.caller, key, request.services.clock.now())


def _shown(connection: Connection, rows: Sequence[BalancerPool], tags: TagsOf) -> list[Shown]:
    trees = tree.of_parts(connection, rows)
    return [rendering.pool(trees[row.load_balancer_id], row, tags) for row in rows]


RESOURCE = BalancingResource(
    word="pool",
    words="pools",
    new=PoolNew,
    changes=PoolChanges,
    columns={"protocol": str, "lb_algorithm": str, "load_balancer_id": str},
    defaults={
        "name": "",
        "description": "",
        "admin_state_up": True,
        "lb_algorithm": "ROUND_ROBIN",
        "tags": [],
    },
    make=_make,
    get=_get,
    page=_page,
    change=_change,
    remove=_remove,
    shown=_shown,
)
