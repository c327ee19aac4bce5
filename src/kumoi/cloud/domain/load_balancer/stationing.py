"""Which balancers need a place on hosts, and what such a station is in the network. Pure.

OVN gives connections to members by itself. A station is needed where somebody must probe members, or
where a listener needs a proxy.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kumoi.cloud.domain.load_balancer import datapath
from kumoi.cloud.domain.load_balancer.status import is_monitored
from kumoi.cloud.domain.load_balancer.tree import BalancerTree
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.station import Station

STATIONS_MAX = 2
"""Of one balancer, each on another host."""

FIRST_PORT = 32_768
PORTS = 16_384
LISTENER_PORTS = 1_024
IPV4_STATIONS, IPV6_STATIONS = ("169.254.0.", 29), ("fd00:6b75:6d6f:69::", 64)
GATEWAY_MAC = "fa:16:3f:00:00:01"
"""Where stations and their balancer's router meet: a network of its own for each balancer."""


@dataclass(frozen=True, slots=True)
class StationPlace:
    """What stands in the network of a station. Its ports are those of the virtual address that are its
    own: the lowest for listeners, the others for what it opens itself.
    """

    id: str
    host_id: str
    mac: str
    address: str
    gateway: str
    gateway_mac: str
    prefix: int
    first_port: int

    @property
    def first_free_port(self) -> int:
        return self.first_port + LISTENER_PORTS

    @property
    def last_port(self) -> int:
        return self.first_port + PORTS - 1

    def listener_port(self, listener: BalancerListener) -> int:
        return self.first_port + listener.number % LISTENER_PORTS


def is_stationed(tree: BalancerTree) -> bool:
    return tree.balancer.admin_state_up and (
        any(is_monitored(tree, pool.id) for pool in tree.pools) or bool(proxied(tree))
    )


def wanted_stations(tree: BalancerTree) -> int:
    return tree.balancer.stations_max or STATIONS_MAX


def proxied(tree: BalancerTree) -> list[BalancerListener]:
    """Listeners that a proxy serves."""
    return [row for row in tree.listeners if row.admin_state_up and needs_proxy(tree, row)]


def needs_proxy(tree: BalancerTree, row: BalancerListener) -> bool:
    return datapath.path_of(row, tree.pools_of(row)) is datapath.PROXY


def place(tree: BalancerTree, row: Station) -> StationPlace:
    is_ipv4 = ":" not in tree.balancer.vip_address
    stem, prefix = IPV4_STATIONS if is_ipv4 else IPV6_STATIONS
    digest = hashlib.sha256(row.id.encode()).hexdigest()
    return StationPlace(
        id=row.id,
        host_id=row.host_id,
        mac=":".join(("fa", "16", "3f", digest[:2], digest[2:4], digest[4:6])),
        address=f"{stem}{2 + row.slot}",
        gateway=f"{stem}1",
        gateway_mac=GATEWAY_MAC,
        prefix=prefix,
        first_port=FIRST_PORT + row.slot * PORTS,
    )
