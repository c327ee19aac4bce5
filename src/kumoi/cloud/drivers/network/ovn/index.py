"""The topology, indexed by id. Used by the modules that make records of it."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kumoi.cloud.drivers.network.interface import (
    FLOATING_IP,
    ROUTER_GATEWAY,
    ROUTER_INTERFACE,
    FixedIp,
    FloatingIpSpec,
    NetworkSpec,
    PortSpec,
    RouterSpec,
    SubnetSpec,
    Topology,
)
from kumoi.cloud.drivers.network.ovn.northbound import GENERATION, ID, KIND, LABEL, Pairs, RecordKey


@dataclass(frozen=True, slots=True)
class Index:
    """By id: `endpoints` are the ports of servers and those without an owner, `router_ports` those of
    a router, `balancer_ports` those with a balancer's virtual address; `routers_on` are the routers
    with an interface on a network, `floating_to` the floating IPs of a port.
    """

    topology: Topology
    networks: Mapping[str, NetworkSpec]
    subnets: Mapping[str, SubnetSpec]
    routers: Mapping[str, RouterSpec]
    endpoints: Mapping[str, PortSpec]
    router_ports: Mapping[str, Sequence[PortSpec]]
    balancer_ports: Mapping[str, PortSpec]
    routers_on: Mapping[str, frozenset[str]]
    floating_to: Mapping[str, Sequence[FloatingIpSpec]]

    def subnet_of(self, fixed_ip: FixedIp) -> SubnetSpec | None:
        return self.subnets.get(fixed_ip.subnet_id)

    def inner_ports(self, router_id: str) -> list[PortSpec]:
        """The router's interfaces, without its way outside."""
        ports = self.router_ports.get(router_id, ())
        return [port for port in ports if port.device_owner == ROUTER_INTERFACE]

    def gateway_of(self, router_id: str) -> PortSpec | None:
        """The router's port to an external network."""
        for port in self.router_ports.get(router_id, ()):
            if port.device_owner == ROUTER_GATEWAY:
                return port
        return None


def index(topology: Topology) -> Index:
    networks = {network.id: network for network in topology.networks}
    endpoints: dict[str, PortSpec] = {}
    router_ports: dict[str, list[PortSpec]] = defaultdict(list)
    balancer_ports: dict[str, PortSpec] = {}
    balanced = {balancer.port_id for balancer in topology.balancers}
    for port in topology.ports:
        if port.network_id not in networks or port.device_owner == FLOATING_IP:
            continue
        if port.device_owner in (ROUTER_INTERFACE, ROUTER_GATEWAY):
            router_ports[port.device_id].append(port)
        elif port.id in balanced:
            balancer_ports[port.id] = port
        else:
            endpoints[port.id] = port
    return Index(
        topology=topology,
        networks=networks,
        subnets={item.id: item for item in topology.subnets if item.network_id in networks},
        routers={router.id: router for router in topology.routers},
        endpoints=endpoints,
        router_ports=router_ports,
        balancer_ports=balancer_ports,
        routers_on=_routers_on(router_ports),
        floating_to=_floating_to(topology),
    )


def _routers_on(router_ports: Mapping[str, Sequence[PortSpec]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for router_id, ports in router_ports.items():
        for port in ports:
            if port.device_owner == ROUTER_INTERFACE:
                found[port.network_id].add(router_id)
    return {network_id: frozenset(router_ids) for network_id, router_ids in found.items()}


def _floating_to(topology: Topology) -> dict[str, list[FloatingIpSpec]]:
    found: dict[str, list[FloatingIpSpec]] = defaultdict(list)
    for floating in topology.floating_ips:
        found[floating.port_id].append(floating)
    return found


def marks(key: RecordKey, *, name: str = "", generation: int = 0) -> Pairs:
    """The external_ids by which a row is known as ours. Name and generation are for people to read."""
    pairs = {(KIND, key.kind.value), (ID, key.id)}
    if name:
        pairs.add((LABEL, name))
    if generation:
        pairs.add((GENERATION, str(generation)))
    return frozenset(pairs)


def with_prefix(address: str, subnet: SubnetSpec) -> str:
    """An address of a subnet, as 192.168.1.1/24."""
    return f"{address}/{subnet.cidr.rpartition('/')[2]}"


def default_route(gateway_ip: str) -> str:
    """The prefix of all addresses of the gateway's IP version."""
    return "0.0.0.0/0" if is_ipv4(gateway_ip) else "::/0"


def is_ipv4(address: str) -> bool:
    return ":" not in address


def network_address(cidr: str) -> str:
    """The CIDR without host bits, as OVN wants it."""
    return str(ipaddress.ip_network(cidr, strict=False))
