"""A server without port security sends from as many MACs as its port has room for, and from no others, whatever
its owner does. What a network learns of it is in `test_spoofing.py`.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.system import frames
from tests.system.machine_link import machines_link
from tests.system.network_world import ALL_PACKETS, QUIET_S

from kumoi.base import process
from kumoi.cloud.drivers.instance import kernel
from kumoi.cloud.drivers.network import mac_guard, router_guard, veth
from kumoi.cloud.drivers.network.mac_guard import MacTables

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

WITHOUT_IPV6 = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
LINK, END = "of-server", "end"
MOST = mac_guard.MACS_MAX
OWN = "06:cb:00:01:00:00"
PORT = {LINK: OWN}
BOTH = {LINK: OWN, "of-another": OWN}
Send = Callable[[bytes], object]


def frame_from(number: int) -> bytes:
    return frames.arp(
        mac_of(number),
        frames.BROADCAST,
        reply=False,
        sender=(mac_of(number), "192.0.2.1"),
        asked="192.0.2.2",
    )


def mac_of(number: int) -> str:
    return f"06:cb:00:00:{number >> 8:02x}:{number & 255:02x}"


@contextlib.contextmanager
def container_link(name: str = LINK) -> Iterator[Send]:
    batch = f"link add name {name} type veth peer name {END}\nlink set dev {name} up\nlink set dev {END} up"
    process.run(["ip", "-batch", "-"], stdin=batch)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as end:
        end.bind((END, ALL_PACKETS))
        yield end.send
    veth.delete([name])


@contextlib.contextmanager
def machine_link() -> Iterator[Send]:
    with machines_link(LINK) as tap:
        yield lambda frame: os.write(tap, frame)


def passing(send: Send, numbers: range) -> set[int]:
    """Of these senders those whose frames come to the switch."""
    wanted = {frame_from(number): number for number in numbers}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        listener.bind((LINK, ALL_PACKETS))
        listener.settimeout(QUIET_S)
        for frame in wanted:
            send(frame)
        seen = set()
        with contextlib.suppress(TimeoutError):
            while True:
                seen.add(wanted.get(listener.recv(2_048)))
    return {number for number in seen if number is not None}


def in_a_network_of_its_own(
    link: Callable[[], contextlib.AbstractContextManager[Send]], story: Callable[[Send], None]
) -> None:
    def told() -> None:
        kernel.leave_network()
        WITHOUT_IPV6.write_text("1")  # The kernel would send as well, from the end's own MAC.
        with link() as send:
            story(send)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(told).result()


@pytest.mark.parametrize("link", [container_link, machine_link])
def test_the_first_macs_pass_and_no_others(
    link: Callable[[], contextlib.AbstractContextManager[Send]],
) -> None:
    def story(send: Send) -> None:
        MacTables().bound(BOTH)
        first = passing(send, range(2 * MOST))
        assert len(first) == MOST
        assert passing(send, range(2 * MOST)) == first, (
            "known ones stay, and none takes another's place"
        )

    in_a_network_of_its_own(link, story)


def test_the_ports_own_mac_needs_no_room() -> None:
    def story(send: Send) -> None:
        MacTables().bound({LINK: mac_of(3 * MOST)})
        assert len(passing(send, range(2 * MOST))) == MOST
        assert passing(send, range(3 * MOST - 1, 3 * MOST + 2)) == {3 * MOST}

    in_a_network_of_its_own(container_link, story)


def test_an_owner_who_switches_port_security_on_and_off_gets_no_further_macs() -> None:
    def story(send: Send) -> None:
        tables = MacTables()
        tables.bound(PORT)
        known = passing(send, range(2 * MOST))
        tables.bound(PORT)
        assert passing(send, range(2 * MOST)) == known, "settled again"
        for tables_ in (tables, MacTables()):
            router_guard.hold_back([LINK])
            assert passing(send, range(2 * MOST)) == set(range(2 * MOST)), (
                "the switch's own filter is of use there"
            )
            tables_.bound(PORT)
            assert passing(send, range(2 * MOST)) == known

    in_a_network_of_its_own(container_link, story)


def test_a_server_that_starts_again_has_the_macs_that_it_had() -> None:
    """Each start was another link, of another 256."""

    def story(send: Send) -> None:
        MacTables().bound(PORT)
        known = passing(send, range(2 * MOST))
        tables = MacTables()  # Of an agent that has just started.
        tables.find([LINK, "of-another"])
        veth.delete([LINK])
        with container_link() as again:
            tables.bound(PORT)
            assert passing(again, range(2 * MOST)) == known

    in_a_network_of_its_own(container_link, story)


def test_of_ports_that_are_gone_the_youngest_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that a port that is plugged out and in again has the MACs that it had, and memory has a bound."""

    def story(send: Send) -> None:
        tables = MacTables()
        tables.bound(PORT)
        assert len(passing(send, range(2 * MOST))) == MOST
        tables.keep_only(tables.listed(), [])
        assert tables.listed() == [LINK]
        gone = ["gone-1", "gone-2", "gone-3"]
        for name in gone:
            veth.delete([LINK])
            with container_link(name):
                tables.bound({name: OWN})
        monkeypatch.setattr(mac_guard, "TABLES_OF_GONE_PORTS", 2)
        tables.keep_only(tables.listed(), [gone[0]])
        assert tables.listed() == gone
        with container_link() as fresh:
            tables.bound(PORT)
            assert len(passing(fresh, range(MOST, 2 * MOST))) == MOST

    in_a_network_of_its_own(container_link, story)
