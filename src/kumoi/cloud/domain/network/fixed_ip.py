"""Which fixed IPs a port gets: those of its request, or one of each IP version where the request
names none; and on every subnet with SLAAC the address that the server configures by itself.

Called by port.py inside the write transaction, so that an address that is free stays free.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid
from kumoi.cloud.domain.network import allocation
from kumoi.cloud.domain.network.allocation import IPV4, IPV6, TakenAddresses
from kumoi.cloud.store.network import fixed_ip as store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.subnet import Subnet

AUTOMATIC_MODES = frozenset({"slaac", "dhcpv6-stateless"})
FIXED_IPS_MAX = 100

FixedIp = list[str]  # [subnet, address], as a port's row has it.


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedIpRequest:
    """A subnet to take an address of, an address, or an address of a certain subnet."""

    subnet_id: str | None = None
    ip_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressedPort:
    """The port that addresses are chosen for. A router's configures none by itself. `current` are
    the fixed IPs that a port being changed may keep.
    """

    network_id: str
    mac: str
    device_owner: str
    is_router: bool
    current: Sequence[FixedIp] = ()


def requests(fixed_ips: Iterable[FixedIp]) -> tuple[FixedIpRequest, ...]:
    """Requests for just these, as a port that keeps them needs."""
    return tuple(FixedIpRequest(subnet_id=key, ip_address=text) for key, text in fixed_ips)


def is_automatic(subnet: Subnet) -> bool:
    """Whether servers on the subnet configure an address from their MAC by themselves."""
    return subnet.ip_version == IPV6 and subnet.ipv6_address_mode in AUTOMATIC_MODES


def is_for(subnet: Subnet, device_owner: str) -> bool:
    """Whether ports of that owner get addresses of the subnet."""
    return not subnet.service_types or device_owner in subnet.service_types


def choose(
    connection: Connection, port: AddressedPort, wanted: Sequence[FixedIpRequest] | None
) -> list[FixedIp]:
    """The port's fixed IPs. `wanted` of None is one of each IP version that the network has; an
    empty list is none at all.

    Raises Invalid for an address or a subnet that does not fit, Conflict when an address is taken
    or none is left.
    """
    subnets = _usable(connection, port, wanted)
    if wanted is None:
        chosen = _one_of_each_version(connection, port, subnets)
    elif not wanted:
        return []
    else:
        chosen = _requested(connection, port, subnets, wanted)
    if port.is_router:
        return chosen
    has = {subnet_id for subnet_id, _ in chosen}
    return chosen + [
        [subnet.id, _automatic(connection, port, subnet)]
        for subnet in subnets
        if is_automatic(subnet) and subnet.id not in has
    ]


def next_of_version(
    connection: Connection, network_id: str, version: int, device_owner: str
) -> FixedIpRequest | None:
    """A free address of that IP version; None where the network has no subnet of it for that owner.

    Raises Conflict when none is left.
    """
    subnets = [
        subnet
        for subnet in _those_for(subnet_store.of_network(connection, network_id), device_owner)
        if subnet.ip_version == version
    ]
    if not subnets:
        return None
    subnet_id, address = _give(connection, network_id, subnets)
    return FixedIpRequest(subnet_id=subnet_id, ip_address=address)


def _usable(
    connection: Connection, port: AddressedPort, wanted: Sequence[FixedIpRequest] | None
) -> list[Subnet]:
    """The subnets that are for such a port, and those that it has addresses of.

    Raises Conflict when the network has subnets, and all are for others.
    """
    subnets = subnet_store.of_network(connection, port.network_id)
    used = {subnet_id for subnet_id, _ in port.current}
    found = _those_for(subnets, port.device_owner, used)
    if subnets and not found and (wanted is None or wanted):
        raise Conflict(
            "No valid service subnet for the given device owner, network "
            f"{port.network_id}, service type {port.device_owner}.",
            kind="IpAddressGenerationFailureNoMatchingSubnet",
        )
    return found


def _those_for(
    subnets: Iterable[Subnet], device_owner: str, used: Collection[str] = ()
) -> list[Subnet]:
    """Those that are for certain owners first."""
    found = [row for row in subnets if row.id in used or is_for(row, device_owner)]
    return sorted(found, key=lambda row: not row.service_types)


def _one_of_each_version(
    connection: Connection, port: AddressedPort, subnets: Sequence[Subnet]
) -> list[FixedIp]:
    chosen: list[FixedIp] = []
    for version in (IPV4, IPV6):
        candidates = [
            subnet
            for subnet in subnets
            if subnet.ip_version == version and (port.is_router or not is_automatic(subnet))
        ]
        if candidates:
            chosen.append(_give(connection, port.network_id, candidates))
    return chosen


def _requested(
    connection: Connection,
    port: AddressedPort,
    subnets: Sequence[Subnet],
    wanted: Sequence[FixedIpRequest],
) -> list[FixedIp]:
    """Certain addresses are taken first, so that none of them is allocated to another request."""
    if len(wanted) > FIXED_IPS_MAX:
        raise Invalid("Invalid input for operation: Exceeded maximum amount of fixed ips per port.")
    chosen: dict[int, FixedIp] = {}
    for index, request in enumerate(wanted):
        if request.ip_address is not None:
            pair = _certain(connection, port, subnets, request.ip_address, request.subnet_id)
            if pair in chosen.values():
                raise _in_use(port.network_id, pair[1])
            chosen[index] = pair
    allocated = _Allocated(connection, port.network_id, chosen.values())
    for index, request in enumerate(wanted):
        if request.ip_address is None:
            subnet = _on_network(port.network_id, subnets, request.subnet_id or "")
            chosen[index] = _any_of_subnet(
                connection, port, subnet, list(chosen.values()), allocated
            )
    allocated.remember()
    return [chosen[index] for index in range(len(wanted))]


def _certain(
    connection: Connection,
    port: AddressedPort,
    subnets: Sequence[Subnet],
    text: str,
    subnet_id: str | None,
) -> FixedIp:
    """A certain address, on a certain subnet or the one that it is of."""
    address = ipaddress.ip_address(text)
    if subnet_id is not None:
        subnet = _on_network(port.network_id, subnets, subnet_id)
    else:
        candidates = [each for each in subnets if address in ipaddress.ip_network(each.cidr)]
        if not candidates:
            raise Invalid(
                f"IP address {text} is not a valid IP for any of the subnets on the specified "
                "network.",
                field="fixed_ips",
                kind="InvalidIpForNetwork",
            )
        subnet = candidates[0]
    pair = [subnet.id, str(address)]
    if pair in port.current:
        return pair
    if not allocation.is_usable(subnet.cidr, str(address)):
        raise Invalid(
            f"IP address {text} is not a valid IP for the specified subnet.",
            field="fixed_ips",
            kind="InvalidIpForSubnet",
        )
    if is_automatic(subnet) and not port.is_router:
        if str(address) == allocation.eui64(subnet.cidr, port.mac):
            return pair
        raise Invalid(
            f"IPv6 address {text} can not be directly assigned to a port on subnet {subnet.id} as "
            "the subnet is configured for automatic addresses",
            field="fixed_ips",
            kind="AllocationOnAutoAddressSubnet",
        )
    if store.owner(connection, subnet.id, str(address)) is not None:
        raise _in_use(port.network_id, text)
    return pair


def _any_of_subnet(
    connection: Connection,
    port: AddressedPort,
    subnet: Subnet,
    chosen: Sequence[FixedIp],
    allocated: _Allocated,
) -> FixedIp:
    """An address of that subnet: one that the port has already, else a new one."""
    for pair in port.current:
        if pair[0] == subnet.id and pair not in chosen:
            return pair
    if is_automatic(subnet) and not port.is_router:
        return [subnet.id, _automatic(connection, port, subnet)]
    return allocated.next_of([subnet])


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


def _give(connection: Connection, network_id: str, subnets: Iterable[Subnet]) -> FixedIp:
    allocated = _Allocated(connection, network_id)
    pair = allocated.next_of(subnets)
    allocated.remember()
    return pair


class _Allocated:
    """What subnets allocate to one port. A subnet is read once, however many of its addresses the port
    gets. `chosen` are others that it is to have, which no row says yet.
    """

    def __init__(
        self, connection: Connection, network_id: str, chosen: Iterable[FixedIp] = ()
    ) -> None:
        self._connection = connection
        self._network_id = network_id
        self._chosen = list(chosen)
        self._taken: dict[str, TakenAddresses] = {}
        self._last: dict[str, str] = {}

    def next_of(self, subnets: Iterable[Subnet]) -> FixedIp:
        """The next free address of the first subnet that has one. Raises Conflict when none is left."""
        for subnet in subnets:
            number = self._next(subnet)
            if number is not None:
                self._taken[subnet.id].add(number)
                address = allocation.to_text(number, subnet.ip_version)
                self._last[subnet.id] = address
                return [subnet.id, address]
        raise Conflict(
            f"No more IP addresses available on network {self._network_id}.",
            kind="IpAddressGenerationFailure",
        )

    def remember(self) -> None:
        """What each subnet gave last, after which its next search starts."""
        for subnet_id, address in self._last.items():
            subnet_store.remember_given(self._connection, subnet_id, address)

    def _next(self, subnet: Subnet) -> int | None:
        """The free address after the one that the subnet gave last."""
        given = self._last.get(subnet.id, subnet.last_given)
        last = int(ipaddress.ip_address(given)) if given else None
        taken = self._taken.get(subnet.id) or self._read(subnet.id)
        return allocation.choose(allocation.as_pools(subnet.allocation_pools), last, taken)

    def _read(self, subnet_id: str) -> TakenAddresses:
        taken = TakenAddresses(partial(store.taken_from, self._connection, subnet_id))
        for key, address in self._chosen:
            if key == subnet_id:
                taken.add(int(ipaddress.ip_address(address)))
        self._taken[subnet_id] = taken
        return taken


def _automatic(connection: Connection, port: AddressedPort, subnet: Subnet) -> str:
    """The address that the server configures by itself. Raises Conflict when another port has it."""
    address = allocation.eui64(subnet.cidr, port.mac)
    is_new = [subnet.id, address] not in port.current
    if is_new and store.owner(connection, subnet.id, address) is not None:
        raise _in_use(port.network_id, address)
    return address


def _in_use(network_id: str, address: str) -> Conflict:
    return Conflict(
        f"Unable to complete operation for network {network_id}. The IP address {address} is in "
        "use.",
        kind="IpAddressInUse",
    )
