"""A still of a running server's disk, for an image to be made from while the server goes on.

All its files are as they were in one moment: the server is frozen from when what it wrote last is
on its disk until the disk is copied. That takes as long as copying what the server wrote over its
image; with more than BYTES_MAX of that, or no room for a copy, there is no still.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from kumoi.cloud.drivers.instance.lxc import disk, rootfs

BYTES_MAX = 512 << 20
"""A fresh server stands still for 10 ms, one that wrote 200 MiB for 0.2 s; 600 MiB took 3.6 s while
others kept the host's disk busy.
"""
FREE_BYTES_MIN = 1 << 30


def is_possible(file: Path) -> bool:
    """Whether the copy would be short and not take the host's last room."""
    size = file.stat().st_blocks * 512
    space = os.statvfs(file)
    return size <= BYTES_MAX and space.f_bavail * space.f_frsize >= size + FREE_BYTES_MIN


def take(
    mounts: rootfs.Mounts,
    file: Path,
    target: Path,
    frozen: contextlib.AbstractContextManager[None],
) -> None:
    """Copy a disk that its server has mounted; inside `frozen`, the server does nothing."""

    def inside() -> None:
        rootfs.open_disk(mounts, file)
        rootfs.sync_disk(mounts)  # So that little is left to wait for.
        with frozen:
            rootfs.sync_disk(mounts)
            disk.copy_sparse(file, target)

    rootfs.privately(inside)
