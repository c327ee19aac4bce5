"""Routers, their gateways, and floating IPs, as northbound records. Pure.

Called by plan.py. A router is distributed: every host routes for itself. Traffic that leaves the cloud
passes a gateway host, but for the floating IPs of servers: they have a MAC and are translated on the
server's own host, which has a way outside as a gateway has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from kumoi.cloud.drivers.network.interface import (
    COMPUTE,
    ROUTER_GATEWAY,
    FloatingIpSpec,
    PortSpec,
    RouterSpec,
)
from kumoi.cloud.drivers.network.ovn.attaching import backends_on_routers, on_routers
from kumoi.cloud.drivers.network.ovn.index import (
    Index,
    default_route,
    is_ipv4,
    marks,
    network_address,
    with_prefix,
)
from kumoi.cloud.drivers.network.ovn.northbound import (
    NO_PAIRS,
    GatewayChassis,
    LogicalRouter,
    LogicalRouterPort,
    LogicalSwitchPort,
    Nat,
    NorthboundRecord,
    Pairs,
    RecordKey,
    RecordKind,
    RouterName,
    RouterPortName,
    StaticRoute,
    SwitchPortName,
)
from kumoi.cloud.drivers.network.ovn.switching import switch_key

GATEWAY_HOSTS_MAX = 5
"""For each router. They watch each other by BFD."""

NEIGHBOUR_AGE_S = 300
ROUTER_OPTIONS: Pairs = frozenset(
    {
        # Neighbours are learnt by asking, not from every ARP request on the external network.
        ("always_learn_from_arp_request", "false"),
        # Routers of one external network have no flows for each other before there is traffic.
        ("dynamic_neigh_routers", "true"),
        # OVN forgets none of its own accord. To ask again costs the packet or two that wait meanwhile.
        ("mac_binding_age_threshold", str(NEIGHBOUR_AGE_S)),
    }
)
RA_MODES = {
    "slaac": "slaac",
    "dhcpv6-stateful": "dhcpv6_stateful",
    "dhcpv6-stateless": "dhcpv6_stateless",
}


def records(index: Index) -> Iterator[NorthboundRecord]:
    balancing = on_routers(index)
    for router in index.topology.routers:
        yield from _router(router, index, balancing.get(router.id, frozenset()))
    backends = backends_on_routers(index)
    for floating_ip in index.topology.floating_ips:
        balanced = floating_ip.fixed_address in backends.get(floating_ip.router_id, ())
        yield from _floating_ip(floating_ip, index, is_backend=balanced)


def router_key(router_id: str) -> RecordKey:
    return RecordKey(RecordKind.ROUTER, router_id)


def _router(
    router: RouterSpec, index: Index, listeners: frozenset[RecordKey]
) -> Iterator[NorthboundRecord]:
    key = router_key(router.id)
    yield LogicalRouter(
        key=key,
        external_ids=marks(key, name=router.name),
        name=RouterName(f"kumoi-{router.id}"),
        enabled=None if router.admin_state_up else False,
        options=ROUTER_OPTIONS,
        load_balancer=listeners,
    )
    for port in index.router_ports.get(router.id, ()):
        yield from _router_port(port, index)
    for route in router.routes:
        yield _route(router, network_address(route.destination), route.nexthop, output=None)
    gateway = index.gateway_of(router.id)
    if gateway is not None:
        yield from _gateway(router, gateway, index)


def _router_port(port: PortSpec, index: Index) -> Iterator[NorthboundRecord]:
    """The router's port and the switch's port that is its peer."""
    subnets = ((ip.address, index.subnet_of(ip)) for ip in port.fixed_ips)
    networks = {with_prefix(address, subnet) for address, subnet in subnets if subnet is not None}
    if not networks:
        return
    key = RecordKey(RecordKind.ROUTER_PORT, port.id)
    yield LogicalRouterPort(
        key=key,
        parent=router_key(port.device_id),
        external_ids=marks(key, generation=port.generation),
        name=router_port_name(port),
        mac=port.mac,
        networks=frozenset(networks),
        ipv6_ra_configs=_advertisement(port, index),
    )
    peer = RecordKey(RecordKind.ROUTER_PEER, port.id)
    options = {("router-port", str(router_port_name(port)))}
    if port.device_owner == ROUTER_GATEWAY:
        # A gateway host that takes over announces the router's addresses and its floating IPs.
        options.add(("nat-addresses", "router"))
    yield LogicalSwitchPort(
        key=peer,
        parent=switch_key(port.network_id),
        external_ids=marks(peer, generation=port.generation),
        name=SwitchPortName(port.id),
        type="router",
        enabled=None if port.admin_state_up else False,
        addresses=frozenset({"router"}),
        options=frozenset(options),
    )


def router_port_name(port: PortSpec) -> RouterPortName:
    return RouterPortName(f"lrp-{port.id}")


def _advertisement(port: PortSpec, index: Index) -> Pairs:
    for fixed_ip in port.fixed_ips:
        subnet = index.subnet_of(fixed_ip)
        if subnet is not None and subnet.ipv6_ra_mode in RA_MODES:
            return frozenset(
                {
                    ("address_mode", RA_MODES[subnet.ipv6_ra_mode]),
                    ("send_periodic", "true"),
                    ("mtu", str(index.networks[subnet.network_id].mtu)),
                }
            )
    return NO_PAIRS


def _gateway(router: RouterSpec, gateway: PortSpec, index: Index) -> Iterator[NorthboundRecord]:
    yield from _gateway_hosts(gateway, index.topology.gateway_hosts)
    for fixed_ip in gateway.fixed_ips:
        subnet = index.subnet_of(fixed_ip)
        if subnet is not None and subnet.gateway_ip:
            prefix = default_route(subnet.gateway_ip)
            yield _route(router, prefix, subnet.gateway_ip, output=router_port_name(gateway))
    if router.enable_snat:
        yield from _snat(router, gateway, index)


def _gateway_hosts(gateway: PortSpec, hosts: Sequence[str]) -> Iterator[NorthboundRecord]:
    """A few hosts in an order that differs between routers, and changes with the hosts only."""

    def weight(host: str) -> bytes:
        return hashlib.blake2b(f"{gateway.id} {host}".encode(), digest_size=8).digest()

    for rank, host in enumerate(sorted(set(hosts), key=weight)[:GATEWAY_HOSTS_MAX]):
        key = RecordKey(RecordKind.GATEWAY, f"{gateway.id}/{host}")
        yield GatewayChassis(
            key=key,
            parent=RecordKey(RecordKind.ROUTER_PORT, gateway.id),
            external_ids=marks(key),
            name=f"{router_port_name(gateway)}_{host}",
            chassis_name=host,
            priority=GATEWAY_HOSTS_MAX - rank,
        )


def _route(
    router: RouterSpec, prefix: str, nexthop: str, output: RouterPortName | None
) -> StaticRoute:
    key = RecordKey(RecordKind.ROUTE, f"{router.id}/{prefix}/{nexthop}")
    return StaticRoute(
        key=key,
        parent=router_key(router.id),
        external_ids=marks(key),
        ip_prefix=prefix,
        nexthop=nexthop,
        output_port=output,
    )


def _snat(router: RouterSpec, gateway: PortSpec, index: Index) -> Iterator[NorthboundRecord]:
    """Traffic of each internal IPv4 subnet leaves with the router's external address, but for subnets of
    the address scope outside.
    """
    found = next((ip for ip in gateway.fixed_ips if is_ipv4(ip.address)), None)
    if found is None:
        return
    outside, outer = found.address, index.subnet_of(found)
    scope = None if outer is None else outer.address_scope_id
    inner = {
        fixed_ip.subnet_id
        for port in index.router_ports[router.id]
        if port is not gateway
        for fixed_ip in port.fixed_ips
        if is_ipv4(fixed_ip.address)
    }
    for subnet_id in sorted(inner & index.subnets.keys()):
        if scope is not None and index.subnets[subnet_id].address_scope_id == scope:
            continue
        key = RecordKey(RecordKind.SNAT, f"{router.id}/{subnet_id}")
        yield Nat(
            key=key,
            parent=router_key(router.id),
            external_ids=marks(key),
            type="snat",
            external_ip=outside,
            logical_ip=network_address(index.subnets[subnet_id].cidr),
        )


def _floating_ip(
    floating_ip: FloatingIpSpec, index: Index, *, is_backend: bool
) -> Iterator[NorthboundRecord]:
    inner = floating_ip.port_id
    port = index.endpoints.get(inner) or index.balancer_ports.get(inner)
    if port is None or index.routers.get(floating_ip.router_id) is None:
        return
    if index.gateway_of(floating_ip.router_id) is None:
        return
    # A port that no server has is plugged nowhere: only a gateway host can answer for it. And what a
    # balancer's backend answers would leave from its own host, past the gateway host that balances.
    is_servers = port.device_owner.startswith(COMPUTE) and not is_backend
    local = floating_ip.mac is not None and is_servers
    key = RecordKey(RecordKind.FLOATING_IP, floating_ip.id)
    yield Nat(
        key=key,
        parent=router_key(floating_ip.router_id),
        external_ids=marks(key),
        type="dnat_and_snat",
        external_ip=floating_ip.address,
        logical_ip=floating_ip.fixed_address,
        external_mac=floating_ip.mac if local else None,
        logical_port=SwitchPortName(port.id) if local else None,
    )
