"""Hosts on other machines than the cloud's first: one joins by a link, runs servers, and leaves; two have the
control plane as well, and go on without the first.

Three machines of our own, with systemd as their first process (machine.py), plugged into a switch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.system.live import eventually
from tests.system.machine import Machine, machines, network_switch
from tests.system.slots import free_slot

pytestmark = [pytest.mark.system, pytest.mark.timeout(1_800)]

LINK = "under0"
BACK_S = 240.0
OTHER, THIRD = "kumoi-host2", "kumoi-host3"
PUT_ON_THREE_S = 1_200.0

CONNECT = """
import json, openstack, sys
cloud = openstack.connect(cloud="kumoi-admin", compute_default_microversion="2.96")
"""
MAKE = (
    CONNECT
    + """
net = cloud.network
name, *hosts = sys.argv[1:]
network = net.create_network(name=name)
subnet = net.create_subnet(network_id=network.id, cidr="192.168.9.0/24", ip_version=4)
outside = net.find_network("public")
router = net.create_router(name=name, external_gateway_info={"network_id": outside.id})
net.add_interface_to_router(router, subnet_id=subnet.id)
group = net.create_security_group(name=name)
for protocol in ("tcp", "icmp"):
    net.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol=protocol)
made = {}
for host in hosts:
    server = cloud.compute.create_server(
        name=host, image_id=cloud.image.find_image("debian-12").id,
        flavor_id=cloud.compute.find_flavor("tiny").id, networks=[{"uuid": network.id}],
        security_groups=[{"name": name}], host=host,
    )
    server = cloud.compute.wait_for_server(server, interval=0.2, wait=240)
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
READ = CONNECT + "print(json.dumps([server.name for server in cloud.compute.servers()]))"
WRITE = CONNECT + "print(json.dumps(cloud.network.create_network(name=sys.argv[1]).name))"


@pytest.fixture(scope="module")
def boxes() -> Iterator[list[Machine]]:
    """Plugged into one switch; nothing else can be reached from them."""
    with free_slot() as slot, network_switch(f"kwire{slot}") as switch:
        names = [f"k{which}{slot}" for which in ("one", "two", "tri")]
        with machines(names, switch=switch, link=LINK) as made:
            yield made


@pytest.fixture(scope="module")
def first(boxes: list[Machine]) -> Machine:
    """With a cloud."""
    boxes[0].kumoi("up", "--without", "pipeline")
    return boxes[0]


@pytest.fixture(scope="module")
def second(boxes: list[Machine]) -> Machine:
    return boxes[1]


@pytest.fixture(scope="module")
def third(boxes: list[Machine]) -> Machine:
    return boxes[2]


@pytest.fixture(scope="module")
def led_out(first: Machine) -> None:
    """Others may join."""
    first.kumoi("cluster", "create", "--underlay-interface", LINK)


@pytest.fixture(scope="module")
def servers(first: Machine, second: Machine, led_out: None) -> Any:
    """One on each host, by its host."""
    line = first.kumoi("cluster", "token", OTHER).out.strip()
    second.kumoi("cluster", "join", line, "--underlay-interface", LINK)
    await_up(first, OTHER)
    return first.python(MAKE, "one", "kumoi-host1", OTHER)


@pytest.fixture(scope="module")
def on_three(first: Machine, second: Machine, third: Machine, led_out: None) -> Any:
    """The control plane on each of them, and a server on both others, by its host."""
    others = {OTHER: second, THIRD: third}
    with ThreadPoolExecutor(len(others)) as beside:
        following = []
        for name, box in others.items():
            words = (first.kumoi("cluster", "token", name).out.strip(), "--control")
            there = ("cluster", "join", *words, "--underlay-interface", LINK)
            following.append(beside.submit(box.kumoi, *there, timeout_s=PUT_ON_THREE_S))
        try:
            for name in others:
                await_up(first, name)
            first.kumoi("cluster", "create", "--control-hosts", "3", timeout_s=PUT_ON_THREE_S)
        except BaseException:
            for box in others.values():  # Their commands would wait for the first one's orders.
                box.power_off()
            raise
        for each in following:
            each.result()
    return first.python(MAKE, "three", OTHER, THIRD)


def await_up(box: Machine, name: str) -> None:
    eventually(lambda: hosts(box).get(name) == "up", within_s=BACK_S, what=f"{name} is up")


def hosts(box: Machine) -> dict[str, str]:
    """Their states, as somebody on that machine is told; nothing where nobody tells."""
    found = box.kumoi("host", "list", "--json", check=False)
    listed = json.loads(found.out) if found.out.startswith("[") else []
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
    ping_from(second, OTHER, servers[OTHER]["id"], servers["kumoi-host1"]["fixed"])


def ping_from(box: Machine, host: str, server: str, to: str) -> None:
    """From a server of that machine's host."""
    inside = ["ip", "netns", "exec", host, "lxc-attach", "-P", "/var/lib/kumoi/host/lxc/servers"]
    box.inside(*inside, "-n", server, "--", "ping", "-c", "3", "-i", "0.2", to)


def test_the_other_machine_reboots_and_its_server_answers(
    first: Machine, second: Machine, servers: Any
) -> None:
    second.reboot()
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


def test_three_machines_have_the_control_plane(
    first: Machine, second: Machine, third: Machine, on_three: Any
) -> None:
    """Whoever is asked says that nothing is missing, whichever machine it is asked on."""
    for box in (first, second, third):
        eventually(
            lambda box=box: cluster(box)["whole"],  # type: ignore[misc]
            within_s=BACK_S,
            what=f"all is well, as {box.name} sees it",
        )
    ping_from(second, OTHER, on_three[OTHER]["id"], on_three[THIRD]["fixed"])
    refused = second.kumoi("cluster", "leave", check=False)
    assert "has a member of the cloud's stores" in refused.err


def test_a_control_host_reboots_and_is_one_again(
    first: Machine, third: Machine, on_three: Any
) -> None:
    third.reboot()
    eventually(lambda: cluster(first)["whole"], within_s=BACK_S, what="all three are back")


def test_without_the_first_machine_the_others_go_on(
    first: Machine, second: Machine, on_three: Any
) -> None:
    """What was there is told, something new is made, and servers answer each other."""
    first.power_off()
    ping_from(second, OTHER, on_three[OTHER]["id"], on_three[THIRD]["fixed"])
    eventually(lambda: OTHER in asked(second, READ), within_s=BACK_S, what="reads answer")
    eventually(
        lambda: asked(second, WRITE, "later") == "later", within_s=BACK_S, what="writes answer"
    )
    eventually(
        lambda: hosts(second).get("kumoi-host1") == "down", within_s=BACK_S, what="it is missed"
    )
    eventually(lambda: leader(second) in (OTHER, THIRD), within_s=BACK_S, what="another one leads")
    found = cluster(second)
    assert not found["whole"]
    assert "PostgreSQL on kumoi-host1" in found["store"]["missing"]
    ping_from(second, OTHER, on_three[OTHER]["id"], on_three[THIRD]["fixed"])


def asked(box: Machine, program: str, *words: str) -> Any:
    """What it prints on a machine that has clouds.yaml; nothing where it fails."""
    found = box.inside(sys.executable, "-c", program, *words, check=False)
    return json.loads(found.out) if found.status == 0 else []


def cluster(box: Machine) -> dict[str, Any]:
    """What `cluster status` says there; `whole` is whether nothing is missing."""
    found = box.kumoi("cluster", "status", "--json", check=False)
    said = json.loads(found.out) if found.out.startswith("{") else {}
    return {**said, "whole": found.status == 0}


def leader(box: Machine) -> str:
    """Of PostgreSQL, as `cluster status` says there."""
    found: str = (cluster(box).get("store") or {}).get("leader", "")
    return found


def names_of_links(box: Machine) -> list[str]:
    return [row["ifname"] for row in json.loads(box.inside("ip", "-j", "link").out)]
