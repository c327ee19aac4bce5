"""Takes a cloud off the machine, from whatever state it is in.

`down` calls this, and so do system tests after a killed run. It relies on the kernel alone, not on
records: processes are found by their marks, mounts and loop devices by their paths. Servers have
been ended before, by cloud/agent/purge.py.
"""

from __future__ import annotations

from pathlib import Path

from kumoi.base import process
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.install import trees
from kumoi.hosts.units import keeper, users
from kumoi.hosts.wires import virtual


def stop(cloud: CloudSettings, host: HostSettings, *, at_once: bool = False) -> None:
    """End our processes, and remove mounts, loop devices, links and namespaces. The state directory
    stays. Called when servers have ended.
    """
    keeper.stop(cloud, host, at_once=at_once)
    for mount in mounts(host.state):
        process.run(["umount", "--lazy", mount])
    for device in loop_devices(host.state):
        process.run(["losetup", "--detach", device])
    virtual.delete(cloud, host)
    trees.remove(host.run_dir)


def purge(host: HostSettings) -> None:
    """Remove the state directory and the users that roles ran as, after `stop`. The files at the
    top of the directory name its cloud, and are removed last, so that a purge which was killed can
    be repeated. A directory that is a mount point of the machine's stays, empty.
    """
    if host.state.is_dir():
        for entry in host.state.iterdir():
            if entry.is_dir():
                trees.remove(entry)
    if host.state in _mount_points():
        for entry in host.state.iterdir():
            trees.remove(entry)
    else:
        trees.remove(host.state)
    users.remove(host)


def mounts(below: Path) -> list[Path]:
    """Mount points below a path, innermost first. What is mounted at the path itself, a disk of its
    own for a cloud, is the machine's.
    """
    points = [point for point in _mount_points() if below in point.parents]
    return points[::-1]


def _mount_points() -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split(" ")[4].encode().decode("unicode_escape")) for line in lines]


def loop_devices(below: Path) -> list[Path]:
    """Loop devices over files below a path."""
    devices = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        file = Path(backing.read_text().strip().removesuffix(" (deleted)"))
        if file.is_relative_to(below):
            devices.append(Path("/dev") / backing.parts[3])
    return devices
