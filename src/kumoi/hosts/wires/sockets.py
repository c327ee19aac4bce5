"""Who listens where: sockets of the machine and of the virtual host, and the processes behind them.

The kernel is asked, so what is told is what is. Called by `exposure`; nothing is connected to.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.config import HostSettings
from kumoi.hosts.units import running, table

PROTOCOLS = ("tcp", "tcp6", "udp", "udp6")
LISTENING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}  # Of UDP: not connected.
PROC = Path("/proc")
SOCKET_LINK = re.compile(r"socket:\[(\d+)\]")
UNKNOWN = "?"
SWITCH = "ovs-vswitchd"
TUNNEL = re.compile(r"^\S+ \((\d+)\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket, as the kernel lists it. `protocol` is tcp or udp."""

    protocol: str
    address: str
    port: int
    inode: int

    @property
    def is_any(self) -> bool:
        return ipaddress.ip_address(self.address).is_unspecified

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A socket and who answers: `unit` is ours, or None for a program of somebody else's."""

    bound: Bound
    process: str
    pid: int
    unit: str | None


def of_machine(host: HostSettings) -> list[ListeningSocket]:
    """All of this machine's own, also those that are not of this cloud."""
    texts = {name: Path("/proc/net", name).read_text() for name in PROTOCOLS}
    return _listeners(parse(texts), host)


def of_host(host: HostSettings) -> list[ListeningSocket]:
    """Those in the virtual host's namespace; none when it is not there."""
    if not table.namespace_path(host.name).exists():
        return []
    texts = {
        name: process.run(["cat", f"/proc/net/{name}"], namespace=host.name).out
        for name in PROTOCOLS
    }
    return _listeners(parse(texts), host)


def of_switch(host: HostSettings) -> list[ListeningSocket]:
    """Where the virtual host's switch takes tunnels: in user space it has no socket for them. It
    takes none as long as there is no other host.
    """
    control = table.switch_dir(host) / "ovs-vswitchd.ctl"
    told = process.run(["ovs-appctl", "-t", control, "tnl/ports/show"], check=False).out
    pid = next((one.pid for one in running.found(host.state_dir) if one.name == SWITCH), 0)
    return [
        ListeningSocket(Bound("udp", host.underlay_address, port, 0), SWITCH, pid, SWITCH)
        for port in tunnel_ports(told)
    ]


def tunnel_ports(told: str) -> list[int]:
    """UDP ports, as `tnl/ports/show` lists them: "genev_sys_6081 (6081) ref_cnt=1"."""
    return sorted({int(port) for port in TUNNEL.findall(told)})


def parse(texts: Mapping[str, str]) -> list[Bound]:
    """From the texts of /proc/net/tcp and its like, by name."""
    found = []
    for name, text in texts.items():
        for line in text.splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == LISTENING[name] and int(port, 16):
                found.append(
                    Bound(name.removesuffix("6"), _address(address), int(port, 16), int(fields[9]))
                )
    return sorted(found, key=lambda one: (one.protocol, one.port, one.address))


def _address(text: str) -> str:
    """The kernel writes words of four bytes, each in the machine's own order."""
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    packed = b"".join(words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def _listeners(found: Iterable[Bound], host: HostSettings) -> list[ListeningSocket]:
    by_session = {one.pid: one.name for one in running.found(host.state_dir)}
    bound = list(found)
    holders = {pid for pid, name in by_session.items() if name == running.SUPERVISOR}
    owners = _owners({one.inode for one in bound}, last=holders)
    listeners = []
    for one in bound:
        pid = owners.get(one.inode, 0)
        listeners.append(ListeningSocket(one, _name(pid), pid, by_session.get(_session(pid))))
    return listeners


def _owners(inodes: set[int], *, last: set[int]) -> dict[int, int]:
    """The process that has each socket, by the socket's inode; the oldest where there are several,
    and one of `last`, who hold sockets for others, where there is no other.
    """
    owners: dict[int, int] = {}
    there = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    for pid in sorted(there, key=lambda pid: (pid in last, pid)):
        with contextlib.suppress(OSError):  # It ended meanwhile.
            for link in (PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    match = SOCKET_LINK.fullmatch(str(link.readlink()))
                    if match and int(match[1]) in inodes:
                        owners.setdefault(int(match[1]), pid)
    return owners


def _session(pid: int) -> int:
    with contextlib.suppress(OSError):
        return os.getsid(pid) if pid else 0
    return 0


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "comm").read_text().strip() if pid else UNKNOWN
    return UNKNOWN
