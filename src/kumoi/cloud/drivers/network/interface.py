"""The network as wanted, and the two drivers that make it so.

The worker's network reconciler turns the store's rows into a `Topology`, one spec per row, and gives
it to a `Northbound`; the host agent has its `Switch` plug ports. Nothing here knows the store, OVN or
Open vSwitch. Addresses and CIDRs are text in their canonical form, ids are the API's.

A port's `device_owner` and `device_id` say what it belongs to: a router's interfaces and its gateway
are the ports with its id, and are stated nowhere else.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

ROUTER_INTERFACE = "network:router_interface"
ROUTER_GATEWAY = "network:router_gateway"
FLOATING_IP = "network:floatingip"
"""Owners of ports that do not belong to servers. A floating IP's port only reserves its address."""
COMPUTE = "compute:"
"""Prefix of the owner of a server's port."""


class Direction(enum.StrEnum):
    """As seen from the server."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Ethertype(enum.StrEnum):
    IPV4 = "IPv4"
    IPV6 = "IPv6"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """`physical_network` is set for an external network: the bridge mapping that it leaves by."""

    id: str
    name: str = ""
    mtu: int = 1442
    external: bool = False
    physical_network: str | None = None
    admin_state_up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRoute:
    destination: str
    nexthop: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetSpec:
    """`ipv6_ra_mode` and `ipv6_address_mode` are slaac, dhcpv6-stateful, dhcpv6-stateless or None. Between
    subnets of the same address scope no router translates.
    """

    id: str
    network_id: str
    cidr: str
    ip_version: int = 4
    gateway_ip: str | None = None
    enable_dhcp: bool = True
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    ipv6_ra_mode: str | None = None
    ipv6_address_mode: str | None = None
    address_scope_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedIp:
    subnet_id: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPair:
    """One more address (or CIDR) a port may use, with its MAC; None is the port's own."""

    address: str
    mac: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpOption:
    """One more thing that DHCP answers a port, by its name or number in dhcp-options(5)."""

    name: str
    value: str
    ip_version: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSpec:
    """How much a port may carry in a direction, as seen from the server; a burst of 0 is the engine's."""

    direction: Direction
    kbps: int
    burst_kbit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSpec:
    """`host` is the only host that may plug it, by its chassis name; None allows any. `generation` is
    the row's, and is written beside the port for people to compare. Packets that it sends are marked with
    `dscp`.
    """

    id: str
    network_id: str
    mac: str
    name: str = ""
    fixed_ips: tuple[FixedIp, ...] = ()
    device_owner: str = ""
    device_id: str = ""
    host: str | None = None
    admin_state_up: bool = True
    port_security_enabled: bool = True
    security_group_ids: tuple[str, ...] = ()
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    dhcp: tuple[DhcpOption, ...] = ()
    rates: tuple[RateSpec, ...] = ()
    dscp: int | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSpec:
    """`enable_snat` matters only while the router has a gateway port."""

    id: str
    name: str = ""
    admin_state_up: bool = True
    enable_snat: bool = True
    routes: tuple[HostRoute, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingIpSpec:
    """An associated floating IP. With `mac`, that of the port that reserves it, the server's own host
    answers for it; without, the router's gateway host does.
    """

    id: str
    address: str
    router_id: str
    port_id: str
    fixed_address: str
    mac: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardingSpec:
    """What comes to one port of a floating IP goes to one port of an address behind its router."""

    id: str
    router_id: str
    protocol: str
    outer_address: str
    outer_port: int
    inner_address: str
    inner_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """A member that new connections go to; how many of them is `weight` in proportion to the others'."""

    address: str
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSpec:
    """`protocol` is tcp, udp or sctp. With `by_source`, the client's address alone decides which
    backend it gets; with `sticky_s`, a client stays with its backend for so long after its last
    connection, as far as that backend is there. Where there are `allowed_cidrs`, others are not heard.
    """

    id: str
    protocol: str
    port: int
    backends: tuple[BackendSpec, ...] = ()
    by_source: bool = False
    sticky_s: int | None = None
    allowed_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSpec:
    """A place of a balancer on a host: what is sent to the virtual address and one of these ports comes
    to it, all else of TCP and UDP to the balancer's first, and ICMP to all of them. `address` is known
    to the balancer's router alone, which is `gateway` in their network of that prefix.
    """

    id: str
    host: str
    mac: str
    address: str
    gateway: str
    gateway_mac: str
    prefix: int
    first_port: int
    last_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerSpec:
    """`port_id` is the port that has the virtual address. `member_subnet_ids` are where members are,
    beside the subnet of the address. `generation` is the row's. With stations, the address is theirs.
    """

    id: str
    port_id: str
    address: str
    subnet_id: str
    name: str = ""
    member_subnet_ids: tuple[str, ...] = ()
    listeners: tuple[ListenerSpec, ...] = ()
    stations: tuple[StationSpec, ...] = ()
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """Traffic that is allowed. `protocol` is a name or number as text, or None for any. For ICMP `port_min`
    is the type and `port_max` the code. At most one of the remotes is set; `remote_networks` of None is
    all, and of none nobody.
    """

    id: str
    direction: Direction
    ethertype: Ethertype = Ethertype.IPV4
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_prefix: str | None = None
    remote_group_id: str | None = None
    remote_networks: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityGroupSpec:
    """One that is not stateful needs rules for answers, too."""

    id: str
    name: str = ""
    stateful: bool = True
    rules: tuple[RuleSpec, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The whole network as wanted. Order does not matter. A spec that names something that is not in
    it (a port on an unknown network, say) is left out rather than refused: rows may be deleted
    between two reads. `gateway_hosts` are the chassis names of the hosts with a way outside.
    """

    networks: tuple[NetworkSpec, ...] = ()
    subnets: tuple[SubnetSpec, ...] = ()
    ports: tuple[PortSpec, ...] = ()
    routers: tuple[RouterSpec, ...] = ()
    floating_ips: tuple[FloatingIpSpec, ...] = ()
    forwardings: tuple[ForwardingSpec, ...] = ()
    security_groups: tuple[SecurityGroupSpec, ...] = ()
    balancers: tuple[BalancerSpec, ...] = ()
    gateway_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What `converge` did: a printable line per action, none when all was as wanted. All hosts have it
    once `ObservedNetwork.sequence` is as high.
    """

    actions: tuple[str, ...] = ()
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """What the engine reports. `ports_up` are ids of the ports that a host has plugged and that carry
    traffic; `sequence` is that of the newest change which every host has.
    """

    ports_up: frozenset[str] = frozenset()
    sequence: int = 0


class Northbound(Protocol):
    """The whole network's engine. Used by the worker, from one thread at a time.

    Both methods raise Transient when the engine cannot be reached or does not answer in time.
    """

    def converge(self, topology: Topology, *, asks: bool = False) -> Applied:
        """Make the network as wanted, in one transaction: first write and repair are the same. With
        `asks`, hosts are to say when they have it, which costs the engine another look at the whole.
        """
        ...

    def rebalance(self, balancers: Collection[BalancerSpec]) -> Applied:
        """Give the listeners of these that are there already their members of now, and look at
        nothing else: what a member does is no reason to compare a whole network.
        """
        ...

    def observe(self) -> ObservedNetwork:
        """The state of the network, as far as the store has columns for it."""
        ...


class Switch(Protocol):
    """One host's switch. Used by the host agent, from one thread at a time.

    Only ports made by it are listed or removed. Every method raises Transient when the switch
    cannot be reached or does not answer in time.
    """

    def ensure_ports(self, ports: Mapping[str, str]) -> None:
        """Plug links, all at once: link name to port id. A link that was replaced by another of the
        same name since it was plugged is plugged again. The links exist, or are being made meanwhile.
        """
        ...

    def delete_ports(self, names: Collection[str]) -> None:
        """Unplug links, all at once. One that is not plugged is no error."""
        ...

    def list_ports(self) -> dict[str, str]:
        """Link name to port id, of the links plugged and not replaced since."""
        ...
