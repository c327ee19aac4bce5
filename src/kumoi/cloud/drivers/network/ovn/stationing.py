"""The stations of a balancer as northbound records. Pure; called by balancing.py.

A station is a namespace on a host that has the virtual address, to probe members from and for a
proxy. It takes no address of the tenant's. It is on a switch of its balancer's own behind the small
router, and the router sends it what is for the virtual address and for its own range of ports. Each
station opens connections from its own range, so answers find the one that asked, on every host and
without a connection being known to anybody. ICMP says no port: it goes to all stations, by a group
address of Ethernet, and whom it does not concern drops it.
"""

from __future__ import annotations

from collections.abc import Iterator

from kumoi.cloud.drivers.network.interface import BalancerSpec, StationSpec
from kumoi.cloud.drivers.network.ovn.index import is_ipv4, marks
from kumoi.cloud.drivers.network.ovn.northbound import (
    LogicalRouterPort,
    LogicalSwitch,
    LogicalSwitchPort,
    NorthboundRecord,
    RecordKey,
    RecordKind,
    RouterPolicy,
    RouterPortName,
    SwitchName,
    SwitchPortName,
)

EVERYBODY = 6
"""The last part of the address that stands for all stations."""
EVERYBODY_MAC = {True: "01:00:5e:00:00:06", False: "33:33:00:00:00:06"}
BY_PORT, BY_ICMP, OTHERS = 20, 30, 10


def records(balancer: BalancerSpec, router: RecordKey) -> Iterator[NorthboundRecord]:
    """Nothing without a station."""
    if not balancer.stations:
        return
    first = balancer.stations[0]
    switch = RecordKey(RecordKind.STATION_SWITCH, balancer.id)
    yield LogicalSwitch(
        key=switch,
        external_ids=marks(switch, name=balancer.name),
        name=SwitchName(f"kumoi-{balancer.id}"),
    )
    yield from _way_in(balancer, router, switch)
    yield _port(
        RecordKey(RecordKind.STATION_EVERY, balancer.id),
        switch,
        EVERYBODY_MAC[is_ipv4(balancer.address)],
        _everybody(first),
    )
    for station in balancer.stations:
        key = RecordKey(RecordKind.STATION_PORT, station.id)
        yield _port(key, switch, station.mac, station.address, host=station.host)
    yield from _policies(balancer, router)


def _way_in(
    balancer: BalancerSpec, router: RecordKey, switch: RecordKey
) -> Iterator[NorthboundRecord]:
    first = balancer.stations[0]
    end = RecordKey(RecordKind.STATION_GATEWAY, balancer.id)
    name = RouterPortName(f"lrp-stations-{balancer.id}")
    yield LogicalRouterPort(
        key=end,
        parent=router,
        external_ids=marks(end),
        name=name,
        mac=first.gateway_mac,
        networks=frozenset({f"{first.gateway}/{first.prefix}"}),
    )
    peer = RecordKey(RecordKind.STATION_PEER, balancer.id)
    yield LogicalSwitchPort(
        key=peer,
        parent=switch,
        external_ids=marks(peer),
        name=SwitchPortName(f"stations-{balancer.id}"),
        type="router",
        addresses=frozenset({"router"}),
        options=frozenset({("router-port", str(name))}),
    )


def _port(
    key: RecordKey, switch: RecordKey, mac: str, address: str, *, host: str = ""
) -> LogicalSwitchPort:
    is_everybody = key.kind == RecordKind.STATION_EVERY
    return LogicalSwitchPort(
        key=key,
        parent=switch,
        external_ids=marks(key),
        name=SwitchPortName(f"every-{key.id}" if is_everybody else key.id),
        addresses=frozenset({f"{mac} {address}"}),
        options=frozenset({("requested-chassis", host)} if host else ()),
    )


def _policies(balancer: BalancerSpec, router: RecordKey) -> Iterator[RouterPolicy]:
    ip, icmp = ("ip4", "icmp4") if is_ipv4(balancer.address) else ("ip6", "icmp6")
    here = f"{ip}.dst == {balancer.address}"
    first = balancer.stations[0]
    everybody = f"{here} && {icmp}"
    yield _policy(router, "icmp", priority=BY_ICMP, match=everybody, nexthop=_everybody(first))
    for station in balancer.stations:
        for protocol in ("tcp", "udp"):
            port = f"{protocol}.dst"
            match = f"{here} && {port} >= {station.first_port} && {port} <= {station.last_port}"
            name = f"{station.id}/{protocol}"
            yield _policy(router, name, priority=BY_PORT, match=match, nexthop=station.address)
    yield _policy(router, "others", priority=OTHERS, match=here, nexthop=first.address)


def _policy(
    router: RecordKey, name: str, *, priority: int, match: str, nexthop: str
) -> RouterPolicy:
    key = RecordKey(RecordKind.STATION_POLICY, f"{router.id}/{name}")
    return RouterPolicy(
        key=key,
        parent=router,
        external_ids=marks(key),
        priority=priority,
        match=match,
        action="reroute",
        nexthops=frozenset({nexthop}),
    )


def _everybody(station: StationSpec) -> str:
    return f"{station.gateway[:-1]}{EVERYBODY}"
