"""Pools: what is allowed. A pool is what a listener gives its connections to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Unsupported
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import listener as listener_domain
from kumoi.cloud.domain.load_balancer.part import PartRules, balancer_of, beginning, said_of
from kumoi.cloud.domain.load_balancer.refusal import invalid, not_found
from kumoi.cloud.domain.load_balancer.traffic import SOURCE_IP
from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.domain.load_balancer.tree import of as trees
from kumoi.cloud.store.load_balancer import health_monitor as monitor_store
from kumoi.cloud.store.load_balancer import listener as listener_store
from kumoi.cloud.store.load_balancer import load_balancer as balancer_store
from kumoi.cloud.store.load_balancer import member as member_store
from kumoi.cloud.store.load_balancer import pool as store
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.pool import BalancerPool

RULES = PartRules("pool", "Pool", store.TABLE)
found = RULES.found
get = RULES.get
page = RULES.page
PROTOCOLS = ("TCP", "HTTP", "HTTPS", "UDP", "SCTP")
ALGORITHMS = ("ROUND_ROBIN", "SOURCE_IP", "SOURCE_IP_PORT")
STICKY_MAX_S = 65_535  # OVN's.


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """Of a balancer, or of a listener whose default pool it becomes."""

    protocol: str
    lb_algorithm: str
    load_balancer_id: str | None = None
    listener_id: str | None = None
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    session_persistence: dict[str, Any] | None = None
    tags: tuple[str, ...] = ()


def create(
    connection: Connection, caller: Caller, wanted: PoolRequest, now: datetime
) -> BalancerPool:
    """Raises NotFound, Forbidden, OverQuota, Invalid, Conflict for a second default pool, and
    Unsupported.
    """
    listener = _listener(connection, wanted)
    balancer_id = listener.load_balancer_id if listener else wanted.load_balancer_id
    if balancer_id is None:
        raise invalid("Must provide at least one of: loadbalancer_id, listener_id")
    balancer = balancer_of(connection, balancer_id)
    RULES.admit(connection, caller, balancer.project_id)
    _require_supported(wanted)
    if listener is not None:
        listener_domain.require_fitting(listener.protocol, wanted.protocol)
        if listener.default_pool_id is not None:
            raise Conflict("This listener already has a default pool")
    row = BalancerPool(
        **beginning(balancer.id, balancer.project_id, now),
        **said_of(wanted, "load_balancer_id", "listener_id"),
    )
    kept = RULES.insert(connection, row, wanted.tags)
    if listener is not None:
        listener_store.update(connection, listener, now=now, default_pool_id=row.id)
    return kept


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> BalancerPool:
    row = get(connection, caller, key, action="put")
    _require_algorithm(values.get("lb_algorithm", row.lb_algorithm))
    _require_persistence(row.protocol, values.get("session_persistence"))
    store.update(connection, row, now=now, **values)
    return found(connection, key)


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """With its members and its monitor; listeners whose default pool it was have none then."""
    row = get(connection, caller, key, action="delete")
    balancer = balancer_store.get(connection, row.load_balancer_id)
    if balancer is not None:
        remove(connection, trees(connection, [balancer])[balancer.id], row, now)


def remove(connection: Connection, tree: BalancerTree, row: BalancerPool, now: datetime) -> None:
    """The same without asking who wants it."""
    for listener in listener_store.find(connection, default_pool_id=row.id):
        listener_store.update(connection, listener, now=now, default_pool_id=None)
    for member in tree.members_of(row.id):
        member_store.delete(connection, member, now=now)
    monitor = tree.monitors.get(row.id)
    if monitor is not None:
        monitor_store.delete(connection, monitor, now=now)
    store.delete(connection, row, now=now)


def _listener(connection: Connection, wanted: PoolRequest) -> BalancerListener | None:
    if wanted.listener_id is None:
        return None
    listener = listener_domain.found(connection, wanted.listener_id)
    if wanted.load_balancer_id not in (None, listener.load_balancer_id):
        raise not_found("Listener", wanted.listener_id)
    return listener


def _require_supported(wanted: PoolRequest) -> None:
    if wanted.protocol not in PROTOCOLS:
        raise Unsupported(
            f"Pools of protocol {wanted.protocol} are not offered: this cloud has "
            f"{', '.join(PROTOCOLS)}"
        )
    _require_algorithm(wanted.lb_algorithm)
    _require_persistence(wanted.protocol, wanted.session_persistence)


def _require_algorithm(name: str) -> None:
    if name not in ALGORITHMS:
        raise Unsupported(
            f"{name} is not offered as lb_algorithm: this cloud has {', '.join(ALGORITHMS)}"
        )


def _require_persistence(protocol: str, said: dict[str, Any] | None) -> None:
    if not said:
        return
    kind = said["type"]
    if said.get("cookie_name") and kind != "APP_COOKIE":
        raise invalid(f'Field "cookie_name" can not be specified with type {kind}.')
    if kind != SOURCE_IP:
        raise Unsupported(f"session persistence of type {kind} is not offered, only {SOURCE_IP}")
    timed = said.get("persistence_timeout") is not None or said.get("persistence_granularity")
    if timed and protocol not in ("UDP", "SCTP"):
        raise invalid(
            "persistence_timeout and persistence_granularity is only for UDP and SCTP protocol "
            "pools."
        )
    if said.get("persistence_granularity") not in (None, "255.255.255.255"):
        raise Unsupported("persistence_granularity of more than one address is not offered")
    if (said.get("persistence_timeout") or 0) > STICKY_MAX_S:
        raise invalid(f"persistence_timeout must be at most {STICKY_MAX_S}.")
