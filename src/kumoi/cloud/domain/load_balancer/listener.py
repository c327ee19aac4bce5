"""Listeners: what is allowed. A listener is a port of the virtual address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Unsupported
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.load_balancer.part import PartRules, balancer_of, beginning, said_of
from kumoi.cloud.domain.load_balancer.refusal import invalid, not_found, option
from kumoi.cloud.domain.load_balancer.traffic import TRANSPORTS
from kumoi.cloud.store.load_balancer import listener as store
from kumoi.cloud.store.load_balancer import pool as pool_store
from kumoi.cloud.store.load_balancer.listener import BalancerListener

RULES = PartRules("listener", "Listener", store.TABLE)
found = RULES.found
get = RULES.get
page = RULES.page
delete = RULES.delete  # Its pool stays.
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
    allowed_cidrs: list[str] = field(default_factory=list)
    timeout_client_data: int = 50_000
    timeout_member_connect: int = 5_000
    timeout_member_data: int = 50_000
    timeout_tcp_inspect: int = 0
    tags: tuple[str, ...] = ()


def create(
    connection: Connection, caller: Caller, wanted: ListenerRequest, now: datetime
) -> BalancerListener:
    """Raises NotFound, Forbidden, OverQuota, Conflict when the port is taken, Unsupported."""
    balancer = balancer_of(connection, wanted.load_balancer_id)
    RULES.admit(connection, caller, balancer.project_id)
    require_supported(wanted.protocol)
    _require_possible(wanted.protocol, _said(wanted))
    row = BalancerListener(
        **beginning(balancer.id, balancer.project_id, now), **said_of(wanted, "load_balancer_id")
    )
    _require_pool(connection, row, wanted.default_pool_id)
    _require_free(connection, row)
    return RULES.insert(connection, row, wanted.tags)


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> BalancerListener:
    row = get(connection, caller, key, action="put")
    _require_possible(row.protocol, values)
    if "default_pool_id" in values:
        _require_pool(connection, row, values["default_pool_id"])
    store.update(connection, row, now=now, **values)
    return found(connection, key)


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
