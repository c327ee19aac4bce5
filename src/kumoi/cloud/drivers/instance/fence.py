"""The control group that all servers of a host are in, and what they may take together.

Each server has limits of its own, which its flavor sets. Their sum may be more than the machine has,
so the group above them has limits as well: what is left beyond those is the machine's own and the
cloud's, whatever servers do. Drivers make their servers' groups below it. Hosts have control groups
of version 1 (a tree for each controller), version 2 (one tree), or both.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import log
from kumoi.base.errors import Permanent

ROOT = Path("/sys/fs/cgroup")
SYSTEM = Path("/proc/sys")
KERNEL = SYSTEM / "kernel"
APPARMOR = Path("/sys/module/apparmor/parameters/enabled")
NEEDED = ("memory", "cpu", "pids")
SUBTREE = "cgroup.subtree_control"

CPU_SHARES = 512
"""Of all servers together, where one session of the machine, as each unit is one, has 1,024."""
CPU_WEIGHT = 50
"""The same in version 2, where a process has 100."""
RAM_MIB_MIN = 256
PROCESSES_RESERVED = 4_096
PID_MAX = 4_194_304
"""The most that Linux counts to."""
GROUPS_MIN, GROUPS_MAX, GROUPS_TOGETHER = 256, 2_048, 32_768
"""Of control groups that count memory Linux has 65,535, for the machine and all servers: one that made them all left
none to start another server in. Version 1 cannot bound them.
"""
PIDS_PER_MIB, PIDS_MIN, PIDS_MAX = 4, 512, 4_096
"""Linux allows a machine eight threads per MiB of memory, so servers that have all of it can have
half of them.
"""

TCP_LIMIT = "memory.kmem.tcp.limit_in_bytes"
TCP_PART, TCP_PART_TOGETHER = 4, 20
"""What connections hold that was not read or not acknowledged is in version 1 of no server's memory unless it has
a limit of its own; in version 2 it is. All connections of a machine have 9 % of its memory, and from 6 % on, all
of them are held back.
"""

MESSAGE_QUEUES_BYTES = 819_200
"""Of each user of a server, as Linux has it by default."""

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
COUNTS = {
    "fs/inotify/max_user_instances": (1 << 31) - 1,
    "fs/inotify/max_user_watches": (1 << 31) - 1,
    "fs/aio-max-nr": (1 << 31) - 1,
    "fs/file-max": (1 << 63) - 1,
    "net/ipv4/tcp_max_orphans": (1 << 31) - 1,
    **{f"user/max_{kind}_namespaces": (1 << 31) - 1 for kind in NAMESPACES},
}
"""What the kernel counts for all servers together, with root: each was made by root. What is counted is memory
of the server that has it, so that is the bound, and no server uses up another's.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What all servers of a host may take together."""

    ram_mib: int
    processes: int


def of_servers(host_name: str) -> str:
    """The parent of the groups of all servers of a host."""
    return f"{host_name}.servers"


def pids(ram_mib: int) -> int:
    """How many processes and threads a server of that memory may have."""
    return max(PIDS_MIN, min(PIDS_MAX, ram_mib * PIDS_PER_MIB))


def groups(ram_mib: int) -> int:
    """How many control groups a server of that memory may make, in version 2."""
    return max(GROUPS_MIN, min(GROUPS_MAX, ram_mib))


def bounds(*, ram_mib: int, reserved_mib: int, kernel: Path = KERNEL) -> Bounds:
    """For a machine of that memory. `kernel` says how many processes it may have."""
    most = min(int((kernel / name).read_text()) for name in ("pid_max", "threads-max"))
    return Bounds(
        ram_mib=max(ram_mib - reserved_mib, RAM_MIB_MIN),
        processes=max(most - PROCESSES_RESERVED, most // 2),
    )


def raise_pid_max(kernel: Path = KERNEL) -> None:
    """So that the machine's memory bounds its processes, and not a number of former days. A higher one
    stays, and one that may not be changed.
    """
    wanted = min(PID_MAX, int((kernel / "threads-max").read_text()))
    if int((kernel / "pid_max").read_text()) < wanted:
        with contextlib.suppress(OSError):
            (kernel / "pid_max").write_text(f"{wanted}\n")


def raise_counts(system: Path = SYSTEM) -> None:
    """So that what one server has of COUNTS is never what another lacks. A higher limit stays, and one that may
    not be changed.
    """
    for name, wanted in COUNTS.items():
        with contextlib.suppress(OSError):
            if int((system / name).read_text()) < wanted:
                (system / name).write_text(f"{wanted}\n")


def halve_waiting_signals() -> None:
    """Of this process, whom each server comes of: Linux counts signals and timers that wait for whoever made a server,
    which is root, and the machine's own root keeps the other half.
    """
    _, most = resource.getrlimit(resource.RLIMIT_SIGPENDING)
    if most != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (most // 2, most // 2))


def free_message_queues() -> None:
    """Of this process, whom each server comes of: Linux counts POSIX queues of messages of all servers for root, whatever
    bound each has of its own, by the limit of who made the server. What they hold is the server's memory.
    """
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, unlimited)


def ensure(host_name: str, most: Bounds, *, root: Path = ROOT) -> None:
    """Make the group and bound it. Raises Permanent where the machine lacks a controller: without it
    servers would not be limited at all.
    """
    group = of_servers(host_name)
    make(group, NEEDED, root=root)
    limit(_limits(group, most, root), failure="servers.not_bounded")


def make(group: str, controllers: Iterable[str], *, root: Path = ROOT) -> None:
    """With those controllers. Raises Permanent where the machine lacks one."""
    missing = [name for name in controllers if not _ensure_tree(root, group, name)]
    if missing:
        raise Permanent(
            f"no control group of this machine bounds {', '.join(missing)}: servers would have no limit"
        )


def limit(limits: Iterable[tuple[Path, int]], *, failure: str) -> None:
    """Those that this machine has. One that is not taken is logged, as the event `failure`."""
    for path, value in limits:
        if path.exists():
            try:
                path.write_text(f"{value}")
            except OSError as error:  # What is there of before has more than that already.
                log.warning(failure, file=str(path), value=value, error=str(error))


def in_force(host_name: str, *, root: Path = ROOT) -> dict[str, int]:
    """The limits of the group as the kernel has them, for `status`. Nothing where there is no group."""
    group = of_servers(host_name)
    files = {
        "memory_max_bytes": ("memory/{}/memory.limit_in_bytes", "{}/memory.max"),
        "memory_bytes": ("memory/{}/memory.usage_in_bytes", "{}/memory.current"),
        "processes_max": ("pids/{}/pids.max", "{}/pids.max"),
        "processes": ("pids/{}/pids.current", "{}/pids.current"),
    }
    found: dict[str, int] = {}
    for name, paths in files.items():
        for path in paths:
            with contextlib.suppress(OSError, ValueError):
                found.setdefault(name, int((root / path.format(group)).read_text()))
    return found


def processes(host_name: str, server_id: str, *, root: Path = ROOT) -> int:
    """How many a server has on a host, as the kernel counts them."""
    group = f"{of_servers(host_name)}/{server_id}"
    for tree in (root / "pids", root):
        with contextlib.suppress(OSError, ValueError):
            return int((tree / group / "pids.current").read_text())
    return 0


def has_apparmor(file: Path = APPARMOR) -> bool:
    """Whether this kernel holds servers by profiles, too."""
    return file.exists() and file.read_text().startswith("Y")


def _ensure_tree(root: Path, group: str, controller: str) -> bool:
    """Make the group in the tree that has this controller. Whether one has."""
    if (root / controller / "cgroup.procs").exists():
        (root / controller / group).mkdir(exist_ok=True)
        return True
    offered = root / "cgroup.controllers"
    if not offered.exists() or controller not in offered.read_text().split():
        return False
    if controller not in (root / SUBTREE).read_text().split():
        (root / SUBTREE).write_text(f"+{controller}")
    (root / group).mkdir(exist_ok=True)
    return True


def _limits(group: str, most: Bounds, root: Path) -> Iterator[tuple[Path, int]]:
    ram_bytes = most.ram_mib << 20
    yield from (
        (root / "memory" / group / "memory.limit_in_bytes", ram_bytes),
        (root / "memory" / group / "memory.memsw.limit_in_bytes", ram_bytes),
        (root / "memory" / group / TCP_LIMIT, ram_bytes // TCP_PART_TOGETHER),
        (root / "cpu" / group / "cpu.shares", CPU_SHARES),
        (root / "pids" / group / "pids.max", most.processes),
        (root / group / "memory.max", ram_bytes),
        (root / group / "memory.swap.max", 0),
        (root / group / "cpu.weight", CPU_WEIGHT),
        (root / group / "pids.max", most.processes),
        (root / group / "cgroup.max.descendants", GROUPS_TOGETHER),
    )
