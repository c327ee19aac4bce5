"""Hosts on other machines than the cloud's first: one joins by a link, and leaves; two run servers and have the
control plane as well, go to another release and back, the one that was off later, and go on without the first.

Three machines of our own, with systemd as their first process (machine.py), plugged into a switch.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.system.live import another_release, eventually
from tests.system.machine import Machine, machines, network_switch
from tests.system.slots import free_slot

import kumoi

pytestmark = [pytest.mark.system, pytest.mark.timeout(1_800)]

LINK = "under0"
BACK_S = 240.0
OTHER, THIRD = "kumoi-host2", "kumoi-host3"
PUT_ON_THREE_S = 1_200.0
NEWER = f"{kumoi.__version__}.1"
SERVERS = "/var/lib/kumoi/host/lxc/servers"

CONNECT = """
import json, openstack, sys
cloud = openstack.connect(cloud="kumoi-admin", compute_default_microversion="2.96")
"""
MAKE = (
    CONNECT
    + """
net = cloud.network
name, *hosts = sys.argv[1:]
outside = net.find_network("public")
network = net.find_network(name)
if network is None:
    network = net.create_network(name=name)
    subnet = net.create_subnet(network_id=network.id, cidr="192.168.9.0/24", ip_version=4)
    router = net.create_router(name=name, external_gateway_info={"network_id": outside.id})
    net.add_interface_to_router(router, subnet_id=subnet.id)
    group = net.create_security_group(name=name)
    for protocol in ("tcp", "icmp"):
        net.create_security_group_rule(
            security_group_id=group.id, direction="ingress", protocol=protocol
        )
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
def left(first: Machine, second: Machine, third: Machine, led_out: None) -> list[str]:
    """The links of the third machine, whose host joined and left again, while the second one's joined to stay."""
    tokens = {name: first.kumoi("cluster", "token", name).out.strip() for name in (OTHER, THIRD)}
    join = ("cluster", "join", tokens[THIRD], "--underlay-interface", LINK)

    def come_and_go() -> list[str]:
        third.kumoi(*join)
        third.kumoi("cluster", "leave")
        return names_of_links(third)

    with ThreadPoolExecutor(1) as beside:
        going = beside.submit(come_and_go)
        second.kumoi("cluster", "join", tokens[OTHER], "--underlay-interface", LINK)
        await_up(first, OTHER)
        return going.result()


@pytest.fixture(scope="module")
def servers(first: Machine, left: list[str]) -> Any:
    """One on each host, by its host."""
    return first.python(MAKE, "one", "kumoi-host1", OTHER)


@pytest.fixture(scope="module")
def on_three(first: Machine, second: Machine, third: Machine, servers: Any) -> Any:
    """The control plane on each of them, and a server, by its host. One joined before, the other one joins for it."""
    token = first.kumoi("cluster", "token", THIRD).out.strip()
    with (
        beside(second, "cluster", "control"),
        beside(third, "cluster", "join", token, "--control", "--underlay-interface", LINK),
    ):
        await_up(first, THIRD)
        first.kumoi("cluster", "create", "--control-hosts", "3", timeout_s=PUT_ON_THREE_S)
    more: Any = first.python(MAKE, "one", THIRD)
    return {**servers, **more}


@pytest.fixture(scope="module")
def sources(boxes: list[Machine]) -> dict[str, Path]:
    """Another release's code on each machine."""
    return {box.name: another_release(box.shared / "src", version=NEWER) for box in boxes}


@contextlib.contextmanager
def beside(box: Machine, *words: str, source: Path | None = None) -> Iterator[None]:
    """A command on another machine, which waits for one on the first; it has ended well afterwards."""
    with ThreadPoolExecutor(1) as thread:
        ending = thread.submit(box.kumoi, *words, timeout_s=PUT_ON_THREE_S, source=source)
        try:
            yield
        except BaseException:
            box.power_off()  # It would wait for the first one's orders.
            raise
        ending.result()


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
    inside = ["ip", "netns", "exec", host, "lxc-attach", "-P", SERVERS]
    box.inside(*inside, "-n", server, "--", "ping", "-c", "3", "-i", "0.2", to)


def test_a_host_leaves_and_nothing_of_it_stays(
    first: Machine, second: Machine, left: list[str], servers: Any
) -> None:
    assert THIRD not in hosts(first)
    assert not [each for each in left if each.startswith("kumoi")]
    assert LINK in left
    refused = second.kumoi("cluster", "leave", check=False)
    assert "has 1 servers" in refused.err


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


def test_machines_go_to_another_release_and_back_while_a_control_host_is_off(
    first: Machine, second: Machine, third: Machine, sources: dict[str, Path], on_three: Any
) -> None:
    """One command on each; the first host says whose turn it is. No server is touched."""
    before = pid_of(second, OTHER, on_three)
    third.power_off()
    for action, release in (("run", NEWER), ("rollback", kumoi.__version__), ("run", NEWER)):
        order(action, first, second, sources)
        wanted = {"kumoi-host1": [release], OTHER: [release], THIRD: [kumoi.__version__]}
        eventually(
            lambda wanted=wanted: releases_of(second) == wanted,  # type: ignore[misc]
            within_s=BACK_S,
            what=f"the two say that they are of {release}",
        )
    assert pid_of(second, OTHER, on_three) == before
    found = second.kumoi("upgrade", "finalize", source=sources[second.name])
    assert f"{THIRD}, off: when it is back, sudo ./kumoi up there" in found.out


def test_a_control_host_that_is_back_does_not_act_before_it_has_the_release(
    first: Machine, third: Machine, sources: dict[str, Path], on_three: Any
) -> None:
    """Its members of the stores follow by themselves, as after any reboot."""
    third.start()
    third.await_booted()
    eventually(
        lambda: not (cluster(first).get("store") or {"missing": "all"})["missing"],
        within_s=BACK_S,
        what="its members follow",
    )
    assert "the cloud was finalized at" in third.kumoi("status", check=False).out
    assert hosts(first)[THIRD] == "down"
    third.kumoi("up", source=sources[third.name])
    eventually(lambda: cluster(first)["whole"], within_s=BACK_S, what="all three are back")
    eventually(
        lambda: first.answers(on_three[THIRD]["floating"]),
        within_s=BACK_S,
        what="its server answers again",
    )


def order(action: str, first: Machine, second: Machine, sources: dict[str, Path]) -> None:
    with beside(second, "upgrade", action, source=sources[second.name]):
        source = sources[first.name]
        first.kumoi("upgrade", action, source=source, timeout_s=PUT_ON_THREE_S)


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


def releases_of(box: Machine) -> dict[str, list[str]]:
    """Of each host, as `upgrade plan` on that machine shows them, without their digests."""
    found = box.kumoi("upgrade", "plan", "--json", check=False)
    listed = json.loads(found.out)["hosts"] if found.out.startswith("{") else []
    return {host["name"]: [each.partition("-")[0] for each in host["releases"]] for host in listed}


def pid_of(box: Machine, host: str, made: Any) -> int:
    """Of the first process of that host's server, on its machine."""
    found = box.inside(
        "ip", "netns", "exec", host, "lxc-info", "-P", SERVERS, "-n", made[host]["id"], "-p", "-H"
    )
    return int(found.out)


def names_of_links(box: Machine) -> list[str]:
    return [row["ifname"] for row in json.loads(box.inside("ip", "-j", "link").out)]
