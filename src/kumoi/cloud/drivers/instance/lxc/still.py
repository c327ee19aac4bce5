"""A copy of a running server's disk that does not change, to make an image from.

All its files are as they were at one moment: the server is frozen while its last writes are synced and
its disk is copied. That takes as long as copying what the server wrote over its image; with more than
BYTES_MAX of that, or too little room for a copy, there is no copy.

A server that is frozen for this moment does not count as paused: an observer sees it running. To the
agent that follows one killed meanwhile it is paused against what is wanted, and so it is thawed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kumoi.base import log
from kumoi.cloud.drivers.instance import sparse
from kumoi.cloud.drivers.instance.lxc import cgroup, rootfs

BYTES_MAX = 512 << 20
"""A new server is frozen for 10 ms, one that wrote 200 MiB for 0.2 s; 600 MiB took 3.6 s while the
host's disk was busy.
"""
FREE_BYTES_MIN = 1 << 30


class Freezer:
    """Which servers are paused, and which are frozen only for a copy. `group` gives the name of a
    server's control group.
    """

    def __init__(self, group: Callable[[str], str]) -> None:
        self._group = group
        self._held: set[str] = set()

    def is_paused(self, server_id: str) -> bool:
        return server_id not in self._held and cgroup.is_frozen(self._group(server_id))

    def pause(self, server_id: str) -> None:
        self._held.discard(server_id)
        cgroup.freeze(self._group(server_id))

    def resume(self, server_id: str) -> None:
        if cgroup.is_frozen(self._group(server_id)):
            cgroup.thaw(self._group(server_id))

    @contextlib.contextmanager
    def frozen(self, server_id: str) -> Iterator[None]:
        self._held.add(server_id)
        began = time.monotonic()
        try:
            cgroup.freeze(self._group(server_id))
            yield
        finally:
            if server_id in self._held:  # Nobody has paused it meanwhile.
                cgroup.thaw(self._group(server_id))
                self._held.discard(server_id)
            seconds = round(time.monotonic() - began, 4)
            log.event("server.stood_still", server=server_id, seconds=seconds)


@contextlib.contextmanager
def of(
    mounts: rootfs.Mounts, file: Path, copy: Path, freezer: Freezer, server_id: str
) -> Iterator[Path]:
    """A disk of a running server that does not change: a copy, where one is possible."""

    def take() -> None:
        rootfs.open_disk(mounts, file)
        rootfs.sync_disk(mounts)  # First, so that little is left to sync while it is frozen.
        with freezer.frozen(server_id):
            rootfs.sync_disk(mounts)
            sparse.copy(file, copy)

    if not is_possible(file):
        log.event("server.not_frozen", server=server_id, why="its disk is too large to copy")
        yield file
        return
    try:
        rootfs.with_own_mounts(take)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def is_possible(file: Path) -> bool:
    """Whether the copy would be quick and leave room on the host's disk."""
    size = file.stat().st_blocks * 512
    space = os.statvfs(file)
    return size <= BYTES_MAX and space.f_bavail * space.f_frsize >= size + FREE_BYTES_MIN
