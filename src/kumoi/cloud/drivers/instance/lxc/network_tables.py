"""What a server's root tells the kernel of networks: how much memory of the machine it takes that counts for nobody.

Linux counts neighbours, routes and the like for no control group, or in part, and limits none of them. They are
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

PART = 8
"""Of a server's memory: so much may its tables take beyond that."""
NAMESPACE_BYTES = 104_000
NAMESPACES_MAX, MOUNTS_BYTES_MAX, FILES_MAX = 8_192, 4 << 20, 65_536
"""So much is looked at of a server. Who has more takes more than its part by the first alone."""

_PROC = Path("/proc")
_OWN = _PROC / "self/ns/user"
_GET_USER_NAMESPACE, _GET_SOCKETS_NAMESPACE = 0xB701, 0x894C
_ROOT, _POINT = 3, 4
_NAME = re.compile(r"net:\[(\d+)\]")
_SOCKET = "socket:["
_DUMP, _DONE, _ERROR = 0x301, 3, 2
_HEAD = struct.Struct("=IHHII")
_ANSWER_BYTES = 1 << 20
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


def forget_neighbours(found: Mapping[int, int]) -> None:
    """The kernel finds again those that are real."""

    def forget() -> None:
        for descriptor in found.values():
            kernel.enter_network(descriptor)
            process.run(["ip", "neighbour", "flush", "nud", "all"], check=False)

    with ThreadPoolExecutor(1, thread_name_prefix="tables") as thread:
        thread.submit(forget).result()


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
        taken += NAMESPACE_BYTES
        for table in TABLES:
            if taken > most:
                return taken
            rows_max = (most - taken) // table.row_bytes + 1
            taken += _rows(table, rows_max) * table.row_bytes
    return taken


def _rows(table: KernelTable, rows_max: int) -> int:
    """As many as there are, or as are asked for; none where this kernel does not know the table."""
    rows = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as asked:
        asked.settimeout(process.DEFAULT_TIMEOUT_S)
        asked.send(_HEAD.pack(_HEAD.size + len(table.head), table.ask, _DUMP, 1, 0) + table.head)
        while rows < rows_max:
            answer = asked.recv(_ANSWER_BYTES)
            at = 0
            while at < len(answer):
                length, kind, _, _, _ = _HEAD.unpack_from(answer, at)
                if kind in (_DONE, _ERROR):
                    return rows
                rows += 1
                at += (length + 3) & ~3
    return rows
