"""The kernel of a virtual host's namespace hears its own two links, and nobody by those of its switch.

A switch in user space takes copies of frames; what the kernel does with them besides is seen here: from a server, which
could speak to the host past OVN's rules, and from the underlay, where two MACs were given for one address.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from tests.system import frames
from tests.system.network_world import (
    ALL_PACKETS,
    CLOUD,
    EVE,
    EVE4,
    HERE,
    QUIET_S,
    WITH_EVE,
    World,
    attacked_world,
    namespace,
    raw_socket,
    wait_until,
)

from kumoi.base import process
from kumoi.base.namespace import NAMESPACES, within
from kumoi.hosts.units.switch import UNDERLAY
from kumoi.hosts.wires import virtual

pytestmark = [pytest.mark.system, pytest.mark.timeout(170)]

HOST4 = HERE.underlay_address
PORT = 16_000
ECHO_REQUEST, ECHO_REPLY = 128, 129


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with attacked_world(WITH_EVE) as world:
        yield world


def answers(link: socket.socket, question: bytes) -> list[bytes]:
    """What comes until it was quiet. Others' frames may come as well."""
    link.send(question)
    ends, found = time.monotonic() + 5 * QUIET_S, []
    while time.monotonic() < ends:
        try:
            found.append(link.recv(2_048))
        except TimeoutError:
            break
    return found


def says_where(answer: bytes) -> str | None:
    """The MAC that an ARP answer gives for the host's address."""
    is_reply = answer[12:14] == b"\x08\x06" and answer[20:22] == b"\0\2"
    return answer[22:28].hex(":") if is_reply and answer[28:32] == frames.ip(HOST4) else None


def test_a_server_that_asks_for_the_hosts_address_hears_nothing(world: World) -> None:
    question = frames.arp(
        EVE.mac, frames.BROADCAST, reply=False, sender=(EVE.mac, EVE4), asked=HOST4
    )
    with raw_socket(EVE) as attacker:
        assert [each for each in answers(attacker, question) if says_where(each)] == []


def test_a_server_that_asks_all_who_speak_ipv6_does_not_hear_the_host(world: World) -> None:
    own = frames.link_local(EVE.mac)
    body = frames.icmpv6(ECHO_REQUEST, bytes(8))
    packet = frames.ipv6(own, frames.ALL_NODES, frames.ICMPV6, body)
    question = frames.ether(EVE.mac, frames.ALL_NODES_MAC, frames.ETHER_IPV6, packet)
    with raw_socket(EVE) as attacker:
        heard = answers(attacker, question)
    replies = [each for each in heard if each[20] == frames.ICMPV6 and each[54] == ECHO_REPLY]
    assert mac_of(namespace(EVE)) not in {each[6:12].hex(":") for each in replies}
    assert process.run(["ip", "-6", "address"], namespace=HERE.name).out == ""


def mac_of(link: str, namespace: str | None = HERE.name) -> str:
    """Of a server's link this is the switch's end."""
    found = process.run(["cat", f"/sys/class/net/{link}/address"], namespace=namespace)
    return found.out.strip()


def test_what_a_server_sends_to_its_links_other_end_reaches_no_socket(world: World) -> None:
    """It can guess the MAC."""

    def listen() -> socket.socket:
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.bind((HOST4, PORT))
        listening.settimeout(QUIET_S)
        return listening

    packet = frames.ipv4(EVE4, HOST4, frames.UDP, frames.udp(PORT, PORT, b"past the rules"))
    other_end = mac_of(namespace(EVE))
    with within(NAMESPACES / HERE.name, listen) as victim, raw_socket(EVE) as attacker:
        attacker.send(frames.ether(EVE.mac, other_end, frames.ETHER_IPV4, packet))
        with pytest.raises(TimeoutError):
            victim.recv(2_048)
        within(NAMESPACES / HERE.name, lambda: victim.sendto(b"its own", (HOST4, PORT)))
        assert victim.recv(2_048) == b"its own"


def test_one_mac_is_given_for_a_host_in_the_underlay(world: World) -> None:
    """With two, who kept the other one sent its tunnels where no switch takes them: a pair of servers lost each
    other until that was forgotten.
    """
    bridge = virtual.underlay_bridge(CLOUD)
    own, asks = mac_of(bridge, namespace=None), CLOUD.control_address
    question = frames.arp(own, frames.BROADCAST, reply=False, sender=(own, asks), asked=HOST4)
    found: set[str | None] = set()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PACKETS)) as link:
        link.bind((bridge, ALL_PACKETS))
        link.settimeout(QUIET_S)

        def somebody_answers() -> bool:
            found.update(map(says_where, answers(link, question)))
            return bool(found - {None})

        wait_until(somebody_answers, "an answer")
        somebody_answers()  # Or another one.
    assert found - {None} == {mac_of(UNDERLAY)}
