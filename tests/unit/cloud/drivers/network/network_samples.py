"""Topologies to plan for, and plans compared with the text beside them. For this folder's tests."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tests.unit.cloud.drivers.network.plan_text import printed

from kumoi.cloud.drivers.network.interface import (
    ROUTER_GATEWAY,
    ROUTER_INTERFACE,
    BackendSpec,
    BalancerSpec,
    Direction,
    FixedIp,
    FloatingIpSpec,
    ListenerSpec,
    NetworkSpec,
    PortSpec,
    RouterSpec,
    RuleSpec,
    SecurityGroupSpec,
    StationSpec,
    SubnetSpec,
    Topology,
)
from kumoi.cloud.drivers.network.ovn.plan import Action

GOLDEN = Path(__file__).parent / "golden"

PRIVATE = NetworkSpec(id="net-a", name="private")
PRIVATE_SUBNET = SubnetSpec(
    id="sub-a",
    network_id="net-a",
    cidr="10.0.1.0/24",
    gateway_ip="10.0.1.1",
    dns_nameservers=("9.9.9.9", "1.1.1.1"),
)
SECOND = NetworkSpec(id="net-b", name="second")
SECOND_SUBNET = SubnetSpec(
    id="sub-b", network_id="net-b", cidr="10.0.2.0/24", gateway_ip="10.0.2.1", enable_dhcp=False
)
PUBLIC = NetworkSpec(
    id="net-x", name="public", mtu=1500, external=True, physical_network="physnet1"
)
PUBLIC_SUBNET = SubnetSpec(
    id="sub-x",
    network_id="net-x",
    cidr="198.51.100.0/24",
    gateway_ip="198.51.100.1",
    enable_dhcp=False,
)
WEB = PortSpec(
    id="web",
    name="web1",
    network_id="net-a",
    mac="fa:16:3e:00:01:15",
    fixed_ips=(FixedIp(subnet_id="sub-a", address="10.0.1.21"),),
    device_owner="compute:nova",
    device_id="server-1",
    host="host-1",
    security_group_ids=("group-1",),
    generation=4,
)
ROUTER = RouterSpec(id="router-1", name="main")
INNER_A = PortSpec(
    id="r-a",
    network_id="net-a",
    mac="fa:16:3e:00:01:01",
    fixed_ips=(FixedIp(subnet_id="sub-a", address="10.0.1.1"),),
    device_owner=ROUTER_INTERFACE,
    device_id="router-1",
)
INNER_B = PortSpec(
    id="r-b",
    network_id="net-b",
    mac="fa:16:3e:00:02:01",
    fixed_ips=(FixedIp(subnet_id="sub-b", address="10.0.2.1"),),
    device_owner=ROUTER_INTERFACE,
    device_id="router-1",
)
OUTER = PortSpec(
    id="r-x",
    network_id="net-x",
    mac="fa:16:3e:00:ff:01",
    fixed_ips=(FixedIp(subnet_id="sub-x", address="198.51.100.10"),),
    device_owner=ROUTER_GATEWAY,
    device_id="router-1",
)
FLOATING = FloatingIpSpec(
    id="fip-1",
    address="198.51.100.21",
    router_id="router-1",
    port_id="web",
    fixed_address="10.0.1.21",
    mac="fa:16:3e:00:ff:15",
)
GROUP = SecurityGroupSpec(
    id="group-1",
    name="web",
    rules=(
        RuleSpec(id="rule-out", direction=Direction.EGRESS),
        RuleSpec(
            id="rule-ssh", direction=Direction.INGRESS, protocol="tcp", port_min=22, port_max=22
        ),
        RuleSpec(id="rule-peers", direction=Direction.INGRESS, remote_group_id="group-1"),
    ),
)

SWITCHED = Topology(
    networks=(PRIVATE,),
    subnets=(PRIVATE_SUBNET,),
    ports=(WEB,),
    security_groups=(GROUP,),
)
ROUTED = Topology(
    networks=(PRIVATE, SECOND),
    subnets=(PRIVATE_SUBNET, SECOND_SUBNET),
    ports=(INNER_A, INNER_B),
    routers=(ROUTER,),
)
OUTSIDE = Topology(
    networks=(PRIVATE, PUBLIC),
    subnets=(PRIVATE_SUBNET, PUBLIC_SUBNET),
    ports=(WEB, INNER_A, OUTER),
    routers=(ROUTER,),
    floating_ips=(FLOATING,),
    gateway_hosts=("host-1",),
)
VIRTUAL = PortSpec(
    id="vip",
    name="octavia-lb-lb-1",
    network_id="net-a",
    mac="fa:16:3e:00:01:50",
    fixed_ips=(FixedIp(subnet_id="sub-a", address="10.0.1.50"),),
    device_owner="Octavia",
    device_id="lb-lb-1",
    port_security_enabled=False,
)
HTTP = ListenerSpec(
    id="http",
    protocol="tcp",
    port=80,
    backends=(
        BackendSpec(address="10.0.1.21", port=8080, weight=4),
        BackendSpec(address="10.0.2.22", port=8080, weight=2),
    ),
)
BALANCER = BalancerSpec(
    id="lb-1",
    name="shop",
    port_id="vip",
    address="10.0.1.50",
    subnet_id="sub-a",
    member_subnet_ids=("sub-b",),
    listeners=(HTTP,),
    generation=7,
)
BALANCED = Topology(
    networks=(PRIVATE, SECOND),
    subnets=(PRIVATE_SUBNET, SECOND_SUBNET),
    ports=(VIRTUAL, INNER_A, INNER_B),
    routers=(ROUTER,),
    balancers=(BALANCER,),
)
STATIONS = tuple(
    StationSpec(
        id=f"station-{slot}",
        host=f"host-{slot}",
        mac=f"fa:16:3f:00:00:1{slot}",
        address=f"169.254.0.{2 + slot}",
        gateway="169.254.0.1",
        gateway_mac="fa:16:3f:00:00:01",
        prefix=29,
        first_port=32_768 + slot * 16_384,
        last_port=49_151 + slot * 16_384,
    )
    for slot in (0, 1)
)
BALANCED_OUTSIDE = Topology(
    networks=(PRIVATE, PUBLIC),
    subnets=(PRIVATE_SUBNET, PUBLIC_SUBNET),
    ports=(VIRTUAL, INNER_A, OUTER),
    routers=(ROUTER,),
    floating_ips=(
        FloatingIpSpec(
            id="fip-2",
            address="198.51.100.22",
            router_id="router-1",
            port_id="vip",
            fixed_address="10.0.1.50",
        ),
    ),
    balancers=(BALANCER,),
    gateway_hosts=("host-1",),
)


def assert_golden(name: str, actions: Iterable[Action]) -> None:
    """The plan is the text in golden/<name>.txt. KUMOI_WRITE_GOLDEN=1 writes it, for review."""
    text = printed(actions)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("KUMOI_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
