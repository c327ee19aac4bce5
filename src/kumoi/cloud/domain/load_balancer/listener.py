"""Listeners: what is allowed. A listener is a port of the virtual address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Unsupported
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import datapath, listener_options, material, tls
from kumoi.cloud.domain.load_balancer.material import ReadMaterial
from kumoi.cloud.domain.load_balancer.part import PartRules, balancer_of, beginning, said_of
from kumoi.cloud.domain.load_balancer.refusal import invalid, not_found
from kumoi.cloud.store import schema
from kumoi.cloud.store.load_balancer import l7_policy as policy_store
from kumoi.cloud.store.load_balancer import l7_rule as rule_store
from kumoi.cloud.store.load_balancer import listener as store
from kumoi.cloud.store.load_balancer import pool as pool_store
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.load_balancer import LoadBalancer
from kumoi.cloud.store.load_balancer.pool import BalancerPool

RULES = PartRules("listener", "Listener", store.TABLE)
found = RULES.found
get = RULES.get
page = RULES.page
L4_PROTOCOLS = {
    "HTTP": "tcp",
    "HTTPS": "tcp",
    "SCTP": "sctp",
    "TCP": "tcp",
    "TERMINATED_HTTPS": "tcp",
    "UDP": "udp",
}
POOL_PROTOCOLS: Mapping[str, frozenset[str]] = {
    "HTTP": frozenset({"HTTP", "PROXY", "PROXYV2"}),
    "TERMINATED_HTTPS": frozenset({"HTTP", "PROXY", "PROXYV2"}),
    "TCP": frozenset({"TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2"}),
    "HTTPS": frozenset({"HTTPS", "TCP", "PROXY", "PROXYV2"}),
    "UDP": frozenset({"UDP"}),
    "SCTP": frozenset({"SCTP"}),
}
"""Which pools a listener may lead to, as Octavia has it."""
TLS_DEFAULTS: Mapping[str, Any] = {
    "tls_ciphers": tls.DEFAULT_CIPHERS,
    "tls_versions": tls.DEFAULT_VERSIONS,
    "alpn_protocols": list(tls.ALPN),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerRequest:
    """Time-outs are in milliseconds. `material` is what the references name."""

    load_balancer_id: str
    protocol: str
    protocol_port: int
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    connection_limit: int = datapath.UNLIMITED
    default_pool_id: str | None = None
    insert_headers: dict[str, str] = field(default_factory=dict)
    allowed_cidrs: list[str] = field(default_factory=list)
    timeout_client_data: int = 50_000
    timeout_member_connect: int = 5_000
    timeout_member_data: int = 50_000
    timeout_tcp_inspect: int = 0
    default_tls_container_ref: str | None = None
    sni_container_refs: list[str] | None = None
    client_ca_tls_container_ref: str | None = None
    client_authentication: str = listener_options.NO_AUTHENTICATION
    client_crl_container_ref: str | None = None
    tls_ciphers: str | None = None
    tls_versions: list[str] | None = None
    alpn_protocols: list[str] | None = None
    hsts_max_age: int | None = None
    hsts_include_subdomains: bool = False
    hsts_preload: bool = False
    material: ReadMaterial | None = None
    tags: tuple[str, ...] = ()


def create(
    connection: Connection, caller: Caller, wanted: ListenerRequest, now: datetime
) -> BalancerListener:
    """Raises NotFound, Forbidden, OverQuota, Conflict when the port is taken, Unsupported."""
    balancer = balancer_of(connection, wanted.load_balancer_id)
    RULES.admit(connection, caller, balancer.project_id)
    said = said_of(wanted, "load_balancer_id", "material")
    if wanted.protocol not in L4_PROTOCOLS:
        raise Unsupported(
            f"Listeners of protocol {wanted.protocol} are not offered: this cloud balances "
            f"{', '.join(L4_PROTOCOLS)}"
        )
    listener_options.require(wanted.protocol, said, said)
    if wanted.protocol == listener_options.TERMINATED:
        said |= {name: said[name] or value for name, value in TLS_DEFAULTS.items()}
    _require_cidrs(balancer, said["allowed_cidrs"])
    row = BalancerListener(**beginning(balancer.id, balancer.project_id, now), **said)
    require_served(connection, row)
    _require_free(connection, row)
    if wanted.material is not None:
        material.keep(connection, row, said, wanted.material)
    return RULES.insert(connection, row, wanted.tags)


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> BalancerListener:
    row = get(connection, caller, key, action="put")
    changed = dict(values)
    read = changed.pop("material", None)
    if row.protocol == listener_options.TERMINATED:
        changed |= {
            name: value
            for name, value in TLS_DEFAULTS.items()
            if name in values and values[name] is None
        }
    wanted = replace(row, **changed)
    listener_options.require(row.protocol, schema.values(wanted), changed)
    _require_cidrs(balancer_of(connection, row.load_balancer_id), wanted.allowed_cidrs)
    require_served(connection, wanted)
    material.keep(connection, row, changed, read)
    store.update(connection, row, now=now, **changed)
    return found(connection, key)


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    remove(connection, get(connection, caller, key, action="delete"), now)


def remove(connection: Connection, row: BalancerListener, now: datetime) -> None:
    """With its policies and their rules, without asking who wants it. Its pool stays."""
    for policy in policy_store.find(connection, listener_id=row.id):
        for rule in rule_store.find(connection, l7policy_id=policy.id):
            rule_store.delete(connection, rule, now=now)
        policy_store.delete(connection, policy, now=now)
    material.forget(connection, row.id)
    store.delete(connection, row, now=now)


def require_served(connection: Connection, row: BalancerListener, *others: BalancerPool) -> None:
    """That some path can all that is asked of it and of the pools that it leads to, of which `others`
    are new. Raises NotFound for a pool that is not the balancer's, Invalid for one of another
    protocol, and Unsupported.
    """
    pools = {pool.id: pool for pool in others}
    policies = policy_store.find(connection, listener_id=row.id)
    for key in (row.default_pool_id, *(policy.redirect_pool_id for policy in policies)):
        if key is not None and key not in pools:
            pools[key] = pool_within(connection, row, key)
    for pool in pools.values():
        require_fitting(row.protocol, pool.protocol)
    datapath.require_path(row, pools.values())


def pool_within(connection: Connection, row: BalancerListener, key: str) -> BalancerPool:
    """Raises NotFound for one that is not the balancer's."""
    pool = pool_store.get(connection, key)
    if pool is None or pool.load_balancer_id != row.load_balancer_id:
        raise not_found("Pool", key)
    return pool


def require_fitting(listener_protocol: str, pool_protocol: str) -> None:
    """Raises Invalid."""
    if pool_protocol not in POOL_PROTOCOLS[listener_protocol]:
        raise invalid(
            f"The pool protocol '{pool_protocol}' is invalid while the listener protocol is "
            f"'{listener_protocol}'."
        )


def _require_cidrs(balancer: LoadBalancer, cidrs: list[str]) -> None:
    listener_options.require_cidrs([balancer.vip_address], cidrs)


def _require_free(connection: Connection, row: BalancerListener) -> None:
    mates = store.find(
        connection, load_balancer_id=row.load_balancer_id, protocol_port=row.protocol_port
    )
    for mate in mates:
        if L4_PROTOCOLS[mate.protocol] == L4_PROTOCOLS[row.protocol]:
            raise Conflict(
                "Another Listener on this Load Balancer is already using protocol "
                f"{mate.protocol} and protocol_port {mate.protocol_port}"
            )
