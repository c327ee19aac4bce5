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
from kumoi.cloud.drivers.instance.lxc import network_tables

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


def tell(pid: int, lines: list[str]) -> None:
    process.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"], stdin="\n".join(lines)
    )


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
                network_tables.forget_neighbours(found)
            assert taken(pid) - before < 10 * row_bytes


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
