"""What a security group opens, in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kumoi.cli.exposure import LOOPBACK, NETWORKS, TENANTS, UNDERLAY, opened, reached_by
from kumoi.config import CloudSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.wires.sockets import Bound


def rule(**changes: Any) -> SimpleNamespace:
    fields = {
        "direction": "ingress",
        "security_group_id": "web",
        "protocol": "tcp",
        "ether_type": "IPv4",
        "port_range_min": 80,
        "port_range_max": 80,
        "remote_ip_prefix": None,
        "remote_group_id": None,
    }
    return SimpleNamespace(**{**fields, **changes})


def test_rules_are_told_by_what_they_let_in_and_from_where() -> None:
    rules = [
        rule(),
        rule(port_range_min=8000, port_range_max=8010, remote_ip_prefix="10.0.0.0/8"),
        rule(protocol=None, port_range_min=None, port_range_max=None, ether_type="IPv6"),
        rule(protocol="icmp", port_range_min=None, port_range_max=None, remote_group_id="web"),
    ]
    assert opened(rules, {"web"}) == [
        "any from ::/0",
        "icmp from group web",
        "tcp 80 from 0.0.0.0/0",
        "tcp 8000-8010 from 10.0.0.0/8",
    ]


def test_what_goes_out_and_other_groups_open_nothing() -> None:
    assert opened([rule(direction="egress"), rule(security_group_id="other")], {"web"}) == []


@pytest.mark.parametrize(
    ("protocol", "address", "port", "who"),
    [
        ("tcp", "10.1.0.1", 5000, TENANTS),
        ("tcp", "0.0.0.0", 5002, TENANTS),
        ("tcp", "::", 5002, TENANTS),
        ("udp", "0.0.0.0", 5000, NETWORKS),
        ("tcp", "10.1.0.1", 22, NETWORKS),
        ("tcp", "0.0.0.0", 22, NETWORKS),
        ("tcp", "10.2.0.1", 5001, UNDERLAY),
        ("tcp", "10.2.0.13", 5000, UNDERLAY),
        ("tcp", "10.2.0.9", 5000, TENANTS),
        ("tcp", "10.2.0.9", 5002, TENANTS),
        ("tcp", "10.2.0.9", 22, UNDERLAY),
        ("tcp", "127.0.0.1", 5000, LOOPBACK),
        ("tcp", "192.168.0.1", 5000, NETWORKS),
    ],
)
def test_tenants_reach_what_the_edge_lets_through(
    protocol: str, address: str, port: int, who: str
) -> None:
    listed = tuple(ControlHost(f"h{n}", f"10.2.0.{n}") for n in (1, 13, 14))
    cloud = CloudSettings(
        public_cidr="10.1.0.0/24",
        underlay_cidr="10.2.0.0/28",
        control_hosts=listed,
        shared_address="10.2.0.9",
    )
    assert reached_by(cloud, Bound(protocol, address, port, 0)) == who
