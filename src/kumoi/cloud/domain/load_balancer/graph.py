"""A load balancer made with all its parts, in one transaction: all or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import (
    health_monitor,
    listener,
    load_balancer,
    member,
    pool,
)
from kumoi.cloud.domain.load_balancer.health_monitor import HealthMonitorRequest
from kumoi.cloud.domain.load_balancer.listener import ListenerRequest
from kumoi.cloud.domain.load_balancer.load_balancer import LoadBalancerRequest
from kumoi.cloud.domain.load_balancer.member import MemberRequest
from kumoi.cloud.domain.load_balancer.pool import PoolRequest
from kumoi.cloud.domain.load_balancer.refusal import invalid
from kumoi.cloud.store.load_balancer.load_balancer import LoadBalancer


@dataclass(frozen=True, slots=True)
class PoolTreeRequest:
    pool: PoolRequest
    members: tuple[MemberRequest, ...] = ()
    monitor: HealthMonitorRequest | None = None


@dataclass(frozen=True, slots=True)
class ListenerTreeRequest:
    """Its default pool is made with it, or is the one of that name beside it, or there is none."""

    listener: ListenerRequest
    default_pool: PoolTreeRequest | None = None
    default_pool_name: str | None = None


@dataclass(frozen=True, slots=True)
class BalancerTreeRequest:
    balancer: LoadBalancerRequest
    listeners: tuple[ListenerTreeRequest, ...] = ()
    pools: tuple[PoolTreeRequest, ...] = ()


def create(
    connection: Connection, caller: Caller, wanted: BalancerTreeRequest, now: datetime
) -> LoadBalancer:
    """Raises as making each of them does."""
    balancer = load_balancer.create(connection, caller, wanted.balancer, now)
    named = {
        one.pool.name: _make_pool(connection, caller, one, balancer.id, now) for one in wanted.pools
    }
    for each in wanted.listeners:
        pool_id = _default_pool(connection, caller, each, named, balancer_id=balancer.id, now=now)
        new = replace(each.listener, load_balancer_id=balancer.id, default_pool_id=pool_id)
        listener.create(connection, caller, new, now)
    return load_balancer.get(connection, caller, balancer.id, action="post")


def _default_pool(
    connection: Connection,
    caller: Caller,
    wanted: ListenerTreeRequest,
    named: Mapping[str, str],
    *,
    balancer_id: str,
    now: datetime,
) -> str | None:
    if wanted.default_pool is not None:
        return _make_pool(connection, caller, wanted.default_pool, balancer_id, now)
    if wanted.default_pool_name is None:
        return None
    if wanted.default_pool_name not in named:
        raise invalid(f"Missing details for pool object: {wanted.default_pool_name}")
    return named[wanted.default_pool_name]


def _make_pool(
    connection: Connection, caller: Caller, wanted: PoolTreeRequest, balancer_id: str, now: datetime
) -> str:
    new = replace(wanted.pool, load_balancer_id=balancer_id)
    made = pool.create(connection, caller, new, now)
    for one in wanted.members:
        member.create(connection, caller, made.id, one, now)
    if wanted.monitor is not None:
        monitored = replace(wanted.monitor, pool_id=made.id)
        health_monitor.create(connection, caller, monitored, now)
    return made.id
