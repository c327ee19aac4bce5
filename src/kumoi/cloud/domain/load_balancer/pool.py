"""Pools: what is allowed. A pool is what a listener gives its connections to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Unsupported
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import datapath, material, tls
from kumoi.cloud.domain.load_balancer import listener as listener_domain
from kumoi.cloud.domain.load_balancer.material import ReadMaterial
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
APP_COOKIE = "APP_COOKIE"
STICKY_MAX_S = 65_535  # OVN's.


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRequest:
    """Of a balancer, or of a listener whose default pool it becomes. `material` is what the references
    name.
    """

    protocol: str
    lb_algorithm: str
    load_balancer_id: str | None = None
    listener_id: str | None = None
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    session_persistence: dict[str, Any] | None = None
    tls_enabled: bool = False
    tls_container_ref: str | None = None
    ca_tls_container_ref: str | None = None
    crl_container_ref: str | None = None
    tls_ciphers: str | None = None
    tls_versions: list[str] | None = None
    alpn_protocols: list[str] | None = None
    material: ReadMaterial | None = None
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
    if listener is not None:
        listener_domain.require_fitting(listener.protocol, wanted.protocol)
        if listener.default_pool_id is not None:
            raise Conflict("This listener already has a default pool")
    said = said_of(wanted, "load_balancer_id", "listener_id", "material")
    row = BalancerPool(
        **beginning(balancer.id, balancer.project_id, now),
        **said,
    )
    _require_possible(connection, row, listener)
    if wanted.material is not None:
        material.keep(connection, row, said, wanted.material)
    kept = RULES.insert(connection, row, wanted.tags)
    if listener is not None:
        listener_store.update(connection, listener, now=now, default_pool_id=row.id)
    return kept


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> BalancerPool:
    row = get(connection, caller, key, action="put")
    changed = dict(values)
    read = changed.pop("material", None)
    wanted = replace(row, **changed)
    balancer = balancer_of(connection, row.load_balancer_id)
    _require_possible(
        connection, wanted, *trees(connection, [balancer])[balancer.id].listeners_of(key)
    )
    material.keep(connection, row, changed, read)
    store.update(connection, row, now=now, **changed)
    return found(connection, key)


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """With its members and its monitor; listeners whose default pool it was have none then."""
    row = get(connection, caller, key, action="delete")
    balancer = balancer_store.get(connection, row.load_balancer_id)
    if balancer is not None:
        remove(connection, trees(connection, [balancer])[balancer.id], row, now)


def remove(connection: Connection, tree: BalancerTree, row: BalancerPool, now: datetime) -> None:
    """The same without asking who wants it."""
    for policies in tree.policies.values():
        for policy in policies:
            if policy.redirect_pool_id == row.id:
                raise Conflict(f"Pool {row.id} is in use by L7 policy {policy.id}")
    for listener in listener_store.find(connection, default_pool_id=row.id):
        listener_store.update(connection, listener, now=now, default_pool_id=None)
    member_store.delete_all(connection, tree.members_of(row.id), now=now)
    monitor = tree.monitors.get(row.id)
    if monitor is not None:
        monitor_store.delete(connection, monitor, now=now)
    material.forget(connection, row.id)
    store.delete(connection, row, now=now)


def _listener(connection: Connection, wanted: PoolRequest) -> BalancerListener | None:
    if wanted.listener_id is None:
        return None
    listener = listener_domain.found(connection, wanted.listener_id)
    if wanted.load_balancer_id not in (None, listener.load_balancer_id):
        raise not_found("Listener", wanted.listener_id)
    return listener


def _require_possible(
    connection: Connection, row: BalancerPool, *listeners: BalancerListener | None
) -> None:
    """Raises Invalid, and Unsupported where no path could serve it or one of these listeners."""
    _require_persistence(row.protocol, row.session_persistence)
    tls.require(
        {name: getattr(row, name) for name in ("tls_ciphers", "tls_versions", "alpn_protocols")}
    )
    datapath.require_pool(row)
    for listener in listeners:
        if listener is not None:
            listener_domain.require_served(connection, listener, row)


def _require_persistence(protocol: str, said: dict[str, Any] | None) -> None:
    if not said:
        return
    kind = said["type"]
    if said.get("cookie_name") and kind != APP_COOKIE:
        raise invalid(
            'Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".'
        )
    if kind == APP_COOKIE and not said.get("cookie_name"):
        raise invalid(
            'Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence '
            "type."
        )
    if kind != SOURCE_IP and protocol in ("UDP", "SCTP"):
        raise invalid(f"Session persistence of type {kind} is not supported for {protocol} pools.")
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
