"""A server's LXC configuration, as text. Pure.

apply.py writes it at each start. Text from outside was checked on its way here (wire.py, seed.py), so
that it cannot add lines: one would open the container.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kumoi.cloud.drivers.instance import fence, wire
from kumoi.cloud.drivers.instance.lxc import confinement
from kumoi.cloud.drivers.instance.lxc.idmap import IdRange
from kumoi.cloud.drivers.instance.seed import kernel_name
from kumoi.cloud.hostapi.messages import InstanceSpec

CPU_PERIOD_US = 100_000
CPU_SHARES_PER_VCPU = 1_024
CPU_WEIGHT_PER_VCPU = 100  # The same in version 2.
OOM_SCORE = 300
"""Where the machine itself runs out of memory, servers end before what is its own."""
CONSOLE_BYTES_MAX = 1 << 20
RESCUED_AT = "mnt"
MONITOR_SUFFIX = ".monitor"
"""Of the group of a server's monitor, after the name of the server's own group."""
PIVOT = "pivot"
"""The group, beside those of servers, that monitors are moved to when they end. It is the host's."""

COMMON_CONFIG = "/usr/share/lxc/config/common.conf"
USERNS_CONFIG = "/usr/share/lxc/config/userns.conf"
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

ACCEPT_RA = "lxc.sysctl.net.ipv6.conf.{}.accept_ra"

_PROCESSOR = re.compile(r"^(processor\s*: )\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this host offers. `controllers` are those of control groups version 1,
    `unified_controllers` those of version 2.
    """

    cgroup_parent: str
    controllers: frozenset[str]
    unified_controllers: frozenset[str]
    swap_limited: bool
    tcp_limited: bool
    apparmor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPaths:
    """Paths of a server's files in LXC's mounts. `start_hook` is a command that LXC runs at each
    start, `unfiltered` what is there when it failed for want of a filter; `rescued` is the root of the server that is being rescued; `uptime_s` is how long this host has been up, None where the kernel has no time namespaces.
    """

    rootfs: Path
    seccomp: Path
    unfiltered: Path
    console: Path
    processors: Path
    start_hook: str
    rescued: Path | None = None
    uptime_s: int | None


def config(server: InstanceSpec, machine: Machine, paths: ContainerPaths, ids: IdRange) -> str:
    limits = _limits_v1(server, machine) | _limits_v2(server, machine)
    clocks = () if paths.uptime_s is None else ("boot", "monotonic")
    return "\n".join(
        [
            f"# Server {server.id}, written at each start.",
            f"lxc.include = {COMMON_CONFIG}",
            f"lxc.include = {USERNS_CONFIG}",
            f"lxc.uts.name = {kernel_name(server)}",
            f"lxc.rootfs.path = dir:{paths.rootfs}",
            f"lxc.idmap = u 0 {ids.base} {ids.count}",
            f"lxc.idmap = g 0 {ids.base} {ids.count}",
            f"lxc.apparmor.profile = {'generated' if machine.apparmor else 'unconfined'}",
            f"lxc.cap.drop = {' '.join(confinement.CAPABILITIES_DROPPED)}",
            f"lxc.seccomp.profile = {paths.seccomp}",
            # Beside that of the agent, which servers inherit: by default LXC leaves its own out then.
            "lxc.seccomp.allow_nesting = 1",
            *confinement.masks(),
            f"lxc.proc.oom_score_adj = {OOM_SCORE}",
            f"lxc.prlimit.msgqueue = {fence.MESSAGE_QUEUES_BYTES}",
            "lxc.tty.max = 0",
            f"lxc.console.logfile = {paths.console}",
            f"lxc.console.size = {CONSOLE_BYTES_MAX}",
            f"lxc.mount.entry = {paths.processors} proc/cpuinfo none bind,ro 0 0",
            *_rescued(paths),
            f"lxc.hook.start-host = {confinement.hook(paths.unfiltered)}",
            f"lxc.hook.start-host = {paths.start_hook}",
            # The clocks that count from the boot count from the server's own.
            *(f"lxc.time.offset.{clock} = -{paths.uptime_s}s" for clock in clocks),
            f"lxc.cgroup.dir.container = {machine.cgroup_parent}/{server.id}",
            f"lxc.cgroup.dir.monitor = {machine.cgroup_parent}/{server.id}{MONITOR_SUFFIX}",
            f"lxc.cgroup.dir.monitor.pivot = {machine.cgroup_parent}/{PIVOT}",
            *(f"lxc.{key} = {value}" for key, value in limits.items()),
            *_devices(machine),
            *_networks(server),
            "",
        ]
    )


def _rescued(paths: ContainerPaths) -> list[str]:
    """Where a rescue has the files of the server."""
    if paths.rescued is None:
        return []
    return [f"lxc.mount.entry = {paths.rescued} {RESCUED_AT} none bind,create=dir 0 0"]


def processors(cpuinfo: str, vcpus: int) -> str:
    """A server's /proc/cpuinfo: the host's, with as many processors as the flavor has."""
    found = [block for block in cpuinfo.split("\n\n") if block.startswith("processor")]
    if not found:
        return cpuinfo
    return "".join(
        _PROCESSOR.sub(rf"\g<1>{number}", found[number % len(found)], count=1) + "\n\n"
        for number in range(vcpus)
    )


def _limits_v1(server: InstanceSpec, machine: Machine) -> dict[str, int | str]:
    """For control groups version 1."""
    ram_bytes = server.ram_mib << 20
    limits: dict[str, int | str] = {}
    if "memory" in machine.controllers:
        limits["cgroup.memory.limit_in_bytes"] = ram_bytes
        if machine.swap_limited:
            limits["cgroup.memory.memsw.limit_in_bytes"] = ram_bytes
        if machine.tcp_limited:
            limits["cgroup.memory.kmem.tcp.limit_in_bytes"] = ram_bytes // fence.TCP_PART
    if "cpu" in machine.controllers:
        limits["cgroup.cpu.cfs_period_us"] = CPU_PERIOD_US
        limits["cgroup.cpu.cfs_quota_us"] = CPU_PERIOD_US * server.vcpus
        limits["cgroup.cpu.shares"] = CPU_SHARES_PER_VCPU * server.vcpus
    if "pids" in machine.controllers:
        limits["cgroup.pids.max"] = fence.pids(server.ram_mib)
    return limits


def _limits_v2(server: InstanceSpec, machine: Machine) -> dict[str, int | str]:
    """For control groups version 2."""
    limits: dict[str, int | str] = {}
    if "memory" in machine.unified_controllers:
        limits["cgroup2.memory.max"] = str(server.ram_mib << 20)
        limits["cgroup2.cgroup.max.descendants"] = str(fence.groups(server.ram_mib))
        if machine.swap_limited:
            limits["cgroup2.memory.swap.max"] = "0"
    if "cpu" in machine.unified_controllers:
        limits["cgroup2.cpu.weight"] = str(CPU_WEIGHT_PER_VCPU * server.vcpus)
        limits["cgroup2.cpu.max"] = f"{CPU_PERIOD_US * server.vcpus} {CPU_PERIOD_US}"
    if "pids" in machine.unified_controllers:
        limits["cgroup2.pids.max"] = str(fence.pids(server.ram_mib))
    return limits


def _devices(machine: Machine) -> list[str]:
    """Allow a few only: userns.conf allows all, trusting that a server cannot make device nodes."""
    version_1 = "devices" in machine.controllers
    key = "lxc.cgroup.devices" if version_1 else "lxc.cgroup2.devices"
    return [f"{key}.deny = a", *(f"{key}.allow = {device}" for device in DEVICES_ALLOWED)]


def _networks(server: InstanceSpec) -> list[str]:
    """The links; network.py sets addresses and routes at each start. All of them are known, so a router
    that advertises itself is an attacker: OVN lets advertisements pass before it asks any access list.
    """
    lines = [f"{ACCEPT_RA.format('default')} = 0"]
    for number, each in enumerate(wire.of(server)):
        key = f"lxc.net.{number}"
        lines.append(f"{key}.type = phys")
        lines.append(f"{key}.link = {each.peer}")
        lines.append(f"{key}.name = {each.name}")
        lines.append(f"{key}.mtu = {each.mtu}")
        lines.append(f"{key}.flags = up")
        lines.append(f"{ACCEPT_RA.format(each.name)} = 0")
    return lines if server.ports else [*lines, "lxc.net.0.type = empty"]
