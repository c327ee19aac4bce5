"""What a server's root tells the kernel of networks is found and counted, in each namespace that it keeps. What becomes of
a server that tells too much is in `test_fence.py`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kumoi.base import process
from kumoi.cloud.drivers.instance.lxc import network_tables, traffic_control

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ROWS = 2_000
LINK = [
    "link add d0 type veth peer name d1",
    "link set d0 up",
    "link set d1 up",
    "address add 192.0.2.1/24 dev d0",
]
TOLD = {
    "neighbours": (310, [f"neigh add 192.0.{n >> 8}.{n & 255} lladdr 02:00:00:00:00:01 dev d0 nud permanent" for n in range(ROWS)]),
    "neighbours of IPv6": (310, [f"neigh add fd00::{n:x} lladdr 02:00:00:00:00:01 dev d0 nud permanent" for n in range(ROWS)]),
    "proxies": (80, [f"neigh add proxy 192.0.{n >> 8}.{n & 255} dev d0" for n in range(ROWS)]),
    "routes": (400, [f"route add 10.0.{n >> 8}.{n & 255} dev d0" for n in range(ROWS)]),
    "routes of another table": (400, [f"route add 10.0.{n >> 8}.{n & 255} dev d0 table 7" for n in range(ROWS)]),
    "routes of IPv6": (580, [f"route add fd00::{n:x} dev d0" for n in range(ROWS)]),
    "next hops": (160, [f"nexthop add id {n + 1} dev d0" for n in range(ROWS)]),
    "rules": (250, [f"rule add from 10.0.{n >> 8}.{n & 255} table 7" for n in range(ROWS)]),
    "addresses": (80, [f"address add 10.0.{n >> 8}.{n & 255}/32 dev d0" for n in range(ROWS)]),
}  # fmt: skip
TC = traffic_control
QUEUES = ["qdisc add dev d0 clsact", "qdisc add dev d0 root handle 1: htb"]
MADE_BY_TC = {
    "filters": (TC.FILTER_BYTES, [f"filter add dev d0 ingress pref {n + 1} u32 match u32 0 0" for n in range(ROWS)]),
    "filters on the way out": (TC.FILTER_BYTES, [f"filter add dev d0 egress pref {n + 1} u32 match u32 0 0" for n in range(ROWS)]),
    "filters of a queue": (TC.FILTER_BYTES, [f"filter add dev d0 parent 1: pref {n + 1} u32 match u32 0 0" for n in range(ROWS)]),
    "filters of a class": (TC.FILTER_BYTES, [
        "class add dev d0 parent 1: classid 1:1 htb rate 1kbit",
        *(f"filter add dev d0 parent 1:1 pref {n + 1} u32 match u32 0 0" for n in range(ROWS)),
    ]),
    "classes": (TC.CLASS_BYTES, [f"class add dev d0 parent 1: classid 1:{n + 1:x} htb rate 1kbit" for n in range(ROWS)]),
    "chains": (TC.CHAIN_BYTES, [f"chain add dev d0 ingress chain {n + 1}" for n in range(ROWS)]),
    "actions": (TC.ACTION_BYTES, [f"action add action mirred egress redirect dev d0 index {n + 1}" for n in range(ROWS)]),
}  # fmt: skip
STAYS = "import sys; print('ready', flush=True); sys.stdin.read()"
MOST = 1 << 40


@contextlib.contextmanager
def child(program: str, *words: str, then: str = STAYS) -> Iterator[int]:
    started = subprocess.Popen(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            sys.executable,
            "-c",
            program + then,
            *words,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    try:
        yield started.pid
    finally:
        started.communicate()


def tell(pid: int, lines: list[str], by: str = "ip") -> None:
    process.run(["nsenter", f"--net=/proc/{pid}/ns/net", by, "-batch", "-"], stdin="\n".join(lines))


def inside(pid: int, program: str) -> None:
    process.run(["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-c", program])


def taken(*pids: int, most: int = MOST) -> int:
    with network_tables.namespaces(pids) as found:
        return network_tables.uncounted_bytes(found, most=most)


@pytest.mark.parametrize("what", TOLD)
def test_what_is_told_is_counted(what: str) -> None:
    row_bytes, lines = TOLD[what]
    with child("") as pid:
        tell(pid, LINK)
        before = taken(pid)
        tell(pid, lines)
        assert taken(pid) - before >= 0.99 * ROWS * row_bytes
        assert before + row_bytes < taken(pid, most=before + row_bytes) < taken(pid), "no further"
        if what.startswith("neighbours"):
            with network_tables.namespaces([pid]) as found:
                network_tables.forget(found)
            assert taken(pid) - before < 10 * row_bytes


@pytest.mark.parametrize("what", MADE_BY_TC)
def test_what_is_made_by_tc_is_counted(what: str) -> None:
    row_bytes, lines = MADE_BY_TC[what]
    with child("") as pid:
        tell(pid, LINK)
        tell(pid, QUEUES, by="tc")
        before = taken(pid)
        tell(pid, lines, by="tc")
        assert taken(pid) - before >= 0.99 * ROWS * row_bytes
        assert taken(pid, most=before + row_bytes) < taken(pid), "no further"


@pytest.mark.parametrize("below", [False, True], ids=["of its link", "of a class"])
def test_the_rings_of_a_long_queue_are_counted(*, below: bool) -> None:
    """Two commands took 240 MB, or as much as they said."""
    with child("") as pid:
        tell(pid, [*LINK, "link set d0 txqueuelen 200000"])
        before = taken(pid)
        if below:
            tell(pid, [QUEUES[1], MADE_BY_TC["classes"][1][0]], by="tc")
        tell(pid, [f"qdisc add dev d0 {'parent 1:1' if below else 'root'} pfifo_fast"], by="tc")
        tell(pid, ["link set d0 txqueuelen 10"] if below else [])
        assert taken(pid) - before >= 3 * 8 * 200_000


SEND = """
import contextlib, socket
kept = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
for each in kept:
    each.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(50):
            each.sendto(bytes(1000), ("192.0.2.2", 9))
"""


def test_what_waits_in_a_queue_is_counted() -> None:
    """Without an end, where it was sent on by another link."""
    slow = "qdisc add dev d0 root tbf rate 8bit burst 2000 limit 1000000000"
    with child("") as pid:
        tell(pid, [*LINK, "neigh add 192.0.2.2 lladdr 02:00:00:00:00:01 dev d0 nud permanent"])
        tell(pid, [slow], by="tc")
        before = taken(pid)
        inside(pid, SEND)
        assert taken(pid) - before >= 900 * 1_000


TRACK = """add table ip t
add chain ip t c { type filter hook output priority 0; }
add rule ip t c ct state new accept
"""
CONNECT = f"""
import contextlib, socket
asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(1, {ROWS} + 1):
    with contextlib.suppress(ConnectionRefusedError):
        asks.sendto(b"?", ("127.0.0.1", port))
"""


def test_tracked_connections_are_counted_and_forgotten() -> None:
    """Of which each namespace inside a server has as many as the machine."""
    with child("") as pid:
        tell(pid, ["link set lo up"])
        process.run(["nsenter", f"--net=/proc/{pid}/ns/net", "nft", "-f", "-"], stdin=TRACK)
        before = taken(pid)
        inside(pid, CONNECT)
        assert taken(pid) - before >= 0.9 * ROWS * network_tables.CONNECTION_BYTES
        with network_tables.namespaces([pid]) as found:
            network_tables.forget(found)
        assert taken(pid) - before < 10 * network_tables.CONNECTION_BYTES


SET = f"""
import socket, struct
from kumoi.cloud.drivers.instance.lxc.netlink import BIG_ENDIAN, NESTED, attribute
asks = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
def tell(command, flags, *said):
    body = struct.pack("=BBH", 2, 0, 0) + attribute(1, b"\\7") + attribute(2, b"many\\0") + b"".join(said)
    asks.send(struct.pack("=IHHII", 16 + len(body), 6 << 8 | command, flags, 1, 0) + body)
    answer = asks.recv(65_536)
    assert struct.unpack_from("=HHIIi", answer, 4)[4] == 0, answer
def number(value):
    return struct.pack(">I", value)
most = attribute(NESTED | 7, attribute(BIG_ENDIAN | 19, number(1_000_000)))
tell(2, 0x605, attribute(3, b"hash:ip\\0"), attribute(4, b"\\0"), attribute(5, b"\\2"), most)
for each in range({ROWS}):
    address = attribute(NESTED | 1, attribute(BIG_ENDIAN | 1, number(0x0A000001 + each)))
    tell(9, 5, attribute(NESTED | 7, address))
"""


@pytest.mark.skipif(not Path("/sys/module/ip_set").exists(), reason="this kernel has no ipset")
def test_sets_are_counted() -> None:
    with child("") as pid:
        before = taken(pid)
        inside(pid, SET)
        assert taken(pid) - before >= ROWS * 4


FRAGMENTS = """
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
here = socket.inet_aton("127.0.0.1")
for number in range(1000):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 1020, number, 0x2000, 64, 17, 0, here, here)
    raw.sendto(head + bytes(1000), ("127.0.0.1", 0))
"""


def test_packets_that_are_never_whole_are_counted() -> None:
    """A server's root says how long they wait, and how many."""
    with child("") as pid:
        tell(pid, ["link set lo up"])
        before = taken(pid)
        inside(pid, FRAGMENTS)
        assert taken(pid) - before >= 900 * 1_000


IN_A_NAMESPACE = """
import ctypes, os, subprocess
libc = ctypes.CDLL(None)
home = os.open("/proc/self/ns/net", os.O_RDONLY)
libc.unshare(0x40000000)
subprocess.run(["ip", "link", "set", "lo", "up"])
lines = [f"route add fd00::{n:x} dev lo\\n" for n in range(2000)]
subprocess.run(["ip", "-batch", "-"], input="".join(lines), text=True)
kept = KEPT
libc.setns(home, 0x40000000)
"""
KEPT = {
    "by a socket": "__import__('socket').socket()",
    "by an open file": 'os.open("/proc/self/ns/net", os.O_RDONLY)',
    "by a mount": """(
    subprocess.run(["mount", "-t", "tmpfs", "none", "/mnt"]),
    open("/mnt/a name", "w"),
    subprocess.run(["mount", "--bind", "/proc/self/ns/net", "/mnt/a name"]),
)""",
}


@pytest.mark.parametrize("how", KEPT)
def test_a_namespace_is_found_where_no_process_is_in_it(how: str) -> None:
    with child(IN_A_NAMESPACE.replace("KEPT", KEPT[how])) as pid, child("") as empty:
        assert taken(pid) - taken(empty) >= 2_000 * 580 + network_tables.NAMESPACE_BYTES


IN_A_THREAD = """
import ctypes, os, subprocess, sys, threading
ready = threading.Event()
def other():
    ctypes.CDLL(None).unshare(0x40000000)
    lines = [f"route add fd00::{n:x} dev lo\\n" for n in range(2000)]
    subprocess.run(["ip", "link", "set", "lo", "up"])
    subprocess.run(["ip", "-batch", "-"], input="".join(lines), text=True)
    ready.set()
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=other).start()
ready.wait()
print("ready", flush=True)
if sys.argv[1:]:
    ctypes.CDLL(None).syscall(60, 0)  # The first thread ends alone.
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the number of exit")
@pytest.mark.parametrize("words", [(), ("ends",)], ids=["that is not the first", "left alone"])
def test_a_namespace_of_a_thread_is_found(words: tuple[str, ...]) -> None:
    with child(IN_A_THREAD, *words, then="") as pid, child("") as empty:
        assert taken(pid) - taken(empty) >= 2_000 * 580


def test_the_hosts_own_is_none_of_a_servers() -> None:
    with network_tables.namespaces([os.getpid()]) as found:
        assert found == {}


def test_a_process_that_has_ended_has_none() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert not Path(f"/proc/{ended.pid}").exists()
    assert taken(ended.pid) == 0
