"""Load balancers as the network engine is told of them. Pure; called by network.py."""

from __future__ import annotations

from collections.abc import Collection

from kumoi.cloud.domain.load_balancer import stationing
from kumoi.cloud.domain.load_balancer.traffic import SOURCE_IP, TRANSPORTS, receiving, sticky_s
from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.drivers.network.interface import (
    BackendSpec,
    BalancerSpec,
    ListenerSpec,
    StationSpec,
)
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.pool import BalancerPool
from kumoi.cloud.store.load_balancer.station import Station


def balancer_spec(tree: BalancerTree, lost: Collection[str] = ()) -> BalancerSpec:
    """`lost` are the hosts that nobody hears of, or that are out of service: their proxies get no connections,
    while there are others.
    """
    row = tree.balancer
    subnets = {
        member.subnet_id
        for members in tree.members.values()
        for member in members
        if member.subnet_id is not None
    }
    return BalancerSpec(
        id=row.id,
        name=row.name,
        port_id=row.vip_port_id,
        address=row.vip_address,
        subnet_id=row.vip_subnet_id,
        member_subnet_ids=tuple(sorted(subnets - {row.vip_subnet_id})),
        listeners=tuple(
            _listener_spec(tree, listener, lost)
            for listener in tree.listeners
            if row.admin_state_up
            and listener.admin_state_up
            and (listener.protocol in TRANSPORTS or stationing.needs_proxy(tree, listener))
        ),
        stations=tuple(_station_spec(tree, one) for one in tree.stations),
        generation=_applied(tree),
    )


def _applied(tree: BalancerTree) -> int:
    """The revision that there is once the network has this. What a proxy serves is there when a host
    says so.
    """
    if not stationing.proxied(tree):
        return tree.balancer.revision_number
    observed = max((one.observed_generation for one in tree.stations), default=0)
    return min(tree.balancer.revision_number, observed)


def _station_spec(tree: BalancerTree, row: Station) -> StationSpec:
    place = stationing.place(tree, row)
    return StationSpec(
        id=place.id,
        host=place.host_id,
        mac=place.mac,
        address=place.address,
        gateway=place.gateway,
        gateway_mac=place.gateway_mac,
        prefix=place.prefix,
        first_port=place.first_port,
        last_port=place.last_port,
    )


def _listener_spec(
    tree: BalancerTree, row: BalancerListener, lost: Collection[str]
) -> ListenerSpec:
    pool = tree.pool(row.default_pool_id)
    is_proxied = stationing.needs_proxy(tree, row)
    return ListenerSpec(
        id=row.id,
        protocol=TRANSPORTS.get(row.protocol, "tcp"),
        port=row.protocol_port,
        backends=_proxies(tree, row, lost) if is_proxied else _members(tree, pool),
        by_source=pool is not None and pool.lb_algorithm == SOURCE_IP,
        sticky_s=None if pool is None else sticky_s(pool),
        # A proxy itself turns away whom it is not to hear.
        allowed_cidrs=() if is_proxied else tuple(row.allowed_cidrs),
    )


def _members(tree: BalancerTree, pool: BalancerPool | None) -> tuple[BackendSpec, ...]:
    return tuple(
        BackendSpec(address=member.address, port=member.protocol_port, weight=member.weight)
        for member in ([] if pool is None else receiving(tree, pool))
    )


def _proxies(
    tree: BalancerTree, row: BalancerListener, lost: Collection[str]
) -> tuple[BackendSpec, ...]:
    """The stations that serve it already: each at a port of the virtual address of its own."""
    able = [
        station
        for station in tree.stations
        if station.observed_generation >= row.made_revision and not station.fault
    ]
    heard = [station for station in able if station.host_id not in lost]
    return tuple(
        BackendSpec(
            address=tree.balancer.vip_address,
            port=stationing.place(tree, station).listener_port(row),
        )
        for station in heard or able
    )
