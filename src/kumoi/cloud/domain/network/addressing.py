"""Whether a subnet's CIDR, gateway, pools, routes and IPv6 modes fit together. Pure checks."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from itertools import pairwise

from kumoi.base.errors import Conflict, Invalid
from kumoi.cloud.domain.network import allocation
from kumoi.cloud.domain.network.allocation import EUI64_PREFIX_MAX, IPV4, IPV6, is_usable
from kumoi.cloud.domain.network.fixed_ip import AUTOMATIC_MODES

DNS_SERVERS_MAX = 5
HOST_ROUTES_MAX = 20


def invalid_input(reason: str, field: str | None = None) -> Invalid:
    words = f"Invalid input for operation: {reason}."
    return Invalid(words, field=field, kind="InvalidInput")


def first_address(cidr: str) -> str:
    """The gateway of a subnet that names none."""
    network = ipaddress.ip_network(cidr)
    return str(network[1] if network.num_addresses > 1 else network[0])


def require_modes(cidr: str, enable_dhcp: bool, ra: str | None, address: str | None) -> None:
    """Raises Invalid where DHCP or the modes of IPv6 (router advertisements, addresses) do not fit
    the network.
    """
    network = ipaddress.ip_network(cidr)
    if network.prefixlen == 0:
        raise invalid_input("0 is not allowed as CIDR prefix length")
    if enable_dhcp and network.prefixlen == network.max_prefixlen:
        raise invalid_input(
            "Subnet has a prefix length that is incompatible with DHCP service enabled"
        )
    if ra is None and address is None:
        return
    if network.version != IPV6:
        named = "ipv6_ra_mode" if ra is not None else "ipv6_address_mode"
        raise invalid_input(f"{named} is not valid when ip_version is 4")
    if not enable_dhcp:
        raise invalid_input(
            "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False"
        )
    if ra is not None and address is not None and ra != address:
        raise invalid_input(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. "
            "If both attributes are set, they must be the same value"
        )
    if address in AUTOMATIC_MODES and network.prefixlen != EUI64_PREFIX_MAX:
        raise invalid_input(
            f"Invalid CIDR {cidr} for IPv6 address mode. OpenStack uses the EUI-64 address "
            "format, which requires the prefix to be /64"
        )


def require_gateway(cidr: str, gateway: str | None) -> None:
    """Raises Invalid for a gateway on the subnet's network that no port could have. One outside of
    it is allowed.
    """
    if gateway is None:
        return
    network, address = ipaddress.ip_network(cidr), ipaddress.ip_address(gateway)
    if address.version != network.version:
        raise invalid_input(
            f"gateway_ip '{gateway}' does not match the ip_version '{network.version}'"
        )
    if address in network and network.version == IPV4 and not is_usable(cidr, gateway):
        raise invalid_input("Gateway is not valid on subnet")


def require_pools(cidr: str, gateway: str | None, pools: Sequence[Sequence[str]]) -> None:
    """Raises Invalid for a pool that is not on the network, and Conflict for pools that overlap or
    contain the gateway.
    """
    network = ipaddress.ip_network(cidr)
    for first, last in pools:
        low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
        if {low.version, high.version} != {network.version} or int(low) > int(high):
            raise Invalid(
                f"The allocation pool {first}-{last} is not valid.", kind="InvalidAllocationPool"
            )
        if low not in network or high not in network or not is_usable(cidr, str(low)):
            raise Invalid(
                f"The allocation pool {first}-{last} spans beyond the subnet cidr {cidr}.",
                kind="OutOfBoundsAllocationPool",
            )
    ranges = sorted(allocation.as_pools(pools))
    for pool, following in pairwise(ranges):
        if following[0] <= pool[1]:
            raise Conflict(
                f"Found overlapping allocation pools: {_pool(network.version, *pool)} "
                f"{_pool(network.version, *following)} for subnet {cidr}.",
                kind="OverlappingAllocationPools",
            )
    address = None if gateway is None else ipaddress.ip_address(gateway)
    if address is None or address not in network:
        return
    for pool in ranges:
        if pool[0] <= int(address) <= pool[1]:
            raise Conflict(
                f"Gateway ip {gateway} conflicts with allocation pool "
                f"{_pool(network.version, *pool)}.",
                kind="GatewayConflictWithAllocationPools",
            )


def require_routes(
    subnet_id: str, cidr: str, dns_nameservers: Sequence[str], routes: Sequence[Sequence[str]]
) -> None:
    """Raises Invalid for too many name servers or routes, and for routes of the other IP version."""
    if len(dns_nameservers) > DNS_SERVERS_MAX:
        raise Invalid(
            f"Unable to complete operation for {subnet_id}. The number of DNS nameservers exceeds "
            f"the limit {DNS_SERVERS_MAX}.",
            kind="DNSNameServersExhausted",
        )
    if len(routes) > HOST_ROUTES_MAX:
        raise Invalid(
            f"Unable to complete operation for {subnet_id}. The number of host routes exceeds the "
            f"limit {HOST_ROUTES_MAX}.",
            kind="HostRoutesExhausted",
        )
    version = ipaddress.ip_network(cidr).version
    for destination, nexthop in routes:
        versions = {
            ipaddress.ip_network(destination).version,
            ipaddress.ip_address(nexthop).version,
        }
        if versions != {version}:
            raise invalid_input(
                f"host_routes '{destination}' via '{nexthop}' does not match the ip_version "
                f"'{version}'"
            )


def _pool(version: int, first: int, last: int) -> str:
    return f"{allocation.to_text(first, version)}-{allocation.to_text(last, version)}"
