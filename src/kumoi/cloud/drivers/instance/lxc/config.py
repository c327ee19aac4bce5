"""What LXC is told about a server: its configuration, as text. Pure.

apply.py writes it at each start. Text that came from outside was checked on its way here (wire.py,
seed.py): a line too many would be a hole in the wall.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kumoi.cloud.drivers.instance import wire
from kumoi.cloud.drivers.instance.lxc.idmap import IdRange
from kumoi.cloud.drivers.instance.seed import hostname
from kumoi.cloud.hostapi.messages import InstanceSpec

PIDS_MAX = 4_096
CPU_PERIOD_US = 100_000
CPU_SHARES_PER_VCPU = 1_024
CONSOLE_BYTES_MAX = 1 << 20
PIVOT = "pivot"
"""The group, beside those of servers, that monitors end in. It is the host's and goes with it."""

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

_PROCESSOR = re.compile(r"^(processor\s*: )\d+")


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
class ContainerPaths:
    """Where a server's things are as LXC sees them. `start_hook` is a command that it runs at each
    start; `uptime_s` is how long this host has been up, None where servers cannot have clocks of
    their own.
    """

    rootfs: Path
    console: Path
    processors: Path
    start_hook: str
    uptime_s: int | None


def config(server: InstanceSpec, machine: Machine, place: ContainerPaths, ids: IdRange) -> str:
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
            f"lxc.cgroup.dir.monitor.pivot = {machine.cgroup_parent}/{PIVOT}",
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


def _clocks(uptime_s: int | None) -> list[str]:
    """The clocks that count from the boot count from the server's own."""
    if uptime_s is None:
        return []
    return [f"lxc.time.offset.boot = -{uptime_s}s", f"lxc.time.offset.monotonic = -{uptime_s}s"]


def _limits(server: InstanceSpec, machine: Machine) -> list[str]:
    wanted = _alone(server, machine) | _unified(server, machine)
    return [f"lxc.{key} = {value}" for key, value in wanted.items()] + _devices(machine)


def _alone(server: InstanceSpec, machine: Machine) -> dict[str, int]:
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


def _unified(server: InstanceSpec, machine: Machine) -> dict[str, str]:
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


def _networks(server: InstanceSpec) -> list[str]:
    """Links alone: addresses and routes come from network.py, at each start of it."""
    lines: list[str] = []
    for number, each in enumerate(wire.of(server)):
        key = f"lxc.net.{number}"
        lines.append(f"{key}.type = phys")
        lines.append(f"{key}.link = {each.peer}")
        lines.append(f"{key}.name = {each.name}")
        lines.append(f"{key}.mtu = {each.mtu}")
        lines.append(f"{key}.flags = up")
    return lines or ["lxc.net.0.type = empty"]
