"""Port forwardings: ports of a floating IP that lead to ports of inner addresses.

A floating IP leads to one port with all that it has, or has forwardings, never both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import floating_ip as floating_ip_domain
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.store.network import floating_ip as floating_ip_store
from kumoi.cloud.store.network import port_forwarding as store
from kumoi.cloud.store.network.floating_ip import FloatingIp
from kumoi.cloud.store.network.port_forwarding import PortForwarding
from kumoi.cloud.store.network.standard import NetworkQuery

FORWARDINGS_MAX = 100  # Of one floating IP: each is a row of OVN's.


@dataclass(frozen=True, slots=True, kw_only=True)
class PortForwardingRequest:
    protocol: str
    external_port: int
    internal_port_id: str
    internal_port: int
    internal_ip_address: str | None = None
    description: str = ""


def create(
    connection: Connection,
    caller: Caller,
    floating_ip_id: str,
    wanted: PortForwardingRequest,
    now: datetime,
) -> PortForwarding:
    """Raises NotFound, Forbidden; Conflict when the floating IP leads to a port, or another leads to the
    address; Invalid for what is forwarded already.
    """
    floating = _changeable(connection, caller, floating_ip_id, "create")
    if floating.port_id is not None:
        raise Conflict(
            f"Floating IP {floating.id} is associated with port {floating.port_id} and can forward "
            "no ports.",
            kind="FloatingIPInUse",
        )
    if len(store.find(connection, floating_ip_id=floating.id)) >= FORWARDINGS_MAX:
        raise Conflict(f"a floating IP has at most {FORWARDINGS_MAX} port forwardings")
    row = PortForwarding(
        id=new_id(),
        project_id=floating.project_id,
        floating_ip_id=floating.id,
        protocol=wanted.protocol,
        external_port=wanted.external_port,
        internal_port_id=wanted.internal_port_id,
        internal_ip_address=wanted.internal_ip_address or "",
        internal_port=wanted.internal_port,
        description=wanted.description,
        created_at=now,
        updated_at=now,
        revision_number=0,
    )
    row = _resolved(connection, caller, floating, row, now)
    store.insert(connection, row)
    return row


def get(connection: Connection, caller: Caller, floating_ip_id: str, key: str) -> PortForwarding:
    """Raises NotFound when there is no such forwarding that the caller may see."""
    floating_ip_domain.get(connection, caller, floating_ip_id)
    row = store.get(connection, key)
    if row is None or row.floating_ip_id != floating_ip_id:
        raise NotFound(
            "port forwarding",
            key,
            kind="PortForwardingNotFound",
            message=f"Port Forwarding {key} could not be found.",
        )
    return row


def page(
    connection: Connection, caller: Caller, floating_ip_id: str, query: NetworkQuery
) -> list[PortForwarding]:
    floating_ip_domain.get(connection, caller, floating_ip_id)
    return store.page(connection, query, floating_ip_id)


def update(
    connection: Connection,
    caller: Caller,
    floating_ip_id: str,
    key: str,
    values: Mapping[str, Any],
    *,
    now: datetime,
) -> PortForwarding:
    """Another port without an address is led to at its only one. Raises as `create` does."""
    floating = _changeable(connection, caller, floating_ip_id, "update")
    row = get(connection, caller, floating_ip_id, key)
    new = dict(values)
    if new.get("internal_port_id", row.internal_port_id) != row.internal_port_id:
        new.setdefault("internal_ip_address", "")
    changed = _resolved(connection, caller, floating, replace(row, **new), now)
    if new:
        new["internal_ip_address"] = changed.internal_ip_address
    store.update(connection, key, now=now, **new)
    return get(connection, caller, floating_ip_id, key)


def delete(
    connection: Connection, caller: Caller, floating_ip_id: str, key: str, now: datetime
) -> None:
    """Raises NotFound, Forbidden."""
    _changeable(connection, caller, floating_ip_id, "delete")
    row = get(connection, caller, floating_ip_id, key)
    port_domain.drop_forwardings(connection, [row], now)


def _changeable(connection: Connection, caller: Caller, key: str, verb: str) -> FloatingIp:
    floating = floating_ip_domain.get(connection, caller, key)
    caller.check(f"{verb}_floatingip_port_forwarding", floating.project_id)
    return floating


def _resolved(
    connection: Connection, caller: Caller, floating: FloatingIp, row: PortForwarding, now: datetime
) -> PortForwarding:
    """With its address, once it fits; the floating IP is then at the router in between."""
    port = floating_ip_domain.inner_port(connection, caller, row.internal_port_id)
    subnet_id, address = floating_ip_domain.inner_address(port, row.internal_ip_address or None)
    row = replace(row, internal_ip_address=address)
    for other in floating_ip_store.of_ports(connection, [port.id]):
        if other.fixed_ip_address == address:
            raise Conflict(
                f"Cannot forward to port {port.id} at {address}, to which floating IP {other.id} "
                "leads.",
                kind="PortHasBindingFloatingIP",
            )
    _require_new(connection, row)
    router_id = floating_ip_domain.router_between(connection, floating, port.id, subnet_id)
    others = [
        each for each in store.find(connection, floating_ip_id=floating.id) if each.id != row.id
    ]
    if others and router_id != floating.router_id:
        raise floating_ip_domain.bad_request(
            f"Port {port.id} is behind another router than those that {floating.id} forwards to"
        )
    if router_id != floating.router_id:
        floating_ip_store.update(connection, floating.id, now=now, router_id=router_id)
    return row


def _require_new(connection: Connection, row: PortForwarding) -> None:
    """Raises Invalid for an end that another forwarding has."""
    outer = {"floating_ip_id": row.floating_ip_id, "external_port": row.external_port}
    inner = {
        "internal_port_id": row.internal_port_id,
        "internal_ip_address": row.internal_ip_address,
        "internal_port": row.internal_port,
    }
    for end in (outer, inner):
        found = store.find(connection, protocol=row.protocol, **end)
        if any(other.id != row.id for other in found):
            raise Invalid(
                "Bad port_forwarding request: A duplicate port forwarding entry with same attributes "
                f"already exists, conflicting values are {end}.",
                kind="BadRequest",
            )
