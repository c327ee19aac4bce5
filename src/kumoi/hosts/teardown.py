"""Take a cloud off the machine, from whatever state it is in.

`down` calls this; so do system tests for what a killed run left behind. It asks the kernel what is
there and trusts no notes: servers by their monitors, mounts and loop devices by their paths.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.config import Settings
from kumoi.hosts import control, running, virtual

MONITOR_TITLE = "[lxc monitor] "
SERVERS_TIMEOUT_S = 10.0
CONTROL_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Container:
    """A server's container: LXC's monitor, which is nobody's child, and the first process inside."""

    name: str
    monitor_pid: int
    first_pid: int


def stop(settings: Settings) -> None:
    """Everything that runs, is mounted or linked. What the cloud keeps on disk stays."""
    control.stop(settings)
    stop_containers(containers(settings.host_dir))
    for mount in mounts(settings.state):
        process.run(["umount", "--lazy", mount])
    for device in loop_devices(settings.state):
        process.run(["losetup", "--detach", device])
    _remove_control_groups(f"{settings.name}.servers")
    virtual.delete(settings)
    shutil.rmtree(settings.run_dir, ignore_errors=True)


def purge(settings: Settings) -> None:
    """What `stop` left: the state. Only after `stop`."""
    if settings.state.exists():
        shutil.rmtree(settings.state)


def containers(below: Path) -> list[Container]:
    """Those that run, of any LXC directory at or below a path.

    Only a process of the machine's own root counts: a tenant may name its processes as it likes.
    """
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            title = (entry / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
            if not title.startswith(MONITOR_TITLE) or entry.stat().st_uid != os.geteuid():
                continue
            path, _, name = title.removeprefix(MONITOR_TITLE).rpartition(" ")
            if Path(path).is_relative_to(below):
                pid = int(entry.name)
                found.append(Container(name, pid, _first_child(pid)))
    return found


def stop_containers(found: list[Container]) -> None:
    """Kill the first process of each, which ends all others in it; the monitor follows."""
    handles = []
    for one in found:
        with contextlib.suppress(ProcessLookupError):
            handles.append(os.pidfd_open(one.monitor_pid))
        if one.first_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.first_pid, signal.SIGKILL)
    try:
        for handle in running.not_ended(handles, timeout_s=SERVERS_TIMEOUT_S):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        for handle in handles:
            os.close(handle)


def mounts(below: Path) -> list[Path]:
    """Mount points below a path, innermost first."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(line.split(" ")[4].encode().decode("unicode_escape"))
        if point.is_relative_to(below):
            points.append(point)
    return points[::-1]


def loop_devices(below: Path) -> list[Path]:
    """Loop devices over files below a path."""
    devices = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        file = Path(backing.read_text().strip().removesuffix(" (deleted)"))
        if file.is_relative_to(below):
            devices.append(Path("/dev") / backing.parts[3])
    return devices


def _first_child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else 0


def _remove_control_groups(name: str) -> None:
    """Empty ones only: the kernel refuses others."""
    for top in (CONTROL_GROUPS, *CONTROL_GROUPS.glob("*/")):
        root = top / name
        if root.is_dir():
            below = sorted((path for path in root.rglob("*/")), reverse=True)
            for group in [*below, root]:
                with contextlib.suppress(OSError):
                    group.rmdir()
