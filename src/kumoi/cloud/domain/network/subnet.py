"""Subnets: what is allowed. Each function takes the open transaction and touches nothing else."""

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
from kumoi.cloud.domain.network import addressing, allocation, fixed_ip, owner, quota, subnet_pool
from kumoi.cloud.domain.network import network as network_domain
from kumoi.cloud.domain.network import port as port_domain
from kumoi.cloud.domain.network.allocation import IPV4
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.network import fixed_ip as fixed_ip_store
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import port as port_store
from kumoi.cloud.store.network import subnet as store
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.network.subnet import Subnet

FIRST_ADDRESS = "first"
"""The gateway of a request that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetRequest:
    """A subnet to be made: on a `cidr`, or on a prefix out of a pool, with or without `prefixlen`. A
    `gateway_ip` of None is no gateway. `allocation_pools` of None are all addresses but the gateway.
    """

    project_id: str
    network_id: str
    ip_version: int = IPV4
    name: str = ""
    description: str = ""
    cidr: str | None = None
    prefixlen: int | None = None
    subnetpool_id: str | None = None
    use_default_subnetpool: bool = False
    gateway_ip: str | None = FIRST_ADDRESS
    enable_dhcp: bool = True
    allocation_pools: Sequence[Sequence[str]] | None = None
    dns_nameservers: Sequence[str] = ()
    host_routes: Sequence[Sequence[str]] = ()
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None
    service_types: Sequence[str] = ()


def create(connection: Connection, caller: Caller, wanted: SubnetRequest, now: datetime) -> Subnet:
    """Raises NotFound, Forbidden, OverQuota; Invalid for attributes that do not fit together, and
    Conflict for pools that overlap.
    """
    network = network_domain.get(connection, caller, wanted.network_id)
    caller.check("create_subnet", network.project_id)
    caller.check("create_subnet", wanted.project_id)
    network_domain.require_mtu_for(network.id, network.mtu, wanted.ip_version)
    quota.require(connection, wanted.project_id, "subnet")
    cidr, pool_id = _cidr(connection, caller, wanted)
    addressing.require_modes(
        cidr, wanted.enable_dhcp, wanted.ipv6_ra_mode, wanted.ipv6_address_mode
    )
    others = [allocation.span(row.cidr) for row in store.of_network(connection, network.id)]
    if any(allocation.span(cidr).overlaps(other) for other in others):
        raise addressing.invalid_input(
            f"Requested subnet with cidr: {cidr} for network: {network.id} overlaps with another "
            "subnet"
        )
    gateway = wanted.gateway_ip
    if gateway == FIRST_ADDRESS:
        gateway = addressing.first_address(cidr)
    addressing.require_gateway(cidr, gateway)
    row = _row(wanted, cidr, pool_id, gateway, now)
    addressing.require_pools(cidr, gateway, row.allocation_pools)
    addressing.require_routes(row.id, cidr, row.dns_nameservers, row.host_routes)
    store.insert(connection, row)
    network_store.update(connection, network.id, now=now)
    if fixed_ip.is_automatic(row):
        _add_to_ports(connection, row, now)
    return row


def get(connection: Connection, caller: Caller, key: str) -> Subnet:
    """Raises NotFound when there is no such subnet that the caller may see."""
    row = store.get(connection, key)
    if row is None:
        raise NotFound("subnet", key)
    if not caller.may("get_subnet", row.project_id):
        network = network_store.get(connection, row.network_id)
        if network is None:
            raise NotFound("subnet", key)
        shared = network.shared or network.external
        caller.require("get_network", "subnet", key, network.project_id, shared=shared)
    return row


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[Subnet]:
    return store.page(connection, query, project_id=caller.reach("get_subnet"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> Subnet:
    """Raises as `create` does, and Conflict for another gateway while a port has the present one."""
    row = _owned(connection, caller, key, "update_subnet")
    gateway = values.get("gateway_ip", row.gateway_ip)
    if gateway != row.gateway_ip:
        addressing.require_gateway(row.cidr, gateway)
        _require_gateway_is_free(connection, row)
    pools = values.get("allocation_pools", row.allocation_pools)
    addressing.require_pools(row.cidr, gateway, pools)
    addressing.require_routes(
        row.id,
        row.cidr,
        values.get("dns_nameservers", row.dns_nameservers),
        values.get("host_routes", row.host_routes),
    )
    if not values.get("enable_dhcp", row.enable_dhcp):
        addressing.require_modes(
            row.cidr, enable_dhcp=False, ra=row.ipv6_ra_mode, address=row.ipv6_address_mode
        )
    store.update(connection, key, now=now, **values)
    network_store.update(connection, row.network_id, now=now)
    servers = port_store.devices_on_subnet(connection, key, owner_prefix=owner.COMPUTE)
    server_store.touch_all(connection, servers)
    return get(connection, caller, key)


def delete(connection: Connection, caller: Caller, key: str, now: datetime) -> None:
    """Raises NotFound; Conflict while a port has an address of the subnet, unless it is one that the
    server configured by itself (SLAAC).
    """
    row = _owned(connection, caller, key, "delete_subnet")
    ports = port_store.on_subnet(connection, key)
    automatic = fixed_ip.is_automatic(row)
    if any(not automatic or port.device_owner in owner.SERVICE for port in ports):
        raise Conflict(
            f"Unable to complete operation on subnet {key}: One or more ports have an IP "
            "allocation from this subnet.",
            kind="SubnetInUse",
        )
    for port in ports:
        left = [pair for pair in port.fixed_ips if pair[0] != key]
        port_store.update(connection, port.id, now=now, fixed_ips=left)
    store.delete(connection, key)
    network_store.update(connection, row.network_id, now=now)


def _row(
    wanted: SubnetRequest, cidr: str, pool_id: str | None, gateway: str | None, now: datetime
) -> Subnet:
    pools = wanted.allocation_pools
    if pools is None:
        pools = allocation.default_pools(cidr, gateway)
    return Subnet(
        id=new_id(),
        project_id=wanted.project_id,
        network_id=wanted.network_id,
        name=wanted.name,
        description=wanted.description,
        ip_version=wanted.ip_version,
        cidr=cidr,
        gateway_ip=gateway,
        enable_dhcp=wanted.enable_dhcp,
        allocation_pools=[list(pool) for pool in pools],
        dns_nameservers=list(wanted.dns_nameservers),
        host_routes=[list(route) for route in wanted.host_routes],
        ipv6_ra_mode=wanted.ipv6_ra_mode,
        ipv6_address_mode=wanted.ipv6_address_mode,
        subnetpool_id=pool_id,
        last_given=None,
        created_at=now,
        updated_at=now,
        revision_number=1,
        service_types=list(wanted.service_types),
    )


def _cidr(connection: Connection, caller: Caller, wanted: SubnetRequest) -> tuple[str, str | None]:
    """The subnet's CIDR, and the pool that it is taken from, if any."""
    pool_id = wanted.subnetpool_id
    if pool_id is None and wanted.use_default_subnetpool:
        pool_id = subnet_pool.default(connection, caller, wanted.ip_version).id
    if pool_id is not None:
        prefix = subnet_pool.PrefixRequest(
            project_id=wanted.project_id,
            ip_version=wanted.ip_version,
            cidr=wanted.cidr,
            prefixlen=wanted.prefixlen,
        )
        return subnet_pool.allocate(connection, caller, pool_id, prefix), pool_id
    if wanted.cidr is None:
        raise Invalid(
            "Bad subnets request: a subnetpool must be specified in the absence of a cidr.",
            kind="BadRequest",
        )
    if wanted.prefixlen is not None:
        raise Invalid("allocation of a prefix length needs a subnetpool", field="prefixlen")
    if ipaddress.ip_network(wanted.cidr).version != wanted.ip_version:
        raise addressing.invalid_input(
            f"cidr '{wanted.cidr}' does not match the ip_version '{wanted.ip_version}'"
        )
    return wanted.cidr, None


def _require_gateway_is_free(connection: Connection, row: Subnet) -> None:
    """Raises Conflict while a port, such as a router's, has the subnet's gateway address."""
    if row.gateway_ip is None or not allocation.is_usable(row.cidr, row.gateway_ip):
        return
    holder = fixed_ip_store.owner(connection, row.id, row.gateway_ip)
    if holder is not None:
        raise Conflict(
            f"Current gateway ip {row.gateway_ip} already in use by port {holder}. Unable to "
            "update.",
            kind="GatewayIpInUse",
        )


def _add_to_ports(connection: Connection, row: Subnet, now: datetime) -> None:
    """Give the ports of the network the address that their servers configure by themselves on the
    new subnet.
    """
    for port in port_store.find(connection, network_id=row.network_id):
        if port.device_owner in owner.SERVICE or not fixed_ip.is_for(row, port.device_owner):
            continue
        pair = [row.id, allocation.eui64(row.cidr, port.mac_address)]
        port_store.update(connection, port.id, now=now, fixed_ips=[*port.fixed_ips, pair])
        port_domain.touch_server(connection, port)


def _owned(connection: Connection, caller: Caller, key: str, action: str) -> Subnet:
    row = get(connection, caller, key)
    caller.check(action, row.project_id)
    return row
