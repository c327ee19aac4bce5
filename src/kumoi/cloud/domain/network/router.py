"""Routers: what is allowed. Their interfaces are in router_interface.py."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import allocation, owner, quota
from kumoi.cloud.domain.network import network as network_domain
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.domain.network.fixed_ip import FixedIpRequest
from kumoi.cloud.domain.network.port import PortRequest
from kumoi.cloud.store.network import floating_ip as floating_ip_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import router as store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.network.router import Router
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.network.subnet import Subnet

ROUTES_MAX = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A router's gateway to an external network. `enable_snat` of None leaves it as it is; `fixed_ips`
    of None is any address.
    """

    network_id: str
    enable_snat: bool | None = None
    fixed_ips: tuple[FixedIpRequest, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterRequest:
    project_id: str
    name: str = ""
    description: str = ""
    admin_state_up: bool = True
    gateway: Gateway | None = None


def create(connection: Connection, caller: Caller, wanted: RouterRequest, now: datetime) -> Router:
    """Raises NotFound, Forbidden, OverQuota, Invalid for a gateway that leads nowhere."""
    caller.check("create_router", wanted.project_id)
    quota.require(connection, wanted.project_id, "router")
    row = Router(
        id=new_id(),
        project_id=wanted.project_id,
        name=wanted.name,
        description=wanted.description,
        admin_state_up=wanted.admin_state_up,
        enable_snat=True,
        routes=[],
        created_at=now,
        updated_at=now,
        revision_number=1,
    )
    store.insert(connection, row)
    if wanted.gateway is not None:
        set_gateway(connection, caller, row, wanted.gateway, now)
    return get(connection, caller, row.id)


def get(connection: Connection, caller: Caller, key: str) -> Router:
    """Raises NotFound when there is no such router that the caller may see."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("router", key)
    caller.require("get_router", "router", key, row.project_id)
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[Router]:
    return store.page(connection, query, project_id=caller.reach("get_router"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> Router:
    """Change the columns in `values`, and the gateway where it has `gateway` (a Gateway or None).
    Raises as `create` does.
    """
    row = get(connection, caller, key)
    new = dict(values)
    if "gateway" in new:
        gateway = new.pop("gateway")
        if gateway is None:
            _clear_gateway(connection, row, now)
        else:
            set_gateway(connection, caller, row, gateway, now)
    if "routes" in new:
        require_routes(connection, row, new["routes"])
    store.update(connection, key, now=now, **new)
    return get(connection, caller, key)


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises NotFound, and Conflict while it has interfaces."""
    row = get(connection, caller, key)
    if interfaces(connection, key):
        raise Conflict(f"Router {key} still has ports", kind="RouterInUse")
    _clear_gateway(connection, row, now)
    store.delete(connection, key)


def interfaces(connection: Connection, key: str) -> list[Port]:
    return port_store.find(connection, device_id=key, device_owner=owner.ROUTER_INTERFACE)


def gateway_port(connection: Connection, key: str) -> Port | None:
    found = port_store.find(connection, device_id=key, device_owner=owner.ROUTER_GATEWAY)
    return found[0] if found else None


def gateway_ports(connection: Connection, keys: Sequence[str]) -> dict[str, Port]:
    """The gateway ports of several routers, by router."""
    ports = port_store.of_devices(connection, keys)
    return {port.device_id: port for port in ports if port.device_owner == owner.ROUTER_GATEWAY}


def connected_subnets(connection: Connection, key: str) -> list[Subnet]:
    """The subnets on which a router has an address, those of its gateway among them."""
    ids = {subnet_id for port in _ports(connection, key) for subnet_id, _ in port.fixed_ips}
    return list(subnet_store.many(connection, ids).values())


def require_no_overlap(wanted: Subnet, others: Sequence[Subnet]) -> None:
    """Raises Invalid when the subnet overlaps with another of the same router."""
    for other in others:
        if allocation.span(wanted.cidr).overlaps(allocation.span(other.cidr)):
            raise Invalid(
                f"Bad router request: Cidr {wanted.cidr} of subnet {wanted.id} overlaps with cidr "
                f"{other.cidr} of subnet {other.id}.",
                kind="BadRequest",
            )


def add_routes(
    connection: Connection, caller: Caller, key: str, routes: Sequence[list[str]], now: datetime
) -> Router:
    """Add the routes that the router does not have yet."""
    row = get(connection, caller, key)
    added = [route for route in routes if route not in row.routes]
    return update(connection, caller, key, {"routes": [*row.routes, *added]}, now)


def remove_routes(
    connection: Connection, caller: Caller, key: str, routes: Sequence[list[str]], now: datetime
) -> Router:
    """Remove routes; one that the router does not have is no error."""
    row = get(connection, caller, key)
    left = [route for route in row.routes if route not in routes]
    return update(connection, caller, key, {"routes": left}, now)


def require_routes(connection: Connection, row: Router, routes: Sequence[Sequence[str]]) -> None:
    """Raises Invalid when a next hop is on no subnet of the router, or is an address of its own."""
    if len(routes) > ROUTES_MAX:
        raise Invalid(
            f"Unable to complete operation for {row.id}. The number of routes exceeds the maximum "
            f"{ROUTES_MAX}.",
            field="routes",
            kind="RoutesExhausted",
        )
    subnets = connected_subnets(connection, row.id)
    networks = [ipaddress.ip_network(subnet.cidr) for subnet in subnets]
    own = {address for port in _ports(connection, row.id) for _, address in port.fixed_ips}
    for destination, nexthop in routes:
        address = ipaddress.ip_address(nexthop)
        if not any(address in network for network in networks):
            raise _invalid_routes(destination, nexthop, "the nexthop is not connected with router")
        if str(address) in own:
            raise _invalid_routes(destination, nexthop, "the nexthop is used by router")


def set_gateway(
    connection: Connection, caller: Caller, row: Router, wanted: Gateway, now: datetime
) -> None:
    """Give the router a port on the external network, or other addresses to the one it has there."""
    network = network_domain.get(connection, caller, wanted.network_id)
    if not network.external:
        raise Invalid(
            f"Bad router request: Network {network.id} is not an external network.",
            field="external_gateway_info",
            kind="BadRequest",
        )
    for name, value in (
        ("enable_snat", wanted.enable_snat),
        ("external_fixed_ips", wanted.fixed_ips),
    ):
        if value is not None:
            caller.check(f"update_router:external_gateway_info:{name}")
    current = gateway_port(connection, row.id)
    if current is not None and current.network_id == network.id:
        if wanted.fixed_ips is not None and not _names_present(current, wanted.fixed_ips):
            port_domain.change(connection, current, {"fixed_ips": wanted.fixed_ips}, now)
    else:
        if current is not None:
            _clear_gateway(connection, row, now)
        _add_gateway(connection, row, wanted, now)
    if wanted.enable_snat is not None:
        store.update(connection, row.id, now=now, enable_snat=wanted.enable_snat)


def _ports(connection: Connection, key: str) -> list[Port]:
    """A router's interfaces, and its gateway port where it has one."""
    gateway = gateway_port(connection, key)
    return [*interfaces(connection, key), *([gateway] if gateway is not None else [])]


def _names_present(port: Port, wanted: Sequence[FixedIpRequest]) -> bool:
    """Whether the requests name just the port's subnets and addresses, in one entry each or in
    several: then nothing changes, as in Neutron's `_check_for_external_ip_change`.
    """
    subnets, addresses = zip(*port.fixed_ips, strict=True) if port.fixed_ips else ((), ())
    return {ip.subnet_id for ip in wanted if ip.subnet_id} == set(subnets) and {
        ip.ip_address for ip in wanted if ip.ip_address
    } == set(addresses)


def _add_gateway(connection: Connection, row: Router, wanted: Gateway, now: datetime) -> None:
    others = connected_subnets(connection, row.id)
    port = port_domain.make(
        connection,
        PortRequest(
            project_id=owner.NOBODY,
            network_id=wanted.network_id,
            device_id=row.id,
            device_owner=owner.ROUTER_GATEWAY,
            fixed_ips=wanted.fixed_ips,
        ),
        now,
    )
    for subnet in subnet_store.many(connection, {pair[0] for pair in port.fixed_ips}).values():
        require_no_overlap(subnet, others)


def _clear_gateway(connection: Connection, row: Router, now: datetime) -> None:
    current = gateway_port(connection, row.id)
    if current is None:
        return
    if floating_ip_store.find(connection, router_id=row.id):
        raise Conflict(
            f"Gateway cannot be updated for router {row.id}, since a gateway to external network "
            f"{current.network_id} is required by one or more floating IPs.",
            kind="RouterExternalGatewayInUseByFloatingIp",
        )
    port_domain.remove(connection, current, now)
    store.update(connection, row.id, now=now, enable_snat=True)


def _invalid_routes(destination: str, nexthop: str, reason: str) -> Invalid:
    route = {"destination": destination, "nexthop": nexthop}
    return Invalid(
        f"Invalid format for routes: {route}, {reason}", field="routes", kind="InvalidRoutes"
    )
