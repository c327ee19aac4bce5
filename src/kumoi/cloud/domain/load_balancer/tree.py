"""A load balancer with all its parts, as rows. Used to show states and to plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.load_balancer import resting
from kumoi.cloud.store.load_balancer import (
    health_monitor,
    l7_policy,
    l7_rule,
    listener,
    load_balancer,
    member,
    pool,
    station,
)
from kumoi.cloud.store.load_balancer.health_monitor import HealthMonitor
from kumoi.cloud.store.load_balancer.l7_policy import L7Policy
from kumoi.cloud.store.load_balancer.l7_rule import L7Rule
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.load_balancer import LoadBalancer
from kumoi.cloud.store.load_balancer.member import PoolMember
from kumoi.cloud.store.load_balancer.part import BalancerPart
from kumoi.cloud.store.load_balancer.pool import BalancerPool
from kumoi.cloud.store.load_balancer.station import Station


@dataclass(frozen=True, slots=True)
class BalancerTree:
    """`members` are by pool, `monitors` too; a pool has one at most. `policies` are by listener, in their
    order, `rules` by policy.
    """

    balancer: LoadBalancer
    listeners: list[BalancerListener] = field(default_factory=list)
    pools: list[BalancerPool] = field(default_factory=list)
    members: dict[str, list[PoolMember]] = field(default_factory=dict)
    monitors: dict[str, HealthMonitor] = field(default_factory=dict)
    stations: list[Station] = field(default_factory=list)
    policies: dict[str, list[L7Policy]] = field(default_factory=dict)
    rules: dict[str, list[L7Rule]] = field(default_factory=dict)

    def pool(self, key: str | None) -> BalancerPool | None:
        return next((row for row in self.pools if row.id == key), None)

    def members_of(self, pool_id: str) -> list[PoolMember]:
        return self.members.get(pool_id, [])

    def listeners_of(self, pool_id: str) -> list[BalancerListener]:
        """Those that lead to the pool."""
        return [
            row for row in self.listeners if any(pool.id == pool_id for pool in self.pools_of(row))
        ]

    def ids(self) -> list[str]:
        """Of the balancer and all its parts."""
        parts: list[BalancerPart] = [*self.listeners, *self.pools, *self.monitors.values()]
        for row in self.pools:
            parts += self.members_of(row.id)
        for each in self.listeners:
            for policy in self.policies_of(each.id):
                parts += [policy, *self.rules_of(policy.id)]
        return [self.balancer.id, *(part.id for part in parts)]

    def pools_of(self, listener: BalancerListener) -> list[BalancerPool]:
        """Those that it leads to, by default or by a policy."""
        policies = self.policies_of(listener.id)
        keys = {listener.default_pool_id, *(policy.redirect_pool_id for policy in policies)}
        return [row for row in self.pools if row.id in keys]

    def policies_of(self, listener_id: str) -> list[L7Policy]:
        return self.policies.get(listener_id, [])

    def rules_of(self, policy_id: str) -> list[L7Rule]:
        return self.rules.get(policy_id, [])


@dataclass(frozen=True, slots=True)
class _Rows:
    """The parts of some balancers."""

    listeners: list[BalancerListener]
    pools: list[BalancerPool]
    members: list[PoolMember]
    monitors: list[HealthMonitor]
    policies: list[L7Policy]
    rules: list[L7Rule]
    stations: list[Station]


def every(connection: Connection) -> list[BalancerTree]:
    """Of all balancers, in one query for each kind of thing."""
    rows = _Rows(
        listener.every(connection),
        pool.every(connection),
        resting.apply(connection, member.every(connection)),
        health_monitor.every(connection),
        l7_policy.every(connection),
        l7_rule.every(connection),
        station.every(connection),
    )
    return _trees(load_balancer.every(connection), rows)


def of(connection: Connection, balancers: Iterable[LoadBalancer]) -> dict[str, BalancerTree]:
    """By the balancer's id."""
    balancers = list(balancers)
    keys = [row.id for row in balancers]
    rows = _Rows(
        listener.of_balancers(connection, keys),
        pool.of_balancers(connection, keys),
        resting.apply(connection, member.of_balancers(connection, keys)),
        health_monitor.of_balancers(connection, keys),
        l7_policy.of_balancers(connection, keys),
        l7_rule.of_balancers(connection, keys),
        station.of_balancers(connection, keys),
    )
    return {tree.balancer.id: tree for tree in _trees(balancers, rows)}


def of_parts(connection: Connection, parts: Iterable[BalancerPart]) -> dict[str, BalancerTree]:
    """The trees that the parts belong to, by the balancer's id."""
    return of(connection, load_balancer.many(connection, {row.load_balancer_id for row in parts}))


def _trees(balancers: list[LoadBalancer], rows: _Rows) -> list[BalancerTree]:
    listeners = _by("load_balancer_id", rows.listeners)
    pools = _by("load_balancer_id", rows.pools)
    stations = _by("load_balancer_id", rows.stations)
    members, monitors = _by("pool_id", rows.members), {row.pool_id: row for row in rows.monitors}
    policies = _by("listener_id", sorted(rows.policies, key=lambda row: row.position))
    rules = _by("l7policy_id", rows.rules)
    trees = []
    for balancer in balancers:
        own_listeners, own_pools = listeners.get(balancer.id, []), pools.get(balancer.id, [])
        own_policies = {row.id: policies.get(row.id, []) for row in own_listeners}
        trees.append(
            BalancerTree(
                balancer,
                own_listeners,
                own_pools,
                {row.id: members.get(row.id, []) for row in own_pools},
                {row.id: monitors[row.id] for row in own_pools if row.id in monitors},
                stations.get(balancer.id, []),
                own_policies,
                {row.id: rules.get(row.id, []) for each in own_policies.values() for row in each},
            )
        )
    return trees


Row = TypeVar("Row")


def _by(name: str, rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return found
