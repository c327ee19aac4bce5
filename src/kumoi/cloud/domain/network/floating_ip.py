"""Floating IPs: addresses on an external network that lead to a port on an inner one."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import fixed_ip, owner, quota
from kumoi.cloud.domain.network import network as network_domain
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.domain.network import router as router_domain
from kumoi.cloud.domain.network.allocation import IPV4
from kumoi.cloud.domain.network.fixed_ip import FixedIp, FixedIpRequest
from kumoi.cloud.domain.network.port import DOWN, NOWHERE, PortRequest
from kumoi.cloud.store.network import floating_ip as store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import port_forwarding as forwarding_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.floating_ip import FloatingIp
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.network.standard import NetworkQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingIpRequest:
    """`fixed_ip_address` is the address of the port to lead to, where the port has several."""

    project_id: str
    floating_network_id: str
    description: str = ""
    floating_ip_address: str | None = None
    subnet_id: str | None = None
    port_id: str | None = None
    fixed_ip_address: str | None = None
    dns_name: str = ""
    dns_domain: str = ""


def create(
    connection: Connection, caller: Caller, wanted: FloatingIpRequest, now: datetime
) -> FloatingIp:
    """Raises NotFound, Forbidden, OverQuota, Conflict when no address is left or the port has one,
    Invalid for a network that is not external.
    """
    caller.check("create_floatingip", wanted.project_id)
    if wanted.floating_ip_address is not None:
        caller.check("create_floatingip:floating_ip_address")
    _require_dns(wanted)
    network = network_domain.get(connection, caller, wanted.floating_network_id)
    if not network.external:
        raise bad_request(f"Network {network.id} is not a valid external network")
    quota.require(connection, wanted.project_id, "floatingip")
    key = new_id()
    own = _own_port(connection, wanted, key, now)
    row = FloatingIp(
        id=key,
        project_id=wanted.project_id,
        description=wanted.description,
        floating_network_id=network.id,
        floating_ip_address=own.fixed_ips[0][1],
        own_port_id=own.id,
        port_id=None,
        fixed_ip_address=None,
        router_id=None,
        status=DOWN,
        created_at=now,
        updated_at=now,
        revision_number=1,
        dns_name=wanted.dns_name,
        dns_domain=wanted.dns_domain,
    )
    store.insert(connection, row)
    if wanted.port_id is not None:
        port = inner_port(connection, caller, wanted.port_id)
        _associate(connection, row, port, wanted.fixed_ip_address, now)
    elif wanted.fixed_ip_address is not None:
        raise bad_request("fixed_ip_address cannot be specified without a port_id")
    return get(connection, caller, key)


def get(connection: Connection, caller: Caller, key: str) -> FloatingIp:
    """Raises NotFound when there is no such floating IP that the caller may see."""
    row = store.get(connection, key)
    if row is None or not caller.may("get_floatingip", row.project_id):
        raise NotFound(
            "floating IP",
            key,
            kind="FloatingIPNotFound",
            message=f"Floating IP {key} could not be found",
        )
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[FloatingIp]:
    return store.page(connection, query, project_id=caller.reach("get_floatingip"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> FloatingIp:
    """A `port_id` (None for no port) or a `fixed_ip_address` in `values` makes it lead elsewhere. Naming
    nothing at all makes it lead nowhere: a floating IP once had nothing else that could change, and
    clients rely on it. Raises as `create` does.
    """
    row = get(connection, caller, key)
    new = dict(values) or {"port_id": None}
    moves = "port_id" in new or "fixed_ip_address" in new
    port_id = new.pop("port_id", row.port_id)
    fixed_address = new.pop("fixed_ip_address", None)
    if moves and port_id is not None:
        port = inner_port(connection, caller, port_id)
        _associate(connection, row, port, fixed_address, now)
    elif moves and fixed_address is not None:
        raise bad_request("fixed_ip_address cannot be specified without a port_id")
    elif moves and row.port_id is not None:
        new |= NOWHERE
    store.update(connection, key, now=now, **new)
    return get(connection, caller, key)


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Delete a floating IP and the port on the external network that has its address."""
    row = get(connection, caller, key)
    if forwarding_store.find(connection, floating_ip_id=key):
        raise Conflict(
            f"Floating IP {key} in use by Port Forwarding resources.",
            kind="FipInUseByPortForwarding",
        )
    store.delete(connection, key)
    own = port_store.get(connection, row.own_port_id)
    if own is not None:
        port_domain.remove(connection, own, now)


def inner_ports(connection: Connection, rows: list[FloatingIp]) -> dict[str, Port]:
    """The ports that floating IPs lead to, by id."""
    return port_store.many(connection, {row.port_id for row in rows if row.port_id is not None})


def bad_request(reason: str) -> Invalid:
    return Invalid(f"Bad floatingip request: {reason}.", kind="BadRequest")


def inner_port(connection: Connection, caller: Caller, port_id: str) -> Port:
    """Raises NotFound, and Invalid for a port that the caller sees and that is another project's."""
    port = port_domain.get(connection, caller, port_id)
    if not caller.may("update_port", port.project_id):
        raise bad_request(
            f"Cannot process floating IP association with Port {port_id}, since that port is owned by "
            "a different project"
        )
    return port


def _require_dns(wanted: FloatingIpRequest) -> None:
    """Raises Invalid for half of a name."""
    if wanted.dns_domain and not wanted.dns_name:
        raise bad_request("dns_domain cannot be specified without a dns_name")
    if wanted.dns_name and not wanted.dns_domain:
        raise bad_request("dns_name cannot be specified without a dns_domain")


def _own_port(connection: Connection, wanted: FloatingIpRequest, key: str, now: datetime) -> Port:
    """The port on the external network that has the floating address: that asked for, or a free
    one.
    """
    address: FixedIpRequest | None
    if wanted.floating_ip_address is not None or wanted.subnet_id is not None:
        address = FixedIpRequest(subnet_id=wanted.subnet_id, ip_address=wanted.floating_ip_address)
    else:
        address = fixed_ip.next_of_version(
            connection, wanted.floating_network_id, IPV4, owner.FLOATING_IP
        )
    if address is None:
        raise bad_request(f"Network {wanted.floating_network_id} does not contain any IPv4 subnet")
    port = port_domain.make(
        connection,
        PortRequest(
            project_id=owner.NOBODY,
            network_id=wanted.floating_network_id,
            device_id=key,
            device_owner=owner.FLOATING_IP,
            fixed_ips=(address,),
        ),
        now,
    )
    if not _is_ipv4(port.fixed_ips[0][1]):
        raise bad_request("a floating IP is an IPv4 address")
    return port


def _associate(
    connection: Connection, row: FloatingIp, port: Port, fixed_address: str | None, now: datetime
) -> None:
    """Make a floating IP lead to a port, there to that address or to the only one."""
    subnet_id, address = inner_address(port, fixed_address)
    if forwarding_store.find(connection, floating_ip_id=row.id) or any(
        forwarding.internal_ip_address == address
        for forwarding in forwarding_store.find(connection, internal_port_id=port.id)
    ):
        raise Conflict(
            f"Cannot associate floating IP {row.id} with port {port.id}: one of them has port "
            "forwardings.",
            kind="FipInUseByPortForwarding",
        )
    for other in store.of_ports(connection, [port.id]):
        if other.fixed_ip_address == address and other.id != row.id:
            raise Conflict(
                f"Cannot associate floating IP {row.floating_ip_address} ({row.id}) with port "
                f"{port.id} using fixed IP {address}, as that fixed IP already has a floating IP "
                f"on external network {other.floating_network_id}.",
                kind="FloatingIPPortAlreadyAssociated",
            )
    router_id = router_between(connection, row, port.id, subnet_id)
    values = {"port_id": port.id, "fixed_ip_address": address, "router_id": router_id}
    store.update(connection, row.id, now=now, **values)


def inner_address(port: Port, wanted: str | None) -> FixedIp:
    """The fixed IP to lead to. Raises Invalid when the port has no such, or several to choose from."""
    pairs = [pair for pair in port.fixed_ips if _is_ipv4(pair[1])]
    if wanted is not None:
        for pair in pairs:
            if pair[1] == wanted:
                return pair
        raise bad_request(f"Port {port.id} does not have fixed ip {wanted}")
    if not pairs:
        raise bad_request(
            f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses"
        )
    if len(pairs) > 1:
        raise bad_request(
            f"Port {port.id} has multiple fixed IPv4 addresses. Must provide a specific IPv4 "
            "address when assigning a floating IP"
        )
    return pairs[0]


def router_between(connection: Connection, row: FloatingIp, port_id: str, subnet_id: str) -> str:
    """The router between the subnet and the external network; of several, the one that has the
    subnet's gateway address. Raises NotFound.
    """
    interfaces = port_store.on_subnet(connection, subnet_id, device_owner=owner.ROUTER_INTERFACE)
    subnet = subnet_store.get(connection, subnet_id)
    gateway_ip = subnet.gateway_ip if subnet is not None else None
    candidates: list[tuple[bool, str]] = []
    for interface in interfaces:
        gateway = router_domain.gateway_port(connection, interface.device_id)
        if gateway is not None and gateway.network_id == row.floating_network_id:
            is_subnets_gateway = [subnet_id, gateway_ip] in interface.fixed_ips
            candidates.append((not is_subnets_gateway, interface.device_id))
    if not candidates:
        raise NotFound(
            "external gateway",
            row.floating_network_id,
            kind="ExternalGatewayForFloatingIPNotFound",
            message=f"External network {row.floating_network_id} is not reachable from subnet "
            f"{subnet_id}.  Therefore, cannot associate Port {port_id} with a Floating IP",
        )
    return min(candidates)[1]


def _is_ipv4(address: str) -> bool:
    return ipaddress.ip_address(address).version == IPV4
