"""Router interfaces: the ports through which a router is connected to subnets."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Forbidden, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import fixed_ip, owner
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.domain.network import router as router_domain
from kumoi.cloud.domain.network import subnet as subnet_domain
from kumoi.cloud.domain.network.allocation import IPV4, IPV6
from kumoi.cloud.domain.network.fixed_ip import FixedIpRequest
from kumoi.cloud.domain.network.port import PortRequest
from kumoi.cloud.store.network import floating_ip as floating_ip_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import port_forwarding as forwarding_store
from kumoi.cloud.store.network import router as router_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.network.router import Router
from kumoi.cloud.store.network.subnet import Subnet


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A router, a port of it, and the subnets that a request added to or removed from the port."""

    router: Router
    port: Port
    subnet_ids: tuple[str, ...]


def add(
    connection: Connection,
    caller: Caller,
    router_id: str,
    *,
    subnet_id: str | None,
    port_id: str | None,
    now: datetime,
) -> Interface:
    """Connect a router: to a subnet, at the subnet's gateway address, or with a port of the
    caller's.

    Raises NotFound, Forbidden, Conflict when the port or address is in use, Invalid otherwise.
    """
    row = router_domain.get(connection, caller, router_id)
    if subnet_id is not None and port_id is not None:
        raise bad_request("Cannot specify both subnet-id and port-id")
    if port_id is not None:
        added = _add_port(connection, caller, row, port_id, now)
    elif subnet_id is not None:
        added = _add_subnet(connection, caller, row, subnet_id, now)
    else:
        raise bad_request("Either subnet_id or port_id must be specified")
    router_store.update(connection, row.id, now=now)
    return added


def remove(
    connection: Connection,
    caller: Caller,
    router_id: str,
    *,
    subnet_id: str | None,
    port_id: str | None,
    now: datetime,
) -> Interface:
    """Disconnect a router from a subnet, or from all subnets of a port.

    Raises NotFound, and Conflict while a floating IP or a route needs the interface.
    """
    row = router_domain.get(connection, caller, router_id)
    if subnet_id is None and port_id is None:
        raise bad_request("Either subnet_id or port_id must be specified")
    port = _find(connection, row, subnet_id, port_id)
    removed = [pair[0] for pair in port.fixed_ips]
    if subnet_id is not None and port_id is None:
        removed = [subnet_id]
    for each in removed:
        _require_unused(connection, row, each)
    left = [pair for pair in port.fixed_ips if pair[0] not in removed]
    if left:
        port_store.update(connection, port.id, now=now, fixed_ips=left)
    else:
        port_domain.remove(connection, port, now)
    router_store.update(connection, row.id, now=now)
    return Interface(router=row, port=port, subnet_ids=tuple(removed))


def bad_request(reason: str) -> Invalid:
    return Invalid(f"Bad router request: {reason}.", kind="BadRequest")


def _add_subnet(
    connection: Connection, caller: Caller, row: Router, subnet_id: str, now: datetime
) -> Interface:
    subnet = subnet_domain.get(connection, caller, subnet_id)
    if not caller.may("update_subnet", subnet.project_id):
        raise Forbidden("the gateway address of another project's subnet cannot be taken")
    if subnet.gateway_ip is None:
        raise bad_request("Subnet for router interface must have a gateway IP")
    _require_fits(connection, row, [subnet])
    wanted = FixedIpRequest(subnet_id=subnet.id, ip_address=subnet.gateway_ip)
    port = _ipv6_interface(connection, row, subnet)
    if port is not None:
        both = [*fixed_ip.requests(port.fixed_ips), wanted]
        port = port_domain.change(connection, port, {"fixed_ips": both}, now)
    else:
        port = port_domain.make(
            connection,
            PortRequest(
                project_id=row.project_id,
                network_id=subnet.network_id,
                device_id=row.id,
                device_owner=owner.ROUTER_INTERFACE,
                fixed_ips=(wanted,),
            ),
            now,
        )
    return Interface(router=row, port=port, subnet_ids=(subnet.id,))


def _add_port(
    connection: Connection, caller: Caller, row: Router, port_id: str, now: datetime
) -> Interface:
    port = port_domain.get_changeable(connection, caller, port_id)
    if port.device_id:
        raise Conflict(
            f"Unable to complete operation on port {port_id} for network {port.network_id}. Port "
            f"already has an attached device {port.device_id}.",
            kind="PortInUse",
        )
    subnet_ids = tuple(dict.fromkeys(subnet_id for subnet_id, _ in port.fixed_ips))
    if not subnet_ids:
        raise bad_request("Router port must have at least one fixed IP")
    versions = [ipaddress.ip_address(address).version for _, address in port.fixed_ips]
    if sum(version == IPV4 for version in versions) > 1:
        raise bad_request("Cannot have multiple IPv4 subnets on router port")
    subnets = subnet_store.many(connection, subnet_ids)
    _require_fits(connection, row, [subnets[subnet_id] for subnet_id in subnet_ids])
    values = {
        "device_id": row.id,
        "device_owner": owner.ROUTER_INTERFACE,
        "security_group_ids": [],
        "allowed_address_pairs": [],
        "port_security_enabled": False,
    }
    changed = port_domain.change(connection, port, values, now)
    return Interface(router=row, port=changed, subnet_ids=subnet_ids)


def _require_fits(connection: Connection, row: Router, subnets: list[Subnet]) -> None:
    """Raises Invalid for a subnet that the router has, or that overlaps with one that it has."""
    connected = router_domain.connected_subnets(connection, row.id)
    for subnet in subnets:
        if any(subnet.id == other.id for other in connected):
            raise bad_request(f"Router already has a port on subnet {subnet.id}")
        router_domain.require_no_overlap(subnet, connected)


def _ipv6_interface(connection: Connection, row: Router, subnet: Subnet) -> Port | None:
    """For an IPv6 subnet the interface on its network that has IPv6 addresses only: it takes one
    more, as in Neutron.
    """
    if subnet.ip_version != IPV6:
        return None
    for port in router_domain.interfaces(connection, row.id):
        versions = {ipaddress.ip_address(address).version for _, address in port.fixed_ips}
        if port.network_id == subnet.network_id and versions == {IPV6}:
            return port
    return None


def _find(connection: Connection, row: Router, subnet_id: str | None, port_id: str | None) -> Port:
    """The interface with that port, or on that subnet. Raises NotFound, and Conflict when the two do
    not belong together.
    """
    for port in router_domain.interfaces(connection, row.id):
        has = {pair[0] for pair in port.fixed_ips}
        if port_id is not None and port.id == port_id:
            if subnet_id is not None and subnet_id not in has:
                raise Conflict(
                    f"Subnet ID {subnet_id} does not match the port's: {', '.join(sorted(has))}",
                    kind="SubnetMismatchForPort",
                )
            return port
        if port_id is None and subnet_id in has:
            return port
    if port_id is not None:
        raise NotFound(
            "router interface",
            port_id,
            message=f"Router {row.id} does not have an interface with id {port_id}",
        )
    raise NotFound(
        "router interface",
        subnet_id or "",
        kind="RouterInterfaceNotFoundForSubnet",
        message=f"Router {row.id} has no interface on subnet {subnet_id}",
    )


def _require_unused(connection: Connection, row: Router, subnet_id: str) -> None:
    """Raises Conflict while a floating IP or a route needs the router on the subnet."""
    blocked = f"Router interface for subnet {subnet_id} on router {row.id} cannot be deleted, as it"
    subnet = subnet_store.get(connection, subnet_id)
    if subnet is None:
        return
    network = ipaddress.ip_network(subnet.cidr)
    for port_id, address in _led_to(connection, row):
        port = port_store.get(connection, port_id)
        if port is not None and [subnet_id, address] in port.fixed_ips:
            raise Conflict(
                f"{blocked} is required by one or more floating IPs.",
                kind="RouterInterfaceInUseByFloatingIP",
            )
    if any(ipaddress.ip_address(nexthop) in network for _, nexthop in row.routes):
        raise Conflict(
            f"{blocked} is required by one or more routes.", kind="RouterInterfaceInUseByRoute"
        )


def _led_to(connection: Connection, row: Router) -> list[tuple[str, str]]:
    """The ports and addresses that floating IPs of the router lead to, whole or by port forwardings."""
    floating = floating_ip_store.find(connection, router_id=row.id)
    whole = [
        (each.port_id, each.fixed_ip_address)
        for each in floating
        if each.port_id is not None and each.fixed_ip_address is not None
    ]
    forwardings = forwarding_store.of_floating_ips(connection, [each.id for each in floating])
    return whole + [
        (each.internal_port_id, each.internal_ip_address)
        for rows in forwardings.values()
        for each in rows
    ]
