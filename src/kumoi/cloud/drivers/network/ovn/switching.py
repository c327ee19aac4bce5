"""Networks and their ports as northbound records. Pure.

Called by plan.py. A packet that a server's port sends from an address that is not its own is dropped
at once, unless its port security is off. What it sends to all or to many has a rate, for each of these
frames costs as much as there are ports on the network; so have answers about neighbours, where they may be about any. Only the server's own host may bind the port: another host
with a link of the same port plugged gets no traffic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kumoi.cloud.drivers.network.interface import Direction, NetworkSpec, PortSpec
from kumoi.cloud.drivers.network.ovn import dhcp
from kumoi.cloud.drivers.network.ovn.attaching import on_switches
from kumoi.cloud.drivers.network.ovn.index import Index, marks
from kumoi.cloud.drivers.network.ovn.northbound import (
    NO_PAIRS,
    NO_TEXTS,
    LogicalSwitch,
    LogicalSwitchPort,
    NorthboundRecord,
    Qos,
    RecordKey,
    RecordKind,
    SwitchName,
    SwitchPortName,
    Texts,
)

STORM_PRIORITY = 100
STORM_KBPS, STORM_BURST_KBIT = 2_000, 2_000
"""Four thousand of the smallest frames a second, and as many at once."""

ANSWERS_PRIORITY = 110
ANSWERS_KBPS, ANSWERS_BURST_KBIT = 8, 64
"""A router remembers each address that somebody says to have: 133 at once, and 17 a second. With the
age at which routers forget (routing.py) that is five thousand for a port.
"""

QUALITY_PRIORITY = 50
BURST_PERCENT = 80
"""Of a rate that comes without a burst: what one second's TCP needs, as Neutron has it."""
SEEN_FROM_SWITCH = {Direction.EGRESS: "from-lport", Direction.INGRESS: "to-lport"}


def switch_key(network_id: str) -> RecordKey:
    return RecordKey(RecordKind.NETWORK, network_id)


def port_key(port_id: str) -> RecordKey:
    return RecordKey(RecordKind.PORT, port_id)


def records(index: Index) -> Iterator[NorthboundRecord]:
    attached = on_switches(index)
    for network in index.topology.networks:
        yield from _network(network, attached.get(network.id, frozenset()))
    yield from dhcp.records(index)
    for port in index.endpoints.values():
        yield _port(port, index)
        yield _storm(port)
        if not port.port_security_enabled or port.allowed_address_pairs:
            yield _answers(port)
        yield from _quality(port)


def _network(network: NetworkSpec, listeners: frozenset[RecordKey]) -> Iterator[NorthboundRecord]:
    key = switch_key(network.id)
    yield LogicalSwitch(
        key=key,
        external_ids=marks(key, name=network.name),
        name=SwitchName(f"kumoi-{network.id}"),
        load_balancer=listeners,
    )
    if network.physical_network is None:
        return
    localnet = RecordKey(RecordKind.LOCALNET, network.id)
    yield LogicalSwitchPort(
        key=localnet,
        parent=key,
        external_ids=marks(localnet),
        name=SwitchPortName(f"localnet-{network.id}"),
        type="localnet",
        enabled=None if network.admin_state_up else False,
        addresses=frozenset({"unknown"}),
        options=frozenset({("network_name", network.physical_network)}),
    )


def _port(port: PortSpec, index: Index) -> LogicalSwitchPort:
    key = port_key(port.id)
    up = port.admin_state_up and index.networks[port.network_id].admin_state_up
    addresses = {_own_addresses(port)}
    has_other_macs = any(pair.mac not in (None, port.mac) for pair in port.allowed_address_pairs)
    if has_other_macs or not port.port_security_enabled:
        addresses.add("unknown")  # Frames to MACs that no port is known to have are flooded to it.
    return LogicalSwitchPort(
        key=key,
        parent=switch_key(port.network_id),
        external_ids=marks(key, name=port.name, generation=port.generation),
        name=SwitchPortName(port.id),
        enabled=None if up else False,
        addresses=frozenset(addresses),
        port_security=_port_security(port),
        options=NO_PAIRS if port.host is None else frozenset({("requested-chassis", port.host)}),
        dhcpv4_options=dhcp.key_of(port, index, ip_version=4),
        dhcpv6_options=dhcp.key_of(port, index, ip_version=6),
    )


def _storm(port: PortSpec) -> Qos:
    rate = (STORM_KBPS, STORM_BURST_KBIT)
    return _rate(port, RecordKind.STORM, STORM_PRIORITY, "eth.mcast", rate)


def _answers(port: PortSpec) -> Qos:
    """Of a port that may say to have addresses beside its own."""
    rate = (ANSWERS_KBPS, ANSWERS_BURST_KBIT)
    return _rate(port, RecordKind.ANSWERS, ANSWERS_PRIORITY, "(arp.op == 2 || nd_na)", rate)


def _rate(
    port: PortSpec, kind: RecordKind, priority: int, match: str, rate: tuple[int, int]
) -> Qos:
    """Of what matches and the port sends: in kbit/s, with its burst in kbit."""
    key = RecordKey(kind, port.id)
    kbps, burst_kbit = rate
    return Qos(
        key=key,
        parent=switch_key(port.network_id),
        external_ids=marks(key),
        direction="from-lport",
        priority=priority,
        match=f'inport == "{port.id}" && {match}',
        bandwidth=frozenset({("rate", kbps), ("burst", burst_kbit)}),
    )


def _quality(port: PortSpec) -> Iterator[Qos]:
    """Of the rates of a port OVN takes the one whose priority is highest, so that of storms stays."""
    for rate in port.rates:
        key = RecordKey(RecordKind.RATE, f"{port.id}/{rate.direction}")
        burst = rate.burst_kbit or max(1, rate.kbps * BURST_PERCENT // 100)
        yield Qos(
            key=key,
            parent=switch_key(port.network_id),
            external_ids=marks(key),
            direction=SEEN_FROM_SWITCH[rate.direction],
            priority=QUALITY_PRIORITY,
            match=_of_port(port, rate.direction),
            bandwidth=frozenset({("rate", max(1, rate.kbps)), ("burst", burst)}),
        )
    if port.dscp is not None:
        key = RecordKey(RecordKind.DSCP, port.id)
        yield Qos(
            key=key,
            parent=switch_key(port.network_id),
            external_ids=marks(key),
            direction=SEEN_FROM_SWITCH[Direction.EGRESS],
            priority=QUALITY_PRIORITY,
            match=_of_port(port, Direction.EGRESS),
            action=frozenset({("dscp", port.dscp)}),
        )


def _of_port(port: PortSpec, direction: Direction) -> str:
    return f'{"inport" if direction is Direction.EGRESS else "outport"} == "{port.id}"'


def _own_addresses(port: PortSpec) -> str:
    """MAC and fixed addresses, as OVN writes them."""
    return " ".join((port.mac, *(fixed_ip.address for fixed_ip in port.fixed_ips)))


def _port_security(port: PortSpec) -> Texts:
    """The addresses that the port may send from, one line for each MAC."""
    if not port.port_security_enabled:
        return NO_TEXTS
    if not port.allowed_address_pairs:
        return frozenset({_own_addresses(port)})
    allowed: dict[str, list[str]] = defaultdict(list)
    allowed[port.mac] = [fixed_ip.address for fixed_ip in port.fixed_ips]
    for pair in port.allowed_address_pairs:
        addresses = allowed[pair.mac or port.mac]
        if pair.address not in addresses:
            addresses.append(pair.address)
    return frozenset(" ".join((mac, *addresses)) for mac, addresses in allowed.items())
