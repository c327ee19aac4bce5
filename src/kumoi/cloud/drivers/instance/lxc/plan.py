"""What to do for a server, and what LXC is told about it. Pure: no file, no process, no clock.

apply.py calls this with what it observed and does what comes out, choosing nothing. Actions are
data that print well. Text that came from outside is checked here again before it becomes a line of
configuration: a line too many would be a hole in the wall.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kumoi.base.address import Address as IpAddress
from kumoi.base.address import address as read_address
from kumoi.base.address import network as read_network
from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance.lxc.idmap import IdRange
from kumoi.cloud.hostapi.messages import Address, Port, Server

ROOT = "root"
LOGIN = "~"
"""Owners of files; a path that begins with `~` lies in the home of the image's login user."""

PIDS_MAX = 4_096
CPU_PERIOD_US = 100_000
CPU_SHARES_PER_VCPU = 1_024
CONSOLE_BYTES_MAX = 1 << 20
DISK_GIB_MAX = 16_384
LINK_ID_DIGITS = 12

COMMON_CONFIG = "/usr/share/lxc/config/common.conf"
USERNS_CONFIG = "/usr/share/lxc/config/userns.conf"
CAPABILITIES_DROPPED = "mac_admin mac_override sys_module sys_rawio sys_time"
DEVICES_ALLOWED = (
    "c 1:3 rwm",  # null
    "c 1:5 rwm",  # zero
    "c 1:7 rwm",  # full
    "c 1:8 rwm",  # random
    "c 1:9 rwm",  # urandom
    "c 5:0 rwm",  # tty
    "c 5:1 rwm",  # console
    "c 5:2 rwm",  # ptmx
    "c 136:* rwm",  # pts
)

_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_HOSTNAME_MAX = 253
_LINK = re.compile(r"[a-z][a-z0-9]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PROCESSOR = re.compile(r"^(processor\s*: )\d+")
_MTU = range(576, 65_536)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that a new server finds. `owner` is ROOT or LOGIN."""

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = ROOT

    def __str__(self) -> str:
        return f"write {self.path} ({len(self.content)} bytes, {self.mode:o}, {self.owner})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A veth pair: `name` stays on the host, `peer` goes into the server and is `inner` there."""

    name: str
    peer: str
    port_id: str
    mac: str
    mtu: int
    inner: str


@dataclass(frozen=True, slots=True)
class DropDisk:
    build: int

    def __str__(self) -> str:
        return f"drop the disk of build {self.build}"


@dataclass(frozen=True, slots=True)
class MakeDisk:
    build: int
    disk_gib: int
    image_sha256: str
    files: tuple[File, ...]

    def __str__(self) -> str:
        files = "".join(f"\n    {file}" for file in self.files)
        image = self.image_sha256[:12]
        return f"make the disk of build {self.build}: {self.disk_gib} GiB on image {image}{files}"


@dataclass(frozen=True, slots=True)
class MakeLink:
    link: Link

    def __str__(self) -> str:
        link = self.link
        return f"make link {link.name} to {link.inner} ({link.mac}, mtu {link.mtu})"


@dataclass(frozen=True, slots=True)
class DropLink:
    name: str

    def __str__(self) -> str:
        return f"drop link {self.name}"


@dataclass(frozen=True, slots=True)
class Plug:
    name: str
    port_id: str

    def __str__(self) -> str:
        return f"plug {self.name} as port {self.port_id}"


@dataclass(frozen=True, slots=True)
class Unplug:
    name: str

    def __str__(self) -> str:
        return f"unplug {self.name}"


DiskAction = DropDisk | MakeDisk
LinkAction = Unplug | DropLink | MakeLink | Plug


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this host offers. `controllers` are those that stand alone (cgroup version 1);
    `unified_controllers` those of version 2.
    """

    cgroup_parent: str
    controllers: frozenset[str]
    unified_controllers: frozenset[str]
    swap_limited: bool
    apparmor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server's things are as LXC sees them. `start_hook` is a command that it runs at each
    start; `uptime_s` is how long this host has been up, None where servers cannot have clocks of
    their own.
    """

    rootfs: Path
    console: Path
    processors: Path
    start_hook: str
    uptime_s: int | None


def building(server: Server, disks: Iterable[int]) -> list[DiskAction]:
    """From the builds whose disks are there, to the one wanted."""
    present = set(disks)
    actions: list[DiskAction] = [DropDisk(build) for build in sorted(present - {server.build})]
    if server.build not in present:
        if server.image is None:
            raise Permanent("the server has no image to be built from")
        if not 1 <= server.disk_gib <= DISK_GIB_MAX:
            raise Permanent(f"a disk of {server.disk_gib} GiB cannot be made")
        made = MakeDisk(server.build, server.disk_gib, server.image.sha256, files(server))
        actions.append(made)
    return actions


def plugging(
    wanted: Iterable[Link], *, links: Iterable[str], plugged: Mapping[str, str]
) -> list[LinkAction]:
    """From the server's links and switch ports that are there, to those wanted."""
    kept = {link.name: link for link in wanted}
    present = set(links)
    wrong = {name for name, port_id in plugged.items() if not _is_port(kept, name, port_id)}
    return [
        *(Unplug(name) for name in sorted(wrong)),
        *(DropLink(name) for name in sorted(present - set(kept))),
        *(MakeLink(kept[name]) for name in sorted(set(kept) - present)),
        *(
            Plug(name, kept[name].port_id)
            for name in sorted(kept)
            if name in wrong or name not in plugged
        ),
    ]


def links(server: Server) -> tuple[Link, ...]:
    """One per port, in the server's order."""
    return tuple(_link(port) for port in server.ports)


def wires(server: Server) -> tuple[str, ...]:
    """All that its network has inside, in order: addresses, then default routes, then others."""
    addresses: list[str] = []
    defaults: dict[int, str] = {}
    others: list[str] = []
    for port, each in zip(server.ports, links(server), strict=True):
        for address in port.addresses:
            ip = _own_ip(address)
            addresses.append(f"address {ip}/{address.prefix} dev {each.inner}")
            if address.gateway:
                gateway = f"route default via {_ip(address.gateway)} dev {each.inner}"
                defaults.setdefault(ip.version, gateway)
            for route in address.routes:
                destination, nexthop = _network(route.destination), _ip(route.nexthop)
                others.append(f"route {destination} via {nexthop}")
    return tuple(dict.fromkeys([*addresses, *defaults.values(), *others]))


def is_left_out(wire: str) -> bool:
    """Whether LXC has no word for it."""
    return wire.startswith("route ") and not wire.startswith("route default ")


def link_name(port_id: str) -> str:
    """The host's end of a port's link."""
    return "k" + port_id.replace("-", "")[:LINK_ID_DIGITS]


def files(server: Server) -> tuple[File, ...]:
    """What a new server finds in its file system before its first process runs."""
    host = hostname(server)
    short = host.partition(".")[0]
    names = host if short == host else f"{host} {short}"
    hosts = (
        f"127.0.0.1 localhost\n127.0.1.1 {names}\n::1 localhost ip6-localhost ip6-loopback\n"
        "ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
    )
    wanted = [
        File(path="/etc/hostname", content=f"{host}\n".encode()),
        File(path="/etc/hosts", content=hosts.encode()),
        File(path="/etc/machine-id", content=(server.id.replace("-", "") + "\n").encode()),
    ]
    if dns := _dns(server):
        resolv = "".join(f"nameserver {address}\n" for address in dns)
        wanted.append(File(path="/etc/resolv.conf", content=resolv.encode()))
    if server.ssh_keys:
        keys = "".join(f"{_one_line(key.strip(), 'SSH key')}\n" for key in server.ssh_keys)
        path = f"{LOGIN}/.ssh/authorized_keys"
        wanted.append(File(path=path, content=keys.encode(), mode=0o600, owner=LOGIN))
    return (*wanted, *_seed(server, host))


def config(server: Server, machine: Machine, place: Place, ids: IdRange) -> str:
    """The server's LXC configuration."""
    return "\n".join(
        [
            f"# Server {server.id}, written at each start.",
            f"lxc.include = {COMMON_CONFIG}",
            f"lxc.include = {USERNS_CONFIG}",
            f"lxc.uts.name = {hostname(server)}",
            f"lxc.rootfs.path = dir:{place.rootfs}",
            f"lxc.idmap = u 0 {ids.base} {ids.count}",
            f"lxc.idmap = g 0 {ids.base} {ids.count}",
            f"lxc.apparmor.profile = {'generated' if machine.apparmor else 'unconfined'}",
            f"lxc.cap.drop = {CAPABILITIES_DROPPED}",
            "lxc.tty.max = 0",
            f"lxc.console.logfile = {place.console}",
            f"lxc.console.size = {CONSOLE_BYTES_MAX}",
            f"lxc.mount.entry = {place.processors} proc/cpuinfo none bind,ro 0 0",
            f"lxc.hook.start-host = {place.start_hook}",
            *_clocks(place.uptime_s),
            f"lxc.cgroup.dir.container = {machine.cgroup_parent}/{server.id}",
            f"lxc.cgroup.dir.monitor = {machine.cgroup_parent}/{server.id}.monitor",
            f"lxc.cgroup.dir.monitor.pivot = {machine.cgroup_parent}/pivot",
            *_limits(server, machine),
            *_networks(server),
            "",
        ]
    )


def processors(cpuinfo: str, vcpus: int) -> str:
    """/proc/cpuinfo as a server shows it: the host's, with as many processors as its flavor has."""
    found = [block for block in cpuinfo.split("\n\n") if block.startswith("processor")]
    if not found:
        return cpuinfo
    return "".join(
        _PROCESSOR.sub(rf"\g<1>{number}", found[number % len(found)], count=1) + "\n\n"
        for number in range(vcpus)
    )


def hostname(server: Server) -> str:
    """Its host name, checked."""
    name = server.hostname or f"server-{server.id[:8]}"
    if len(name) > _HOSTNAME_MAX or not _HOSTNAME.fullmatch(name.lower()):
        raise Permanent(f"{name!r} is no host name")
    return name


def _is_port(kept: Mapping[str, Link], name: str, port_id: str) -> bool:
    return name in kept and kept[name].port_id == port_id


def _link(port: Port) -> Link:
    mac = port.mac.lower()
    if not _MAC.fullmatch(mac):
        raise Permanent(f"{port.mac!r} is no MAC address")
    if port.mtu not in _MTU:
        raise Permanent(f"an MTU of {port.mtu} is not possible")
    if not _LINK.fullmatch(port.name):
        raise Permanent(f"{port.name!r} is no name for a network interface")
    name = link_name(port.id)
    return Link(
        name=name, peer=f"p{name[1:]}", port_id=port.id, mac=mac, mtu=port.mtu, inner=port.name
    )


def _clocks(uptime_s: int | None) -> list[str]:
    """The clocks that count from the boot count from the server's own."""
    if uptime_s is None:
        return []
    return [f"lxc.time.offset.boot = -{uptime_s}s", f"lxc.time.offset.monotonic = -{uptime_s}s"]


def _limits(server: Server, machine: Machine) -> list[str]:
    wanted = _alone(server, machine) | _unified(server, machine)
    return [f"lxc.{key} = {value}" for key, value in wanted.items()] + _devices(machine)


def _alone(server: Server, machine: Machine) -> dict[str, int]:
    """Of controllers that stand alone: control groups, version 1."""
    ram_bytes = server.ram_mib << 20
    limits: dict[str, int] = {}
    if "memory" in machine.controllers:
        limits["cgroup.memory.limit_in_bytes"] = ram_bytes
        if machine.swap_limited:
            limits["cgroup.memory.memsw.limit_in_bytes"] = ram_bytes
    if "cpu" in machine.controllers:
        limits["cgroup.cpu.cfs_period_us"] = CPU_PERIOD_US
        limits["cgroup.cpu.cfs_quota_us"] = CPU_PERIOD_US * server.vcpus
        limits["cgroup.cpu.shares"] = CPU_SHARES_PER_VCPU * server.vcpus
    if "pids" in machine.controllers:
        limits["cgroup.pids.max"] = PIDS_MAX
    return limits


def _unified(server: Server, machine: Machine) -> dict[str, str]:
    """Of the one tree of version 2."""
    limits: dict[str, str] = {}
    if "memory" in machine.unified_controllers:
        limits["cgroup2.memory.max"] = str(server.ram_mib << 20)
        if machine.swap_limited:
            limits["cgroup2.memory.swap.max"] = "0"
    if "cpu" in machine.unified_controllers:
        limits["cgroup2.cpu.max"] = f"{CPU_PERIOD_US * server.vcpus} {CPU_PERIOD_US}"
    if "pids" in machine.unified_controllers:
        limits["cgroup2.pids.max"] = str(PIDS_MAX)
    return limits


def _devices(machine: Machine) -> list[str]:
    """userns.conf opens all devices, trusting that none can be made: we do not."""
    if "devices" in machine.controllers:
        key = "lxc.cgroup.devices"
    elif machine.unified_controllers:
        key = "lxc.cgroup2.devices"
    else:
        return []
    return [f"{key}.deny = a", *(f"{key}.allow = {device}" for device in DEVICES_ALLOWED)]


def _networks(server: Server) -> list[str]:
    if not server.ports:
        return ["lxc.net.0.type = empty"]
    lines: list[str] = []
    routed: set[int] = set()
    for number, (port, link) in enumerate(zip(server.ports, links(server), strict=True)):
        key = f"lxc.net.{number}"
        lines.append(f"{key}.type = phys")
        lines.append(f"{key}.link = {link.peer}")
        lines.append(f"{key}.name = {link.inner}")
        lines.append(f"{key}.mtu = {link.mtu}")
        lines.append(f"{key}.flags = up")
        for address in port.addresses:
            lines += _address(key, address, routed)
    return lines


def _address(key: str, address: Address, routed: set[int]) -> list[str]:
    """`routed` are the IP versions that have their default route: the first port's one counts."""
    ip = _own_ip(address)
    lines = [f"{key}.ipv{ip.version}.address = {ip}/{address.prefix}"]
    if address.gateway and ip.version not in routed:
        routed.add(ip.version)
        lines.append(f"{key}.ipv{ip.version}.gateway = {_ip(address.gateway)}")
    return lines


def _dns(server: Server) -> list[str]:
    """In the order given, each once."""
    given = (dns for port in server.ports for address in port.addresses for dns in address.dns)
    return list(dict.fromkeys(str(_ip(dns)) for dns in given))


def _seed(server: Server, host: str) -> tuple[File, ...]:
    """cloud-init's NoCloud seed, where there is user data for it. The network is already there."""
    if not server.user_data:
        return ()
    try:
        user_data = base64.b64decode(server.user_data, validate=True)
    except binascii.Error as cause:
        raise Permanent("the user data is not Base64") from cause
    meta_data = {
        "instance-id": f"{server.id}-{server.build}",
        "local-hostname": host,
        "public-keys": list(server.ssh_keys),
        "meta": dict(sorted(server.metadata.items())),
    }
    seed = "/var/lib/cloud/seed/nocloud"
    settings = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n"
    return (
        File(path=f"{seed}/meta-data", content=(json.dumps(meta_data) + "\n").encode(), mode=0o600),
        File(path=f"{seed}/user-data", content=user_data, mode=0o600),
        File(path="/etc/cloud/cloud.cfg.d/99-kumoi.cfg", content=settings.encode()),
    )


def _own_ip(address: Address) -> IpAddress:
    ip = _ip(address.address)
    if not 0 < address.prefix <= ip.max_prefixlen:
        raise Permanent(f"{address.address}/{address.prefix} is no address")
    return ip


def _ip(text: str) -> IpAddress:
    try:
        return read_address(text)
    except ValueError as cause:
        raise Permanent(f"{text!r} is no IP address") from cause


def _network(text: str) -> str:
    try:
        return str(read_network(text))
    except ValueError as cause:
        raise Permanent(f"{text!r} is no network") from cause


def _one_line(text: str, what: str) -> str:
    if not text.isprintable():
        raise Permanent(f"the {what} has characters that do not print")
    return text
