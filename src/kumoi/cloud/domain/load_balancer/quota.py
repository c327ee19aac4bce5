"""Quotas: what a project may have of each thing.

`require` is called inside the write transaction that adds the things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy.engine import Connection

from kumoi.base.errors import OverQuota
from kumoi.cloud.store.load_balancer import (
    health_monitor,
    l7_policy,
    l7_rule,
    listener,
    load_balancer,
    member,
    pool,
)
from kumoi.cloud.store.load_balancer import quota as store

UNLIMITED = -1

BALANCERS = 20
"""One for each environment that the pipeline lets a project have. Each may have a process on two hosts, so Octavia's
own default, which limits none, is an operator's to choose.
"""

# The others are Octavia's own: nothing is limited.
DEFAULTS = {
    "loadbalancer": BALANCERS,
    "listener": UNLIMITED,
    "pool": UNLIMITED,
    "member": UNLIMITED,
    "healthmonitor": UNLIMITED,
    "l7policy": UNLIMITED,
    "l7rule": UNLIMITED,
}
_COUNTS: dict[str, Callable[[Connection, str], int]] = {
    "loadbalancer": load_balancer.count,
    "listener": listener.count,
    "pool": pool.count,
    "member": member.count,
    "healthmonitor": health_monitor.count,
    "l7policy": l7_policy.count,
    "l7rule": l7_rule.count,
}
_WORDS = {
    "loadbalancer": "Load Balancer",
    "listener": "Listener",
    "pool": "Pool",
    "member": "Member",
    "healthmonitor": "Health Monitor",
    "l7policy": "L7Policy",
    "l7rule": "L7Rule",
}


def require(connection: Connection, project_id: str, resource: str, count: int = 1) -> None:
    """Raises OverQuota when so many more would be too many."""
    most = limits(connection, project_id)[resource]
    if most != UNLIMITED and _COUNTS[resource](connection, project_id) + count > most:
        words = _WORDS[resource]
        raise OverQuota(f"Quota has been met for resources: {words}", resource=resource)


def limits(connection: Connection, project_id: str) -> dict[str, int]:
    return DEFAULTS | store.of(connection, project_id)


def every(connection: Connection) -> dict[str, dict[str, int]]:
    """The limits of all projects that have limits of their own."""
    return {key: DEFAULTS | values for key, values in store.every(connection).items()}


def update(connection: Connection, project_id: str, values: Mapping[str, int]) -> dict[str, int]:
    store.put(connection, project_id, values)
    return limits(connection, project_id)


def reset(connection: Connection, project_id: str) -> None:
    """Back to the defaults."""
    store.clear(connection, project_id)
