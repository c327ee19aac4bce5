"""A load balancer with all its parts, as rows. Used to show states and to plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.engine import Connection

from kumoi.cloud.store.load_balancer import (
    health_monitor,
    listener,
    load_balancer,
    member,
    pool,
    station,
)
from kumoi.cloud.store.load_balancer.health_monitor import HealthMonitor
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.load_balancer import LoadBalancer
from kumoi.cloud.store.load_balancer.member import PoolMember
from kumoi.cloud.store.load_balancer.part import BalancerPart
from kumoi.cloud.store.load_balancer.pool import BalancerPool
from kumoi.cloud.store.load_balancer.station import Station


@dataclass(frozen=True, slots=True)
class BalancerTree:
    """`members` are by pool, `monitors` too; a pool has one at most."""

    balancer: LoadBalancer
    listeners: list[BalancerListener] = field(default_factory=list)
    pools: list[BalancerPool] = field(default_factory=list)
    members: dict[str, list[PoolMember]] = field(default_factory=dict)
    monitors: dict[str, HealthMonitor] = field(default_factory=dict)
    stations: list[Station] = field(default_factory=list)

    def pool(self, key: str | None) -> BalancerPool | None:
        return next((row for row in self.pools if row.id == key), None)

    def members_of(self, pool_id: str) -> list[PoolMember]:
        return self.members.get(pool_id, [])

    def listeners_of(self, pool_id: str) -> list[BalancerListener]:
        return [row for row in self.listeners if row.default_pool_id == pool_id]


def every(connection: Connection) -> list[BalancerTree]:
    """Of all balancers, in one query for each kind of thing."""
    return _trees(
        load_balancer.every(connection),
        listeners=listener.every(connection),
        pools=pool.every(connection),
        members=member.every(connection),
        monitors=health_monitor.every(connection),
        stations=station.every(connection),
    )


def of(connection: Connection, balancers: Iterable[LoadBalancer]) -> dict[str, BalancerTree]:
    """By the balancer's id."""
    rows = list(balancers)
    keys = [row.id for row in rows]
    trees = _trees(
        rows,
        listeners=listener.of_balancers(connection, keys),
        pools=pool.of_balancers(connection, keys),
        members=member.of_balancers(connection, keys),
        monitors=health_monitor.of_balancers(connection, keys),
        stations=station.of_balancers(connection, keys),
    )
    return {tree.balancer.id: tree for tree in trees}


def of_parts(connection: Connection, parts: Iterable[BalancerPart]) -> dict[str, BalancerTree]:
    """The trees that the parts belong to, by the balancer's id."""
    return of(connection, load_balancer.many(connection, {row.load_balancer_id for row in parts}))


Part = TypeVar("Part", bound=BalancerPart)


def _trees(
    balancers: list[LoadBalancer],
    *,
    listeners: list[BalancerListener],
    pools: list[BalancerPool],
    members: list[PoolMember],
    monitors: list[HealthMonitor],
    stations: list[Station],
) -> list[BalancerTree]:
    by_pool: dict[str, list[PoolMember]] = defaultdict(list)
    for row in members:
        by_pool[row.pool_id].append(row)
    monitored = {row.pool_id: row for row in monitors}
    placed: dict[str, list[Station]] = defaultdict(list)
    for each in stations:
        placed[each.load_balancer_id].append(each)
    own_listeners, own_pools = _by_balancer(listeners), _by_balancer(pools)
    return [
        BalancerTree(
            balancer,
            own_listeners.get(balancer.id, []),
            own_pools.get(balancer.id, []),
            {row.id: by_pool[row.id] for row in own_pools.get(balancer.id, [])},
            {
                row.id: monitored[row.id]
                for row in own_pools.get(balancer.id, [])
                if row.id in monitored
            },
            placed.get(balancer.id, []),
        )
        for balancer in balancers
    ]


def _by_balancer(parts: Iterable[Part]) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        found[part.load_balancer_id].append(part)
    return found
