"""What a tenant's server can pretend to be on a network that it shares: it has root, a raw socket and
frames of its own making, and its port has OVN's port security and a group that lets everything pass.

Each attack is sent twice: from a port as everybody has it, where no frame may arrive, and from one whose
port security its network's owner took off, where it must, or nothing was tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.system import frames
from tests.system.network_world import (
    ALIEN,
    BASE,
    DB,
    EVE,
    EVE4,
    EVE6,
    MACHINE,
    NEIGHBOUR,
    QUIET_S,
    WEB,
    WEB4,
    WEB6,
    World,
    address_of,
    attacked_world,
    crossing,
    namespace,
    ping,
    raw_socket,
    reaches,
    wait_until,
)

from kumoi.base import process
from kumoi.base.clock import SetClock
from kumoi.cloud.agent.connection_room import LOOK_S, ConnectionRoom
from kumoi.cloud.drivers.network import mac_guard
from kumoi.cloud.drivers.network.interface import (
    AddressPair,
    Direction,
    PortSpec,
    RateSpec,
    Topology,
)
from kumoi.cloud.drivers.network.ovn import switching
from kumoi.cloud.drivers.network.ovn.southbound import OvnSouthbound
from kumoi.cloud.drivers.network.ovs.apply import OvsSwitch
from kumoi.cloud.drivers.network.ovs.connections import SwitchConnections
from kumoi.hosts.units import switch, table

pytestmark = [pytest.mark.system, pytest.mark.timeout(170)]

VICTIM = replace(WEB, port_security_enabled=False, security_group_ids=())
"""Nothing protects it but what holds the attacker."""
UNBOUND = replace(EVE, port_security_enabled=False, security_group_ids=())
GATEWAY4, GATEWAY6 = "10.203.16.1", "fd00:203:1::1"
NOBODY4, NOBODY6 = "10.203.16.200", "fd00:203:1::200"
LINK_LOCAL = frames.link_local(EVE.mac)
OTHER_MAC = "02:cb:00:00:00:66"
SHARED = replace(
    BASE,
    ports=(*(VICTIM if port.id == WEB.id else port for port in BASE.ports), EVE),
)


def redirect6() -> bytes:
    body = bytes(4) + frames.ip(LINK_LOCAL) + frames.ip(GATEWAY6) + frames.option(2, EVE.mac)
    packet = frames.ipv6(LINK_LOCAL, WEB6, frames.ICMPV6, frames.icmpv6(137, body))
    return frames.ether(EVE.mac, WEB.mac, frames.ETHER_IPV6, packet)


def redirect4() -> bytes:
    inner = frames.ipv4(WEB4, "192.0.2.1", frames.UDP, frames.udp(1, 2, b""))
    packet = frames.ipv4(EVE4, WEB4, frames.ICMP, frames.icmp(5, 1, frames.ip(EVE4) + inner))
    return frames.ether(EVE.mac, WEB.mac, frames.ETHER_IPV4, packet)


def dhcp4() -> bytes:
    answer = frames.udp(67, 68, frames.dhcp_answer("10.203.16.66", EVE4))
    packet = frames.ipv4(EVE4, "255.255.255.255", frames.UDP, answer)
    return frames.ether(EVE.mac, frames.BROADCAST, frames.ETHER_IPV4, packet)


def dhcp6() -> bytes:
    answer = frames.udp(547, 546, b"\x02evil")
    packet = frames.ipv6(LINK_LOCAL, WEB6, frames.UDP, answer)
    return frames.ether(EVE.mac, WEB.mac, frames.ETHER_IPV6, packet)


def arp_for_gateway() -> bytes:
    return frames.arp(EVE.mac, WEB.mac, reply=True, sender=(EVE.mac, GATEWAY4), asked=WEB4)


def arp_of_another_mac() -> bytes:
    return frames.arp(
        EVE.mac, frames.BROADCAST, reply=False, sender=(OTHER_MAC, EVE4), asked=NOBODY4
    )


def neighbour_for_gateway() -> bytes:
    body = struct.pack("!I", 0x20000000) + frames.ip(GATEWAY6) + frames.option(2, EVE.mac)
    packet = frames.ipv6(EVE6, WEB6, frames.ICMPV6, frames.icmpv6(136, body))
    return frames.ether(EVE.mac, WEB.mac, frames.ETHER_IPV6, packet)


def gateway_that_asks() -> bytes:
    """The gateway's address, with the attacker's MAC, as if the gateway asked for somebody."""
    body = bytes(4) + frames.ip(NOBODY6) + frames.option(1, EVE.mac)
    packet = frames.ipv6(GATEWAY6, WEB6, frames.ICMPV6, frames.icmpv6(135, body))
    return frames.ether(EVE.mac, WEB.mac, frames.ETHER_IPV6, packet)


def another_mac() -> bytes:
    """One of as many as it likes, of which a switch that learns would remember each."""
    packet = frames.ipv4(EVE4, WEB4, frames.UDP, frames.udp(1_000, 1_001, b"flood"))
    return frames.ether(OTHER_MAC, WEB.mac, frames.ETHER_IPV4, packet)


ADVERTISED = frames.advertisement(EVE.mac)


def router_advertisement() -> bytes:
    return ADVERTISED


def router_advertisement_to_one() -> bytes:
    return frames.advertisement(EVE.mac, WEB6, WEB.mac)


def router_advertisement_behind_options() -> bytes:
    return frames.behind(ADVERTISED, frames.HOP_BY_HOP, frames.options(frames.ICMPV6, length=2))


def router_advertisement_behind_more_options() -> bytes:
    many = b"".join(frames.options(frames.DESTINATION) for _ in range(20))
    return frames.behind(ADVERTISED, frames.DESTINATION, many + frames.options(frames.ICMPV6))


def router_advertisement_in_a_fragment() -> bytes:
    return frames.behind(ADVERTISED, frames.FRAGMENT, frames.fragment(frames.ICMPV6))


def router_advertisement_over_snap() -> bytes:
    return frames.over_snap(ADVERTISED)


ATTACKS = (
    router_advertisement,
    router_advertisement_to_one,
    router_advertisement_behind_options,
    router_advertisement_behind_more_options,
    router_advertisement_in_a_fragment,
    router_advertisement_over_snap,
    redirect6,
    redirect4,
    dhcp4,
    dhcp6,
    arp_for_gateway,
    arp_of_another_mac,
    neighbour_for_gateway,
    gateway_that_asks,
    another_mac,
)


def arrived(frame: bytes, times: int = 1) -> int:
    """How many of these frames the victim receives when the attacker sends so many."""
    return crossing(frame, times, leaves=EVE, arrives=WEB)


@pytest.fixture(scope="module")
def host() -> Iterator[World]:
    with attacked_world(SHARED) as world:
        yield world


@pytest.fixture
def world(host: World) -> Iterator[World]:
    yield host
    host.become(SHARED)


def with_port(port: PortSpec) -> Topology:
    ports = tuple(port if item.id == port.id else item for item in SHARED.ports)
    return replace(SHARED, ports=ports)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_what_a_server_pretends_to_be_reaches_nobody(
    world: World, attack: Callable[[], bytes]
) -> None:
    assert arrived(attack()) == 0


def test_the_attacks_are_real_where_the_networks_owner_took_the_protection_off(
    world: World,
) -> None:
    world.converge(with_port(UNBOUND))
    assert {attack.__name__: arrived(attack()) for attack in ATTACKS} == {
        attack.__name__: 1 for attack in ATTACKS
    }


def learnt(world: World, macs: int) -> int:
    """How many MACs the network knows after the attacker sent from so many."""
    wait_until(lambda: arrived(bulk()) == 1, "the attacker to use its own MAC first")
    packet = frames.ipv4(EVE4, WEB4, frames.UDP, frames.udp(1_000, 1_001, b"flood"))
    with raw_socket(EVE) as attacker:
        for number in range(macs):
            forged = f"06:cb:00:00:{number >> 8:02x}:{number & 255:02x}"
            attacker.send(frames.ether(forged, WEB.mac, frames.ETHER_IPV4, packet))
    wait_until(lambda: arrived(bulk()) == 1, "the switch to have come so far")
    known = world.southbound("--bare", "--columns=mac", "list", "fdb").split()
    return sum(mac.startswith("06:cb:") for mac in known)


def test_a_flood_of_macs_teaches_the_network_none(world: World) -> None:
    assert learnt(world, 1_000) == 0
    world.converge(with_port(UNBOUND))
    wait_until(lambda: learnt(world, 100) > 0, "a MAC to be learnt where none is forged")
    for _ in range(3):
        assert learnt(world, 3_000) <= mac_guard.MACS_MAX


ROUTER_MAC = "02:cb:00:00:00:a1"
NORTHD = "ovn-northd"


def remembered_neighbours(world: World, *, after: int) -> int:
    """How many addresses the router knows somebody by after the attacker said to have so many."""
    with raw_socket(EVE) as attacker:
        for number in range(after):
            claimed = f"10.66.{number // 250}.{number % 250 + 1}"
            attacker.send(
                frames.arp(
                    EVE.mac, ROUTER_MAC, reply=True, sender=(EVE.mac, claimed), asked=GATEWAY4
                )
            )
    wait_until(lambda: arrived(bulk()) == 1, "the switch to have come so far")
    return world.southbound("--bare", "--columns=ip", "list", "mac_binding").count("10.66.")


def test_a_server_that_says_to_have_every_address_fills_no_routers_memory(world: World) -> None:
    assert remembered_neighbours(world, after=1_000) == 0
    anywhere = AddressPair(address="10.0.0.0/8")
    honest = frames.arp(EVE.mac, WEB.mac, reply=True, sender=(EVE.mac, EVE4), asked=WEB4)
    for port in (UNBOUND, replace(EVE, allowed_address_pairs=(anywhere,))):
        began = time.monotonic()
        world.converge(with_port(port))
        wait_until(lambda: remembered_neighbours(world, after=100) > 0, "a neighbour to be known")
        said = arrived(honest, MUCH)
        seen = remembered_neighbours(world, after=MUCH)
        seconds = time.monotonic() - began
        allowed_bits = (switching.ANSWERS_BURST_KBIT + switching.ANSWERS_KBPS * seconds) * 1_000
        assert max(said, seen) <= 1.2 * allowed_bits / (8 * frames.FRAME_MIN), (said, seen)
        world.southbound("--all", "destroy", "mac_binding")


def test_what_a_router_remembers_it_forgets(world: World) -> None:
    """So that rates bound it."""
    world.converge(with_port(UNBOUND))
    wait_until(lambda: remembered_neighbours(world, after=100) > 0, "a neighbour to be known")
    routers = world.northbound("--bare", "--columns=_uuid", "list", "logical_router").split()
    for router in routers:
        world.northbound("set", "logical_router", router, "options:mac_binding_age_threshold=1")
    world.engines.kill(NORTHD)  # Else it looks again when the next was due by the age before.
    Path(
        world.engines.units[NORTHD].listens.removeprefix("unix:")
    ).unlink()  # By which one sees that it started.
    world.engines.start(NORTHD)
    wait_until(lambda: remembered_neighbours(world, after=0) == 0, "the router to forget")


STORM = 40_000


def storm() -> bytes:
    packet = frames.ipv4(EVE4, "255.255.255.255", frames.UDP, frames.udp(1_000, 1_001, b"storm"))
    return frames.ether(EVE.mac, frames.BROADCAST, frames.ETHER_IPV4, packet)


def test_a_broadcast_storm_leaves_its_port_as_a_trickle(world: World) -> None:
    began = time.monotonic()
    seen = arrived(storm(), STORM)
    seconds = time.monotonic() - began - QUIET_S
    allowed_bits = (switching.STORM_BURST_KBIT + switching.STORM_KBPS * seconds) * 1_000
    assert 100 < seen < 1.2 * allowed_bits / (8 * frames.FRAME_MIN), (seen, seconds)
    assert seen < STORM / 3


def test_each_port_has_a_rate_of_its_own(world: World) -> None:
    """While one floods, its neighbour asks for addresses as ever."""
    with raw_socket(EVE) as attacker:
        for _ in range(STORM // 2):
            attacker.send(storm())
        process.run(["ip", "neighbour", "flush", "dev", "eth0"], namespace=namespace(WEB))
        assert ping(WEB, address_of(EVE))


MUCH = 4_000
LIMIT = RateSpec(direction=Direction.EGRESS, kbps=100, burst_kbit=100)


def bulk() -> bytes:
    packet = frames.ipv4(EVE4, WEB4, frames.UDP, frames.udp(1_000, 1_001, b"b" * 1_000))
    return frames.ether(EVE.mac, WEB.mac, frames.ETHER_IPV4, packet)


@pytest.mark.parametrize(
    "limited",
    [
        replace(EVE, rates=(LIMIT,)),
        replace(VICTIM, rates=(replace(LIMIT, direction=Direction.INGRESS),)),
    ],
    ids=["what it sends", "what it gets"],
)
def test_a_port_has_no_more_than_its_policy_gives_it(world: World, limited: PortSpec) -> None:
    unlimited = arrived(bulk(), MUCH)
    world.converge(with_port(limited))
    began = time.monotonic()
    seen = arrived(bulk(), MUCH)
    seconds = time.monotonic() - began
    allowed_bits = (LIMIT.burst_kbit + LIMIT.kbps * seconds) * 1_000
    assert 5 < seen < 1.2 * allowed_bits / (8 * len(bulk())), (seen, seconds)
    assert seen < unlimited / 2


def test_what_a_port_sends_has_its_policys_mark(world: World) -> None:
    world.converge(with_port(replace(EVE, dscp=26)))
    plain = bulk()
    with raw_socket(VICTIM) as victim, raw_socket(EVE) as attacker:
        victim.settimeout(QUIET_S)
        attacker.send(plain)
        marks = set()
        with contextlib.suppress(TimeoutError):
            while True:
                frame = victim.recv(2_048)
                if frame[-1_000:] == plain[-1_000:]:
                    marks.add(frame[15] >> 2)
    assert marks == {26}


FEW = 500
SYN = 0x5002


def syn(port: int) -> bytes:
    """Of a connection that nobody will ever answer."""
    tcp = struct.pack("!HHIIHHHH", port, 8_080, 1, 0, SYN, 1_024, 0, 0)
    over = frames.ip(EVE4) + frames.ip(WEB4) + struct.pack("!HH", frames.TCP, len(tcp)) + tcp
    tcp = tcp[:16] + struct.pack("!H", frames.checksum(over)) + tcp[18:]
    packet = frames.ipv4(EVE4, WEB4, frames.TCP, tcp)
    return frames.ether(EVE.mac, WEB.mac, frames.ETHER_IPV4, packet)


def refused(attacker: socket.socket, port: int) -> bool:
    """Whether a connection from there is answered by its refusal."""
    attacker.send(syn(port))
    while True:
        try:
            frame = attacker.recv(2_048)
        except TimeoutError:
            return False
        if frame[:6] == frames.mac(EVE.mac) and frame[23] == frames.TCP:
            return frame[36:38] == struct.pack("!H", port)


def test_a_connection_that_comes_again_leaves_the_switch_alive(world: World) -> None:
    """Open vSwitch 3.1 aborted, and all of a host's servers were without a network for seconds."""
    with raw_socket(EVE) as attacker:
        assert [refused(attacker, 20_000) for _ in range(5)] == [True] * 5
    assert world.engines.processes["ovs-vswitchd"].poll() is None


def remembered(world: World) -> int:
    """Of the attacker's connections, in the fuller of the zones: its own and its victim's."""
    shown = process.run([*appctl(world), "dpctl/dump-conntrack"]).out.splitlines()
    ours = (line for line in shown if f"src={EVE4}" in line and "dport=8080" in line)
    zones = Counter(re.search(r"zone=(\d+)", line)[0] for line in ours)  # type: ignore[index]
    return max(zones.values(), default=0)


def filled(world: World, *, to: float) -> None:
    """A switch that does not read for a moment loses most of a burst, so there is another, of other ports."""
    bursts = itertools.cycle(range(10_000, 60_000, 4 * FEW))

    def sent() -> bool:
        burst(next(bursts))
        return remembered(world) > to

    wait_until(sent, "the table of connections to fill")


def burst(first: int) -> None:
    """Connections of as many ports, from that one on."""
    with raw_socket(EVE) as attacker:
        for port in range(first, first + 4 * FEW):
            attacker.send(syn(port))


def appctl(world: World) -> list[str]:
    return ["ovs-appctl", "-t", str(control(world))]


def control(world: World) -> Path:
    return switch.control(table.switch_dir(world.engines.here))


def limit(world: World, per_zone: int) -> None:
    for command in switch.connection_limits(control(world), per_zone=per_zone):
        process.run(command)


def test_a_port_that_fills_its_table_of_connections_fills_nobody_elses(world: World) -> None:
    limit(world, FEW)
    try:
        filled(world, to=0.9 * FEW)
        reaches(DB, MACHINE)  # A neighbour's connection is new as well.
        assert remembered(world) <= FEW
    finally:
        process.run([*appctl(world), "dpctl/flush-conntrack"])
        limit(world, switch.CONNECTIONS_PER_ZONE)


@dataclass
class Neighbours:
    """Whose ports and routers are: those of the first tenant's networks of the attacker."""

    async def owners(self, ids: Sequence[str]) -> dict[str, str]:
        return {key: "b" if key in ("rb", ALIEN.id, NEIGHBOUR.id) else "a" for key in ids}


@contextlib.contextmanager
def shared_connections(world: World, *, together: int) -> Iterator[Callable[[], None]]:
    """Each call is a look of the agent's at a switch that remembers so many connections."""
    connections, clock = SwitchConnections(control(world)), SetClock()
    with OvnSouthbound(world.engines.here.southbound_remote) as southbound:
        room = ConnectionRoom(
            zones=world.switch.list_zones, routers=southbound.routers, connections=connections,
            upstream=Neighbours(), changed=asyncio.Event(), clock=clock, together=together,
        )  # fmt: skip

        def look() -> None:
            clock.advance(LOOK_S)
            asyncio.run(room.round())

        process.run([*appctl(world), "dpctl/flush-conntrack"])  # What the tests before have left.
        process.run([*appctl(world), "dpctl/ct-set-maxconns", str(together)])
        try:
            yield look
        finally:
            process.run([*appctl(world), "dpctl/flush-conntrack"])
            limit(world, switch.CONNECTIONS_PER_ZONE)


def zones_of(world: World, *names: str) -> list[int]:
    zones = world.switch.list_zones()
    return [zones[name] for name in names]


def test_ports_of_one_project_have_no_more_connections_than_it_together(world: World) -> None:
    """Each had its limit, and eight of them all that their host's switch remembers, for the day that it does."""
    connections = SwitchConnections(control(world))
    with shared_connections(world, together=8 * FEW) as look:
        look()
        theirs = zones_of(world, EVE.id, WEB.id, DB.id)
        uses = connections.uses(range(1, 100))
        limited = [use.limit for use in uses.values() if use.limit < FEW]
        assert len(limited) > 2 * len(theirs), "and its router's, and the neighbours'"
        assert sum(connections.uses(theirs)[zone].limit for zone in theirs) < FEW

        bursts = itertools.cycle(range(10_000, 60_000, 4 * FEW))

        def held() -> bool:
            burst(next(bursts))
            look()
            assert sum(use.count for use in connections.uses(theirs).values()) <= FEW
            return remembered(world) > 0.2 * FEW

        wait_until(held, "the project to have its share")
        burst(next(bursts))
        reaches(NEIGHBOUR, address_of(ALIEN))
        assert int(process.run([*appctl(world), "dpctl/ct-get-nconns"]).out) < 2 * FEW


def test_before_a_host_has_its_bridge_nothing_has_a_zone(world: World) -> None:
    """An agent that began before OVN's controller logged an error, at each host's first start."""
    with OvsSwitch(world.engines.here.switch_remote, bridge="none-yet") as early:
        assert early.list_zones() == {}


def test_of_a_port_that_is_gone_nothing_is_remembered(world: World) -> None:
    """Or a tenant would fill the table by ports, one after the other."""
    connections = SwitchConnections(control(world))
    (zone,) = zones_of(world, EVE.id)
    try:
        filled(world, to=FEW / 10)
        assert connections.uses([zone])[zone].count
        world.unplug(EVE)
        wait_until(lambda: not connections.uses([zone])[zone].count, "its zone to be empty")
    finally:
        process.run([*appctl(world), "dpctl/flush-conntrack"])
        if namespace(EVE) not in world.plugged:
            world.plug(EVE)
        reaches(EVE, WEB4)


def test_every_zone_has_its_limit_from_the_switchs_start(world: World) -> None:
    shown = process.run([*appctl(world), "dpctl/ct-get-limits"]).out
    limits = set(re.findall(r"limit=(\d+),", shown))
    assert limits == {str(switch.CONNECTIONS_PER_ZONE)}, shown[:200]
    asked = process.run([*appctl(world), "dpctl/ct-get-maxconns"]).out
    assert int(asked) == switch.CONNECTIONS_TOGETHER
    log = world.engines.here.log_dir / "ovs-vswitchd.log"
    assert "zone limit" not in log.read_text()  # Eight thousand lines, at each start.


def test_within_its_limit_a_port_takes_as_many_as_it_likes(world: World) -> None:
    """So that the test above is of the limit."""
    filled(world, to=1.2 * FEW)
    process.run([*appctl(world), "dpctl/flush-conntrack"])
