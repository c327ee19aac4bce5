"""Take a cloud off the machine, from whatever state it is in.

`down` calls this; so do system tests that a killed run left behind. It asks the kernel what is there
and trusts no notes: containers by their monitors, mounts and loop devices by their paths.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.config import Settings
from kumoi.hosts import control, virtual

MONITOR_TITLE = "[lxc monitor] "
CONTAINER_STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Container:
    """A server's container, by LXC's names: its directory of containers, and its own name."""

    path: Path
    name: str
    monitor_pid: int


def stop(settings: Settings) -> None:
    """Everything that runs, is mounted or linked. What the cloud keeps on disk stays."""
    control.stop(settings)
    for container in containers(settings.host_dir):
        stop_container(container)
    for mount in mounts(settings.state):
        process.run(["umount", "--lazy", mount])
    for device in loop_devices(settings.state):
        process.run(["losetup", "--detach", device])
    virtual.delete(settings)
    shutil.rmtree(settings.run_dir, ignore_errors=True)


def purge(settings: Settings) -> None:
    """What `stop` left: the state. Only after `stop`."""
    shutil.rmtree(settings.state)


def containers(below: Path) -> list[Container]:
    """Those that run, of any LXC directory at or below a path."""
    running = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            title = (entry / "cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
        except OSError:
            continue
        if title.startswith(MONITOR_TITLE):
            path, _, name = title.removeprefix(MONITOR_TITLE).rpartition(" ")
            if Path(path).is_relative_to(below):
                running.append(Container(Path(path), name, int(entry.name)))
    return running


def stop_container(container: Container) -> None:
    process.run(
        ["lxc-stop", "--kill", "-P", container.path, "-n", container.name],
        timeout_s=CONTAINER_STOP_TIMEOUT_S,
    )


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
