"""The control groups of servers: which controllers this host has, freezing, and removing groups.

LXC creates a server's groups and sets the limits that config.py wrote. Hosts have version 1 (a tree for
each controller), version 2 (one tree), or both.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kumoi.base.errors import Permanent, Transient
from kumoi.cloud.drivers.instance import fence, groups_below
from kumoi.cloud.drivers.instance.fence import ROOT, has_apparmor, of_servers
from kumoi.cloud.drivers.instance.lxc.config import Machine

FREEZE_TIMEOUT_S = 10.0
REMOVE_TIMEOUT_S = 2.0
_POLL_S = 0.005
_CONTROLLERS = ("memory", "cpu", "pids", "devices", "freezer")


def of_server(host_name: str, server_id: str) -> str:
    return f"{of_servers(host_name)}/{server_id}"


def machine(parent: str, *, root: Path = ROOT) -> Machine:
    """What this host offers, for config.py. `parent` is the parent of all servers' groups. Raises
    Permanent where nothing would keep a server from the machine's devices.
    """
    controllers = frozenset(
        name for name in _CONTROLLERS if (root / name / "cgroup.procs").exists()
    )
    unified: frozenset[str] = frozenset()
    if (root / "cgroup.controllers").exists():
        unified = frozenset((root / "cgroup.controllers").read_text().split())
    if "devices" not in controllers and not unified:
        raise Permanent("no control group of this machine keeps servers from its devices")
    swap = (root / "memory/memory.memsw.limit_in_bytes").exists() or any(
        root.glob("*/memory.swap.max")
    )
    return Machine(
        cgroup_parent=parent,
        controllers=controllers,
        unified_controllers=unified,
        swap_limited=swap,
        tcp_limited=(root / "memory" / fence.TCP_LIMIT).exists(),
        apparmor=has_apparmor(),
    )


def pids(group: str, *, root: Path = ROOT) -> Iterator[int]:
    """Of all processes of a group and those below it."""
    for top in (root / "pids" / group, root / group):
        if (top / "cgroup.procs").exists():
            with contextlib.suppress(OSError):
                yield from map(int, (top / "cgroup.procs").read_text().split())
            for above, name in groups_below.walk(top):
                with contextlib.suppress(OSError):
                    yield from map(int, groups_below.read(f"{name}/cgroup.procs", above).split())
            return


def memory_bytes(group: str, *, root: Path = ROOT) -> int:
    """How much memory a group may have; 0 where nothing says so."""
    for file in (root / "memory" / group / "memory.limit_in_bytes", root / group / "memory.max"):
        with contextlib.suppress(OSError, ValueError):
            return int(file.read_text())
    return 0


def is_frozen(group: str, *, root: Path = ROOT) -> bool:
    """Whether a server's group is frozen, or about to be."""
    with contextlib.suppress(FileNotFoundError):
        return (root / "freezer" / group / "freezer.state").read_text() != "THAWED\n"
    with contextlib.suppress(FileNotFoundError):
        return (root / group / "cgroup.freeze").read_text() == "1\n"
    return False


def freeze(group: str, *, root: Path = ROOT) -> None:
    """Freeze all processes of a server. Raises Transient when one does not stop in time."""
    _set_frozen(group, frozen=True, root=root)
    deadline = time.monotonic() + FREEZE_TIMEOUT_S
    while not _all_frozen(group, root):
        if time.monotonic() > deadline:
            raise Transient("freeze a server: one of its processes does not stop")
        time.sleep(_POLL_S)


def thaw(group: str, *, root: Path = ROOT) -> None:
    _set_frozen(group, frozen=False, root=root)


def thaw_to_end(group: str, *, root: Path = ROOT) -> None:
    """With those below it, which a server's root may have frozen: in version 1 a frozen process does not even end."""
    thaw(group, root=root)
    groups_below.thaw(root / "freezer" / group)


def remove(group: str, *, root: Path = ROOT) -> None:
    """Remove a group and those below it from every tree. Its processes have ended, or do once they are not frozen."""
    for path in _everywhere(group, root):
        deadline = time.monotonic() + REMOVE_TIMEOUT_S
        while not _remove_tree(path):
            if time.monotonic() > deadline:
                raise Transient(f"remove control group {path}: it is still in use")
            thaw_to_end(group, root=root)
            time.sleep(_POLL_S)


def remove_empty(group: str, *, root: Path = ROOT) -> None:
    """Remove a group and those below it as far as they have no processes."""
    for path in _everywhere(group, root):
        _remove_tree(path)


def remains(group: str, *, root: Path = ROOT) -> bool:
    return any(True for _ in _everywhere(group, root))


def _everywhere(group: str, root: Path) -> Iterator[Path]:
    for tree in (root, *(path for path in root.iterdir() if path.is_dir())):
        path = tree / group
        if path.is_dir() and (path / "cgroup.procs").exists():
            yield path


def _remove_tree(path: Path) -> bool:
    """Those below first. False when a process is still in one of them."""
    for above, name in groups_below.walk(path):
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=above)
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _set_frozen(group: str, *, frozen: bool, root: Path) -> None:
    for path, value in (
        (root / "freezer" / group / "freezer.state", "FROZEN" if frozen else "THAWED"),
        (root / group / "cgroup.freeze", "1" if frozen else "0"),
    ):
        if path.exists():
            with contextlib.suppress(FileNotFoundError):
                path.write_text(value)
            return


def _all_frozen(group: str, root: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return (root / "freezer" / group / "freezer.state").read_text() == "FROZEN\n"
    with contextlib.suppress(FileNotFoundError):
        return "frozen 1" in (root / group / "cgroup.events").read_text()
    return True
