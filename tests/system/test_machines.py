"""A host on another machine than the cloud's first: it joins by a link, runs servers, and leaves.

Two machines of our own, with systemd as their first process (machine.py), plugged into a switch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.system.live import eventually
from tests.system.machine import Machine, machine, network_switch, plug
from tests.system.slots import free_slot

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

LINK = "under0"
BACK_S = 90.0
OTHER = "kumoi-host2"

CONNECT = """
import json, openstack, sys
cloud = openstack.connect(cloud="kumoi-admin", compute_default_microversion="2.96")
"""
MAKE = (
    CONNECT
    + """
net = cloud.network
network = net.create_network(name="n")
subnet = net.create_subnet(network_id=network.id, cidr="192.168.9.0/24", ip_version=4)
outside = net.find_network("public")
router = net.create_router(name="r", external_gateway_info={"network_id": outside.id})
net.add_interface_to_router(router, subnet_id=subnet.id)
group = net.create_security_group(name="g")
for protocol in ("tcp", "icmp"):
    net.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol=protocol)
made = {}
for host in sys.argv[1:]:
    server = cloud.compute.create_server(
        name=host, image_id=cloud.image.find_image("debian-12").id,
        flavor_id=cloud.compute.find_flavor("tiny").id, networks=[{"uuid": network.id}],
        security_groups=[{"name": "g"}], host=host,
    )
    server = cloud.compute.wait_for_server(server, interval=0.2, wait=120)
    (port,) = net.ports(device_id=server.id)
    floating = net.create_ip(floating_network_id=outside.id, port_id=port.id)
    made[host] = {"id": server.id, "fixed": port.fixed_ips[0]["ip_address"],
                  "floating": floating.floating_ip_address}
print(json.dumps(made))
"""
)
DELETE = (
    CONNECT
    + """
cloud.compute.delete_server(sys.argv[1])
cloud.compute.wait_for_delete(cloud.compute.get_server(sys.argv[1]), interval=0.2, wait=60)
print(json.dumps(True))
"""
)


@pytest.fixture(scope="module")
def switch() -> Iterator[str]:
    with free_slot() as slot, network_switch(f"kwire{slot}") as made:
        yield made


@pytest.fixture(scope="module")
def first(switch: str) -> Iterator[Machine]:
    """A machine with a cloud that other hosts may join."""
    with free_slot() as slot, machine(f"kone{slot}") as booted:
        plug(booted, switch, LINK)
        booted.kumoi("up", "--without", "pipeline")
        yield booted


@pytest.fixture(scope="module")
def second(switch: str) -> Iterator[Machine]:
    with free_slot() as slot, machine(f"ktwo{slot}") as booted:
        plug(booted, switch, LINK)
        yield booted


@pytest.fixture(scope="module")
def servers(first: Machine, second: Machine) -> Any:
    """One on each host, by its host."""
    first.kumoi("cluster", "create", "--underlay-interface", LINK)
    line = first.kumoi("cluster", "token", OTHER).out.strip()
    second.kumoi("cluster", "join", line, "--underlay-interface", LINK)
    eventually(lambda: hosts(first).get(OTHER) == "up", within_s=BACK_S, what="the host is up")
    return first.python(MAKE, "kumoi-host1", OTHER)


def hosts(box: Machine) -> dict[str, str]:
    listed = json.loads(box.kumoi("host", "list", "--json", check=False).out)
    return {row["name"]: row["state"] for row in listed}


def test_a_link_that_is_in_use_is_refused_by_its_name(first: Machine) -> None:
    first.inside("ip", "link", "add", "used0", "type", "veth")
    first.inside("ip", "address", "add", "192.0.2.7/24", "dev", "used0")
    for link, words in (
        ("used0", "used0 has the address 192.0.2.7"),
        ("none0", "this machine has no link none0"),
    ):
        refused = first.kumoi("cluster", "create", "--underlay-interface", link, check=False)
        assert refused.status != 0
        assert words in refused.err
    first.inside("ip", "link", "delete", "used0")


def test_servers_of_both_machines_answer_outside(first: Machine, servers: Any) -> None:
    """The floating IP of a server whose machine has no way outside, too."""
    for host, server in servers.items():
        eventually(
            lambda server=server: first.answers(server["floating"]),  # type: ignore[misc]
            within_s=BACK_S,
            what=f"the server of {host} answers",
        )


def test_servers_of_both_machines_reach_each_other(second: Machine, servers: Any) -> None:
    inside = ["ip", "netns", "exec", OTHER, "lxc-attach", "-P", "/var/lib/kumoi/host/lxc/servers"]
    ping = ["--", "ping", "-c", "3", "-i", "0.2", servers["kumoi-host1"]["fixed"]]
    second.inside(*inside, "-n", servers[OTHER]["id"], *ping)


def test_the_other_machine_reboots_and_its_server_answers(
    switch: str, first: Machine, second: Machine, servers: Any
) -> None:
    second.reboot()
    plug(second, switch, LINK)
    eventually(
        lambda: first.answers(servers[OTHER]["floating"]), within_s=BACK_S, what="it answers again"
    )


def test_the_host_leaves_and_nothing_of_it_stays(
    first: Machine, second: Machine, servers: Any
) -> None:
    refused = second.kumoi("cluster", "leave", check=False)
    assert "has 1 servers" in refused.err
    first.python(DELETE, servers[OTHER]["id"])
    second.kumoi("cluster", "leave")
    assert OTHER not in hosts(first)
    assert not [each for each in names_of_links(second) if each.startswith("kumoi")]
    assert LINK in names_of_links(second)


def names_of_links(box: Machine) -> list[str]:
    return [row["ifname"] for row in json.loads(box.inside("ip", "-j", "link").out)]
