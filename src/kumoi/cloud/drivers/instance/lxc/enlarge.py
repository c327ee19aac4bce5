"""A larger disk for a server that is stopped, after a resize to a flavor with one.

Nothing of the file system is read here: e2fsck and resize2fs do it, each as a program that has no right on
the host and reaches that file only (reader.py).
"""

from __future__ import annotations

import os
from pathlib import Path

from kumoi.base import files, process
from kumoi.base.errors import Permanent, Transient
from kumoi.base.files import Promise
from kumoi.base.process import Completed, ProcessFailed
from kumoi.cloud.drivers.instance import reader, sparse
from kumoi.cloud.drivers.instance.lxc import disk, rootfs
from kumoi.cloud.drivers.instance.lxc.paths import PART
from kumoi.hosts.units.confinement import launched

TIMEOUT_S = 600.0
MOUNT_TABLE = Path("/proc")
"""Where resize2fs looks whether the file is mounted; it ends where it cannot."""
_E2FSCK_DAMAGED = 4  # Something is left that it does not repair by itself.


def enlarge(host_dir: Path, file: Path, disk_gib: int) -> None:
    """Give a disk that nobody uses this size. It becomes a copy, so that a kill leaves it as it was;
    growing it while mounted needs a capability that root in a container lacks. Raises Permanent when the
    disk is damaged.
    """
    part = file.with_name(file.name + PART)
    with disk.draft(part):
        sparse.copy(file, part)
        os.truncate(part, disk_gib << 30)
        rootfs.with_reader(host_dir, lambda users: _grow(host_dir, part, users))
        files.publish(part, file, promise=Promise.NEW)


def _grow(host_dir: Path, part: Path, users: int) -> None:
    mounts = rootfs.mounts_for(host_dir)
    rootfs.make_top(mounts)
    shown = mounts.top / "disk"
    reader.show(part, shown, users=users, writable=True)
    reader.shut_in(shown)
    done = _run(["/sbin/e2fsck", "-f", "-p"], shown, users)
    if done.status >= _E2FSCK_DAMAGED:
        raise Permanent("the server's disk is damaged")
    if done.status >= 0:  # Below that, somebody ended it.
        done = _run(["/sbin/resize2fs"], shown, users)
    if done.status != 0:
        raise Transient("make a server's disk larger") from ProcessFailed(
            f"status {done.status}: {done.err}", completed=done
        )


def _run(command: list[str], shown: Path, users: int) -> Completed:
    confined = reader.rights(reads=(MOUNT_TABLE,), writes=(shown,), capabilities=())
    words = launched(confined, [*command, str(shown)], users=reader.path_of(users))
    return process.run(words, timeout_s=TIMEOUT_S, check=False)
