"""The listening sockets of the machine and of the virtual host, with their processes.

They are read from the kernel; no connection is made. Called by `exposure`.
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

from kumoi import addresses
from kumoi.base import process
from kumoi.base.errors import Conflict
from kumoi.config import CloudSettings, HostSettings, Role, file_of
from kumoi.hosts.units import running, switch, table, users

PROTOCOLS = ("tcp", "tcp6", "udp", "udp6")
LISTENING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}  # UDP: sockets without a peer.
PROC = Path("/proc")
FIRST_PROCESS = 1
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
    """A socket and its process. `unit` is the unit of ours that it belongs to, None for others."""

    bound: Bound
    process: str
    pid: int
    unit: str | None


def of_machine(host: HostSettings) -> list[ListeningSocket]:
    """The sockets in the machine's own namespace, also those of other programs."""
    texts = {name: Path("/proc/net", name).read_text() for name in PROTOCOLS}
    return _listeners(parse(texts), host)


def require_free(cloud: CloudSettings, host: HostSettings) -> None:
    """Raises Conflict when another program listens where a role of this host is to."""
    wanted = {} if host.control_namespace else _wanted(cloud, host)
    for found in of_machine(host) if wanted else ():
        taken, setting = wanted.get(found.bound.port, ((), ""))
        is_there = found.bound.protocol == "tcp" and (
            found.bound.is_any or found.bound.address in taken
        )
        if setting and is_there and found.unit is None and found.pid != FIRST_PROCESS:
            raise Conflict(
                f"{found.process} (process {found.pid}) listens on port {found.bound.port}, which the cloud "
                f"needs: end it, or give the cloud another {setting} in "
                f"{file_of(CloudSettings, host.state)}"
            )


def _wanted(cloud: CloudSettings, host: HostSettings) -> dict[int, tuple[tuple[str, ...], str]]:
    """Ports, each with addresses and the setting that names it."""
    wanted: dict[int, tuple[tuple[str, ...], str]] = {}
    if Role.API in host.roles:
        wanted[cloud.api_port] = (addresses.of_apis(cloud, host), "api_port")
        wanted[cloud.host_api_port] = ((addresses.own(cloud, host),), "host_api_port")
    if Role.PIPELINE in host.roles:
        wanted[cloud.pipeline_port] = (addresses.of_pipelines(cloud, host), "pipeline_port")
    if cloud.is_cluster and Role.NETWORK in host.roles:
        _, address, port = cloud.southbound_url.split(":")
        wanted[int(port)] = ((address,), "southbound_url")
    return wanted


def inside(namespace: str | None, host: HostSettings) -> list[ListeningSocket]:
    """The sockets in a namespace of the virtual host's; none when that does not exist."""
    if not namespace or not table.namespace_path(namespace).exists():
        return []
    texts = {
        name: process.run(["cat", f"/proc/net/{name}"], namespace=namespace).out
        for name in PROTOCOLS
    }
    return _listeners(parse(texts), host)


def of_switch(host: HostSettings) -> list[ListeningSocket]:
    """The ports at which the virtual host's switch receives tunnels: a switch in user space has no
    sockets for them. There are none while the cloud has no other host.
    """
    control = switch.control(table.switch_dir(host))
    text = process.run(["ovs-appctl", "-t", control, "tnl/ports/show"], check=False).out
    pid = next((found.pid for found in running.found(host.state_dir) if found.name == SWITCH), 0)
    return [
        ListeningSocket(Bound("udp", host.underlay_address, port, 0), SWITCH, pid, SWITCH)
        for port in tunnel_ports(text)
    ]


def tunnel_ports(text: str) -> list[int]:
    """UDP ports, as `tnl/ports/show` lists them: "genev_sys_6081 (6081) ref_cnt=1"."""
    return sorted({int(port) for port in TUNNEL.findall(text)})


def parse(texts: Mapping[str, str]) -> list[Bound]:
    """The listening sockets in the texts of /proc/net/tcp and its like, which are keyed by name."""
    found = []
    for name, text in texts.items():
        for line in text.splitlines()[1:]:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == LISTENING[name] and int(port, 16):
                found.append(
                    Bound(name.removesuffix("6"), _address(address), int(port, 16), int(fields[9]))
                )
    return sorted(found, key=lambda bound: (bound.protocol, bound.port, bound.address))


def _address(text: str) -> str:
    """An address of /proc/net: words of four bytes, each in the machine's own byte order."""
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    packed = b"".join(words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def _listeners(found: Iterable[Bound], host: HostSettings) -> list[ListeningSocket]:
    units = {unit.pid: unit.name for unit in running.found(host.state_dir)}  # By session.
    bound = list(found)
    supervisors = {pid for pid, name in units.items() if name == running.SUPERVISOR}
    keepers = {FIRST_PROCESS, *supervisors}  # The first is systemd, where that keeps the units.
    owners = _owners({socket.inode for socket in bound}, last=keepers)
    listeners = []
    for each in bound:
        pid = owners.get(each.inode, 0)
        unit = units.get(_session(pid)) or _unit_by_user(host, pid)
        listeners.append(ListeningSocket(each, _name(pid), pid, unit))
    return listeners


def _unit_by_user(host: HostSettings, pid: int) -> str | None:
    """Of a process with a session of its own, as PostgreSQL is one that Patroni started."""
    with contextlib.suppress(OSError):
        return users.unit_of(host.state_dir, (PROC / str(pid)).stat().st_uid) if pid else None
    return None


def _owners(inodes: set[int], *, last: set[int]) -> dict[int, int]:
    """The process of each socket, by the socket's inode. Of several processes it is the oldest; one
    of `last`, which keep sockets open for others, only where there is no other.
    """
    owners: dict[int, int] = {}
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    for pid in sorted(pids, key=lambda pid: (pid in last, pid)):
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
