"""What is sent to the network service and would do harm further on is refused at the edge."""

from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from tests.stories.network.conftest import Raw

ZONE = "fe80::1%x\nlxc.hook.pre-start = id"
"""An address to Python, with a zone that would be a line of somebody's configuration."""


@pytest.fixture
def network(demo: Connection) -> Any:
    made = demo.network.create_network(name="private")
    demo.network.create_subnet(network_id=made.id, ip_version=6, cidr="fe80::/64")
    return made


@pytest.mark.parametrize(
    "change",
    [
        {"gateway_ip": ZONE},
        {"dns_nameservers": [ZONE]},
        {"host_routes": [{"destination": "fd02::/64", "nexthop": ZONE}]},
        {"host_routes": [{"destination": "fd02::%x/64", "nexthop": "fd01::9"}]},
        {"allocation_pools": [{"start": "fd01::5", "end": "fd01::9%x"}]},
        {"cidr": "fd01::%x/64"},
    ],
)
def test_an_address_with_a_zone_makes_no_subnet(
    network: Any, raw: Raw, change: dict[str, Any]
) -> None:
    body = {"network_id": network.id, "ip_version": 6, "cidr": "fd01::/64"} | change
    status, _, message = raw.fault("POST", "subnets", {"subnet": body})
    assert status == 400, message
    assert len(raw("GET", f"subnets?network_id={network.id}").json()["subnets"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"fixed_ips": [{"ip_address": ZONE}]},
        {"allowed_address_pairs": [{"ip_address": ZONE}]},
        {"allowed_address_pairs": [{"ip_address": "fe80::%x/64"}]},
    ],
)
def test_an_address_with_a_zone_makes_no_port(
    network: Any, raw: Raw, change: dict[str, Any]
) -> None:
    status, _, message = raw.fault("POST", "ports", {"port": {"network_id": network.id} | change})
    assert status == 400, message
    assert raw("GET", "ports").json()["ports"] == []


def test_an_address_with_a_zone_makes_no_rule(demo: Connection, raw: Raw) -> None:
    group = demo.network.create_security_group(name="web")
    rule = {"security_group_id": group.id, "direction": "ingress", "ethertype": "IPv6"}
    rule |= {"remote_ip_prefix": "fe80::%) || (1/64"}
    status, _, message = raw.fault("POST", "security-group-rules", {"security_group_rule": rule})
    assert status == 400, message
