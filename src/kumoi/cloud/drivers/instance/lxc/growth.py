"""How much more servers' disks may take of the host's disk: what is left there beyond its reserve.

A disk is a sparse file and takes room as it is written, so disks together may be larger than the host's. A
write to one whose file cannot grow fails as on a broken disk, and the databases beside it have no room
either. So the server is told before: ext4 has a reserve of blocks that it gives to nobody, root of a server
included, and the kernel changes it while the file system is mounted. With a reserve of all that is free but
the server's share, a write beyond that share is ENOSPC at once, however fast it comes. Nothing of this is
written to the disk; a mount begins without. Design note 0026.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from kumoi.base import log
from kumoi.cloud.drivers.instance import kernel, loop
from kumoi.cloud.drivers.instance.lxc import rootfs
from kumoi.cloud.drivers.instance.lxc.disk import BLOCK_BYTES

FAST_BYTES = 8 << 30
"""More than the servers of a host write between two looks, a second. Where so much is left nobody is held."""
OWN_FRACTION, OWN_BLOCKS_MAX = 50, 4_096
"""The reserve that ext4 gives itself: so much of its blocks."""
SYSTEM = Path("/sys/fs/ext4")


def share_out(host_dir: Path, servers: Path, left_bytes: int) -> int:
    """Let the disks of all servers take so many bytes more together, until the next call. How many of them are
    held to less than they have free.
    """
    found = dict(_mounted(servers))
    if not found:
        return 0
    left_bytes -= (
        sum(_number(device, "delayed_allocation_blocks") for device in found) * BLOCK_BYTES
    )
    if left_bytes >= FAST_BYTES:
        for device, blocks in found.items():
            _reserve(device, own_reserve(blocks))
        return 0
    share = max(0, left_bytes) // len(found) // BLOCK_BYTES
    rootfs.with_own_mounts(lambda: _hold(host_dir, servers, found, share))
    return held(servers)


def held(servers: Path) -> int:
    """How many are held now."""
    return sum(
        _number(device, "reserved_clusters") > own_reserve(blocks)
        for device, blocks in _mounted(servers)
    )


def own_reserve(blocks: int) -> int:
    return min(blocks // OWN_FRACTION, OWN_BLOCKS_MAX)


def _mounted(servers: Path) -> Iterator[tuple[str, int]]:
    """The devices of disks that are in use, with the number of their blocks."""
    for device in loop.below_directory(servers):
        size = Path("/sys/block") / device / "size"
        if (SYSTEM / device).is_dir() and size.exists():
            yield device, int(size.read_text()) * 512 // BLOCK_BYTES


def _hold(host_dir: Path, servers: Path, found: dict[str, int], share: int) -> None:
    """In a thread with mounts of its own, since nobody else's mount tells how much a server has free: not what
    its processes see as their root.
    """
    mounts = rootfs.mounts_for(host_dir)
    rootfs.make_top(mounts)
    mounts.raw.mkdir()
    for device, blocks in found.items():
        try:
            free = _free_blocks(device, servers, mounts.raw)
            _reserve(device, min(max(free - share, own_reserve(blocks)), blocks - 1))
        except OSError as error:  # It stopped meanwhile, or its file system may not be written to.
            log.event("disk.not_held", device=device, why=str(error))


def _free_blocks(device: str, servers: Path, where: Path) -> int:
    with loop.held(device, servers) as path:
        kernel.mount(path, where, kind="ext4", flags=kernel.MS_NODEV)
        try:
            return os.statvfs(where).f_bfree
        finally:
            kernel.unmount(where)


def _number(device: str, name: str) -> int:
    try:
        return int((SYSTEM / device / name).read_text())
    except FileNotFoundError:  # Unmounted meanwhile.
        return 0


def _reserve(device: str, blocks: int) -> None:
    if _number(device, "reserved_clusters") not in (0, blocks):
        (SYSTEM / device / "reserved_clusters").write_text(f"{blocks}\n")
