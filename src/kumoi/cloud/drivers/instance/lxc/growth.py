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
from collections.abc import Callable, Iterator
from pathlib import Path

from kumoi.base import log
from kumoi.cloud.drivers.instance import kernel, loop
from kumoi.cloud.drivers.instance.lxc import rootfs
from kumoi.cloud.drivers.instance.lxc.disk import BLOCK_BYTES, JOURNAL_MIB

FAST_BYTES = 8 << 30
"""More than the servers of a host write between two looks, a second. Where so much is left nobody is held."""
JOURNAL_BLOCKS = (JOURNAL_MIB << 20) // BLOCK_BYTES
OWN_FRACTION, OWN_BLOCKS_MAX = 50, 4_096
"""The reserve that ext4 gives itself: so much of its blocks."""
SYSTEM = Path("/sys/fs/ext4")


def share_out(host_dir: Path, servers: Path, left_bytes: Callable[[], int]) -> int:
    """Let the disks of all servers take so many bytes more together, until the next call. How many of them are
    held to less than they have free.
    """
    found = dict(_mounted(servers))
    if not found:
        return 0
    if left_bytes() >= FAST_BYTES:
        for device, blocks in found.items():
            _reserve(device, own_reserve(blocks))
        return 0
    rootfs.with_own_mounts(lambda: _hold(host_dir, servers, found, left_bytes))
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


def _hold(
    host_dir: Path, servers: Path, found: dict[str, int], left_bytes: Callable[[], int]
) -> None:
    """In a thread with mounts of its own, since nobody else's mount tells how much a server has free: not what
    its processes see as their root.
    """
    mounts = rootfs.mounts_for(host_dir)
    rootfs.make_top(mounts)
    mounts.raw.mkdir()
    files = loop.below_directory(servers)
    free: dict[str, int] = {}
    given = 0  # And not taken yet.
    for device in found:
        try:
            space = _space(device, servers, mounts.raw)
            taken = files[device].stat().st_blocks * 512 // BLOCK_BYTES
        except (KeyError, OSError) as error:  # It stopped meanwhile.
            log.event("disk.not_held", device=device, why=str(error))
        else:
            # The kernel holds back what a server writes, and the journal is a hole until it was once around.
            free[device] = space.f_bfree
            given += max(0, space.f_blocks - space.f_bfree + JOURNAL_BLOCKS - taken)
    share = max(0, left_bytes() // BLOCK_BYTES - given) // len(found)
    for device, blocks in free.items():
        most = found[device]
        try:
            _reserve(device, min(max(blocks - share, own_reserve(most)), most - 1))
        except OSError as error:  # Or its file system may not be written to.
            log.event("disk.not_held", device=device, why=str(error))


def _space(device: str, servers: Path, where: Path) -> os.statvfs_result:
    """Without what the file system has for itself."""
    with loop.held(device, servers) as path:
        kernel.mount(path, where, kind="ext4", flags=kernel.MS_NODEV)
        try:
            return os.statvfs(where)
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
