"""What passes between the machine and tenants, as nft is told it."""

from __future__ import annotations

import ipaddress
import re

from kumoi.config import CloudSettings, changed
from kumoi.control_host import ControlHost
from kumoi.hosts.wires import edge

CLOUD = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
RULES = """\
table inet edge
delete table inet edge
table inet edge {
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    meta l4proto tcp notrack
    iifname "public" icmp type echo-request notrack
  }
  chain input {
    type filter hook input priority filter; policy drop;
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "machine" oifname "public" jump machine
    iifname "public" oifname "machine" jump tenants
  }
  chain machine {
    ip saddr 10.0.4.1 tcp sport { 5000, 5002 } accept
    tcp flags & (rst | ack) == rst drop
    accept
  }
  chain tenants {
    tcp flags & ack == ack accept
    tcp flags & (syn | rst) == rst accept
    tcp flags & (fin | syn) != syn drop
    ct state established,related accept
    ip daddr 10.0.4.1 tcp dport { 5000, 5002 } accept
    ip daddr 10.0.4.1 icmp type echo-request accept
    icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
    meta l4proto tcp reject with tcp reset
    meta l4proto udp limit rate 200/second reject with icmp port-unreachable
  }
}
"""


def test_rules() -> None:
    assert edge.rules(CLOUD, []) == RULES


def test_runners_reach_the_pipelines_of_other_control_planes_and_nothing_else_there() -> None:
    listed = tuple(ControlHost(f"t1-host{n}", f"10.0.5.{n}") for n in (1, 2, 3))
    rules = edge.rules(changed(CLOUD, control_hosts=listed), [])
    assert [line.strip() for line in rules.splitlines() if line not in RULES.splitlines()] == [
        'iifname "public" oifname "underlay" ip daddr { 10.0.5.2, 10.0.5.3 } tcp dport 5002 accept',
        'iifname "public" oifname "underlay" meta l4proto tcp reject with tcp reset',
        'iifname "underlay" oifname "public" ip saddr { 10.0.5.2, 10.0.5.3 } tcp sport 5002 accept',
    ]


def test_servers_reach_the_apis_and_the_pipeline_at_the_address_that_moves() -> None:
    listed = tuple(ControlHost(f"t1-host{n}", f"10.0.5.{n}") for n in (1, 2, 3))
    apart = edge.rules(changed(CLOUD, control_hosts=listed), [])
    shared = changed(CLOUD, control_hosts=listed, shared_address="10.0.5.9")
    lines = edge.rules(shared, []).splitlines()
    assert [line.strip() for line in lines if line not in apart.splitlines()] == [
        'iifname "public" oifname "underlay" ip daddr 10.0.5.9 tcp dport { 5000, 5002 } accept',
        'iifname "underlay" oifname "public" ip saddr 10.0.5.9 tcp sport { 5000, 5002 } accept',
    ]
    refusal = next(number for number, line in enumerate(lines) if '"underlay" meta' in line)
    assert "ip daddr 10.0.5.9" in "".join(lines[:refusal])
    elsewhere = changed(shared, shared_address="192.0.2.9")  # The way to it is not by the underlay.
    assert edge.rules(elsewhere, []) == apart


def test_outbound_lets_servers_reach_the_internet_and_no_address_of_the_machine() -> None:
    outbound = CloudSettings(public_cidr="10.0.4.0/24", outbound=True)
    rules = edge.rules(outbound, ["198.41.0.4", "10.0.4.1", "192.168.1.7"])
    drop, line = sorted(set(rules.splitlines()) - set(RULES.splitlines()), reverse=True)
    found = re.fullmatch(r"    ip daddr != \{ (.*) \} accept", line)
    assert found
    assert drop == f"    ip saddr {{ {found[1]} }} tcp flags & (rst | ack) == rst drop"
    networks = [ipaddress.ip_network(cidr) for cidr in found[1].split(", ")]
    for address in ("198.41.0.4", "10.0.4.1", "192.168.1.7", "172.17.0.1", "169.254.1.1"):
        assert any(ipaddress.ip_address(address) in item for item in networks), address
    assert not any(ipaddress.ip_address("198.41.0.5") in item for item in networks)
    assert not any(
        item.overlaps(other) for item in networks for other in networks if item is not other
    )


def test_the_edge_keeps_its_link_address_and_another_cloud_has_another() -> None:
    assert edge.mac(CLOUD) == "0a:00:0a:00:04:01"
    assert edge.mac(CloudSettings(public_cidr="10.0.6.0/24")) != edge.mac(CLOUD)
