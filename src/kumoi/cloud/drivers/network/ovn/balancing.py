"""Load balancers, and port forwardings of floating IPs, as northbound records. Pure.

Called by plan.py. A listener is a row that names its backends; OVN gives each new connection one of
them where it begins, and no process is on its way. Equal backends are repeated as often as their
weight says. A member that is not among them gets no new connection and keeps those it has.

The virtual address is that of a small router with one port, which answers for it (ARP, ping) and
sends what was already given a backend to where that is. It balances nothing itself, so it does not
fall under the rule of attaching.py. Without it nobody on the address's own network would take the
packets in, since OVN sends them on by the MAC that the address had.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from kumoi.cloud.drivers.network.interface import (
    BackendSpec,
    BalancerSpec,
    ForwardingSpec,
    ListenerSpec,
    PortSpec,
    SubnetSpec,
)
from kumoi.cloud.drivers.network.ovn import stationing
from kumoi.cloud.drivers.network.ovn.attaching import (
    floating_key,
    floating_of,
    forwarding_key,
    forwardings_of,
    listener_key,
)
from kumoi.cloud.drivers.network.ovn.index import Index, default_route, is_ipv4, marks, with_prefix
from kumoi.cloud.drivers.network.ovn.northbound import (
    NO_TEXTS,
    LoadBalancerRecord,
    LogicalRouter,
    LogicalRouterPort,
    LogicalSwitchPort,
    NorthboundRecord,
    RecordKey,
    RecordKind,
    RouterName,
    RouterPortName,
    StaticRoute,
    SwitchPortName,
    Texts,
)
from kumoi.cloud.drivers.network.ovn.routing import ROUTER_OPTIONS, router_port_name
from kumoi.cloud.drivers.network.ovn.switching import switch_key

REPEATS_MAX = 32
"""How often the heaviest member is named: shares are right to within 3 %."""
BY_SOURCE: Texts = frozenset({"ip_src", "ip_dst"})


def records(index: Index) -> Iterator[NorthboundRecord]:
    for balancer in index.topology.balancers:
        port, subnet = (
            index.balancer_ports.get(balancer.port_id),
            index.subnets.get(balancer.subnet_id),
        )
        if port is None or subnet is None:
            continue
        yield from _place(balancer, port, subnet)
        yield from _listeners(balancer, index)
    for forwarding in forwardings_of(index):
        yield _forwarding(forwarding)


def _listeners(balancer: BalancerSpec, index: Index) -> Iterator[LoadBalancerRecord]:
    floating = floating_of(balancer, index)
    for listener in balancer.listeners:
        # The small router answers for the address: no other is to.
        yield _row(listener_key(listener), balancer.address, listener, neighbours="none")
        for floating_ip in floating:
            key = floating_key(listener, floating_ip)
            yield _row(key, floating_ip.address, listener, neighbours="reachable")


def _row(
    key: RecordKey, address: str, listener: ListenerSpec, *, neighbours: str
) -> LoadBalancerRecord:
    """With nobody to give connections to, they are refused at once."""
    options = {("neighbor_responder", neighbours), ("reject", "true")}
    if listener.sticky_s is not None:
        options.add(("affinity_timeout", str(listener.sticky_s)))
    return LoadBalancerRecord(
        key=key,
        external_ids=marks(key),
        name=f"kumoi-{key.id}",
        protocol=listener.protocol,
        vips=frozenset({(_end(address, listener.port), _named(listener))}),
        selection_fields=BY_SOURCE if listener.by_source else NO_TEXTS,
        options=frozenset(options),
    )


def _forwarding(forwarding: ForwardingSpec) -> LoadBalancerRecord:
    """A balancer with one member, which only the router outside knows and answers for."""
    key = forwarding_key(forwarding)
    outer = _end(forwarding.outer_address, forwarding.outer_port)
    inner = _end(forwarding.inner_address, forwarding.inner_port)
    return LoadBalancerRecord(
        key=key,
        external_ids=marks(key),
        name=f"kumoi-{key.id}",
        protocol=forwarding.protocol,
        vips=frozenset({(outer, inner)}),
        options=frozenset({("neighbor_responder", "reachable")}),
    )


def listener_of(key: RecordKey) -> str:
    """The id of the listener that a row was made of; empty for any other row."""
    if key.kind not in (RecordKind.LISTENER, RecordKind.FLOATING_LISTENER):
        return ""
    return key.id.partition("/")[0]


def with_members(record: LoadBalancerRecord, listener: ListenerSpec) -> LoadBalancerRecord:
    """The same row, for the same address, with the members of now."""
    return replace(record, vips=frozenset((end, _named(listener)) for end, _ in record.vips))


def _named(listener: ListenerSpec) -> str:
    """Each backend as often as its weight says."""
    ends = [
        end
        for backend, times in zip(listener.backends, repeats(listener.backends), strict=True)
        for end in [_end(backend.address, backend.port)] * times
    ]
    return ",".join(ends)


def repeats(backends: Sequence[BackendSpec]) -> list[int]:
    """How often to name each, in the smallest numbers that keep the shares."""
    if not backends:
        return []
    divisor = math.gcd(*(backend.weight for backend in backends))
    counts = [backend.weight // divisor for backend in backends]
    most = max(counts)
    if most <= REPEATS_MAX:
        return counts
    return [max(1, round(count * REPEATS_MAX / most)) for count in counts]


def _end(address: str, port: int) -> str:
    return f"{address}:{port}" if is_ipv4(address) else f"[{address}]:{port}"


def _place(
    balancer: BalancerSpec, port: PortSpec, subnet: SubnetSpec
) -> Iterator[NorthboundRecord]:
    """The small router, its port and the switch's end of it."""
    router = RecordKey(RecordKind.BALANCER_ROUTER, balancer.id)
    yield LogicalRouter(
        key=router,
        external_ids=marks(router, name=balancer.name),
        name=RouterName(f"kumoi-{balancer.id}"),
        options=ROUTER_OPTIONS,
    )
    end = RecordKey(RecordKind.BALANCER_PORT, port.id)
    name = router_port_name(port)
    own = _nobodys(subnet) if balancer.stations else balancer.address
    yield LogicalRouterPort(
        key=end,
        parent=router,
        external_ids=marks(end),
        name=name,
        mac=port.mac,
        networks=frozenset({with_prefix(own, subnet)}),
    )
    if subnet.gateway_ip:
        yield _way_out(router, balancer, subnet.gateway_ip, name)
    peer = RecordKey(RecordKind.BALANCER_PEER, port.id)
    yield LogicalSwitchPort(
        key=peer,
        parent=switch_key(port.network_id),
        external_ids=marks(peer, name=port.name, generation=port.generation),
        name=SwitchPortName(port.id),
        type="router",
        enabled=None if port.admin_state_up else False,
        addresses=frozenset({f"{port.mac} {balancer.address}" if balancer.stations else "router"}),
        options=frozenset({("router-port", str(name))}),
    )
    yield from stationing.records(balancer, router)


def _nobodys(subnet: SubnetSpec) -> str:
    """The address of the range itself, which no port can have."""
    return str(ipaddress.ip_network(subnet.cidr, strict=False).network_address)


def _way_out(
    router: RecordKey, balancer: BalancerSpec, gateway_ip: str, output: RouterPortName
) -> StaticRoute:
    """To members on other subnets."""
    key = RecordKey(RecordKind.BALANCER_ROUTE, balancer.id)
    return StaticRoute(
        key=key,
        parent=router,
        external_ids=marks(key),
        ip_prefix=default_route(gateway_ip),
        nexthop=gateway_ip,
        output_port=output,
    )
