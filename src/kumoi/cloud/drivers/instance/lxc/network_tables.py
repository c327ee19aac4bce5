"""What a server's root tells the kernel of networks: how much memory of the machine it takes that counts for nobody.

Linux counts neighbours, routes, connections and the like for no control group, or in part, and limits none of them. They are
counted here, in the network namespaces of a server: of its threads, and those that it keeps by sockets, mounts and open
files, as `ip netns` does. Called by apply.py, which ends what takes too much.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.cloud.drivers.instance import kernel
from kumoi.cloud.drivers.instance.lxc import netlink, traffic_control

PART = 8
"""Of a server's memory: so much may its tables take beyond that."""
NAMESPACE_BYTES = 104_000
CONNECTION_BYTES = 400
"""Of one that a firewall tracks, of which each network namespace may have the machine's `nf_conntrack_max`."""
NAMESPACES_MAX, MOUNTS_BYTES_MAX, FILES_MAX = 8_192, 4 << 20, 65_536
"""So much is looked at of a server. Who has more takes more than its part by the first alone."""

_PROC = Path("/proc")
_OWN = _PROC / "self/ns/user"
_GET_USER_NAMESPACE, _GET_SOCKETS_NAMESPACE = 0xB701, 0x894C
_ROOT, _POINT = 3, 4
_NAME = re.compile(r"net:\[(\d+)\]")
_SOCKET = "socket:["
_CONNECTIONS = _PROC / "sys/net/netfilter/nf_conntrack_count"
_SETS = Path("/sys/module/ip_set")
_LIST_SETS, _SETS_PROTOCOL, _HEADS_ONLY = 6 << 8 | 7, 7, 4
_PROTOCOL_OF_SETS, _FLAGS, _DATA, _SET_BYTES = 1, 6, 7, 26
_FRAGMENTS = re.compile(r"^FRAG6?: inuse \d+ memory (\d+)$", re.MULTILINE)
_INET, _BRIDGE, _INET6 = socket.AF_INET, 7, socket.AF_INET6
_PROXY = 8


@dataclass(frozen=True, slots=True)
class KernelTable:
    """One of rtnetlink's: the message that asks for its rows, and what each takes that counts for nobody (measured on
    Linux 6.18; docs/guide/security.md).
    """

    ask: int
    head: bytes
    row_bytes: int


def _neighbours(family: int, flags: int, row_bytes: int) -> KernelTable:
    return KernelTable(30, struct.pack("=BBHiHBB", family, 0, 0, 0, 0, flags, 0), row_bytes)


def _of_family(ask: int, family: int, head_bytes: int, row_bytes: int) -> KernelTable:
    return KernelTable(ask, bytes([family]).ljust(head_bytes, b"\0"), row_bytes)


TABLES = (
    _neighbours(_INET, 0, 310),
    _neighbours(_INET6, 0, 310),
    _neighbours(_INET, _PROXY, 80),
    _neighbours(_INET6, _PROXY, 80),
    _neighbours(_BRIDGE, 0, 170),
    _of_family(26, _INET, 12, 400),  # Routes
    _of_family(26, _INET6, 12, 580),
    _of_family(22, _INET, 8, 80),  # Addresses
    _of_family(22, _INET6, 8, 180),
    _of_family(106, 0, 8, 160),  # Next hops
    _of_family(34, _INET, 12, 250),  # Rules
    _of_family(34, _INET6, 12, 250),
    _of_family(18, 0, 16, 7_000),  # Links
)


@contextlib.contextmanager
def namespaces(pids: Iterable[int]) -> Iterator[Mapping[int, int]]:
    """Descriptors of the network namespaces of these processes, by what the kernel calls each."""
    found: dict[int, int] = {}
    known: set[str] = set()
    try:
        for pid in pids:
            with contextlib.suppress(OSError):  # It has ended.
                _of_process(pid, known, found)
            if len(found) > NAMESPACES_MAX:
                break
        yield found
    finally:
        for descriptor in found.values():
            os.close(descriptor)


def uncounted_bytes(found: Mapping[int, int], *, most: int) -> int:
    """What the tables of these namespaces take, or some more than `most` where it is more than that."""
    with ThreadPoolExecutor(1, thread_name_prefix="tables") as thread:
        return thread.submit(_sum, found, most).result()


def forget(found: Mapping[int, int]) -> None:
    """Neighbours and tracked connections: the kernel finds again those that are real."""

    def forget_all() -> None:
        for descriptor in found.values():
            kernel.enter_network(descriptor)
            process.run(["ip", "neighbour", "flush", "nud", "all"], check=False)
            netlink.forget_connections()

    with ThreadPoolExecutor(1, thread_name_prefix="tables") as thread:
        thread.submit(forget_all).result()


def _of_process(pid: int, known: set[str], found: dict[int, int]) -> None:
    """Those of its threads, each of which may have its own, and those that its mounts and files keep."""
    files: list[Path] = []
    for thread in (_PROC / str(pid) / "task").iterdir():
        with contextlib.suppress(OSError):  # It has ended, as a first thread may before the others.
            _take(thread / "ns/net", found)
            files = files or list(itertools.islice((thread / "fd").iterdir(), FILES_MAX))
            mounts = str((thread / "ns/mnt").readlink())
            if mounts not in known:
                known.add(mounts)
                _of_mounts(thread, found)
    for file in files:
        with contextlib.suppress(OSError):
            name = str(file.readlink())
            if _NAME.fullmatch(name):
                _take(file, found)
            elif name.startswith(_SOCKET) and name not in known:
                known.add(name)
                _of_socket(pid, int(file.name), found)


def _of_socket(pid: int, number: int, found: dict[int, int]) -> None:
    """What tells a namespace by a socket need not be in it any more."""
    taken = kernel.take_descriptor(pid, number)
    try:
        _add(fcntl.ioctl(taken, _GET_SOCKETS_NAMESPACE), found)
    finally:
        os.close(taken)


def _of_mounts(directory: Path, found: dict[int, int]) -> None:
    with (directory / "mountinfo").open("rb") as file:
        lines = file.read(MOUNTS_BYTES_MAX).decode(errors="replace").splitlines()
    kept = [
        words
        for words in map(str.split, lines)
        if len(words) > _POINT and _NAME.fullmatch(words[_ROOT])
    ]
    if not kept:
        return
    root = os.open(directory / "root", os.O_PATH | os.O_CLOEXEC)
    try:
        for words in kept:
            with contextlib.suppress(OSError):  # Another mount is over it.
                path = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), words[_POINT])
                place = kernel.open_inside(root, path, flags=os.O_PATH, follow=False)
                try:
                    _take(Path(f"/proc/self/fd/{place}"), found)
                finally:
                    os.close(place)
    finally:
        os.close(root)


def _take(path: Path, found: dict[int, int]) -> None:
    """A namespace, unless it is known, or another kind of file, which is not opened."""
    seen = path.stat()
    if seen.st_dev == _OWN.stat().st_dev and seen.st_ino not in found:
        _add(os.open(path, os.O_RDONLY | os.O_CLOEXEC), found)


def _add(descriptor: int, found: dict[int, int]) -> None:
    """Unless it is known, or the host's, as all are that no server has made."""
    with contextlib.ExitStack() as unless:
        unless.callback(os.close, descriptor)
        owner = fcntl.ioctl(descriptor, _GET_USER_NAMESPACE)
        is_hosts = os.fstat(owner).st_ino == _OWN.stat().st_ino
        os.close(owner)
        number = os.fstat(descriptor).st_ino
        if not is_hosts and number not in found:
            found[number] = descriptor
            unless.pop_all()


def _sum(found: Mapping[int, int], most: int) -> int:
    taken = 0
    for descriptor in found.values():
        kernel.enter_network(descriptor)
        taken += NAMESPACE_BYTES + _connections_bytes() + _fragments_bytes() + _sets_bytes()
        if taken <= most:
            taken += traffic_control.uncounted_bytes(most - taken)
        for table in TABLES:
            if taken > most:
                return taken
            rows_max = (most - taken) // table.row_bytes + 1
            taken += _rows(table, rows_max) * table.row_bytes
    return taken


def _rows(table: KernelTable, rows_max: int) -> int:
    """As many as there are, or as are asked for; none where this kernel does not know the table."""
    return sum(1 for _ in itertools.islice(netlink.dumped(table.ask, table.head), rows_max))


def _connections_bytes() -> int:
    """Of this thread's network namespace, as is all that it sees of /proc/sys/net."""
    try:
        return CONNECTION_BYTES * int(_CONNECTIONS.read_text())
    except OSError:  # This kernel tracks none.
        return 0


def _fragments_bytes() -> int:
    """Of packets that are not whole. A server's root says how long they wait, and how much of them."""
    found = 0
    for name in ("sockstat", "sockstat6"):
        with contextlib.suppress(OSError):  # It has no IPv6.
            text = (_PROC / "thread-self/net" / name).read_text()
            found += sum(map(int, _FRAGMENTS.findall(text)))
    return found


def _sets_bytes() -> int:
    """Of `ipset`, as the kernel says. It would load that to answer, so it is asked where it is there."""
    if not _SETS.exists():
        return 0
    said = netlink.attribute(_PROTOCOL_OF_SETS, bytes([_SETS_PROTOCOL]))
    said += netlink.attribute(_FLAGS | netlink.BIG_ENDIAN, _HEADS_ONLY.to_bytes(4, "big"))
    found = 0
    for message in netlink.dumped(_LIST_SETS, bytes(4) + said, of=netlink.NETFILTER):
        data = netlink.attributes(message[4:]).get(_DATA, b"")
        found += int.from_bytes(netlink.attributes(data).get(_SET_BYTES, b""), "big")
    return found
