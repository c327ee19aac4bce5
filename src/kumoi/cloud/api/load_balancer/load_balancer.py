"""Load balancers: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.errors import Invalid, Unsupported
from kumoi.cloud.api.load_balancer import listener, pool, rendering
from kumoi.cloud.api.load_balancer.body import Described, Id
from kumoi.cloud.api.load_balancer.listener import ListenerWithin
from kumoi.cloud.api.load_balancer.pool import PoolWithin
from kumoi.cloud.api.load_balancer.rendering import Shown, TagsOf
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import capability, graph, statistics, tree
from kumoi.cloud.domain.load_balancer import load_balancer as domain
from kumoi.cloud.domain.load_balancer.graph import BalancerTreeRequest
from kumoi.cloud.domain.load_balancer.load_balancer import LoadBalancerRequest
from kumoi.cloud.domain.load_balancer.member import canonical
from kumoi.cloud.domain.load_balancer.refusal import invalid
from kumoi.cloud.domain.load_balancer.vip import VipRequest
from kumoi.cloud.store.load_balancer.load_balancer import LoadBalancer
from kumoi.cloud.store.network import tag as tag_store
from kumoi.engine.http.bounds import Entries, Text
from kumoi.engine.http.paging import boolean
from kumoi.engine.http.request import UNSET, Reply, Unset

NOTHING_TO_DO = '299 - "there is nothing to fail over: every host balances for itself"'
PARTS_MAX = 50  # Made in one transaction, during which nobody else writes.


class LoadBalancerChanges(Described):
    vip_qos_policy_id: Id | Unset | None = UNSET


class LoadBalancerNew(LoadBalancerChanges):
    vip_address: Id | Unset | None = UNSET
    vip_network_id: Id | Unset | None = UNSET
    vip_subnet_id: Id | Unset | None = UNSET
    vip_port_id: Id | Unset | None = UNSET
    additional_vips: Entries[Any] | Unset | None = UNSET
    vip_sg_ids: Entries[Id] | Unset | None = UNSET
    provider: Text | Unset | None = UNSET
    flavor_id: Id | Unset | None = UNSET
    availability_zone: Text | Unset | None = UNSET
    project_id: Id | Unset | None = UNSET
    tenant_id: Id | Unset | None = UNSET
    listeners: Entries[ListenerWithin] | Unset | None = UNSET
    pools: Entries[PoolWithin] | Unset | None = UNSET


def delete(request: Request) -> Reply:
    """With `cascade`, its parts go too."""
    cascade = boolean(request.query.get("cascade", "false"), "cascade")
    now = request.services.clock.now()
    with request.write() as connection:
        domain.delete(connection, request.caller, request.path["id"], now, cascade=cascade)
    return Reply(204)


def status(request: Request) -> Reply:
    """The states of the balancer and all its parts."""
    with request.read() as connection:
        row = _named(connection, request, "get_status")
        shown = rendering.states(tree.of(connection, [row])[row.id])
    return Reply(200, {"statuses": {"loadbalancer": shown}})


def stats(request: Request) -> Reply:
    """As of a listener."""
    with request.read() as connection:
        row = _named(connection, request, "get_stats")
        there = tree.of(connection, [row])[row.id]
    return Reply(200, {"stats": statistics.total(there, [one.id for one in there.listeners])})


def failover(request: Request) -> Reply:
    """There is nothing to fail over to: every host balances for itself, and a proxy that dies is replaced.
    The answer says so, since it may have no body.
    """
    with request.read() as connection:
        row = _named(connection, request, "put_failover")
    log.event("balancer.failover_had_nothing_to_do", balancer=row.id)
    return Reply(202, headers={"Warning": NOTHING_TO_DO})


def _named(connection: Connection, request: Request, action: str) -> LoadBalancer:
    return domain.get(connection, request.caller, request.path["id"], action=action)


def _wanted(request: Request, said: dict[str, Any]) -> BalancerTreeRequest:
    _require_possible(said)
    names = (
        "name", "description", "admin_state_up", "flavor_id", "availability_zone", "tags"
    )  # fmt: skip
    wanted = BalancerTreeRequest(
        LoadBalancerRequest(
            project_id=_project(request, said),
            vip=_vip(said),
            **{name: said[name] for name in names if name in said},
        ),
        tuple(listener.wanted_tree(request, one) for one in said.get("listeners", ())),
        tuple(pool.wanted_tree(request, one) for one in said.get("pools", ())),
    )
    if wanted.parts > PARTS_MAX:
        raise Invalid(
            f"At most {PARTS_MAX} listeners, pools, members and so on can be made with a load "
            "balancer"
        )
    return wanted


def _convert(_request: Request, values: dict[str, Any]) -> None:
    if values.pop("vip_qos_policy_id", None):
        raise Unsupported("vip_qos_policy_id is not offered")


def _project(request: Request, said: dict[str, Any]) -> str:
    project_id = said.get("project_id") or said.get("tenant_id") or request.caller.project_id
    if project_id is None:
        raise invalid("Missing project ID in request where one is required.", "project_id")
    return str(project_id)


def _vip(said: dict[str, Any]) -> VipRequest:
    address = said.get("vip_address")
    return VipRequest(
        address=None if address is None else canonical(address),
        network_id=said.get("vip_network_id"),
        subnet_id=said.get("vip_subnet_id"),
        port_id=said.get("vip_port_id"),
    )


def _require_possible(said: dict[str, Any]) -> None:
    for name in ("additional_vips", "vip_sg_ids", "vip_qos_policy_id"):
        if said.get(name):
            raise Unsupported(f"{name} is not offered")
    capability.require_provider(said.get("provider", capability.PROVIDER))


def _shown(connection: Connection, rows: Sequence[LoadBalancer], tags: TagsOf) -> list[Shown]:
    trees = tree.of(connection, rows)
    return [rendering.balancer(trees[row.id], tags) for row in rows]


def _shown_new(connection: Connection, row: LoadBalancer) -> Shown:
    """With its parts whole."""
    made = tree.of(connection, [row])[row.id]
    return rendering.balancer(made, tag_store.of_many(connection, made.ids()), full=True)


RESOURCE = BalancingResource(
    word="loadbalancer",
    words="loadbalancers",
    new=LoadBalancerNew,
    changes=LoadBalancerChanges,
    columns={
        "vip_address": str,
        "vip_network_id": str,
        "vip_subnet_id": str,
        "vip_port_id": str,
    },
    defaults={"name": "", "description": "", "admin_state_up": True, "tags": []},
    wanted=_wanted,
    convert=_convert,
    make=graph.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
    shown_new=_shown_new,
)
