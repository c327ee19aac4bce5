"""Load balancers: what is allowed. Each function takes the open transaction and touches nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import choice, material, quota, vip
from kumoi.cloud.domain.load_balancer.refusal import not_found
from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.domain.load_balancer.tree import of as trees
from kumoi.cloud.domain.load_balancer.vip import VipRequest
from kumoi.cloud.store.load_balancer import health_monitor as monitor_store
from kumoi.cloud.store.load_balancer import l7_policy as policy_store
from kumoi.cloud.store.load_balancer import l7_rule as rule_store
from kumoi.cloud.store.load_balancer import listener as listener_store
from kumoi.cloud.store.load_balancer import load_balancer as store
from kumoi.cloud.store.load_balancer import member as member_store
from kumoi.cloud.store.load_balancer import pool as pool_store
from kumoi.cloud.store.load_balancer.load_balancer import LoadBalancer
from kumoi.cloud.store.network import tag as tag_store
from kumoi.cloud.store.network.standard import NetworkQuery

RULE = "os_load-balancer_api:loadbalancer"
NOUN = "Load Balancer"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerRequest:
    project_id: str
    vip: VipRequest
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    flavor_id: str | None = None
    availability_zone: str | None = None
    tags: tuple[str, ...] = ()


def create(
    connection: Connection, caller: Caller, wanted: LoadBalancerRequest, now: datetime
) -> LoadBalancer:
    """Raises Forbidden, OverQuota, Invalid for a flavor or zone that cannot be chosen, and as taking the address does."""
    caller.check(f"{RULE}:post", wanted.project_id)
    quota.require(connection, wanted.project_id, "loadbalancer")
    stations_max = None
    if wanted.flavor_id is not None:
        stations_max = choice.FLAVORS.chosen(connection, caller, wanted.flavor_id).stations
    if wanted.availability_zone is not None:
        choice.ZONES.chosen(connection, caller, wanted.availability_zone)
    key = new_id()
    taken = vip.take(
        connection,
        caller,
        wanted.vip,
        balancer_id=key,
        project_id=wanted.project_id,
        now=now,
    )
    row = LoadBalancer(
        id=key,
        project_id=wanted.project_id,
        name=wanted.name,
        description=wanted.description,
        admin_state_up=wanted.admin_state_up,
        vip_address=taken.address,
        vip_network_id=taken.port.network_id,
        vip_subnet_id=taken.subnet_id,
        vip_port_id=taken.port.id,
        owns_vip_port=taken.owns_port,
        applied_revision=0,
        created_at=now,
        updated_at=now,
        revision_number=1,
        flavor_id=wanted.flavor_id,
        availability_zone=wanted.availability_zone,
        stations_max=stations_max,
    )
    store.insert(connection, row)
    tag_store.insert_all(connection, {key: wanted.tags})
    return row


def get(
    connection: Connection, caller: Caller, key: str, *, action: str = "get_one"
) -> LoadBalancer:
    """Raises NotFound; Forbidden when it is another's."""
    row = store.get(connection, key)
    if row is None:
        raise not_found(NOUN, key)
    caller.check(f"{RULE}:{action}", row.project_id)
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[LoadBalancer]:
    return store.page(connection, query, project_id=caller.reach(f"{RULE}:get_all"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> LoadBalancer:
    get(connection, caller, key, action="put")
    store.update(connection, key, now=now, **values)
    return get(connection, caller, key, action="put")


def delete(
    connection: Connection, caller: Caller, key: str, now: datetime, *, cascade: bool = False
) -> None:
    """Raises Conflict when it has parts and `cascade` does not say that they go too."""
    row = get(connection, caller, key, action="delete")
    tree = trees(connection, [row])[key]
    if (tree.listeners or tree.pools) and not cascade:
        raise Conflict(f"Validation failure: Cannot delete Load Balancer {key} - it has children")
    _remove_parts(connection, tree, now)
    store.delete(connection, key)
    vip.release(connection, row.vip_port_id, owns_port=row.owns_vip_port, now=now)


def _remove_parts(connection: Connection, tree: BalancerTree, now: datetime) -> None:
    """All at once, those first that others are named in."""
    policies = [row for one in tree.listeners for row in tree.policies_of(one.id)]
    rules = [rule for row in policies for rule in tree.rules_of(row.id)]
    members = [member for each in tree.pools for member in tree.members_of(each.id)]
    rule_store.delete_all(connection, rules, now=now)
    policy_store.delete_all(connection, policies, now=now)
    listener_store.delete_all(connection, tree.listeners, now=now)
    member_store.delete_all(connection, members, now=now)
    monitor_store.delete_all(connection, list(tree.monitors.values()), now=now)
    pool_store.delete_all(connection, tree.pools, now=now)
    material.forget_balancer(connection, tree.balancer.id)
