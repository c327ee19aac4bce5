"""Networks, their ports, and DHCP, as northbound records. Pure.

Called by plan.py. A packet that a server's port sends from an address that is not its own is dropped
at once, unless its port security is off. What it sends to all or to many has a rate, for each of these
frames costs as much as there are ports on the network. Only the server's own host may bind the port: another host
with a link of the same port plugged gets no traffic. DHCP is answered from these records on the port's
own host: there are no leases, no DHCP port and no process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kumoi.cloud.drivers.network.interface import NetworkSpec, PortSpec, SubnetSpec
from kumoi.cloud.drivers.network.ovn.attaching import on_switches
from kumoi.cloud.drivers.network.ovn.index import Index, is_ipv4, marks
from kumoi.cloud.drivers.network.ovn.northbound import (
    NO_PAIRS,
    NO_TEXTS,
    DhcpOptions,
    LogicalSwitch,
    LogicalSwitchPort,
    NorthboundRecord,
    Pairs,
    Qos,
    RecordKey,
    RecordKind,
    SwitchName,
    SwitchPortName,
    Texts,
)

DHCP_MAC = "0a:00:00:00:00:01"
"""The DHCP server's MAC. Only the port that asks ever sees it."""
DHCP_SERVER_WITHOUT_GATEWAY = "169.254.0.1"
LEASE_TIME_S = 43_200
STORM_PRIORITY = 100
STORM_KBPS, STORM_BURST_KBIT = 2_000, 2_000
"""Four thousand of the smallest frames a second, and as many at once."""
STATEFUL = "dhcpv6-stateful"
STATELESS = "dhcpv6-stateless"


def switch_key(network_id: str) -> RecordKey:
    return RecordKey(RecordKind.NETWORK, network_id)


def port_key(port_id: str) -> RecordKey:
    return RecordKey(RecordKind.PORT, port_id)


def records(index: Index) -> Iterator[NorthboundRecord]:
    attached = on_switches(index)
    for network in index.topology.networks:
        yield from _network(network, attached.get(network.id, frozenset()))
    for subnet in index.subnets.values():
        if has_dhcp(subnet):
            key = RecordKey(RecordKind.DHCP, subnet.id)
            if is_ipv4(subnet.cidr):
                options = _options_v4(subnet, index.networks[subnet.network_id])
            else:
                options = _options_v6(subnet)
            yield DhcpOptions(key=key, external_ids=marks(key), cidr=subnet.cidr, options=options)
    for port in index.endpoints.values():
        yield _port(port, index)
        yield _storm(port)


def has_dhcp(subnet: SubnetSpec) -> bool:
    if not subnet.enable_dhcp:
        return False
    return subnet.ip_version == 4 or subnet.ipv6_address_mode in (STATEFUL, STATELESS)  # noqa: PLR2004 - the version


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
        dhcpv4_options=_dhcp_of(port, index, ip_version=4),
        dhcpv6_options=_dhcp_of(port, index, ip_version=6),
    )


def _storm(port: PortSpec) -> Qos:
    key = RecordKey(RecordKind.STORM, port.id)
    return Qos(
        key=key,
        parent=switch_key(port.network_id),
        external_ids=marks(key),
        direction="from-lport",
        priority=STORM_PRIORITY,
        match=f'inport == "{port.id}" && eth.mcast',
        bandwidth=frozenset({("rate", STORM_KBPS), ("burst", STORM_BURST_KBIT)}),
    )


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


def _dhcp_of(port: PortSpec, index: Index, *, ip_version: int) -> RecordKey | None:
    for fixed_ip in port.fixed_ips:
        subnet = index.subnet_of(fixed_ip)
        if subnet is not None and subnet.ip_version == ip_version and has_dhcp(subnet):
            return RecordKey(RecordKind.DHCP, subnet.id)
    return None


def _options_v4(subnet: SubnetSpec, network: NetworkSpec) -> Pairs:
    options = {
        "server_id": subnet.gateway_ip or DHCP_SERVER_WITHOUT_GATEWAY,
        "server_mac": DHCP_MAC,
        "lease_time": str(LEASE_TIME_S),
        "mtu": str(network.mtu),
    }
    if subnet.gateway_ip:
        options["router"] = subnet.gateway_ip
    if subnet.dns_nameservers:
        options["dns_server"] = _as_set(subnet.dns_nameservers)
    if subnet.host_routes:
        # A client that gets this option ignores the router option (RFC 3442).
        routes = [f"{route.destination},{route.nexthop}" for route in subnet.host_routes]
        if subnet.gateway_ip:
            routes.append(f"0.0.0.0/0,{subnet.gateway_ip}")
        options["classless_static_route"] = _as_set(routes)
    return frozenset(options.items())


def _options_v6(subnet: SubnetSpec) -> Pairs:
    options = {"server_id": DHCP_MAC}
    if subnet.dns_nameservers:
        options["dns_server"] = _as_set(subnet.dns_nameservers)
    if subnet.ipv6_address_mode == STATELESS:
        options["dhcpv6_stateless"] = "true"
    return frozenset(options.items())


def _as_set(values: tuple[str, ...] | list[str]) -> str:
    return "{" + ", ".join(values) + "}"
