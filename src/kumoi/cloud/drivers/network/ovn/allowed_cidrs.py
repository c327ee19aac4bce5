"""Listeners that only some networks may ask, as access lists. Pure; called by plan.py.

A list stands on each switch from which the virtual address can be asked, and outside, where floating IPs lead
to it: what others send is dropped on the switch that it comes from, before it is given a backend. So a
connection that was let in stays. The addresses that are kept out are written as what the allowed ones leave of
all: to say "none of these" costs flows for each combination of bits.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from kumoi.cloud.drivers.network.interface import BalancerSpec, ListenerSpec
from kumoi.cloud.drivers.network.ovn.attaching import floating_of, reached_by
from kumoi.cloud.drivers.network.ovn.index import Index, is_ipv4, marks
from kumoi.cloud.drivers.network.ovn.northbound import (
    Acl,
    NorthboundRecord,
    PortGroup,
    PortGroupName,
    RecordKey,
    RecordKind,
)

PRIORITY = 2000
"""Above those of security groups, which may allow."""


def records(index: Index) -> Iterator[NorthboundRecord]:
    for balancer in index.topology.balancers:
        if balancer.port_id not in index.balancer_ports or balancer.subnet_id not in index.subnets:
            continue
        for listener in balancer.listeners:
            others = outside_of(listener.allowed_cidrs) if listener.allowed_cidrs else []
            if others:
                yield from _list(balancer, listener, others, index)


def _list(
    balancer: BalancerSpec, listener: ListenerSpec, others: list[str], index: Index
) -> Iterator[NorthboundRecord]:
    key = RecordKey(RecordKind.ALLOWED_CIDRS, listener.id)
    peer = RecordKey(RecordKind.BALANCER_PEER, balancer.port_id)
    ports = [RecordKey(RecordKind.ROUTER_PEER, port.id) for port in reached_by(balancer, index)]
    yield PortGroup(
        key=key,
        external_ids=marks(key),
        name=PortGroupName(f"kumoi_cidrs_{listener.id.replace('-', '_')}"),
        ports=frozenset({peer, *ports}),
    )
    family = "ip4" if is_ipv4(balancer.address) else "ip6"
    addresses = [balancer.address, *(one.address for one in floating_of(balancer, index))]
    rule = RecordKey(RecordKind.ALLOWED_CIDRS_RULE, listener.id)
    yield Acl(
        key=rule,
        parent=key,
        external_ids=marks(rule),
        direction="from-lport",
        priority=PRIORITY,
        match=(
            f"{family}.dst == {{{', '.join(addresses)}}} && "
            f"{listener.protocol}.dst == {listener.port} && {family}.src == {{{', '.join(others)}}}"
        ),
        action="drop",
    )


def outside_of(networks: Iterable[str]) -> list[str]:
    """All addresses of the same version that are in none of the networks, as networks."""
    allowed = [ipaddress.ip_network(one) for one in networks]
    every = ipaddress.ip_network("0.0.0.0/0" if allowed[0].version == 4 else "::/0")  # noqa: PLR2004
    left: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = [every]
    for one in allowed:
        left = [
            part
            for whole in left
            for part in (
                whole.address_exclude(one)  # type: ignore[arg-type]
                if one.subnet_of(whole)  # type: ignore[arg-type]
                else ([] if whole.subnet_of(one) else [whole])  # type: ignore[arg-type]
            )
        ]
    return [str(one) for one in sorted(left)]
