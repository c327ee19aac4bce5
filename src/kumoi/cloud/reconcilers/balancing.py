"""Load balancers as the network engine is told of them. Pure; called by network.py."""

from __future__ import annotations

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
from kumoi.cloud.store.load_balancer.station import Station


def balancer_spec(tree: BalancerTree) -> BalancerSpec:
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
            _listener_spec(tree, listener)
            for listener in tree.listeners
            if row.admin_state_up and listener.admin_state_up and listener.protocol in TRANSPORTS
        ),
        stations=tuple(_station_spec(tree, one) for one in tree.stations),
        generation=row.revision_number,
    )


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


def _listener_spec(tree: BalancerTree, row: BalancerListener) -> ListenerSpec:
    pool = tree.pool(row.default_pool_id)
    members = [] if pool is None else receiving(tree, pool)
    return ListenerSpec(
        id=row.id,
        protocol=TRANSPORTS[row.protocol],
        port=row.protocol_port,
        backends=tuple(
            BackendSpec(address=member.address, port=member.protocol_port, weight=member.weight)
            for member in members
        ),
        by_source=pool is not None and pool.lb_algorithm == SOURCE_IP,
        sticky_s=None if pool is None else sticky_s(pool),
    )
