"""Which addresses a port gets: those asked for, else one of each version and each automatic one.

Called by port.py inside the write transaction, so that an address that is free stays free.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid
from kumoi.cloud.domain.network import allocation
from kumoi.cloud.domain.network.allocation import (
    IPV4,
    IPV4_LINK_PREFIX,
    IPV6,
    IPV6_LINK_PREFIX,
)
from kumoi.cloud.store.network import fixed_ip as store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.subnet import Subnet

AUTOMATIC_MODES = frozenset({"slaac", "dhcpv6-stateless"})
FIXED_IPS_MAX = 100

Pair = tuple[str, str]  # Subnet and address.


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedIpRequest:
    """At least one of the two is given."""

    subnet_id: str | None = None
    ip_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressedPort:
    """Where and for whom: a router's port takes no automatic address. `current` are the addresses
    that a port being changed has.
    """

    network_id: str
    mac: str
    is_router: bool
    current: tuple[Pair, ...] = ()


def is_automatic(subnet: Subnet) -> bool:
    """Whether its servers make their own address from their MAC."""
    return subnet.ip_version == IPV6 and subnet.ipv6_address_mode in AUTOMATIC_MODES


def choose(
    connection: Connection, place: AddressedPort, wanted: Sequence[FixedIpRequest] | None
) -> list[Pair]:
    """None wants what the network gives, an empty list nothing.

    Raises Invalid for an address or a subnet that does not fit, Conflict when an address is taken
    or none is left.
    """
    subnets = subnet_store.of_network(connection, place.network_id)
    if wanted is None:
        chosen = _one_of_each_version(connection, place, subnets)
    elif not wanted:
        return []
    else:
        chosen = _asked_for(connection, place, subnets, wanted)
    if place.is_router:
        return chosen
    has = {subnet_id for subnet_id, _ in chosen}
    return chosen + [
        (subnet.id, _automatic(connection, place, subnet))
        for subnet in subnets
        if is_automatic(subnet) and subnet.id not in has
    ]


def next_of_version(connection: Connection, network_id: str, version: int) -> FixedIpRequest | None:
    """A free address of that version; None where the network has no such subnet.

    Raises Conflict when none is left.
    """
    subnets = [
        subnet
        for subnet in subnet_store.of_network(connection, network_id)
        if subnet.ip_version == version
    ]
    if not subnets:
        return None
    subnet_id, address = _from_any(connection, network_id, subnets)
    return FixedIpRequest(subnet_id=subnet_id, ip_address=address)


def _one_of_each_version(
    connection: Connection, place: AddressedPort, subnets: Sequence[Subnet]
) -> list[Pair]:
    chosen: list[Pair] = []
    for version in (IPV4, IPV6):
        choice = [
            subnet
            for subnet in subnets
            if subnet.ip_version == version and (place.is_router or not is_automatic(subnet))
        ]
        if choice:
            chosen.append(_from_any(connection, place.network_id, choice))
    return chosen


def _from_any(connection: Connection, network_id: str, subnets: Iterable[Subnet]) -> Pair:
    for subnet in subnets:
        address = _next(connection, subnet)
        if address is not None:
            return subnet.id, address
    raise Conflict(
        f"No more IP addresses available on network {network_id}.",
        kind="IpAddressGenerationFailure",
    )


def _next(connection: Connection, subnet: Subnet, besides: Collection[str] = ()) -> str | None:
    """The next free address, which is then the subnet's last given one."""
    spared = sorted(int(ipaddress.ip_address(address)) for address in besides)

    def taken_from(first: int, most: int) -> list[int]:
        taken = store.taken_from(connection, subnet.id, first, most)
        extra = [address for address in spared if address >= first]
        return sorted({*taken, *extra})[:most] if extra else taken

    after = int(ipaddress.ip_address(subnet.last_given)) if subnet.last_given else None
    found = allocation.choose(allocation.as_pools(subnet.allocation_pools), after, taken_from)
    if found is None:
        return None
    make = ipaddress.IPv4Address if subnet.ip_version == IPV4 else ipaddress.IPv6Address
    address = str(make(found))
    subnet_store.remember_given(connection, subnet.id, address)
    return address


def _asked_for(
    connection: Connection,
    place: AddressedPort,
    subnets: Sequence[Subnet],
    wanted: Sequence[FixedIpRequest],
) -> list[Pair]:
    if len(wanted) > FIXED_IPS_MAX:
        raise Invalid("Invalid input for operation: Exceeded maximum amount of fixed ips per port.")
    chosen: list[Pair | None] = [None] * len(wanted)
    for index, one in enumerate(wanted):  # Addresses first: what is asked for must not be given.
        if one.ip_address is not None:
            pair = _exactly(connection, place, subnets, one.ip_address, one.subnet_id)
            if pair in chosen:
                raise _in_use(place.network_id, pair[1])
            chosen[index] = pair
    for index, one in enumerate(wanted):
        if chosen[index] is None:
            known = [pair for pair in chosen if pair is not None]
            chosen[index] = _from_subnet(connection, place, subnets, one.subnet_id, known)
    return [pair for pair in chosen if pair is not None]


def _exactly(
    connection: Connection,
    place: AddressedPort,
    subnets: Sequence[Subnet],
    text: str,
    subnet_id: str | None,
) -> Pair:
    address = ipaddress.ip_address(text)
    if subnet_id is None:
        subnet = next((one for one in subnets if address in ipaddress.ip_network(one.cidr)), None)
        if subnet is None:
            raise Invalid(
                f"IP address {text} is not a valid IP for any of the subnets on the specified "
                "network.",
                field="fixed_ips",
                kind="InvalidIpForNetwork",
            )
    else:
        subnet = _on_network(place.network_id, subnets, subnet_id)
    pair = (subnet.id, str(address))
    if pair in place.current:
        return pair
    if not is_usable(subnet.cidr, str(address)):
        raise Invalid(
            f"IP address {text} is not a valid IP for the specified subnet.",
            field="fixed_ips",
            kind="InvalidIpForSubnet",
        )
    if is_automatic(subnet) and not place.is_router:
        if str(address) == allocation.eui64(subnet.cidr, place.mac):
            return pair
        raise Invalid(
            f"IPv6 address {text} can not be directly assigned to a port on subnet {subnet.id} as "
            "the subnet is configured for automatic addresses",
            field="fixed_ips",
            kind="AllocationOnAutoAddressSubnet",
        )
    if store.owner(connection, subnet.id, str(address)) is not None:
        raise _in_use(place.network_id, text)
    return pair


def _from_subnet(
    connection: Connection,
    place: AddressedPort,
    subnets: Sequence[Subnet],
    subnet_id: str | None,
    known: Sequence[Pair],
) -> Pair:
    """An address of that subnet: one the port has already, else a new one."""
    subnet = _on_network(place.network_id, subnets, subnet_id or "")
    kept = [pair for pair in place.current if pair[0] == subnet.id and pair not in known]
    if kept:
        return kept[0]
    if is_automatic(subnet) and not place.is_router:
        return subnet.id, _automatic(connection, place, subnet)
    besides = [address for given, address in known if given == subnet.id]
    # Read again: an address given a moment ago has moved the subnet's mark.
    address = _next(connection, subnet_store.get(connection, subnet.id) or subnet, besides)
    if address is None:
        raise Conflict(
            f"No more IP addresses available on network {place.network_id}.",
            kind="IpAddressGenerationFailure",
        )
    return subnet.id, address


def _on_network(network_id: str, subnets: Sequence[Subnet], subnet_id: str) -> Subnet:
    for subnet in subnets:
        if subnet.id == subnet_id:
            return subnet
    raise Invalid(
        f"Invalid input for operation: Failed to create port on network {network_id}, because "
        f"fixed_ips included invalid subnet {subnet_id}.",
        field="fixed_ips",
        kind="InvalidInput",
    )


def _automatic(connection: Connection, place: AddressedPort, subnet: Subnet) -> str:
    address = allocation.eui64(subnet.cidr, place.mac)
    if (subnet.id, address) not in place.current and store.owner(
        connection, subnet.id, address
    ) is not None:
        raise _in_use(place.network_id, address)
    return address


def is_usable(cidr: str, address: str) -> bool:
    """Whether a port may have the address: inside, and neither the network's nor the broadcast's."""
    network, wanted = ipaddress.ip_network(cidr), ipaddress.ip_address(address)
    if wanted not in network:
        return False
    if network.version == IPV4:
        reserved = {network.network_address, network.broadcast_address}
        return network.prefixlen >= IPV4_LINK_PREFIX or wanted not in reserved
    return network.prefixlen >= IPV6_LINK_PREFIX or wanted != network.network_address


def _in_use(network_id: str, address: str) -> Conflict:
    return Conflict(
        f"Unable to complete operation for network {network_id}. The IP address {address} is in "
        "use.",
        kind="IpAddressInUse",
    )
