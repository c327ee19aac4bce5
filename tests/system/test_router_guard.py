"""Servers do not pass for routers: no advertisement of one's leaves a port with port security.

That each of them is real, `test_spoofing.py` shows. Here are the filter alone, frame by frame, and the
links that it is on: of containers, of virtual machines, and of the network's own router.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.system import frames
from tests.system.machine_link import heard, machines_link
from tests.system.network_world import (
    ALL_PACKETS,
    EVE,
    EVE4,
    QUIET_S,
    WEB,
    WEB4,
    WEB6,
    WITH_EVE,
    World,
    attacked_world,
    crossing,
    namespace,
    raw_socket,
    reaches,
    wait_until,
)

from kumoi.base import process
from kumoi.cloud.drivers.instance import kernel
from kumoi.cloud.drivers.network import bpf, router_guard
from kumoi.cloud.drivers.network.mac_guard import MacTables
from kumoi.hosts.units import table

pytestmark = [pytest.mark.system, pytest.mark.timeout(170)]

ROUTER_MAC = "02:cb:00:00:00:a1"
SWITCH = "ovs-vswitchd"
ADVERTISED = frames.advertisement(EVE.mac)
PLAIN = frames.ipv4(EVE4, WEB4, frames.ICMP, frames.icmp(8, 0, bytes(64)))
ORDINARY = frames.ether(EVE.mac, WEB.mac, frames.ETHER_IPV4, PLAIN)

LINK_LOCAL = frames.link_local(EVE.mac)
NEIGHBOUR = frames.ether(
    EVE.mac,
    frames.ALL_NODES_MAC,
    frames.ETHER_IPV6,
    frames.ipv6(LINK_LOCAL, frames.ALL_NODES, frames.ICMPV6, frames.icmpv6(136, bytes(20))),
)
SAYS_OPTIONS, SAYS_ICMP = frames.DESTINATION, frames.ICMPV6
MOST = frames.options(SAYS_OPTIONS) * (router_guard.HEADERS_MAX - 1) + frames.options(SAYS_ICMP)
AUTHENTICATED = bytes([SAYS_ICMP, 4]) + bytes(22)
DROPPED = {
    "an advertisement": ADVERTISED,
    "to one": frames.advertisement(EVE.mac, WEB6, WEB.mac),
    "behind options": frames.behind(
        ADVERTISED, frames.HOP_BY_HOP, frames.options(SAYS_ICMP, length=9)
    ),
    "behind routing": frames.behind(ADVERTISED, frames.ROUTING, frames.options(SAYS_ICMP)),
    "behind authentication": frames.behind(ADVERTISED, frames.AUTHENTICATION, AUTHENTICATED),
    "behind as much as is looked at": frames.behind(ADVERTISED, SAYS_OPTIONS, MOST),
    "behind more": frames.behind(ADVERTISED, SAYS_OPTIONS, frames.options(SAYS_OPTIONS) + MOST),
    "in a fragment's header": frames.behind(
        ADVERTISED, frames.FRAGMENT, frames.fragment(SAYS_ICMP)
    ),
    "its first fragment": frames.behind(
        ADVERTISED, frames.FRAGMENT, frames.fragment(SAYS_ICMP, more=True)
    ),
    "a first fragment with options alone": frames.behind(
        ADVERTISED[:54], frames.FRAGMENT, frames.fragment(SAYS_OPTIONS, more=True) + bytes([58, 9])
    ),
    "without a kind": frames.behind(ADVERTISED[:54], SAYS_ICMP, b""),
    "by SNAP": frames.over_snap(ADVERTISED),
}
PASSED = {
    "a neighbour": NEIGHBOUR,
    "a neighbour behind options": frames.behind(NEIGHBOUR, SAYS_OPTIONS, MOST),
    "a later fragment": frames.behind(
        ADVERTISED, frames.FRAGMENT, frames.fragment(SAYS_ICMP, offset=8)
    ),
    "IPv4": ORDINARY,
    "ARP": frames.arp(EVE.mac, WEB.mac, reply=True, sender=(EVE.mac, EVE4), asked=WEB4),
    "a bridge's": frames.mac(WEB.mac) + frames.mac(EVE.mac) + b"\0\x26\x42\x42\x03" + bytes(43),
    "UDP": frames.ether(
        EVE.mac,
        WEB.mac,
        frames.ETHER_IPV6,
        frames.ipv6(LINK_LOCAL, WEB6, frames.UDP, frames.udp(134, 134, b"\x86" * 40)),
    ),
}
RUN, DROP, PASS = 10, 1, 2


def verdict(frame: bytes) -> int:
    """What the kernel's own test of the program says."""
    data = ctypes.create_string_buffer(frame, len(frame))
    head = struct.pack(
        "=IIIIQ", router_guard.descriptor(), 0, len(frame), 0, ctypes.addressof(data)
    )
    attributes = ctypes.create_string_buffer(head.ljust(80, b"\0"), 80)
    assert bpf.call(RUN, attributes) == 0, os.strerror(ctypes.get_errno())
    said: int = struct.unpack_from("=I", attributes, 4)[0]
    return said


@pytest.mark.parametrize("name", DROPPED)
def test_what_is_or_may_hide_an_advertisement_is_dropped(name: str) -> None:
    assert verdict(DROPPED[name]) == DROP


@pytest.mark.parametrize("name", PASSED)
def test_everything_else_passes(name: str) -> None:
    assert verdict(PASSED[name]) == PASS


def test_it_is_on_a_virtual_machines_link_as_well() -> None:
    def in_a_network_of_its_own() -> tuple[int, ...]:
        kernel.leave_network()
        with (
            machines_link("machine") as tap,
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as listener,
        ):
            listener.bind(("machine", ALL_PACKETS))
            listener.settimeout(QUIET_S)

            def sent(frame: bytes) -> int:
                for _ in range(10):
                    os.write(tap, frame)
                return heard(listener, frame)

            router_guard.hold_back(["machine", "of-another"])
            guarded = sent(ADVERTISED), sent(ORDINARY)
            MacTables().bound({"machine": EVE.mac, "of-another": EVE.mac})
            return (*guarded, sent(ADVERTISED))

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(in_a_network_of_its_own).result() == (0, 10, 10)


@pytest.fixture(scope="module")
def host() -> Iterator[World]:
    with attacked_world(WITH_EVE) as world:
        yield world


@pytest.fixture
def world(host: World) -> Iterator[World]:
    yield host
    host.become(WITH_EVE)


def arrived(frame: bytes, times: int, *, link: str = "eth0") -> int:
    return crossing(frame, times, leaves=EVE, arrives=WEB, link=link)


def test_of_a_thousand_advertisements_of_a_router_none_arrives(world: World) -> None:
    assert arrived(ADVERTISED, 1_000) == 0
    assert arrived(frames.advertisement(EVE.mac, WEB6, WEB.mac), 1_000) == 0
    assert arrived(ORDINARY, 1_000) > 100


def test_what_a_server_redirects_to_its_link_is_looked_at_as_well(world: World) -> None:
    """A filter that is not in the link's driver lets by what tc redirected."""
    detour = ["link add name detour type veth peer name end", "link set dev detour up"]
    inside = namespace(EVE)
    process.run(["ip", "-n", inside, "-batch", "-"], stdin="\n".join([*detour, "link set end up"]))
    every = ["protocol", "all", "u32", "match", "u32", "0", "0"]
    redirect = ["action", "mirred", "egress", "redirect", "dev", "eth0"]
    try:
        process.run(["tc", "qdisc", "add", "dev", "detour", "clsact"], namespace=inside)
        filter_ = ["tc", "filter", "add", "dev", "detour", "egress", *every, *redirect]
        process.run(filter_, namespace=inside)
        assert arrived(ORDINARY, 10, link="detour") == 10
        assert arrived(ADVERTISED, 10, link="detour") == 0
    finally:
        process.run(["ip", "-n", inside, "link", "delete", "detour"])


def test_the_networks_own_router_still_advertises_itself(world: World) -> None:
    """To those who may not, and to whoever asks."""
    slaac = tuple(
        replace(each, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        if each.id == "a1-6"
        else each
        for each in WITH_EVE.subnets
    )
    world.converge(replace(WITH_EVE, subnets=slaac))
    body = bytes(4) + frames.option(1, EVE.mac)
    asked = frames.ipv6(LINK_LOCAL, "ff02::2", frames.ICMPV6, frames.icmpv6(133, body))
    question = frames.ether(EVE.mac, "33:33:00:00:00:02", frames.ETHER_IPV6, asked)
    router = frames.mac(ROUTER_MAC)
    with raw_socket(EVE) as link:

        def answered() -> bool:
            link.send(question)
            with contextlib.suppress(TimeoutError):
                while True:
                    frame = link.recv(2_048)
                    if frame[6:12] == router and frame[20] == frames.ICMPV6 and frame[54] == 134:
                        return True
            return False

        wait_until(answered, "the router to answer")


def test_no_advertisement_passes_while_the_engines_start_again(world: World) -> None:
    ends = threading.Event()
    with raw_socket(WEB) as victim, raw_socket(EVE) as attacker, ThreadPoolExecutor(1) as thread:
        victim.settimeout(0)

        def flood() -> None:
            while not ends.wait(0.005):
                attacker.send(ADVERTISED)

        flooding = thread.submit(flood)
        try:
            for engine in ("ovn-controller", SWITCH):
                world.engines.kill(engine)
                if engine == SWITCH:
                    (
                        table.switch_dir(world.engines.here) / f"{SWITCH}.ctl"
                    ).unlink()  # By which one sees that it started.
                world.engines.start(engine)
                reaches(EVE, WEB4)
        finally:
            ends.set()
        flooding.result()
        received = []
        with contextlib.suppress(BlockingIOError):
            while True:
                received.append(victim.recv(2_048))
    assert received, "nothing was heard at all"
    assert ADVERTISED not in received
