"""Which switches and routers know which listeners. Pure; used by the files that make records.

A connection is given its backend on the switch of whoever opens it, so every switch from which the
virtual address can be reached over routers knows the listener, and so do the members' switches.
A router knows it only while it has a gateway, for what comes from outside: the user-space datapath
of Open vSwitch 3.1 aborts (`conn_update_state`) when one without a gateway balances.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from kumoi.cloud.drivers.network.interface import (
    BalancerSpec,
    FloatingIpSpec,
    ForwardingSpec,
    ListenerSpec,
    PortSpec,
)
from kumoi.cloud.drivers.network.ovn.index import Index
from kumoi.cloud.drivers.network.ovn.northbound import RecordKey, RecordKind

Attached = Mapping[str, frozenset[RecordKey]]


def listener_key(listener: ListenerSpec) -> RecordKey:
    return RecordKey(RecordKind.LISTENER, listener.id)


def floating_key(listener: ListenerSpec, floating: FloatingIpSpec) -> RecordKey:
    return RecordKey(RecordKind.FLOATING_LISTENER, f"{listener.id}/{floating.id}")


def forwarding_key(forwarding: ForwardingSpec) -> RecordKey:
    return RecordKey(RecordKind.FORWARDING, forwarding.id)


def forwardings_of(index: Index) -> list[ForwardingSpec]:
    """Those whose router is there and leads outside."""
    return [
        forwarding
        for forwarding in index.topology.forwardings
        if forwarding.router_id in index.routers
        and index.gateway_of(forwarding.router_id) is not None
    ]


def floating_of(balancer: BalancerSpec, index: Index) -> list[FloatingIpSpec]:
    """Those that lead to the virtual address, through a router that is there and leads outside."""
    return [
        floating
        for floating in index.floating_to.get(balancer.port_id, ())
        if floating.fixed_address == balancer.address
        and floating.router_id in index.routers
        and index.gateway_of(floating.router_id) is not None
    ]


def reached_by(balancer: BalancerSpec, index: Index) -> list[PortSpec]:
    """The ports of all routers by which the virtual address can be reached, inside and outside."""
    return [
        port
        for router_id in sorted(_routers(_networks(balancer, index), index))
        for port in index.router_ports.get(router_id, ())
        if any(index.subnet_of(fixed_ip) is not None for fixed_ip in port.fixed_ips)
    ]


def on_switches(index: Index) -> Attached:
    """Keys of listeners by network."""
    found: dict[str, set[RecordKey]] = defaultdict(set)
    for balancer in index.topology.balancers:
        keys = _keys(balancer, index)
        for network_id in _networks(balancer, index):
            found[network_id] |= keys
    return {network_id: frozenset(keys) for network_id, keys in found.items()}


def on_routers(index: Index) -> Attached:
    """Keys of listeners and of port forwardings by router, of those that lead outside."""
    found: dict[str, set[RecordKey]] = defaultdict(set)
    for balancer in index.topology.balancers:
        keys = _keys(balancer, index)
        for router_id in _routers(_networks(balancer, index), index):
            if index.gateway_of(router_id) is not None:
                found[router_id] |= keys
    for forwarding in forwardings_of(index):
        found[forwarding.router_id].add(forwarding_key(forwarding))
    return {router_id: frozenset(keys) for router_id, keys in found.items()}


def backends_on_routers(index: Index) -> Mapping[str, frozenset[str]]:
    """Addresses of backends by router, of those that lead outside: what they answer to a client out
    there passes the gateway host, which knows of the connection.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for balancer in index.topology.balancers:
        addresses = {
            backend.address for listener in balancer.listeners for backend in listener.backends
        }
        for router_id in _routers(_networks(balancer, index), index):
            if index.gateway_of(router_id) is not None:
                found[router_id] |= addresses
    for forwarding in forwardings_of(index):
        found[forwarding.router_id].add(forwarding.inner_address)
    return {router_id: frozenset(addresses) for router_id, addresses in found.items()}


def _keys(balancer: BalancerSpec, index: Index) -> set[RecordKey]:
    if balancer.port_id not in index.balancer_ports:
        return set()
    floating = floating_of(balancer, index)
    return {
        key
        for listener in balancer.listeners
        for key in (
            listener_key(listener),
            *(floating_key(listener, floating_ip) for floating_ip in floating),
        )
    }


def _networks(balancer: BalancerSpec, index: Index) -> set[str]:
    """Networks of the address and of the members, and all that routers join to the address's."""
    subnets = (balancer.subnet_id, *balancer.member_subnet_ids)
    own = {index.subnets[key].network_id for key in subnets if key in index.subnets}
    reached, added = set(own), own
    while added:
        joined = {
            port.network_id
            for router_id in _routers(added, index)
            for port in index.inner_ports(router_id)
        }
        added = joined - reached
        reached |= added
    return reached


def _routers(network_ids: Iterable[str], index: Index) -> set[str]:
    """Routers with an interface on one of the networks."""
    none: frozenset[str] = frozenset()
    joined = (index.routers_on.get(network_id, none) for network_id in network_ids)
    return {router_id for routers in joined for router_id in routers if router_id in index.routers}
