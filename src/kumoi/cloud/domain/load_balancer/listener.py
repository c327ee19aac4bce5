"""Listeners: what is allowed. A listener is a port of the virtual address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Unsupported
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer import quota
from kumoi.cloud.domain.load_balancer.refusal import invalid, not_found, option
from kumoi.cloud.domain.load_balancer.traffic import TRANSPORTS
from kumoi.cloud.store.load_balancer import listener as store
from kumoi.cloud.store.load_balancer import load_balancer as balancer_store
from kumoi.cloud.store.load_balancer import pool as pool_store
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.network import tag as tag_store
from kumoi.cloud.store.network.standard import NetworkQuery

RULE = "os_load-balancer_api:listener"
NOUN = "Listener"
UNLIMITED = -1
POOL_PROTOCOLS: Mapping[str, frozenset[str]] = {
    "TCP": frozenset({"TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2"}),
    "HTTPS": frozenset({"HTTPS", "TCP", "PROXY", "PROXYV2"}),
    "UDP": frozenset({"UDP"}),
    "SCTP": frozenset({"SCTP"}),
}
"""Which pools a listener may lead to, as Octavia has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerRequest:
    """Time-outs are in milliseconds."""

    load_balancer_id: str
    protocol: str
    protocol_port: int
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    connection_limit: int = UNLIMITED
    default_pool_id: str | None = None
    insert_headers: dict[str, str] = field(default_factory=dict)
    allowed_cidrs: tuple[str, ...] = ()
    timeout_client_data: int = 50_000
    timeout_member_connect: int = 5_000
    timeout_member_data: int = 50_000
    timeout_tcp_inspect: int = 0
    tags: tuple[str, ...] = ()


def create(
    connection: Connection, caller: Caller, wanted: ListenerRequest, now: datetime
) -> BalancerListener:
    """Raises NotFound, Forbidden, OverQuota, Conflict when the port is taken, Unsupported."""
    balancer = balancer_store.get(connection, wanted.load_balancer_id)
    if balancer is None:
        raise not_found("Load Balancer", wanted.load_balancer_id)
    caller.check(f"{RULE}:post", balancer.project_id)
    require_supported(wanted.protocol)
    _require_possible(wanted.protocol, _said(wanted))
    quota.require(connection, balancer.project_id, "listener")
    row = _row(wanted, balancer.project_id, now)
    _require_pool(connection, row, wanted.default_pool_id)
    _require_free(connection, row)
    store.insert(connection, row)
    tag_store.replace(connection, row.id, wanted.tags)
    return found(connection, row.id)


def get(
    connection: Connection, caller: Caller, key: str, rule: str = f"{RULE}:get_one"
) -> BalancerListener:
    """Raises NotFound; Forbidden when it is another's."""
    row = found(connection, key)
    caller.check(rule, row.project_id)
    return row


def found(connection: Connection, key: str) -> BalancerListener:
    row = store.get(connection, key)
    if row is None:
        raise not_found(NOUN, key)
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[BalancerListener]:
    return store.page(connection, query, project_id=caller.reach(f"{RULE}:get_all"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> BalancerListener:
    row = get(connection, caller, key, f"{RULE}:put")
    _require_possible(row.protocol, values)
    if "default_pool_id" in values:
        _require_pool(connection, row, values["default_pool_id"])
    store.update(connection, row, now=now, **values)
    return found(connection, key)


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Its pool stays."""
    store.delete(connection, get(connection, caller, key, f"{RULE}:delete"), now=now)


def require_supported(protocol: str) -> None:
    if protocol not in TRANSPORTS:
        raise Unsupported(
            f"Listeners of protocol {protocol} are not offered: this cloud balances "
            f"{', '.join(TRANSPORTS)}"
        )


def require_fitting(listener_protocol: str, pool_protocol: str) -> None:
    """Raises Invalid."""
    if pool_protocol not in POOL_PROTOCOLS[listener_protocol]:
        raise invalid(
            f"The pool protocol '{pool_protocol}' is invalid while the listener protocol is "
            f"'{listener_protocol}'."
        )


def _said(wanted: ListenerRequest) -> dict[str, Any]:
    return {
        "connection_limit": wanted.connection_limit,
        "insert_headers": wanted.insert_headers,
        "allowed_cidrs": wanted.allowed_cidrs,
    }


def _require_possible(protocol: str, values: Mapping[str, Any]) -> None:
    """What only a process on the way could do is refused."""
    if values.get("insert_headers"):
        raise option("insert-headers", f"a {protocol} protocol listener.")
    if values.get("connection_limit", UNLIMITED) != UNLIMITED:
        raise Unsupported(f"a connection limit is not offered for {protocol} listeners")
    if values.get("allowed_cidrs"):
        raise Unsupported(
            f"allowed CIDRs are not offered for {protocol} listeners: the members' security groups "
            "see the client's address"
        )


def _row(wanted: ListenerRequest, project_id: str, now: datetime) -> BalancerListener:
    return BalancerListener(
        id=new_id(),
        project_id=project_id,
        load_balancer_id=wanted.load_balancer_id,
        name=wanted.name,
        description=wanted.description,
        admin_state_up=wanted.admin_state_up,
        protocol=wanted.protocol,
        protocol_port=wanted.protocol_port,
        connection_limit=wanted.connection_limit,
        default_pool_id=wanted.default_pool_id,
        insert_headers=wanted.insert_headers,
        allowed_cidrs=list(wanted.allowed_cidrs),
        timeout_client_data=wanted.timeout_client_data,
        timeout_member_connect=wanted.timeout_member_connect,
        timeout_member_data=wanted.timeout_member_data,
        timeout_tcp_inspect=wanted.timeout_tcp_inspect,
        made_revision=0,
        changed_revision=0,
        created_at=now,
        updated_at=now,
        revision_number=1,
    )


def _require_pool(connection: Connection, row: BalancerListener, pool_id: str | None) -> None:
    """Raises NotFound for one that is not the balancer's, Invalid for one of another protocol."""
    if pool_id is None:
        return
    pool = pool_store.get(connection, pool_id)
    if pool is None or pool.load_balancer_id != row.load_balancer_id:
        raise not_found("Pool", pool_id)
    require_fitting(row.protocol, pool.protocol)


def _require_free(connection: Connection, row: BalancerListener) -> None:
    mates = store.find(
        connection, load_balancer_id=row.load_balancer_id, protocol_port=row.protocol_port
    )
    for mate in mates:
        if TRANSPORTS[mate.protocol] == TRANSPORTS[row.protocol]:
            raise Conflict(
                "Another Listener on this Load Balancer is already using protocol "
                f"{mate.protocol} and protocol_port {mate.protocol_port}"
            )
