"""Takes a cloud off the machine, from whatever state it is in.

`down` calls this, and so do system tests after a killed run. It relies on the kernel alone, not on
records: processes are found by their marks, mounts and loop devices by their paths. Servers have
been ended before, by cloud/agent/purge.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process, trees
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import keeper, users
from kumoi.hosts.wires import virtual

MADE_HERE = frozenset({"overlay", "tmpfs"})  # File systems of servers.


def stop(cloud: CloudSettings, host: HostSettings, *, at_once: bool = False) -> None:
    """End our processes, and remove mounts, loop devices, links and namespaces. The state directory
    stays. Called when servers have ended.
    """
    keeper.stop(cloud, host, at_once=at_once)
    for mount in mounts(host.state):
        process.run(["umount", "--lazy", mount.point])
    for device in loop_devices(host.state):
        process.run(["losetup", "--detach", device])
    virtual.delete(cloud, host)
    trees.remove(host.run_dir)


def purge(host: HostSettings) -> None:
    """Remove the state directory and the users that roles ran as, after `stop`. The files at the
    top of the directory name its cloud, and are removed last, so that a purge which was killed can
    be repeated. A directory that is a mount point of the machine's stays, empty.
    """
    points = [mount.point for mount in _read_mounts()]
    if host.state.is_dir():
        for entry in host.state.iterdir():
            if entry.is_dir():
                _remove(entry, points)
    _remove(host.state, points)
    users.remove(host)


def _remove(path: Path, points: Sequence[Path]) -> None:
    """All but mount points, and what they are in."""
    if not any(point == path or path in point.parents for point in points):
        trees.remove(path)
    elif path.is_dir():
        for entry in path.iterdir():
            _remove(entry, points)


@dataclass(frozen=True, slots=True)
class Mount:
    """`root` is the part of the file system that is seen at `point`, `kind` and `source` are the file
    system's.
    """

    point: Path
    root: str
    kind: str
    source: str


def mounts(below: Path) -> list[Mount]:
    """Ours below a path, innermost first. A disk of the machine's, for the whole cloud or for a part of
    it, is none: it shows all of a file system, which is on no file of ours.
    """
    devices = {str(device) for device in loop_devices(below)}
    return [
        mount
        for mount in reversed(_read_mounts())
        if below in mount.point.parents
        and (mount.root != "/" or mount.kind in MADE_HERE or mount.source in devices)
    ]


def _read_mounts() -> list[Mount]:
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words, _, about = line.partition(" - ")
        root, point = (_plain(word) for word in words.split(" ")[3:5])
        kind, source = about.split(" ")[:2]
        found.append(Mount(Path(point), root, kind, _plain(source)))
    return found


def _plain(word: str) -> str:
    """Spaces and the like are told by their octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)


def loop_devices(below: Path) -> list[Path]:
    """Loop devices over files below a path."""
    devices = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        file = Path(backing.read_text().strip().removesuffix(" (deleted)"))
        if file.is_relative_to(below):
            devices.append(Path("/dev") / backing.parts[3])
    return devices
