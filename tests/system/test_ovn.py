"""The network drivers on a real virtual host: OVN, Open vSwitch, and endpoints in namespaces.

One host and one topology for the whole file; each test says what it changes and waits for the host
to have taken it. Two tenants with the same addresses; the first has two networks, a router and a
way outside.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.system.network_world import (
    ALIEN,
    BASE,
    CLOUD,
    DB,
    FLOATING_ADDRESS,
    HERE,
    MACHINE,
    NEIGHBOUR,
    OPEN,
    PEERS,
    PING_IN,
    WEB,
    Engines,
    World,
    address_of,
    endpoint,
    namespace,
    ping,
    reaches,
    running_world,
    wait_until,
)
from tests.system.tenant import listens

from kumoi.base import process
from kumoi.cloud.drivers.network.interface import (
    AddressPair,
    DhcpOption,
    Direction,
    ForwardingSpec,
    PortSpec,
    RuleSpec,
    Topology,
)
from kumoi.config import HostSettings, Role
from kumoi.hosts import teardown

pytestmark = [pytest.mark.system, pytest.mark.timeout(170)]

SECOND = HostSettings(
    name="knet-second",
    state_dir="/var/tmp/knet-second",
    underlay_address="10.203.1.3",
    roles=(Role.NETWORK, Role.AGENT),
)
CONTROLLER = "ovn-controller"

DHCP_CLIENT = """
import json, os, socket, struct, sys
mac = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
link.bind(("eth0", 0x0800)); link.settimeout(3)
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
def ask(kind, more=b""):
    xid = os.urandom(4)
    body = struct.pack("!BBBB4sHH16s16s64x128x4s", 1, 1, 6, 0, xid, 0, 0x8000, b"", mac,
                       bytes([99, 130, 83, 99])) + bytes([53, 1, kind]) + more + bytes([255])
    udp = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body
    head = struct.pack("!BBHHHBBH4s4s", 69, 0, 20 + len(udp), 1, 0, 64, 17, 0, b"", b"\\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    for _ in range(3):
        link.send(b"\\xff" * 6 + mac + b"\\x08\\x00" + head + udp)
        try:
            while True:
                frame = link.recv(2048)
                if frame[23] == 17 and frame[36:38] == b"\\x00\\x44" and frame[46:50] == xid:
                    return frame[42:]
        except TimeoutError:
            pass
    sys.exit("no answer to DHCP")
def options(answer):
    found, at = {}, 240
    while answer[at] != 255:
        found[answer[at]] = answer[at + 2 : at + 2 + answer[at + 1]]
        at += 2 + answer[at + 1]
    return found
offer = ask(1)
wanted = bytes([50, 4]) + offer[16:20] + bytes([54, 4]) + options(offer)[54]
answer = ask(3, wanted)
got = options(answer)
print(json.dumps({
    "kind": got[53][0], "address": socket.inet_ntoa(answer[16:20]),
    "router": socket.inet_ntoa(got[3]), "dns": socket.inet_ntoa(got[6]),
    "mtu": int.from_bytes(got[26], "big"), "mask": socket.inet_ntoa(got[1])}))
"""
LISTEN = """
import socket
server = socket.create_server(("0.0.0.0", 8080))
while True:
    server.accept()[0].close()
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 8080), 1).close()
except OSError:
    sys.exit(1)
"""


@pytest.fixture(scope="module")
def host() -> Iterator[World]:
    with running_world() as world:
        yield world


@pytest.fixture
def second(host: World) -> Iterator[Engines]:
    """A second chassis: a switch and a controller in a namespace of their own. No wire leads to it,
    but it hears of every port and may claim what is plugged into it.
    """
    engines = Engines(CLOUD, SECOND)
    name = SECOND.name
    process.run(["ip", "netns", "add", name])
    process.run(["ip", "-n", name, "link", "add", "name", "eth0", "type", "veth", "peer", "eth1"])
    engines.prepare()
    Path(HERE.southbound_remote.removeprefix("unix:")).chmod(0o777)  # Its own is another one.
    try:
        for unit in ("ovs-db", "ovs-vswitchd"):
            engines.start(unit)
        switch_of(engines, "set", "open", ".", f"external-ids:ovn-remote={remote_of(HERE)}")
        engines.start("ovn-controller")
        yield engines
    finally:
        for daemon in engines.processes.values():
            daemon.kill()
            daemon.wait()
        host.southbound("--if-exists", "chassis-del", name)
        process.run(["ip", "netns", "delete", name])
        teardown.purge(SECOND)


def remote_of(host: HostSettings) -> str:
    """As ovs-vsctl reads it."""
    return f'"{host.southbound_remote}"'


def switch_of(engines: Engines, *args: str) -> None:
    process.run(["ovs-vsctl", f"--db={engines.here.switch_remote}", "--timeout=10", *args])


def plug_bare(engines: Engines, link: str, port: PortSpec) -> None:
    """Into the switch itself: who plugs it need not be an agent of ours."""
    add = ("add-port", "br-int", link, "--", "set", "interface", link, "type=internal")
    switch_of(engines, *add, f"external-ids:iface-id={port.id}")


@pytest.fixture
def world(host: World) -> Iterator[World]:
    """As in BASE at the start of each test, and again at its end."""
    yield host
    if host.wanted != BASE:
        host.converge(BASE)


def forget(address: str) -> None:
    """Who has it outside is asked anew, by whoever stands between this machine and the routers."""
    process.run(["ip", "neighbour", "flush", "to", address], namespace=CLOUD.edge_name)


def connects(port: PortSpec, address: str) -> bool:
    args = [sys.executable, "-c", CONNECT, address]
    return process.run(args, check=False, namespace=namespace(port)).status == 0


@pytest.fixture
def web_server(world: World) -> Iterator[None]:
    log = HERE.log_dir / "listen.log"
    server = process.start([sys.executable, "-c", LISTEN], log=log, namespace=namespace(WEB))
    try:
        wait_until(lambda: connects(WEB, "127.0.0.1"), "the web server")
        yield
    finally:
        server.kill()
        server.wait()


def with_rules(*rules: RuleSpec) -> Topology:
    return replace(BASE, security_groups=(replace(OPEN, rules=(*OPEN.rules, *rules)), PEERS))


def with_port(port: PortSpec) -> Topology:
    ports = tuple(port if item.id == port.id else item for item in BASE.ports)
    return replace(BASE, ports=ports)


def test_networks_of_a_tenant_reach_each_other_across_their_router(world: World) -> None:
    reaches(WEB, address_of(DB))
    reaches(DB, address_of(WEB))
    assert world.network.observe().ports_up >= {WEB.id, DB.id, ALIEN.id, NEIGHBOUR.id}


def test_ipv6_is_routed_and_neighbours_find_each_other(world: World) -> None:
    reaches(WEB, "fd00:203:1::1")
    reaches(WEB, "fd00:203:2::12")


def test_tenants_with_the_same_addresses_do_not_meet(world: World) -> None:
    reaches(ALIEN, address_of(NEIGHBOUR))
    assert not ping(ALIEN, address_of(WEB))
    assert not ping(ALIEN, address_of(DB))
    assert not ping(WEB, address_of(ALIEN))


def test_a_rule_opens_a_port_and_its_deletion_closes_it(world: World, web_server: None) -> None:
    assert not connects(DB, address_of(WEB))
    http = RuleSpec(
        id="http", direction=Direction.INGRESS, protocol="tcp", port_min=8080, port_max=8080
    )
    world.converge(with_rules(http))
    assert connects(DB, address_of(WEB))
    elsewhere = replace(http, remote_prefix="10.203.18.0/24")
    world.converge(with_rules(elsewhere))
    assert not connects(DB, address_of(WEB))
    world.converge(with_rules(replace(http, remote_prefix="10.203.17.0/24")))
    assert connects(DB, address_of(WEB))
    world.converge(BASE)
    assert not connects(DB, address_of(WEB))


def test_a_rule_for_a_group_lets_its_members_in(world: World, web_server: None) -> None:
    members = RuleSpec(id="m", direction=Direction.INGRESS, protocol="tcp", remote_group_id="peers")
    world.converge(with_rules(members))
    assert not connects(DB, address_of(WEB))
    joined = replace(DB, security_group_ids=("open", "peers"))
    ports = tuple(joined if port.id == DB.id else port for port in BASE.ports)
    world.converge(replace(world.wanted, ports=ports))
    assert connects(DB, address_of(WEB))


def test_without_egress_rules_nothing_leaves(world: World) -> None:
    world.converge(replace(BASE, security_groups=(replace(OPEN, rules=PING_IN), PEERS)))
    assert not ping(WEB, address_of(DB))
    world.converge(BASE)
    reaches(WEB, address_of(DB))


def test_a_floating_ip_answers_outside_and_goes_with_its_association(world: World) -> None:
    reaches(None, FLOATING_ADDRESS)
    world.converge(replace(BASE, floating_ips=()))
    assert not ping(None, FLOATING_ADDRESS)
    world.converge(BASE)
    reaches(None, FLOATING_ADDRESS)


def test_a_floating_ip_without_a_mac_is_answered_by_the_gateway_host(world: World) -> None:
    central = replace(BASE.floating_ips[0], mac=None)
    world.converge(replace(BASE, floating_ips=(central,)))
    forget(FLOATING_ADDRESS)
    reaches(None, FLOATING_ADDRESS)
    forget(FLOATING_ADDRESS)


def test_a_port_of_a_floating_ip_leads_to_a_port_inside(world: World, web_server: None) -> None:
    """Also where the server has a floating IP of its own."""
    forwarding = ForwardingSpec(
        id="web",
        router_id="ra",
        protocol="tcp",
        outer_address="10.203.0.30",
        outer_port=2222,
        inner_address=address_of(WEB),
        inner_port=8080,
    )
    http = RuleSpec(id="http", direction=Direction.INGRESS, protocol="tcp")
    world.converge(replace(with_rules(http), forwardings=(forwarding,)))
    wait_until(lambda: listens("10.203.0.30", 2222), "the forwarded port")
    assert not listens("10.203.0.30", 8080)
    forget(FLOATING_ADDRESS)
    reaches(None, FLOATING_ADDRESS)
    world.converge(BASE)
    forget(FLOATING_ADDRESS)
    assert not listens("10.203.0.30", 2222)


def test_servers_without_a_floating_ip_reach_the_outside(world: World) -> None:
    reaches(DB, MACHINE)
    reaches(ALIEN, MACHINE)
    without = tuple(replace(router, enable_snat=False) for router in BASE.routers)
    world.converge(replace(BASE, routers=without))
    assert not ping(DB, MACHINE)


def test_a_floating_ip_is_reached_from_another_tenant(world: World) -> None:
    reaches(ALIEN, FLOATING_ADDRESS)


def test_a_port_is_claimed_by_no_other_host_than_its_servers(world: World, second: Engines) -> None:
    """Whatever is plugged there: a copy of a server that runs here, one that is to run here, and one
    that may run anywhere.
    """
    bound = endpoint("bound", "a1", 0x21, ("a1-4", "10.203.16.21"))
    free = replace(endpoint("free", "a1", 0x22, ("a1-4", "10.203.16.22")), host=None)
    wanted = replace(BASE, ports=(*BASE.ports, bound, free))
    world.converge(wanted)
    for number, port in enumerate((WEB, bound, free)):
        plug_bare(second, f"copy{number}", port)
    wait_until(lambda: world.claimed_by(free) == SECOND.name, "the second chassis to claim")
    world.settle()
    assert world.claimed_by(bound) == ""
    assert world.claimed_by(WEB) == HERE.name
    reaches(DB, address_of(WEB))
    moved = (*BASE.ports, replace(bound, host=SECOND.name), free)
    world.converge(replace(wanted, ports=moved))
    wait_until(lambda: world.claimed_by(bound) == SECOND.name, "the second chassis to be let")


def test_a_spoofed_address_is_dropped(world: World) -> None:
    inside = namespace(ALIEN)
    reaches(ALIEN, address_of(NEIGHBOUR))
    process.run(["ip", "addr", "add", "10.203.16.99/24", "dev", "eth0"], namespace=inside)
    try:
        assert not ping(ALIEN, address_of(NEIGHBOUR), "-I", "10.203.16.99")
        assert ping(ALIEN, address_of(NEIGHBOUR))
        pair = AddressPair(address="10.203.16.99")
        world.converge(with_port(replace(ALIEN, allowed_address_pairs=(pair,))))
        reaches(ALIEN, address_of(NEIGHBOUR), "-I", "10.203.16.99")
    finally:
        process.run(["ip", "addr", "del", "10.203.16.99/24", "dev", "eth0"], namespace=inside)


def test_a_spoofed_mac_is_dropped(world: World) -> None:
    inside = namespace(ALIEN)

    def become(mac: str) -> None:
        process.run(["ip", "link", "set", "dev", "eth0", "address", mac], namespace=inside)
        process.run(["ip", "neighbour", "flush", "dev", "eth0"], namespace=inside)
        process.run(["ip", "neighbour", "flush", "dev", "eth0"], namespace=namespace(NEIGHBOUR))

    become("02:cb:00:00:00:99")
    try:
        assert not ping(ALIEN, address_of(NEIGHBOUR))
        open_ports = tuple(
            replace(port, port_security_enabled=False) if port.id == ALIEN.id else port
            for port in BASE.ports
        )
        world.converge(replace(BASE, ports=open_ports))
        reaches(ALIEN, address_of(NEIGHBOUR))
    finally:
        become(ALIEN.mac)
    world.converge(BASE)
    reaches(ALIEN, address_of(NEIGHBOUR))


def ask_dhcp(port: PortSpec) -> dict[str, object]:
    asked = process.run([sys.executable, "-c", DHCP_CLIENT], namespace=namespace(port))
    answer: dict[str, object] = json.loads(asked.out)
    return answer


def test_dhcp_gives_the_same_address_before_and_after_a_restart(world: World) -> None:
    answer = ask_dhcp(WEB)
    assert answer == {
        "kind": 5,
        "address": address_of(WEB),
        "router": "10.203.16.1",
        "dns": "10.203.16.2",
        "mtu": 1442,
        "mask": "255.255.255.0",
    }
    world.engines.kill(CONTROLLER)
    world.engines.start(CONTROLLER)
    assert ask_dhcp(WEB) == answer


def test_dhcp_answers_a_port_what_its_options_say(world: World) -> None:
    options = (
        DhcpOption(name="dns-server", value="10.203.16.9"),
        DhcpOption(name="bootfile-name", value="pxelinux.0"),
        DhcpOption(name="mtu", value="none"),  # Left out: nothing would be answered at all.
    )
    own = tuple(replace(port, dhcp=options) if port.id == WEB.id else port for port in BASE.ports)
    world.converge(replace(BASE, ports=own))
    answer = ask_dhcp(WEB)
    assert (answer["dns"], answer["mtu"]) == ("10.203.16.9", 1442)
    world.converge(BASE)


def test_dhcp_is_answered_where_no_rule_lets_anything_out(world: World) -> None:
    world.converge(replace(BASE, security_groups=()))
    assert ask_dhcp(WEB)["address"] == address_of(WEB)


def test_a_record_deleted_by_hand_is_repaired_by_the_next_round(world: World) -> None:
    reaches(WEB, address_of(DB))
    world.northbound("--wait=hv", "lsp-del", WEB.id)
    assert not ping(WEB, address_of(DB))
    world.converge(BASE)
    reaches(WEB, address_of(DB))


def test_a_link_that_was_made_anew_is_plugged_again(world: World) -> None:
    """As when a server is stopped and started at once: the same name, the same port."""
    for _ in range(3):
        world.unplug(NEIGHBOUR)
        assert namespace(NEIGHBOUR) not in world.switch.list_ports()
        world.plug(NEIGHBOUR)
        reaches(ALIEN, address_of(NEIGHBOUR))


def test_a_link_replaced_behind_the_switch_is_noticed_and_plugged_again(world: World) -> None:
    """As when a server restarts by itself: nobody unplugged the old link."""
    name = namespace(NEIGHBOUR)
    process.run(["ip", "netns", "delete", name])
    gone = ["ip", "-n", HERE.name, "link", "show", "dev", name]
    wait_until(lambda: process.run(gone, check=False).status != 0, "the old link to go")
    assert name in world.switch.list_ports()
    world.make_link(NEIGHBOUR)
    assert name not in world.switch.list_ports()
    world.switch.ensure_ports({name: NEIGHBOUR.id})
    reaches(ALIEN, address_of(NEIGHBOUR))
