"""A load balancer made with all its parts, in one transaction: all or none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import (
    health_monitor,
    l7_policy,
    l7_rule,
    listener,
    load_balancer,
    member,
    pool,
)
from kumoi.cloud.domain.load_balancer.health_monitor import HealthMonitorRequest
from kumoi.cloud.domain.load_balancer.l7_policy import L7PolicyRequest
from kumoi.cloud.domain.load_balancer.l7_rule import L7RuleRequest
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

    @property
    def parts(self) -> int:
        """How many rows are made with it."""
        return 1 + len(self.members) + (self.monitor is not None)


PoolReference = PoolTreeRequest | str
"""A pool that is made where it is named, or the name of another in the same request."""


@dataclass(frozen=True, slots=True)
class L7PolicyTreeRequest:
    policy: L7PolicyRequest
    redirect_pool: PoolReference | None = None
    rules: tuple[L7RuleRequest, ...] = ()


@dataclass(frozen=True, slots=True)
class ListenerTreeRequest:
    listener: ListenerRequest
    default_pool: PoolReference | None = None
    policies: tuple[L7PolicyTreeRequest, ...] = ()

    @property
    def pools(self) -> list[PoolTreeRequest]:
        """Those that are made with it."""
        leads = (self.default_pool, *(one.redirect_pool for one in self.policies))
        return [one for one in leads if isinstance(one, PoolTreeRequest)]

    @property
    def parts(self) -> int:
        """How many rows are made with it."""
        policies = sum(1 + len(one.rules) for one in self.policies)
        return 1 + policies + sum(one.parts for one in self.pools)


@dataclass(frozen=True, slots=True)
class BalancerTreeRequest:
    balancer: LoadBalancerRequest
    listeners: tuple[ListenerTreeRequest, ...] = ()
    pools: tuple[PoolTreeRequest, ...] = ()

    @property
    def parts(self) -> int:
        """How many rows are made with it."""
        return sum(one.parts for one in self.listeners) + sum(one.parts for one in self.pools)


def create(
    connection: Connection, caller: Caller, wanted: BalancerTreeRequest, now: datetime
) -> LoadBalancer:
    """Raises as making each of them does."""
    balancer = load_balancer.create(connection, caller, wanted.balancer, now)
    making = _Making(connection, caller, balancer.id, now)
    for one in (*wanted.pools, *(one for each in wanted.listeners for one in each.pools)):
        making.pool(one)
    for listener_wanted in wanted.listeners:
        making.listener(listener_wanted)
    return load_balancer.get(connection, caller, balancer.id, action="post")


@dataclass(frozen=True, slots=True)
class _Making:
    """`named` has the pools that were made, by their names, `made` by which request they come from."""

    connection: Connection
    caller: Caller
    balancer_id: str
    now: datetime
    named: dict[str, str] = field(default_factory=dict)
    made: dict[int, str] = field(default_factory=dict)

    def pool(self, wanted: PoolTreeRequest) -> None:
        if wanted.pool.name in self.named:
            raise invalid("Pool names must be unique.")
        new = replace(wanted.pool, load_balancer_id=self.balancer_id)
        key = pool.create(self.connection, self.caller, new, self.now).id
        member.create_all(self.connection, self.caller, key, wanted.members, self.now)
        if wanted.monitor is not None:
            monitored = replace(wanted.monitor, pool_id=key)
            health_monitor.create(self.connection, self.caller, monitored, self.now)
        self.made[id(wanted)] = key
        if wanted.pool.name:
            self.named[wanted.pool.name] = key

    def listener(self, wanted: ListenerTreeRequest) -> None:
        default = self._pool_id(wanted.default_pool)
        new = replace(wanted.listener, load_balancer_id=self.balancer_id, default_pool_id=default)
        key = listener.create(self.connection, self.caller, new, self.now).id
        for one in wanted.policies:
            leads = self._pool_id(one.redirect_pool)
            policy = replace(one.policy, listener_id=key, redirect_pool_id=leads)
            policy_id = l7_policy.create(self.connection, self.caller, policy, self.now).id
            for rule in one.rules:
                l7_rule.create(self.connection, self.caller, policy_id, rule, self.now)

    def _pool_id(self, wanted: PoolReference | None) -> str | None:
        if wanted is None:
            return None
        if isinstance(wanted, PoolTreeRequest):
            return self.made[id(wanted)]
        if wanted not in self.named:
            raise invalid(f"Missing details for pool object: {wanted}")
        return self.named[wanted]
